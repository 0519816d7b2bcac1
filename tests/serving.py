"""Start the real app in a separate process; helpers for the browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from helpers import ROOT
from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def paste(page: Page, image: Path) -> None:
    """Paste a PNG file into the page from the clipboard."""
    page.evaluate(
        """async bytes => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "pasted.png", { type: "image/png" }));
          document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
        }""",
        list(image.read_bytes()),
    )


def drop(page: Page, file: Path, selector: str) -> None:
    """Drop a file of a type that the browser does not know, such as DICOM, on an element of the page."""
    page.locator(selector).evaluate(
        """(element, [bytes, name]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], name));
          element.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        [list(file.read_bytes()), file.name],
    )


def files_below(folder: Path) -> set[Path]:
    """The files of a running server; those that it removes meanwhile may be missing. (`Path.rglob` raises when a folder
    that it is about to read is removed.)"""
    return {Path(where, name) for where, _, names in os.walk(folder) for name in names}


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serve_app(
    folder: Path,
    environment: Mapping[str, str],
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    program: Sequence[str] = (str(ROOT / "app.py"),),
    port: int | None = None,
) -> Iterator[str]:
    """Run `python app.py` from another folder; yields its address once it answers.

    Args:
        folder: the working directory, and where log.txt is written.
        environment: all environment variables.
        before, after: words of the command line before `python` and after `app.py`.
        program: what Python runs instead of `app.py`.
        port: to listen on; by default one that is free.
    """
    port = port or free_port()
    url, log = f"http://127.0.0.1:{port}/", folder / "log.txt"
    command = [*before, sys.executable, *program, "--host", "127.0.0.1", "--port", str(port), *after]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for(process, url, log)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(process: subprocess.Popen, url: str, log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, f"the app stopped:\n{log.read_text()}"
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise AssertionError(f"the app does not answer:\n{log.read_text()}")
