"""A Hub on this machine, and `publish` killed at random moments while it writes there."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from reliability.record import ROOT

_SPACE, _WEIGHTS, _PIN = "anna/demo", "anna/weights", "weights/hub.json"
_OLD = {"README.md": "old", "multitask_old/config.json": "old"}
_PATIENCE = 300.0  # seconds for a run that is not killed


class _Hub(BaseHTTPRequestHandler):
    """As much of the Hub's protocol as `publish` uses: a commit counts once it has arrived completely."""

    protocol_version = "HTTP/1.1"
    repositories: ClassVar[dict[str, dict[str, str]]] = {}  # name -> path -> hash of the content
    pins: ClassVar[list[str]] = []  # content of the Space's pin, commit by commit
    commits: ClassVar[set[str]] = set()
    lock = threading.Lock()

    def do_GET(self) -> None:
        """Files of a repository; anything else is not there."""
        name = "/".join(self.path.split("?")[0].split("/")[3:5])
        with self.lock:
            files = self.repositories.get(name)
        if files is None:
            self._answer({"error": "not found"}, 404)
        elif "/tree/" in self.path:
            self._answer([{"type": "file", "path": path, "size": 1, "oid": "0" * 40} for path in files])
        else:
            self._answer({"id": name, "siblings": [{"rfilename": path} for path in files]})

    def do_POST(self) -> None:
        """Make a repository, say that all files come with the commit, or commit."""
        try:
            body = self._body()
        except (ConnectionError, ValueError):  # killed in the midst of it
            self.close_connection = True
            return
        if self.path == "/api/repos/create":
            value = json.loads(body)
            name = f"{value.get('organization') or 'anna'}/{value['name']}"
            with self.lock:
                self.repositories.setdefault(name, {})
            self._answer({"url": f"http://{self.headers['Host']}/{name}", "id": name})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            self._answer({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                                    for f in files]})  # fmt: skip
        elif "/commit/" in self.path:
            _, _, _, owner, name, *_ = self.path.split("/")
            oid = self._commit(f"{owner}/{name}", body)
            self._answer({"commitUrl": f"http://{self.headers['Host']}/{owner}/{name}/commit/{oid}", "commitOid": oid})
        else:
            self._answer({"errors": [], "warnings": []})

    def _commit(self, name: str, body: bytes) -> str:
        operations = [json.loads(line) for line in body.splitlines() if line]
        oid = sha256(body).hexdigest()[:40]
        with self.lock:
            files = dict(self.repositories[name])
            for operation in operations:
                value = operation["value"]
                if operation["key"] == "file":
                    content = base64.b64decode(value["content"])
                    if value["path"] == _PIN:  # names the commit of the weights, another one each time
                        self.pins.append(json.loads(content)["revision"])
                        content = b"pin"
                    files[value["path"]] = sha256(content).hexdigest()
                elif operation["key"] == "deletedFile":
                    files.pop(value["path"], None)
            self.repositories[name] = files
            self.commits.add(oid)
        return oid

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self._exactly(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self._exactly(int(self.headers.get("Content-Length", 0)))

    def _exactly(self, size: int) -> bytes:
        content = self.rfile.read(size)
        if len(content) < size:
            raise ConnectionError("cut short")
        return content

    def _answer(self, value: Any, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        with suppress(ConnectionError):  # killed before the answer
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *words: Any) -> None:
        """Nothing is logged."""


@contextmanager
def _served() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def kill_publishing(times: int, folder: Path, moments: random.Random) -> dict[str, Any]:
    """Publish app and weights again and again, and kill that at random moments: each repository holds all files of one
    publishing or is as before, the Space names a commit of the weights that exists, and the next run ends as usual."""
    result: dict[str, Any] = {"kills": 0, "finished": 0, "left_over": 0}
    outcomes = Counter[str]()
    with _served() as address:
        start = time.monotonic()
        _publish(address, folder, _PATIENCE)
        result["seconds_of_a_run"] = whole = time.monotonic() - start
        expected = {name: files | _kept(name) for name, files in _Hub.repositories.items()}
        while result["kills"] < times:
            with _Hub.lock:
                _Hub.repositories.update({name: dict(_OLD) for name in expected})
            status, words = _publish(address, folder, moments.uniform(0, whole))
            if status is None:
                result["kills"] += 1
                for name, files in expected.items():
                    whole_one = _Hub.repositories[name] in (_OLD, files)
                    outcomes["whole" if whole_one else f"{name}: a part of a publishing"] += 1
                status, words = _publish(address, folder, _PATIENCE)
            outcomes[
                "the same"
                if status == 0 and _Hub.repositories == expected
                else f"status {status}: {words.strip()[-200:]}"
            ] += 1
            result["finished"] += 1
            if not set(_Hub.pins) <= _Hub.commits:
                outcomes["a Space that names weights which are not there"] += 1
    return result | {"outcomes": dict(outcomes)}


def _kept(name: str) -> dict[str, str]:
    """What a publishing leaves of `_OLD`: in a Space, folders that are not of this project."""
    return {path: content for path, content in _OLD.items() if name == _SPACE and "/" in path}


def _publish(address: str, folder: Path, seconds: float) -> tuple[int | None, str]:
    """Exit status and standard error; `None` if it was killed after so many seconds."""
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_TOKEN": "hf_none", "HF_HOME": str(folder / "home"),
                   "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # fmt: skip
    words = [sys.executable, "-m", "busi_demo", "publish", "--space", _SPACE, "--weights", _WEIGHTS]
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None, ""
    return process.returncode, errors
