"""Take the README's pictures from the running app: python tests/browser/screenshots.py [TAB...]

Simulated images alone are shown: the gallery's, and no data set is looked for. Each tab is one row of `TABS`.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from serving import CHROMIUM, CHROMIUM_ARGUMENTS, serve_app  # noqa: E402

from busi_demo.ui import texts  # noqa: E402

HEIGHT = 900
LARGEST = 200_000  # bytes of a picture
EXAMPLE = 4  # of the gallery, counted from 1: a malignant phantom


def analyse(page: Page) -> None:
    page.locator("#gallery").get_by_label(f"Thumbnail {EXAMPLE} of").click()
    page.locator("#card h2").wait_for()
    page.locator("#figure img").wait_for()


def compare(page: Page) -> None:
    page.locator("#compare-gallery").get_by_label(f"Thumbnail {EXAMPLE} of").click()
    page.locator("#compare-card h2").wait_for()
    page.locator("#compare-tables table").first.wait_for()
    look_at_all(page, ".figure-wide img, .figure-narrow img")


def batch(page: Page) -> None:
    page.set_input_files("#batch-files input[type=file]", sorted((ROOT / "examples").glob("*_1*.png")))
    page.locator("#batch-files").get_by_text("normal_1").first.wait_for()
    page.click("#batch-start")
    page.locator("#batch-csv").wait_for()


def quality(page: Page) -> None:
    page.locator("#quality-cases table").wait_for()
    look_at_all(page, "#quality-plots img")


def look_at_all(page: Page, selector: str) -> None:
    """Come near pictures, which load no sooner; those of the other layout are passed over."""
    page.evaluate(
        """async selector => {
          for (const image of document.querySelectorAll(selector)) {
            if (image.parentElement.offsetParent === null) continue;
            image.scrollIntoView();
            await image.decode();
          }
          window.scrollTo(0, 0);
        }""",
        selector,
    )


# name -> label of the tab, and what to do there until it is worth a picture
TABS: dict[str, tuple[str, Callable[[Page], None]]] = {
    "analyse": (texts.TAB_ANALYSE, analyse),
    "compare": (texts.TAB_COMPARE, compare),
    "batch": (texts.TAB_BATCH, batch),
    "quality": (texts.TAB_QUALITY, quality),
}


def take(page: Page, url: str, tab: str, path: Path) -> None:
    """Open a tab, do what its row says, and save the page."""
    page.goto(url)
    page.locator("#gallery img").first.wait_for()
    label, prepare = TABS[tab]
    page.get_by_role("tab", name=label, exact=True).click()
    prepare(page)
    page.wait_for_timeout(2000)  # pictures and transitions
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{path.name} scrolls sideways"
    save_small(page.screenshot(full_page=True, animations="disabled"), path)


def save_small(png: bytes, path: Path) -> None:
    """Write with a palette, and in half the size where that is not enough."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    while True:
        small = io.BytesIO()
        image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        if len(small.getvalue()) <= LARGEST:
            break
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)
    path.write_bytes(small.getvalue())
    print(f"wrote {path}, {len(small.getvalue()) // 1000} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description="Take pictures of the running app, for the README.")
    parser.add_argument("tabs", nargs="*", metavar="TAB", help=f"{', '.join(TABS)} (default: all)")
    parser.add_argument("--width", type=int, nargs="+", default=[1440], help="of the window, pixels (default: 1440)")
    parser.add_argument("--output", type=Path, default=ROOT / ".github" / "screenshots", help="default: %(default)s")
    arguments = parser.parse_args()
    if unknown := set(arguments.tabs) - TABS.keys():
        sys.exit(f"error: no tab {', '.join(sorted(unknown))}: choose from {', '.join(TABS)}.")
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        environment = {k: v for k, v in os.environ.items() if k not in ("BUSI_DATA", "BUSI_DEMO_WEIGHTS")}
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        with serve_app(Path(folder), {**environment, "GRADIO_TEMP_DIR": folder}) as url:
            for tab in arguments.tabs or TABS:
                for width in arguments.width:
                    for colours in ("light", "dark"):
                        page = browser.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme=colours)
                        page.set_default_timeout(120_000)
                        take(page, url, tab, arguments.output / f"{tab}-{width}-{colours}.png")
                        page.close()
        browser.close()


if __name__ == "__main__":
    main()
