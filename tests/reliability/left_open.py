"""A real page that is left open for more than an hour: python tests/reliability/left_open.py [--minutes M]"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from helpers import heading, save_grey
from playwright.sync_api import Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from reliability import record
from serving import CHROMIUM, CHROMIUM_ARGUMENTS, files_below, serve_app

from busi_demo.data.phantom import make_phantom
from busi_demo.inference.predictor import load_predictor
from busi_demo.models import DEFAULT_APPROACH
from busi_demo.ui import texts

_PATIENCE = 120_000  # milliseconds for an answer
_SOON = 20_000  # milliseconds for a sentence
_KEPT = 120.0  # minutes: the page says that images are deleted within two hours


def main() -> int:
    """Run it; returns 1 if a page did not do what it should."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=125, metavar="M", help="default: %(default)s")
    arguments = parser.parse_args()
    told = record.circumstances()
    with tempfile.TemporaryDirectory() as temporary:
        found = run(arguments.minutes, Path(temporary))
    record.save("left open", "A page left open (`make left-open`)", told, found, text(found))
    return int(not sound(found))


def run(minutes: float, folder: Path) -> dict[str, Any]:
    """Open two pages, of which one has an answer, leave them alone, and use both.

    Returns:
        Whether each image got the answer of the command line, what was said when the button was pressed, errors of the
        pages, and after how many minutes the uploaded image was deleted, or None.
    """
    scan, other = (
        save_grey(folder / f"{label}.png", make_phantom(label, seed=1).image) for label in ("malignant", "benign")
    )
    predictor = load_predictor(DEFAULT_APPROACH)
    headings = {path: heading(predictor.predict(path)) for path in (scan, other)}
    files = folder / "files"
    errors: list[str] = []
    deleted: float | None = None
    with (
        serve_app(folder, {**os.environ, "GRADIO_TEMP_DIR": str(files)}) as url,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS) as browser,
    ):
        pages = [browser.new_page() for _ in range(2)]
        used = pages[0]
        for page in pages:
            page.on("pageerror", lambda error: errors.append(type(error).__name__))
            page.goto(url)
            page.locator("#gallery img").first.wait_for()
        start = _answers(used, scan, headings[scan])
        begun = time.monotonic()
        while (passed := (time.monotonic() - begun) / 60) < minutes:
            if deleted is None and all(path.name != scan.name for path in files_below(files)):
                deleted = passed
            used.wait_for_timeout(10_000)
        used.locator("#analyse").click()
        said = _said(used)
        again, first = (_answers(page, other, headings[other]) for page in pages)
    return {"minutes": minutes, "start": start, "said": said, "again": again, "first": first,
            "page_errors": len(errors), "deleted_after_minutes": deleted}  # fmt: skip


def sound(found: dict[str, Any]) -> bool:
    """Whether every image was answered, the image was deleted in time, and who pressed the button was told so."""
    deleted = found["deleted_after_minutes"] is not None
    return (
        found["start"]
        and found["again"]
        and found["first"]
        and found["said"] == (texts.EXPIRED if deleted else "")
        and not found["page_errors"]
        and (deleted or found["minutes"] <= _KEPT)
    )


def text(found: dict[str, Any]) -> str:
    """The section of the report."""
    came = {True: "the answer of the command line", False: "something else"}
    deleted = found["deleted_after_minutes"]
    rows = [
        ("an image is chosen at the start", came[found["start"]]),
        ("the image of the start was deleted after minutes", "not yet" if deleted is None else round(deleted)),
        ("Analyse is pressed for the image of the start", found["said"] or "nothing is said"),
        ("another image is chosen", came[found["again"]]),
        ("an image is chosen in the page that had none", came[found["first"]]),
        ("errors of the two pages", found["page_errors"]),
    ]
    return "\n\n".join([
        "Two pages in Chromium, one with an analysed image and one without, left alone for "
        f"{found['minutes']:g} minutes.",
        record.table(["tried", "what came of it"], rows),
    ])  # fmt: skip


def _answers(page: Page, image: Path, expected: str) -> bool:
    """Choose an image; whether its card gets the expected heading."""
    page.set_input_files("#image input[type=file]", image)
    try:
        expect(page.locator("#card h2")).to_have_text(expected, timeout=_PATIENCE)
    except AssertionError:
        return False
    return True


def _said(page: Page) -> str:
    """The text of an alert; empty where none comes in time."""
    alert = page.get_by_role("alert").first
    try:
        alert.wait_for(timeout=_SOON)
    except PlaywrightTimeoutError:
        return ""
    return alert.inner_text()


if __name__ == "__main__":
    sys.exit(main())
