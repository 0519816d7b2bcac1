"""The tab 'How good is it?' of the real app, in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import ROOT
from playwright.sync_api import Page, expect
from serving import serve_app

from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.ui import texts

METRICS = {key: ROOT / "weights" / key / "report" / "validation.json" for key in APPROACHES}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with the configs and reports that ship, but for one approach that has none; no tensors, no data set."""
    folder = tmp_path_factory.mktemp("app")
    for key in APPROACHES:
        shutil.copytree(
            ROOT / "weights" / key, folder / "weights" / key, ignore=shutil.ignore_patterns("*.safetensors")
        )
    shutil.rmtree(folder / "weights" / "two_stage" / "report")
    environment = {k: v for k, v in os.environ.items() if k != "BUSI_DATA"}
    environment |= {"BUSI_DEMO_WEIGHTS": str(folder / "weights"), "GRADIO_TEMP_DIR": str(folder)}
    with serve_app(folder, environment) as url:
        yield url


def open_tab(page: Page) -> None:
    page.get_by_role("tab", name=texts.TAB_QUALITY).click()
    expect(page.locator("#quality-overview h3")).to_have_count(len(APPROACHES))


def report(key: str) -> dict:
    return json.loads(Path(METRICS[key]).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("width", "colours"), [(1440, "light"), (390, "dark")])
def test_the_tab_shows_what_was_measured(open_page, width, colours):
    page = open_page(width, 844, colours)
    open_tab(page)
    facts = report(DEFAULT_APPROACH)
    card = page.locator("#quality-overview section").filter(has_text=APPROACHES[DEFAULT_APPROACH].title)
    expect(card).to_contain_text(f"{facts['accuracy']:.3f}")
    expect(page.locator("#quality-numbers")).to_contain_text(f"measured on the {facts['n']} images")
    for plot in ("confusion", "reliability", "roc", "curves"):
        image = page.locator(f"#quality-{plot} img")
        expect(image).to_have_attribute("alt", re.compile(re.escape(APPROACHES[DEFAULT_APPROACH].title)))
        image.scroll_into_view_if_needed()  # loaded when it is come near
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 500
    page.get_by_text(texts.ALL_NUMBERS).click()
    low, high = facts["intervals"]["lesion_dice"]
    row = page.locator("#quality-numbers tr").filter(has_text="lesion Dice")
    expect(row).to_contain_text(f"{low:.3f} to {high:.3f}")
    worst = min((r for r in facts["per_image"] if r["dice"] is not None), key=lambda r: (r["dice"], r["image"]))
    expect(page.locator("#quality-cases")).to_contain_text(worst["image"])
    expect(page.locator("#quality-gallery")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_another_approach_and_one_that_was_not_measured(open_page):
    page = open_page(1024)
    open_tab(page)
    page.locator("#quality-approach input[value=multitask_cnn]").focus()
    page.keyboard.press("Space")
    expect(page.locator("#quality-numbers")).to_contain_text(APPROACHES["multitask_cnn"].title)
    expect(page.locator("#quality-roc img")).to_have_attribute("alt", re.compile("Grad-CAM"))
    page.locator("#quality-approach label").filter(has_text=APPROACHES["two_stage"].title).click()
    expect(page.locator("#quality-numbers").get_by_role("alert")).to_have_text(texts.not_measured("two_stage"))
    expect(page.locator("#quality-roc")).to_be_hidden()


def test_autopsy_opens_without_sideways_scroll(open_page):
    page = open_page(390, 844)
    open_tab(page)
    page.get_by_role("button", name=texts.AUTOPSY).click()
    expect(page.locator("#quality-autopsy-figure img")).to_have_attribute("alt", re.compile(r"0\.9272"))
    expect(page.locator("#quality-autopsy")).to_contain_text("316")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
