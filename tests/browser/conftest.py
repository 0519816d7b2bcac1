"""The running app and a browser, for all tests of this folder."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from helpers import ROOT
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

PATIENCE = 180_000  # milliseconds; a busy machine loads libraries and weights for minutes
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def url(weights_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of `python app.py`, started from another folder with untrained weights."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("app")
    environment = {**os.environ, "BUSI_DEMO_WEIGHTS": str(weights_folder), "GRADIO_TEMP_DIR": str(folder)}
    with (folder / "log.txt").open("w") as log:
        command = [sys.executable, ROOT / "app.py", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(process, f"http://127.0.0.1:{port}/", folder / "log.txt")
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(30)


def wait_for(process: subprocess.Popen, url: str, log: Path) -> None:
    """Return when the app answers."""
    for _ in range(240):
        assert process.poll() is None, f"the app stopped:\n{log.read_text()}"
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(f"the app does not answer:\n{log.read_text()}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, url: str) -> Iterator[Callable[..., Page]]:
    """Open the page in a window of a given width; afterwards no request may have left this machine."""
    requests, errors, contexts = [], [], []

    def open_page(width: int, height: int = 900, colours: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=colours)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.locator("#gallery img").first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    outside = [u for u in requests if not re.match(r"data:|blob:|https?://127\.0\.0\.1[:/]", u)]
    assert requests and outside == [] and errors == []
