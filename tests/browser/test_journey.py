"""A person's way through the page, in a real browser against the real app."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers import ROOT, disc, picture, save_grey
from playwright.sync_api import Page, expect

from busi_demo.figure import percent
from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.ui import texts


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return save_grey(tmp_path / "scan.png", picture(1))


def upload(page: Page, path: Path, box: str = "#image") -> None:
    page.set_input_files(f"{box} input[type=file]", path)


def choose(page: Page, approach: str) -> None:
    page.locator("#approach label").filter(has_text=APPROACHES[approach].title).click()


def expect_verdict(page: Page, approach: str, path: Path, predictors: dict) -> str:
    """The card names approach, class and probability, as the command line would; returns the figure's address."""
    prediction = predictors[approach].predict(path)
    expect(page.locator("#card .by")).to_have_text(APPROACHES[approach].title)
    answer = f"{prediction.predicted_class.capitalize()} {percent(prediction.confidence)}"
    expect(page.locator("#card h2")).to_have_text(answer)
    figure = page.locator("#figure-wide img")
    expect(figure).to_have_attribute("alt", re.compile(re.escape(f"by {APPROACHES[approach].title};")))
    assert figure.evaluate("image => image.decode().then(() => image.naturalWidth)") > 2000
    return figure.get_attribute("src")


def expect_no_sideways_scroll(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_upload_and_every_approach_in_turn(open_page, scan, predictors):
    page = open_page(1440)
    expect(page.locator("#card")).to_have_text(texts.WAITING)
    expect(page.locator("#header")).to_contain_text("not a medical device")
    upload(page, scan)
    figures = {expect_verdict(page, DEFAULT_APPROACH, scan, predictors)}
    for key in [key for key in APPROACHES if key != DEFAULT_APPROACH]:
        choose(page, key)
        figures.add(expect_verdict(page, key, scan, predictors))
        expect(page.locator("#summary")).to_have_text(APPROACHES[key].summary)
    assert len(figures) == len(APPROACHES)
    page.click("#analyse")
    assert expect_verdict(page, key, scan, predictors) in figures


def test_an_example_is_analysed_with_its_mask_by_the_chosen_approach(open_page, predictors):
    page = open_page(1440)
    choose(page, "multitask_cnn")
    page.get_by_label("Thumbnail 1 of").click()
    expect_verdict(page, "multitask_cnn", ROOT / "examples" / "benign_1.png", predictors)
    expect(page.locator("#card")).to_contain_text(re.compile(r"Dice \d\.\d{3} IoU \d\.\d{3}"))
    page.locator("#image").get_by_label("Remove Image").click()
    expect(page.locator("#card")).to_have_text(texts.WAITING)
    expect(page.locator("#figure-wide")).to_be_hidden()


def test_a_mask_is_added_and_taken_away(open_page, scan, tmp_path):
    page = open_page(1440)
    upload(page, scan)
    expect(page.locator("#card h2")).to_be_visible()
    expect(page.locator("#card")).not_to_contain_text(texts.DICE)
    page.get_by_text(texts.MASK_SECTION).click()
    upload(page, save_grey(tmp_path / "truth.png", disc(72, 96, 30, 40, 15)), "#mask")
    expect(page.locator("#card")).to_contain_text(texts.DICE)
    page.locator("#mask").get_by_label("Remove Image").click()
    expect(page.locator("#card")).not_to_contain_text(texts.DICE)


def test_wrong_moves_get_a_sentence(open_page, scan, tmp_path, predictors):
    page = open_page(1440)
    alert = page.get_by_role("alert")
    page.click("#analyse")
    expect(alert).to_have_text(texts.NO_IMAGE)
    (tmp_path / "bad.png").write_text("not an image")
    upload(page, tmp_path / "bad.png")
    expect(alert).to_contain_text("bad.png cannot be read as an image")
    expect(page.locator("#image img")).to_have_count(0)
    upload(page, scan)
    expect_verdict(page, DEFAULT_APPROACH, scan, predictors)
    upload(page, tmp_path / "bad.png")
    expect(alert).to_contain_text("bad.png cannot be read as an image")
    expect(page.locator("#figure-wide")).to_be_hidden()


def test_paste_anywhere(open_page, scan, predictors):
    page = open_page(1440)
    page.evaluate(
        """async bytes => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "pasted.png", { type: "image/png" }));
          document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
        }""",
        list(scan.read_bytes()),
    )
    expect_verdict(page, DEFAULT_APPROACH, scan, predictors)


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_on_a_telephone(open_page, scan, colours):
    page = open_page(390, 844, colours)
    expect_no_sideways_scroll(page)
    upload(page, scan)
    figure = page.locator("#figure-narrow img")
    expect(figure).to_be_visible()
    expect(page.locator("#figure-wide img")).to_be_hidden()
    box = figure.bounding_box()
    assert box["height"] > 4 * box["width"] > 4 * 320
    expect_no_sideways_scroll(page)


def test_the_keyboard_alone(open_page):
    page = open_page(1024)
    page.get_by_label("Thumbnail 2 of").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#card .by")).to_have_text(APPROACHES[DEFAULT_APPROACH].title)
    page.locator("#approach input[value=multitask_cnn]").focus()
    page.keyboard.press("Space")
    expect(page.locator("#card .by")).to_have_text(APPROACHES["multitask_cnn"].title)
    expect_no_sideways_scroll(page)
