"""Attacks on the running server: what it must not read, fetch, run or repeat. What people upload is in
test_privacy.py, bad files in test_bad_files.py."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import takewhile
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from gradio_client import Client, handle_file
from helpers import ROOT, picture, save_grey
from serving import serve_app

from busi_demo.types import InputError
from busi_demo.ui import guard, texts

API = "gradio_api/"
ENDPOINT = {"analyse": ["multitask_cnn", None, None, "predicted", "grad_cam", 0.5, None, None, False]}


@pytest.fixture(scope="module")
def server(weights_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of the app with a limit of 300 requests a minute, and the folder of its log and its files."""
    folder = tmp_path_factory.mktemp("app")
    own = {"BUSI_DEMO_WEIGHTS": str(weights_folder), "GRADIO_TEMP_DIR": str(folder), "BUSI_RATE_LIMIT": "300/minute"}
    with serve_app(folder, {**os.environ, **own}) as url:
        yield url, folder


@pytest.fixture
def http(server: tuple[str, Path]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server[0], timeout=60) as client:
        yield client


@pytest.fixture
def visited() -> Iterator[tuple[str, list[str]]]:
    """Address of a second server, and the paths that were asked of it."""
    paths: list[str] = []

    class Visited(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None: ...

    other = HTTPServer(("127.0.0.1", 0), Visited)
    Thread(target=other.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{other.server_port}/scan.png", paths
    other.shutdown()


def file_data(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def call(http: httpx.Client, image: Any, *others: Any) -> str:
    """Ask /analyse about an image, as a program that writes its own requests; returns all that it is told."""
    data = [image, *(others or ENDPOINT["analyse"])]
    started = http.post(f"{API}call/analyse", json={"data": data})
    if started.status_code != 200:
        return started.text
    return http.get(f"{API}call/analyse/{started.json()['event_id']}").text


def secret_files(folder: Path) -> list[str]:
    return ["/etc/passwd", str(ROOT / "app.py"), str(folder / "log.txt"), str(ROOT / "weights" / ".." / "README.md"),
            "../../../../etc/passwd", "/proc/self/environ", "file:///etc/passwd"]  # fmt: skip


# ---- files of the server


def test_files_of_the_server_are_not_served(http, server):
    for path in secret_files(server[1]):
        for prefix in ("file=", "file/", "proxy=", "stream/"):
            for written in (path, path.replace("/", "%2F"), path.replace("/", "%252F"), f"/{path}"):
                answer = http.get(f"{API}{prefix}{written}")
                assert answer.status_code >= 400, (prefix, written, answer.text[:200])
    for path in ("static/../../../etc/passwd", "assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "svelte/..%2f..%2fetc/passwd"):
        assert "root:" not in http.get(path).text


@pytest.mark.parametrize("place", ["image", "mask"])
@pytest.mark.parametrize("meta", [
    {"meta": {"_type": "gradio.FileData"}}, {}, {"meta": {}}, {"meta": {"_type": "x"}}, {"url": "/a"},
])  # fmt: skip
def test_files_of_the_server_are_not_read_as_inputs(http, server, tmp_path, place, meta):
    scan = save_grey(tmp_path / "not an upload.png", picture(1))
    for path in (*secret_files(server[1]), str(scan)):
        given = {"path": path, **meta}
        told = call(http, *((given,) if place == "image" else (None, "multitask_cnn", given, *ENDPOINT["analyse"][2:])))
        assert "event: error" in told and "probabilities" not in told and "root:" not in told, (path, told)
    assert texts.NOT_UPLOADED in told  # as is the upload to a server that was started again since
    log = (server[1] / "log.txt").read_text()
    assert scan.name not in log and "Traceback" not in log and "a request failed" not in log


@pytest.mark.parametrize("meta", [{"meta": {"_type": "gradio.FileData"}}, {}, {"meta": {}}])
def test_no_listener_reads_a_file_of_the_server(http, tmp_path, meta):
    """Whatever the page or a program may run, with a path instead of each of its files."""
    scan = {"path": str(save_grey(tmp_path / "not an upload.png", picture(1))), "orig_name": "a.png", **meta}
    config = http.get("config").json()
    parts, tried = {part["id"]: part for part in config["components"]}, 0
    for listener in config["dependencies"]:
        kinds = [parts[number]["type"] for number in listener["inputs"]]
        if not {"image", "imageinput", "file", "uploadbutton"} & set(kinds):
            continue
        data = [
            scan if kind in ("image", "imageinput", "uploadbutton") else [scan] if kind == "file" else
            parts[number]["props"].get("value")
            for kind, number in zip(kinds, listener["inputs"], strict=True)
        ]  # fmt: skip
        told, tried = run_listener(http, listener["id"], data), tried + 1
        assert '"success": false' in told or '"success":false' in told, (listener["targets"], told[:500])
        assert "cannot be read" not in told and "probabilit" not in told, (listener["targets"], told[:500])
    assert tried >= 8


def run_listener(http: httpx.Client, number: int, data: list[Any]) -> str:
    """What the server tells of a run of one of its listeners."""
    message = {"data": data, "fn_index": number, "session_hash": f"of {number}"}
    joined = http.post(f"{API}queue/join", json=message)
    if joined.status_code != 200:
        return f'"success": false {joined.text}'
    with http.stream("GET", f"{API}queue/data", params={"session_hash": message["session_hash"]}) as stream:
        return "\n".join(takewhile(lambda line: "close_stream" not in line, stream.iter_lines()))


def test_another_session_is_found_by_no_guess(http, server, tmp_path):
    with save_grey(tmp_path / "private.png", picture(2)).open("rb") as file:
        (path,) = http.post(f"{API}upload", files={"files": ("private.png", file)}).json()
    folder = Path(path).parent.parent
    for guess in (folder, folder / "*" / "private.png", folder / ("0" * 64) / "private.png", server[1]):
        assert http.get(f"{API}file={guess}").status_code >= 400


# ---- addresses on the web


_LIKE_A_FORM = "application/x-www-form-urlencoded+json"  # which FastAPI takes for JSON


def test_no_address_is_fetched(http, visited):
    address, paths = visited
    for given in (
        address,
        address.upper().replace("SCAN.PNG", "scan.png"),
        f" {address}",
        "https://example.org/scan.png",
    ):
        assert http.post(f"{API}call/analyse", json={"data": [file_data(given)]}).json() == {"detail": guard.NO_URLS}
        assert http.post(f"{API}call/analyse", json={"data": [given]}).json() == {"detail": guard.NO_URLS}
        joined = {"data": [file_data(given)], "fn_index": 0, "session_hash": "s"}
        assert http.post(f"{API}queue/join", json=joined).status_code == 400
        for kind in ("application/JSON", "text/plain", "application/vnd.api+json", _LIKE_A_FORM):
            answer = http.post(f"{API}queue/join", content=json.dumps(joined), headers={"Content-Type": kind})
            assert answer.json() == {"detail": guard.NO_URLS}
        for prefix in ("file=", "file/", "proxy="):
            assert http.get(f"{API}{prefix}{given}").status_code == 404
    assert "event: error" in call(http, file_data("nothing.png", url=address))
    assert paths == []


# ---- requests


def refused(http: httpx.Client, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status and sentence of the answer to a request of which nothing but the headers is sent."""
    connection = HTTPConnection(http.base_url.host, http.base_url.port, timeout=60)
    connection.request("POST", f"/{path}", headers=headers)
    answer = connection.getresponse()
    told = answer.status, json.loads(answer.read())["detail"]
    connection.close()
    return told


def test_what_is_too_large_or_of_no_length_is_refused_unread(http):
    def endless() -> Iterator[bytes]:
        yield b"{"

    assert http.post(f"{API}call/analyse", content=endless()).status_code == 411
    two = {"Content-Length": "2", "Transfer-Encoding": "chunked"}  # the length is not what is read then
    assert refused(http, f"{API}call/analyse", two)[0] == 411
    for path, most in ((f"{API}call/analyse", "70 MB"), (f"{API}upload", "1000 MB"), ("login", "70 MB")):
        status, sentence = refused(http, path, {"Content-Length": str(10**12)})
        assert status == 413 and most in sentence


def test_messages_of_very_many_values_are_refused_before_they_are_parsed(http):
    for body in (b'{"data": [' + b"1," * 200_000 + b"1]}", b"[" * 200_000, b"[" + b"{}," * 60_000 + b"{}]"):
        answer = http.post(f"{API}call/analyse", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413 and answer.json() == {"detail": "The request has over 100,000 values."}


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"\xff\xfe", b"null", b'{"data": "text"}', b'{"data": [1, 2]}'])
def test_requests_that_make_no_sense_get_an_error_without_a_traceback(http, server, body):
    for path in ("call/analyse", "queue/join", "run/analyse", "call/nothing"):
        answer = http.post(f"{API}{path}", content=body, headers={"Content-Type": "application/json"})
        assert "Traceback" not in answer.text and str(ROOT) not in answer.text
        if answer.status_code == 200 and "call" in path:
            told = http.get(f"{API}{path}/{answer.json()['event_id']}").text
            assert "event: error" in told and "Traceback" not in told and str(ROOT) not in told


def test_values_that_the_page_cannot_send_get_a_sentence_or_an_error(http, tmp_path):
    with save_grey(tmp_path / "scan.png", picture(1)).open("rb") as file:
        (path,) = http.post(f"{API}upload", files={"files": ("scan.png", file)}).json()
    plain = ENDPOINT["analyse"]
    wrongs = {
        0: ["../two_stage", "nothing", {"a": 1}],
        2: ["x", 1e308, -1],
        3: ["class"],
        4: ["__import__('os')"],
        5: ["NaN"],
        6: [-5],
        7: ["1,2,3", "0,0,99999999,1"],
    }
    for place, wrong in [(place, wrong) for place, several in wrongs.items() for wrong in several]:
        told = call(http, file_data(path), *plain[:place], wrong, *plain[place + 1 :])
        assert "event: error" in told and "Traceback" not in told and str(ROOT) not in told, (place, wrong, told)
    assert "event: complete" in call(http, file_data(path))


def test_private_listeners_run_only_for_what_they_were_made_for(http):
    """A client sends what it likes to the listeners of the page, whose components it controls."""
    listeners = http.get("config").json()["dependencies"]
    named = {listener["api_name"] for listener in listeners if listener["api_name"]}
    waiting = 0
    for listener in listeners:
        if listener["backend_fn"]:
            data = [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}} for _ in listener["inputs"]]
            body = {"data": data, "fn_index": listener["id"], "session_hash": "tampering"}
            answer = http.post(f"{API}queue/join", json=body)
            assert answer.status_code < 500
            waiting += answer.status_code == 200
    with http.stream("GET", f"{API}queue/data", params={"session_hash": "tampering"}) as told:
        for line in told.iter_lines():
            assert "root:" not in line and "Traceback" not in line
            waiting -= "process_completed" in line
            if waiting <= 0:
                break
    assert waiting == 0
    assert {"analyse", "compare", "batch"} <= named
    assert http.get("").status_code == 200


# ---- what is repeated


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>.png", "a\r\nX-Evil: 1.png", '"; x="y.png', "=cmd|' '!A0.png"]
)
def test_names_of_files_are_text_everywhere(server, http, tmp_path, name):
    content = save_grey(tmp_path / "scan.png", picture(1)).read_bytes()
    uploaded = http.post(f"{API}upload", files={"files": (name, content)})
    assert uploaded.status_code == 200 and "x-evil" not in uploaded.headers
    (path,) = uploaded.json()
    assert not re.search(r'[\r\n<>"]', path)
    sent = http.get(f"{API}file={quote(path)}")
    assert sent.status_code == 200 and sent.content == content
    assert "x-evil" not in sent.headers and sent.headers["content-type"] in ("image/png", "application/octet-stream")


def test_a_page_or_a_drawing_that_is_uploaded_is_not_shown_as_one(http):
    (path,) = http.post(f"{API}upload", files={"files": ("vibe-deep_link.png", b"1")}).json()
    assert http.get(f"{API}file={path}").status_code == 200  # a name that looks like an address of Gradio's
    for name, content in (("a.html", b"<script>alert(1)</script>"), ("a.svg", b"<svg onload='alert(1)'/>")):
        (path,) = http.post(f"{API}upload", files={"files": (name, content)}).json()
        sent = http.get(f"{API}file={path}")
        assert sent.headers["content-disposition"].startswith("attachment")
        assert sent.headers["x-content-type-options"] == "nosniff"


# ---- headers and limits


def test_headers_of_every_answer(http, tmp_path):
    (path,) = http.post(f"{API}upload", files={"files": ("a.png", b"1")}).json()
    for address in ("", "config", f"{API}info", f"{API}file={path}", "nothing", f"{API}file=http://a"):
        headers = http.get(address).headers
        assert {name: headers[name] for name in guard.HEADERS} == guard.HEADERS
    assert http.get(f"{API}file={path}").headers["cache-control"] == "private, no-store"
    policy = dict(part.split(" ", 1) for part in guard.HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'self'" and policy["object-src"] == "'none'"
    assert "http" not in policy["connect-src"] + policy["script-src"] + policy["img-src"]


def test_a_program_is_answered_as_before(server, tmp_path):
    scan = save_grey(tmp_path / "scan.png", picture(1))
    figure, _, record = Client(server[0], verbose=False).predict(
        handle_file(scan), "multitask_cnn", api_name="/analyse"
    )
    assert Path(figure).is_file() and record["approach"] == "multitask_cnn"


def test_too_many_requests_of_one_client_are_refused_and_the_page_stands(http):
    """Last in this file: the limit is reached."""
    answers = [http.post(f"{API}cancel", json={}) for _ in range(301)]
    assert answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) == 60
    assert answers[-1].json()["detail"].startswith("Too many requests: at most 300 per 1 minute")
    assert http.get("").status_code == 200


def test_a_limit_that_is_none_gets_a_sentence(monkeypatch):
    monkeypatch.setenv("BUSI_RATE_LIMIT", "many")
    with pytest.raises(InputError, match=re.escape("$BUSI_RATE_LIMIT is 'many', expected NUMBER/UNIT")):
        guard.read_rate_limit()
    monkeypatch.delenv("BUSI_RATE_LIMIT")
    assert guard.read_rate_limit() is None


def run(application: Callable, scope: dict[str, Any]) -> list[dict]:
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    with ThreadPoolExecutor(1) as other:  # tests of the browser leave an event loop in this one
        other.submit(lambda: asyncio.run(application(scope, receive, send))).result()
    return sent


@pytest.mark.parametrize(("headers", "status"), [([], 503), ([(b"sec-fetch-mode", b"cors")], 429)])
def test_a_full_queue_says_when_to_try_again(headers, status):
    async def full(scope, receive, send):
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b'{"detail": "Queue is full."}'})

    scope = {"type": "http", "method": "POST", "path": "/gradio_api/queue/join", "client": ("1.2.3.4", 5),
             "headers": [(b"content-length", b"2"), *headers]}  # fmt: skip
    start, body = run(guard.Guard(full), scope)
    assert start["status"] == status and (b"retry-after", b"60") in start["headers"]
    assert json.loads(body["body"]) == {"detail": guard.BUSY}


def test_an_upload_that_cannot_be_stored_gets_a_sentence_and_names_no_file_in_the_log(caplog):
    error = OSError(errno.ENOSPC, "No space left on device", "/tmp/Jane_Doe_1961.png")

    async def full(scope, receive, send):
        raise error  # the log holds this line

    scope = {"type": "http", "method": "POST", "path": "/gradio_api/upload", "client": ("1.2.3.4", 5),
             "headers": [(b"content-length", b"2"), (b"content-type", b"multipart/form-data; boundary=1")]}  # fmt: skip
    start, body = run(guard.Guard(full), scope)
    assert start["status"] == 500
    assert json.loads(body["body"]) == {"detail": texts.no_storage("No space left on device")}
    assert "No space left on device" in caplog.text and "Jane_Doe" not in caplog.text
