"""What a person on the page and a program at the API do with one file, over HTTP as a browser does it."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from gradio_client.utils import apply_diff

ON_PAGE = "page-"
"""Start of the names of files that are opened on a page."""

PATIENCE = 300.0
"""Seconds after which an answer counts as lost."""

_API = "gradio_api"


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        kind: "answer" (a refused picture is one, too), "error" with a message, "full" (the queue; with a sentence and a
            time to wait), or "lost".
        content: of the answer, without seconds and places of files; or the message.
    """

    kind: str
    content: str


class Stopped(Exception):
    """There is no answer. Its arguments are those of `Reply`."""


class Visitor:
    """One client.

    Args:
        url: of the app.
        config: its /config, which names all components and listeners.
    """

    def __init__(self, url: str, config: dict[str, Any]) -> None:
        self.http = httpx.Client(base_url=url, timeout=httpx.Timeout(PATIENCE, connect=60))
        self.parts = {part["id"]: part.get("props", {}) for part in config["components"]}
        self.listeners = {listener["id"]: listener for listener in config["dependencies"]}
        by_name = {props.get("elem_id"): number for number, props in self.parts.items() if props.get("elem_id")}
        self.place, self.run, self.view = (
            self._listener([by_name[name], event])
            for name, event in (("open-file", "upload"), ("analyse", "click"), ("redraw", "click"))
        )
        self.named = {number: name for name, number in by_name.items()}
        self.analyse = next(one for one in self.listeners.values() if one.get("api_name") == "analyse")

    def ask_api(self, file: Path, approach: str) -> Reply:
        """Upload a file and call /analyse."""
        try:
            data = self._defaults(self.analyse)
            data[:2] = [self._upload(file), approach]
            joined = self._post("call/analyse", {"data": data})
            with self.http.stream("GET", f"{_API}/call/analyse/{joined['event_id']}") as stream:
                event = ""
                for line in stream.iter_lines():
                    if line.startswith("event: "):
                        event = line[7:]
                    elif line.startswith("data: ") and event == "complete":
                        figure, label, record = json.loads(line[6:])
                        record.pop("seconds", None)
                        return Reply("answer", json.dumps([self._hash(figure), label, record], sort_keys=True))
                    elif line.startswith("data: ") and event == "error":
                        return Reply("error", line[6:])
            return Reply("lost", "the stream ended")
        except Stopped as stopped:
            return Reply(*stopped.args)
        except httpx.HTTPError as error:
            return Reply("lost", type(error).__name__)

    def ask_page(self, file: Path, approach: str) -> Reply:
        """Open the page and a file on it, wait for the networks, and for what is shown; then close it."""
        session = uuid.uuid4().hex[:12]
        try:
            with self.http.stream("GET", f"{_API}/heartbeat/{session}"):
                return self._on_page(session, file, approach)
        except Stopped as stopped:
            return Reply(*stopped.args)
        except httpx.HTTPError as error:
            return Reply("lost", type(error).__name__)

    def _on_page(self, session: str, file: Path, approach: str) -> Reply:
        placed = self._step(self.place, session, [self._upload(file, ON_PAGE)])
        image = placed[0]
        ran = self._step(self.run, session, [image, approach])
        values = self._defaults(self.view)
        values[:2] = [False, image]
        for number, value in zip(self.run["outputs"], ran, strict=True):
            if number in self.view["inputs"][3:] and not isinstance(value, dict):
                values[self.view["inputs"].index(number)] = value
        seen = self._step(self.view, session, values)
        shown = {self.named.get(number): value for number, value in zip(self.view["outputs"], seen, strict=True)}
        return Reply("answer", json.dumps([self._told(shown[name]) for name in ("card", "figure", "findings")]))

    def cancel(self, file: Path, approach: str) -> bool:
        """Start an analysis and cancel it; returns whether the server agreed."""
        session, joined = self._joined(file, approach)
        body = {"session_hash": session, "fn_index": self.analyse["id"], "event_id": joined["event_id"]}
        return self.http.post(f"{_API}/cancel", json=body).is_success

    def disconnect(self, file: Path, approach: str) -> bool:
        """Start an analysis and go away while it waits; returns whether it had begun to wait."""
        session, _ = self._joined(file, approach)
        with self.http.stream("GET", f"{_API}/queue/data", params={"session_hash": session}) as stream:
            return bool(next(stream.iter_lines(), ""))

    def _joined(self, file: Path, approach: str) -> tuple[str, dict[str, Any]]:
        session, data = uuid.uuid4().hex[:12], self._defaults(self.analyse)
        data[:2] = [self._upload(file), approach]
        return session, self._post(
            "queue/join", {"data": data, "fn_index": self.analyse["id"], "session_hash": session}
        )

    def _step(self, listener: dict[str, Any], session: str, first: list[Any]) -> list[Any]:
        """The outputs of a listener, for inputs of which the first are given."""
        data = [*first, *self._defaults(listener)[len(first) :]]
        joined = self._post("queue/join", {"data": data, "fn_index": listener["id"], "session_hash": session})
        outputs: list[Any] = []
        for message in self._messages(session):
            if message.get("event_id") not in (None, joined["event_id"]):
                continue
            if message["msg"] == "process_generating" and message["success"]:
                new = message["output"]["data"]  # what is different from the message before
                outputs = [apply_diff(*both) for both in zip(outputs, new, strict=True)] if outputs else new
            elif message["msg"] == "process_completed":
                output = message["output"]
                if not message["success"]:
                    raise Stopped("error", str(output.get("error")))
                return outputs or output["data"]
        raise Stopped("lost", "the stream ended")

    def _messages(self, session: str) -> Iterator[dict[str, Any]]:
        with self.http.stream("GET", f"{_API}/queue/data", params={"session_hash": session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = self.http.post(f"{_API}/{path}", json=body)
        if reply.status_code == 503 and reply.headers.get("Retry-After", "").isdecimal() and "Try again" in reply.text:
            raise Stopped("full", reply.text)
        if not reply.is_success:
            raise Stopped("error", f"{reply.status_code} {reply.text[:200]}")
        return reply.json()

    def _upload(self, file: Path, prefix: str = "") -> dict[str, Any]:
        name = f"{prefix}{file.name}"
        with file.open("rb") as stream:
            reply = self.http.post(f"{_API}/upload", files={"files": (name, stream)})
        if not reply.is_success:
            raise Stopped("error", f"{reply.status_code} {reply.text[:200]}")
        return {"path": reply.json()[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def _defaults(self, listener: dict[str, Any]) -> list[Any]:
        return [self.parts[number].get("value") for number in listener["inputs"]]

    def _listener(self, target: list[Any]) -> dict[str, Any]:
        return next(one for one in self.listeners.values() if target in [list(t) for t in one["targets"]])

    def _told(self, value: Any) -> Any:
        """A component's value without what differs from time to time: the seconds on the card, places of files."""
        if isinstance(value, dict) and "value" in value:
            value = value["value"]
        if isinstance(value, dict) and "path" in value:
            return self._hash(value)
        return re.sub(r'<p class="passed">.*?</p>', "", value) if isinstance(value, str) else None

    def _hash(self, figure: dict[str, Any]) -> str:
        reply = self.http.get(f"{_API}/file={figure['path']}")
        reply.raise_for_status()
        return hashlib.sha256(reply.content).hexdigest()
