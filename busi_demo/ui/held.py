"""Which uploads, figures and reports belong to which open page. They are removed as soon as no page needs them: when a
person takes the image away, puts another in its place, or leaves."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gradio.context import LocalContext
from gradio.utils import get_upload_folder
from gradio_client.utils import strip_invalid_filename_characters

from busi_demo.project import save_whole
from busi_demo.ui.session import KEPT_SECONDS

if TYPE_CHECKING:
    from PIL import Image

_lock = threading.Lock()
_Parts = defaultdict[str, defaultdict[str, set[str]]]  # session -> part -> paths
_parts: _Parts = defaultdict(lambda: defaultdict(set))  # what each part needs
_removed: _Parts = defaultdict(lambda: defaultdict(set))  # what it gave back
_holds: Counter[str] = Counter()  # files are named by their content: two people may hold one
_arrived: dict[str, list[float]] = {}  # path -> when each upload came that no page holds yet
_open: Counter[str] = Counter()  # session -> connections that tell that its page is open
_used: dict[str, float] = {}  # session -> when it last took or gave back a file
_closed: dict[str, float] = {}  # session -> when its page was closed; a run of it may go on for a while
_shared: set[str] = set()


def share() -> None:
    """Note that the files which Gradio serves now, such as examples, are everyone's and are never removed."""
    _shared.update(map(str, Path(get_upload_folder()).rglob("*")))


def arrive(paths: Iterable[str]) -> None:
    """Note that files were uploaded, which a page or a program will name. Until then, or for `KEPT_SECONDS`, nobody
    else's leaving removes them."""
    now = time.monotonic()
    with _lock:
        for path in paths:
            _arrived.setdefault(path, []).append(now)


def hold(part: str, *paths: str | Path | None, of: str | None = None) -> None:
    """Note that a part of the page that is being answered needs files. If that page was closed in the meantime, nobody
    needs them. Outside of a listener nothing happens.

    Args:
        part: what `release` names.
        paths: files; those that are everyone's, or lie outside of Gradio's folder, are never removed.
        of: the image that they were made of; once the part has given it back, nobody needs them either.
    """
    with _asking() as session:
        if session:
            needed = {str(path) for path in paths if path}
            added = needed - _parts[session][part]
            _add(session, part, added)
            for path in needed:
                _take(path)
            if of in _removed[session][part]:
                _give_back(session, part, added)


def hold_only(part: str, *paths: str | Path | None) -> None:
    """`hold`, after which the part needs none of the files that it held before."""
    hold(part, *paths)
    release(part, keep=paths)


def release(part: str, keep: Iterable[str | Path | None] = ()) -> None:
    """Note that a part of the page needs its files no more, but those to `keep`. What nobody needs is removed."""
    with _asking() as session:
        if session:
            _give_back(session, part, _parts[session][part] - {str(path) for path in keep})


def give_back(part: str, *paths: str | None) -> None:
    """`release` of these files alone, also of uploads that the part has still to hold."""
    with _asking() as session:
        if session:
            given = {path for path in paths if path}
            for path in given - _parts[session][part]:
                _add(session, part, {path})
                _take(path)
            _give_back(session, part, given)


@contextmanager
def open_page(session: str) -> Iterator[None]:
    """A page is open as long as this context, or another of its session. Afterwards it needs no files, unless it asks
    for something again."""
    with _lock:
        _open[session] += 1
        _closed.pop(session, None)
    try:
        yield
    finally:
        with _lock:
            _open[session] -= 1
            if not _open[session]:
                del _open[session]
                _closed[session] = time.monotonic()
                _release_all(session)


def expire() -> None:
    """Forget what nobody came back for in `KEPT_SECONDS`: uploads that no page and no program named, pages that were
    closed, and what sessions hold of which no connection tells that they are open."""
    before = time.monotonic() - KEPT_SECONDS
    with _lock:
        for path in [path for path, times in _arrived.items() if times[-1] < before]:
            del _arrived[path]
        for session in [session for session, when in _closed.items() if when < before]:
            del _closed[session]
        for session in [session for session, when in _used.items() if when < before and session not in _open]:
            _release_all(session)


def remove_older(path: Path, before: float) -> None:
    """Remove a file that was written or used again before a time, in seconds since the epoch, unless it is everyone's.

    Raises:
        OSError: it is gone already, or cannot be removed.
    """
    with _lock:
        if str(path) not in _shared and path.lstat().st_ctime < before:
            path.unlink()


