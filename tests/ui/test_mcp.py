"""`python app.py --mcp`, called by a real MCP client as a language model's would."""

from __future__ import annotations

import ast
import base64
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from helpers import ROOT, picture, save_grey
from serving import serve_app

from busi_demo.models import APPROACHES
from busi_demo.ui.endpoints import analyse_endpoint

KEY = "multitask_cnn"


@pytest.fixture(scope="module")
def url(weights_folder, tmp_path_factory):
    pytest.importorskip("mcp", reason="optional: pip install gradio[mcp]")
    folder = tmp_path_factory.mktemp("app")
    environment = {**os.environ, "BUSI_DEMO_WEIGHTS": str(weights_folder), "GRADIO_TEMP_DIR": str(folder)}
    with serve_app(folder, environment, after=["--mcp"]) as url:
        yield url


def converse(url: str, talk):
    """Connect, and return what the coroutine `talk(session)` returns."""
    import anyio
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def run():
        async with (
            streamable_http_client(f"{url}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return await talk(session)

    # Playwright's fixtures leave an event loop running in this thread.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, run).result()


def test_the_tools_are_the_endpoints_with_their_documentation(url):
    async def talk(session):
        return (await session.list_tools()).tools

    tools = {tool.name: tool for tool in converse(url, talk)}
    endpoints = httpx.get(f"{url}gradio_api/info").json()["named_endpoints"]
    found = {next((name for name in tools if endpoint.strip("/") in name), None) for endpoint in endpoints}
    assert found == tools.keys() and len(tools) == len(endpoints)
    analyse = next(tool for name, tool in tools.items() if "analyse" in name)
    first = analyse_endpoint.__doc__.strip().splitlines()[0]
    assert first in analyse.description and "not a medical device" in analyse.description
    properties = analyse.inputSchema["properties"]
    assert properties["approach"]["enum"] == list(APPROACHES)
    assert all(properties[name].get("description") for name in ("image", "approach", "mask"))


def test_a_tool_answers_like_the_command_line(url, tmp_path, predictors):
    scan = save_grey(tmp_path / "scan.png", picture(1))
    data = f"data:image/png;base64,{base64.b64encode(scan.read_bytes()).decode()}"

    async def told(progress, total, message):
        pass

    async def talk(session):
        name = next(tool.name for tool in (await session.list_tools()).tools if "analyse" in tool.name)
        # Gradio answers a client that asks for progress with one part an output, any other with one text of them all.
        return await session.call_tool(name, {"image": data, "approach": KEY}, progress_callback=told)

    answer = converse(url, talk)
    assert not answer.isError
    assert any(part.type == "image" for part in answer.content)
    texts = [part.text for part in answer.content if part.type == "text"]
    record = next(ast.literal_eval(text) for text in texts if "'predicted_class'" in text)
    expected = predictors[KEY].predict(scan)
    assert (record["approach"], record["predicted_class"]) == (KEY, expected.predicted_class)
    assert record["probabilities"] == pytest.approx(dict(expected.probabilities), abs=1e-3)


def test_without_the_extra_it_says_what_to_install():
    code = "import runpy, sys; sys.modules['mcp'] = None; sys.argv[1:] = ['--mcp']; runpy.run_path('app.py', run_name='__main__')"  # noqa: E501
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 1
    assert (
        run.stderr.strip()
        .splitlines()[-1]
        .startswith('error: --mcp needs a further package: pip install "gradio[mcp]"')
    )
