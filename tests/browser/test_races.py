"""Clicks that do not wait for the answer before: the page ends with the answer to the last request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, heading, picture, save_grey
from PIL import Image
from playwright.sync_api import Page, expect

from busi_demo.imaging.text import percent
from busi_demo.inference.consensus import consensus
from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.ui import texts

SETTLED = 4000  # milliseconds after which what comes late has come


@pytest.fixture
def scans(tmp_path: Path) -> list[Path]:
    """A TIFF, which is shown by a stand-in, and two PNG files."""
    Image.fromarray(picture(7).astype(np.uint16) * 16).save(tmp_path / "deep.tif")
    return [tmp_path / "deep.tif", *(save_grey(tmp_path / f"{i}.png", picture(i)) for i in (1, 2))]


def expect_to_stay(page: Page, selector: str, text: str) -> None:
    expect(page.locator(selector)).to_have_text(text)
    page.wait_for_timeout(SETTLED)
    expect(page.locator(selector)).to_have_text(text)


@pytest.fixture
def upload(files_left: Callable[..., set[str]]) -> Callable[..., None]:
    """upload(page, box, paths, pauses): one file after the other, with a pause in milliseconds once each is in place.

    Gradio shows an upload before it tells the app of it; an upload in the milliseconds in which the answer to the one
    before is written into the input would be lost, and the page would show, and answer, the one before.
    """

    def upload(page: Page, box: str, paths: Sequence[Path], pauses: Sequence[int]) -> None:
        for before, path, pause in zip((None, *paths), paths, pauses, strict=False):
            page.set_input_files(f"{box} input[type=file]", path)
            assert before is None or files_left(before.name) == set()  # it is no longer needed
            page.wait_for_timeout(pause)

    return upload


def width_shown(page: Page, box: str) -> int:
    return page.locator(f"{box} img").evaluate("image => image.decode().then(() => image.naturalWidth)")


def test_uploads_one_after_the_other(open_page, upload, scans, tmp_path, predictors):
    page = open_page(1440)
    last = save_grey(tmp_path / "last.png", picture(3, 72, 120))
    answers = [heading(predictors[DEFAULT_APPROACH].predict(path)) for path in (*scans, last)]
    assert len(set(answers)) == len(answers)
    upload(page, "#image", (*scans, last), (900, 200, 200, 0))
    expect_to_stay(page, "#card h2", answers[-1])
    assert width_shown(page, "#image") == 120


@pytest.mark.parametrize("pause", [100, 1000])
def test_another_approach_right_after_the_upload(open_page, scans, predictors, pause):
    page = open_page(1440)
    page.set_input_files("#image input[type=file]", scans[1])
    page.wait_for_timeout(pause)
    page.locator("#approach label").filter(has_text=APPROACHES["multitask_cnn"].title).click()
    expect_to_stay(page, "#card h2", heading(predictors["multitask_cnn"].predict(scans[1])))
    expect(page.locator("#card .by")).to_have_text(APPROACHES["multitask_cnn"].title)


def test_fast_clicks_on_examples(open_page, predictors):
    page = open_page(1440)
    for number in (1, 5, 8, 2, 6):
        page.locator("#gallery").get_by_label(f"Thumbnail {number} of").click()
        page.wait_for_timeout(120)
    expect_to_stay(page, "#card h2", heading(predictors[DEFAULT_APPROACH].predict(ROOT / "examples/malignant_3.png")))


@pytest.mark.parametrize("pause", [0, 600, 1300])
def test_an_example_taken_away_again(open_page, pause):
    page = open_page(1440)
    page.locator("#gallery").get_by_label("Thumbnail 1 of").click()
    page.locator("#image").get_by_label("Remove Image").wait_for()
    page.wait_for_timeout(pause)
    page.locator("#image").get_by_label("Remove Image").click()
    expect_to_stay(page, "#card", texts.WAITING)
    expect(page.locator("#figure")).to_be_hidden()
    expect(page.locator("#image img")).to_have_count(0)


def test_uploads_to_compare_one_after_the_other(open_page, upload, scans, predictors):
    page = open_page(1440)
    page.get_by_role("tab", name=texts.TAB_COMPARE).click()
    deep, first, last = scans
    upload(page, "#compare-image", (first, deep, last), (900, 1500, 0))
    found = consensus([predictors[key].predict(last) for key in APPROACHES])
    expect_to_stay(page, "#compare-card h2", heading(found.prediction))
    members = page.locator("#compare-tables table").first.locator("tbody tr")
    expect(members).to_contain_text([f"{m.predicted_class} ({percent(m.confidence)})" for m in found.members] + [""])
