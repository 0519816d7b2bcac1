"""Which uploads, figures and reports belong to which open page. They are removed as soon as no page needs them: when a
person takes the image away, puts another in its place, or leaves."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gradio.context import LocalContext
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

if TYPE_CHECKING:
    from PIL import Image

_lock = threading.Lock()
_parts: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))  # session -> part -> paths
_holds: Counter[str] = Counter()  # files are named by their content: two people may hold one
_removed: defaultdict[str, set[str]] = defaultdict(set)  # session -> paths that it gave back
_shared: set[str] = set()


def share() -> None:
    """Note that the files which Gradio serves now, such as examples, are everyone's and are never removed."""
    _shared.update(map(str, Path(get_upload_folder()).rglob("*")))


def hold(part: str, *paths: str | Path | None) -> None:
    """Note that a part of the page that is being answered needs files; outside of a listener nothing happens.

    Args:
        part: what `release` names.
        paths: files in Gradio's folder; others are not noted.
    """
    if session := _session():
        with _lock:
            for path in {str(path) for path in paths if path and _is_removable(str(path))}:
                _removed[session].discard(path)
                if path not in _parts[session][part]:
                    _parts[session][part].add(path)
                    _holds[path] += 1


def hold_only(part: str, *paths: str | Path | None) -> None:
    """`hold`, after which the part needs none of the files that it held before."""
    hold(part, *paths)
    release(part, keep=paths)


def release(part: str, keep: Iterable[str | Path | None] = ()) -> None:
    """Note that a part of the page needs its files no more, but those to `keep`. What nobody needs is removed."""
    if session := _session():
        with _lock:
            held = _parts[session][part]
            given_back = held - {str(path) for path in keep}
            held -= given_back
            _removed[session] |= given_back
            _let_go(given_back)


def release_page() -> None:
    """Note that the page was closed."""
    if session := _session():
        with _lock:
            for held in _parts.pop(session, {}).values():
                _let_go(held)
            _removed.pop(session, None)


def was_removed(path: str) -> bool:
    """Whether the page that is being answered gave a file back, so that an answer on it is not wanted any more."""
    if not (session := _session()):
        return False
    with _lock:
        return path in _removed[session]


def save_figure(figure: Image.Image, part: str) -> str:
    """Save a figure, of mode "RGB", as a PNG file that `part` holds; returns its path. `analysis.figure.png_bytes`
    encodes it, in a third of the time that Gradio's own encoding takes."""
    from busi_demo.analysis.figure import png_bytes  # loads what the first page need not wait for

    return save(png_bytes(figure), "figure.png", part)


def save(content: bytes, name: str, part: str) -> str:
    """Save a file of this name that `part` holds; returns its path."""
    path = save_bytes_to_cache(content, name, get_upload_folder())
    hold(part, path)
    return path


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
            with suppress(OSError):  # it may be gone already, or its folder hold others
                Path(path).unlink()
                Path(path).parent.rmdir()
