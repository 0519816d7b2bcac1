"""What the tests of the page share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from gradio.context import LocalContext


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Gradio keeps the files of people."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    return tmp_path / "files"


@pytest.fixture
def page(folder: Path) -> Iterator[Callable[[str | None], None]]:
    """Answer from now on a page of this name."""
    before = LocalContext.request.get(None)
    yield lambda name: LocalContext.request.set(SimpleNamespace(session_hash=name) if name else None)
    LocalContext.request.set(before)
