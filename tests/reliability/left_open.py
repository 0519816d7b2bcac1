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
from helpers import save_grey
from playwright.sync_api import Page, sync_playwright
from reliability import record
from serving import CHROMIUM, CHROMIUM_ARGUMENTS, serve_app

from busi_demo.data.phantom import make_phantom
from busi_demo.ui import texts

_PATIENCE = 120.0  # seconds for a new answer
_SOON = 20.0  # seconds for a sentence, where the answer that is there may stay
_STILL = 5.0  # seconds after which a card no longer changes
_KEPT = 120.0  # minutes: the page says that images are deleted within two hours


def main() -> int:
    """Run it; returns 1 if a page did not answer as a new one does."""
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
        What was shown, by moment; errors of the pages; after how many minutes the uploaded image was deleted, or None.
    """
    scan, other = (
        save_grey(folder / f"{label}.png", make_phantom(label, seed=1).image) for label in ("malignant", "benign")
    )
    files = folder / "files"
    errors: list[str] = []
    deleted: float | None = None
    with (
        serve_app(folder, {**os.environ, "GRADIO_TEMP_DIR": str(files)}) as url,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS) as browser,
    ):
        new, used, untouched = pages = [browser.new_page() for _ in range(3)]
        for page in pages:
            page.on("pageerror", lambda error: errors.append(type(error).__name__))
            page.goto(url)
            page.locator("#gallery img").first.wait_for()
        answer = _upload(new, other)
        new.close()
        start = _upload(used, scan)
        begun = time.monotonic()
        while (passed := (time.monotonic() - begun) / 60) < minutes:
            if deleted is None and not list(files.rglob(scan.name)):
                deleted = passed
            used.wait_for_timeout(10_000)
        used.locator("#analyse").click()
        pressed = _shown(used, "", _SOON) or used.locator("#card h2").inner_text()
        again, first = _upload(used, other), _upload(untouched, other)
    return {"minutes": minutes, "start": start, "answer": answer, "pressed": pressed, "again": again, "first": first,
            "page_errors": len(errors), "deleted_after_minutes": deleted}  # fmt: skip


def sound(found: dict[str, Any]) -> bool:
    """Whether both pages answered as a new one does, and the button with the answer or with a sentence."""
    late = found["deleted_after_minutes"] is None and found["minutes"] > _KEPT
    return (
        found["again"] == found["first"] == found["answer"]
        and found["pressed"] in (found["start"], texts.EXPIRED)
        and not found["page_errors"]
        and not late
    )


def text(found: dict[str, Any]) -> str:
    """The section of the report."""
    same = {True: "the answer of a new page", False: "something else"}
    deleted = found["deleted_after_minutes"]
    rows = [
        ("Analyse is pressed for the image of the start", found["pressed"]),
        ("another image is chosen", same[found["again"] == found["answer"]]),
        ("an image is chosen in the page that had none", same[found["first"] == found["answer"]]),
        ("errors of the two pages", found["page_errors"]),
        ("the image of the start was deleted after minutes", "not yet" if deleted is None else round(deleted)),
    ]
    return "\n\n".join([
        "Two pages in Chromium, one with an analysed image and one without, left alone for "
        f"{found['minutes']:g} minutes.",
        record.table(["tried", "what came of it"], rows),
    ])  # fmt: skip


def _upload(page: Page, image: Path) -> str:
    """Choose an image; returns the heading of its card, or what is said instead; empty where nothing comes."""
    before = page.locator("#card").inner_text()
    page.set_input_files("#image input[type=file]", image)
    return _shown(page, before, _PATIENCE)


def _shown(page: Page, before: str, seconds: float) -> str:
    """The heading of a card with another text than `before`, once it no longer changes, or, where that is empty, the
    text of an alert; empty where none comes in time."""
    end, last, since = time.monotonic() + seconds, before, time.monotonic()
    while (now := time.monotonic()) < end:
        alert, heading, card = page.get_by_role("alert"), page.locator("#card h2"), page.locator("#card").inner_text()
        if not before and alert.count():
            return alert.first.inner_text()
        if card != last:
            last, since = card, now
        if before and heading.count() and last != before and now - since > _STILL:
            return heading.first.inner_text()
        page.wait_for_timeout(200)
    return ""


if __name__ == "__main__":
    sys.exit(main())