def use_again(paths: Iterable[str | Path]) -> None:
    """Let files that are in use count as new, so that they are not removed for their age."""
    with _lock:
        for path in paths:
            with suppress(OSError):
                os.utime(path)


def reopen(session: str) -> None:
    """Note that a page asks for something, though its connection may have ended: networks change, computers sleep."""
    with _lock:
        _closed.pop(session, None)


def is_open(session: str) -> bool:
    """Whether a connection tells that a page of this session is open."""
    with _lock:
        return session in _open


def is_closed(session: str) -> bool:
    """Whether the page was open and is not any more."""
    with _lock:
        return session in _closed


def was_removed(part: str, *paths: str | None) -> bool:
    """Whether the page that is being answered was closed, or a part of it gave one of these files back, so that an
    answer on it is not wanted any more."""
    if not (session := _session()):
        return False
    with _lock:
        given_back = _removed[session].get(part, ()) if session in _removed else ()  # asking leaves no entry
        return session in _closed or any(path in given_back for path in paths)


def save_figure(figure: Image.Image, part: str | None, of: str | None = None) -> str:
    """`save` a figure, of mode "RGB", as a PNG file; returns its path.
    `analysis.png.png_bytes` encodes it, in a sixth of the time that Gradio's own encoding takes."""
    from busi_demo.analysis.png import png_bytes  # loads what the first page need not wait for

    return save(png_bytes(figure), "figure.png", part, of)


def save(content: bytes, name: str, part: str | None, of: str | None = None) -> str:
    """Save a file of this name that `part` holds, `None`: nobody; returns its path. `of` as for `hold`: where
    `was_removed` tells afterwards that this image was given back, the file is gone."""
    path = _store(content, name)
    if part is None:
        arrive([path])
    else:
        hold(part, path, of=of)
    return path


def share_png(image: Image.Image, name: str) -> str:
    """Save a picture that everyone may see, as a PNG file that is never removed; returns its path."""
    path = _store(_png(image), name)
    with _lock:
        _shared.add(path)
    return path


def save_png(image: Image.Image, name: str, part: str | None, of: str | None = None) -> str:
    """`save` a picture as a PNG file."""
    return save(_png(image), name, part, of)


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _store(content: bytes, name: str) -> str:
    """Write a file where Gradio serves it from, in a folder named by its content. Unlike Gradio's own way it is there
    whole or not at all: somebody else may be reading the same file."""
    folder = Path(get_upload_folder()) / hashlib.sha256(content).hexdigest()
    path = folder / strip_invalid_filename_characters(name)
    use_again([path])
    if not path.is_file():
        try:
            save_whole(path, content)
        except FileNotFoundError:  # its empty folder was removed between the steps of saving
            save_whole(path, content)
    return str(path)


def _add(session: str, part: str, paths: set[str]) -> None:
    _parts[session][part] |= paths
    _removed[session][part] -= paths
    _holds.update(paths)


def _give_back(session: str, part: str, paths: set[str]) -> None:
    _parts[session][part] -= paths
    _removed[session][part] |= paths
    _let_go(paths)


def _release_all(session: str) -> None:
    for held in _parts.pop(session, {}).values():
        _let_go(held)
    _removed.pop(session, None)
    _used.pop(session, None)


def _take(path: str) -> None:
    """Note that one of those who uploaded a file holds it from now on."""
    if times := _arrived.get(path):
        times.pop()
        if not times:
            del _arrived[path]


@contextmanager
def _asking() -> Iterator[str | None]:
    """The session of the page that is being answered, while nobody else changes what it holds; `None` outside of a
    listener. A page that was closed in the meantime holds nothing afterwards."""
    if not (session := _session()):
        yield None
        return
    with _lock:
        _used[session] = time.monotonic()
        yield session
        if session in _closed:
            _release_all(session)


def _session() -> str | None:
    request = LocalContext.request.get(None)
    return getattr(request, "session_hash", None)


def _is_removable(path: str) -> bool:
    return path not in _shared and Path(path).is_relative_to(get_upload_folder())


def _let_go(paths: Iterable[str]) -> None:
    for path in paths:
        _holds[path] -= 1
        if _holds[path] <= 0:
            del _holds[path]
            if path in _arrived or not _is_removable(path):
                continue  # somebody else uploaded the same, or it is everyone's
            with suppress(OSError):  # it may be gone already, or its folder hold others
                Path(path).unlink()
                Path(path).parent.rmdir()
