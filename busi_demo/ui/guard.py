"""What stands between the network and the page: headers that tell browsers what the page may do, and requests that are
refused before anything of them is read into memory, fetched or run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from busi_demo.types import InputError
from busi_demo.ui import held
from busi_demo.ui.faults import sentence_of
from busi_demo.ui.limits import LARGEST_MESSAGE_MB, LARGEST_REQUEST_MB, LOGINS, QUEUE_SIZE

RATE_VARIABLE = "BUSI_RATE_LIMIT"
"""Environment variable with the most requests of one client, such as 120/minute; by default there is no such limit."""

HEADERS = {
    "Content-Security-Policy": "; ".join((
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",  # Gradio's page holds its configuration inline
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self' https://huggingface.co https://*.hf.space",  # a Space is shown inside that page
    )),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}  # fmt: skip
"""Headers of every answer."""

_FILE, _UPLOAD, _MCP = "/gradio_api/file=", "/gradio_api/upload", "/gradio_api/mcp"
_ASK = "/gradio_api/queue/join"
_OPEN = "/gradio_api/heartbeat/"  # a page keeps such a connection as long as it is open
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_UNUSED = (
    "/gradio_api/file/",  # an old form of `_FILE`, which fetches from the web
    "/proxy=",
    "/process_recording",
    "/vibe-",
    "/undo-vibe-edit",
    "/deep_link",
    "/dev/reload",
    "/custom_component/",
)
"""Parts of addresses of what Gradio offers and this page does not use."""

_PROGRAMS = 2 * QUEUE_SIZE  # sessions without a page of which something is kept
_MOST_VALUES = 100_000  # in one message; each file of the largest batch takes ten

BUSY = f"The demo is busy: {QUEUE_SIZE} requests wait already. Try again in about a minute."
NO_URLS = "Files are not fetched from addresses on the web: upload the file, then name what the upload answered."


def read_rate_limit() -> RateLimitItem | None:
    """The limit that `RATE_VARIABLE` names; `None` where it is not set.

    Raises:
        InputError: it is not NUMBER/UNIT.
    """
    text = os.environ.get(RATE_VARIABLE)
    try:
        return parse(text) if text else None
    except ValueError as error:
        raise InputError(f"${RATE_VARIABLE} is {text!r}, expected NUMBER/UNIT, such as 120/minute.") from error


def guarded(rate: RateLimitItem | None = None) -> dict[str, Any]:
    """The `app_kwargs` of `launch` that put a `Guard` before the page."""
    return {"middleware": [Middleware(Guard, rate=rate)]}


class Guard:
    """ASGI middleware.

    Args:
        app: what answers the requests that are let through.
        rate: most requests of one client that run, upload or log in; by default any number.
    """

    def __init__(self, app: ASGIApp, rate: RateLimitItem | None = None) -> None:
        self._app, self._rate, self._logins = app, rate, parse(LOGINS)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].rstrip("/").endswith(_UPLOAD):
            send = _noted(send)
        send = _polite(scope, receive, _with_headers(scope["path"], send))
        refusal = self._refusal(scope)
        is_form = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower() in _FORMS
        if not refusal and scope["method"] == "POST" and not is_form:
            body = await _whole(receive)
            receive = _replay(body, receive)
            refusal, message = _checked(body, is_mcp=_MCP in scope["path"])
            if "app" in scope:
                _forget_programs(scope["app"])
            if scope["path"].endswith(_ASK) and isinstance(message, dict) and not refusal:
                held.reopen(str(message.get("session_hash")))
        session = scope["path"].partition(_OPEN)[2]
        if refusal:
            await refusal(scope, receive, send)
        elif session:
            await self._while_open(session, scope, receive, send)
        else:
            await self._answered(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer of the app; where it fails, such as an upload on a full disk, a sentence."""
        begun = False

        async def send_noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except ClientDisconnect:
            pass
        except Exception as error:  # the server would print its text, which may name a file
            sentence = sentence_of(error)
            if not begun:
                await _answer(500, sentence)(scope, receive, send)

    async def _while_open(self, session: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing of a page is kept once it is closed; Gradio alone would keep what was analysed for an hour."""
        with ExitStack() as page:

            async def send_opened(message: Message) -> None:
                if message["type"] == "http.response.start" and message["status"] == 200:
                    page.callback(_forget, scope["app"].state_holder, session)
                    page.enter_context(held.open_page(session))
                await send(message)

            await self._answered(scope, receive, send_opened)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        """The answer to a request that is refused for its address, size or number."""
        path, headers = scope["path"], Headers(scope=scope)
        if any(part in path.split(_FILE)[0] for part in _UNUSED) or (
            _FILE in path and _is_url(path.split(_FILE, 1)[1])
        ):
            return _answer(404, "There is nothing at this address.")
        if scope["method"] != "POST":
            return None
        length, most = headers.get("content-length", ""), LARGEST_MESSAGE_MB
        if path.rstrip("/").endswith(_UPLOAD):
            most = LARGEST_REQUEST_MB
        if not length.isdecimal() or "transfer-encoding" in headers:
            return _answer(411, "A request needs the header Content-Length.")
        if int(length) > most * 10**6:
            return _answer(413, f"The request has {int(length) / 1e6:.0f} MB, at most {most} MB are taken.")
        client = scope["client"][0] if scope.get("client") else ""
        name, rate = ("login", self._logins) if path.rstrip("/").endswith("/login") else ("", self._rate)
        if rate and not self._limiter.hit(rate, name, client):
            sentence = f"Too many requests: at most {rate} are taken from one client. Try again later."
            return _answer(429, sentence, {"Retry-After": str(rate.get_expiry())})
        return None


def _forget(sessions: Any, session: str) -> None:
    """Remove what Gradio keeps of a page that was closed."""
    if held.is_closed(session):
        _drop(sessions, [session])


def _forget_programs(app: Any) -> None:
    """Remove what Gradio keeps of programs, but of the latest. It takes each of their requests for a page that was
    opened, and keeps a third of a megabyte of it; the pages that people have open would have to give way to them."""
    states, events = app.state_holder, app.get_blocks()._queue.pending_event_ids_session
    _drop(states, _but_the_latest(states.session_data))
    for session in _but_the_latest(session for session, waiting in events.items() if not waiting):
        del events[session]


def _but_the_latest(sessions: Iterable[str]) -> list[str]:
    """Those without an open page, but the last of them."""
    return [session for session in list(sessions) if not held.is_open(session)][:-_PROGRAMS]


def _drop(sessions: Any, names: list[str]) -> None:
    with sessions.lock:
        for name in names:
            sessions.session_data.pop(name, None)
            sessions.time_last_used.pop(name, None)


def _answer(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status, headers)


def _with_headers(path: str, send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            if _FILE in path:
                headers["Cache-Control"] = "private, no-store"  # pictures of people do not stay in the browser's cache
        await send(message)

    return send_with_headers


def _polite(scope: Scope, receive: Receive, send: Send) -> Send:
    """Tell those who meet a full queue when to try again. For status 503 Gradio's page has a sentence of its own that
    does not, so that browsers are sent 429, whose sentence it shows."""
    replaced = False

    async def send_polite(message: Message) -> None:
        nonlocal replaced
        if message["type"] == "http.response.start" and message["status"] == 503 and scope["method"] == "POST":
            replaced = True
            status = 429 if "sec-fetch-mode" in Headers(scope=scope) else 503
            await _answer(status, BUSY, {"Retry-After": "60"})(scope, receive, send)
        elif not replaced:
            await send(message)

    return send_polite


def _noted(send: Send) -> Send:
    """Tell `held` which files were uploaded, before the client knows."""
    body = bytearray()

    async def send_noted(message: Message) -> None:
        if message["type"] == "http.response.body":
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                with suppress(ValueError):  # the answer is an error
                    paths = json.loads(body)
                    held.arrive(paths if isinstance(paths, list) else ())
        await send(message)

    return send_noted


async def _whole(receive: Receive) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read before, then what comes after it."""
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay


def _checked(body: bytes, is_mcp: bool) -> tuple[JSONResponse | None, Any]:
    """The answer to a message that is no JSON, holds very many values, or names a file on the web, which Gradio would
    fetch; and the message, `None` for an empty one."""
    if not body:
        return None, None
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:  # parsing them would hold all others up
        return _answer(413, f"The request has over {_MOST_VALUES:,} values."), None
    try:
        content = message = json.loads(body)
        if is_mcp:  # the rest of such a message may tell of the client's own site
            content = [
                one.get("params", {}).get("arguments") for one in (message if isinstance(message, list) else [message])
            ]
        named = any(map(_is_url, _strings(content)))
    except (ValueError, AttributeError, RecursionError):
        return _answer(400, "The request is not a message in JSON that this page understands."), None
    return _answer(400, NO_URLS) if named else None, message


def _strings(content: Any) -> Iterator[str]:
    """All texts of a message but those under "url", which tells where a browser finds a file and is never fetched."""
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += [inner for name, inner in value.items() if name != "url"]
        elif isinstance(value, list):
            waiting += value


def _is_url(text: str) -> bool:
    return text.strip().lower().startswith(("http:", "https:"))
