"""The Compare tab in a real browser against the real app."""

from __future__ import annotations

import re

import pytest
from helpers import ROOT, disc, heading, picture, save_grey
from playwright.sync_api import Page, expect
from serving import paste

from busi_demo.imaging.text import percent
from busi_demo.inference.consensus import DISAGREEMENT, Consensus, consensus
from busi_demo.models import APPROACHES
from busi_demo.ui import texts


@pytest.fixture
def open_compare(open_page):
    def open_compare(*arguments: object) -> Page:
        page = open_page(*arguments)
        page.get_by_role("tab", name=texts.TAB_COMPARE).click()
        page.locator("#compare-gallery img").first.wait_for()
        return page

    return open_compare


def expect_comparison(page: Page, path, predictors: dict) -> Consensus:
    """Card and tables say what the command line would."""
    found = consensus([predictors[key].predict(path) for key in APPROACHES])
    answer = heading(found.prediction)
    expect(page.locator("#compare-card h2")).to_have_text(answer)
    sentence = DISAGREEMENT if found.disagree else texts.APPROACHES_AGREE
    expect(page.locator("#compare-card")).to_contain_text(sentence)
    rows = page.locator("#compare-tables table").first.locator("tbody tr")
    for row, member in zip(rows.all(), found.members, strict=False):
        expect(row).to_contain_text(APPROACHES[member.approach].title)
        expect(row).to_contain_text(f"{member.predicted_class} ({percent(member.confidence)})")
    overlap = page.locator("#compare-tables table").nth(1).locator("tbody tr").first
    expect(overlap.locator("td")).to_have_text([f"{value:.2f}" for value in found.overlap[0]])
    return found


def expect_no_sideways_scroll(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_an_upload_is_compared_and_taken_away(open_compare, tmp_path, predictors, files_left):
    page = open_compare(1440)
    expect(page.locator("#compare-card")).to_have_text(texts.COMPARE_WAITING)
    scan = save_grey(tmp_path / "scan.png", picture(1))
    page.set_input_files("#compare-image input[type=file]", scan)
    expect_comparison(page, scan, predictors)
    for key in (*APPROACHES, "consensus"):
        figure = page.locator(f"#compare-{key}-wide")
        figure.scroll_into_view_if_needed()
        expect(figure.locator("img")).to_be_visible()
        assert figure.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 2000
        expect(page.locator(f"#compare-{key}-narrow")).to_be_hidden()
    page.get_by_text(texts.COMPARE_MASK_SECTION).locator("visible=true").click()
    page.set_input_files("#compare-mask input[type=file]", save_grey(tmp_path / "t.png", disc(72, 96, 30, 40, 15)))
    expect(page.locator("#compare-card")).to_contain_text(re.compile(r"Dice \d\.\d{3}"))
    page.set_input_files("#compare-image input[type=file]", save_grey(tmp_path / "other.png", picture(2)))
    expect_comparison(page, tmp_path / "other.png", predictors)
    assert files_left("scan.png", "t.png") == set()  # another image has taken their place
    expect(page.locator("#compare-card")).not_to_contain_text(texts.DICE)  # the mask went with its image
    page.locator("#compare-image").get_by_label("Remove Image").click()
    expect(page.locator("#compare-card")).to_have_text(texts.COMPARE_WAITING)
    expect(page.locator("#compare-tables")).to_be_hidden()
    expect(page.locator("#compare-two_stage-wide")).to_be_hidden()
    assert files_left("other.png", "figure.png") == set()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_an_example_on_a_telephone(open_compare, predictors, colours):
    page = open_compare(390, 844, colours)
    page.locator("#compare-gallery").get_by_label("Thumbnail 4 of").click()
    expect_comparison(page, ROOT / "examples" / "malignant_1.png", predictors)
    figure = page.locator("#compare-consensus-narrow")
    figure.scroll_into_view_if_needed()
    expect(figure.locator("img")).to_be_visible()
    expect(page.locator("#compare-consensus-wide")).to_be_hidden()
    expect_no_sideways_scroll(page)


def test_wrong_moves_and_pasting(open_compare, tmp_path, predictors):
    page = open_compare(1024)
    page.click("#compare")
    expect(page.locator("#compare-card").get_by_role("alert")).to_have_text(texts.NO_IMAGE)
    scan = save_grey(tmp_path / "scan.png", picture(1))
    paste(page, scan)
    expect_comparison(page, scan, predictors)
    expect_no_sideways_scroll(page)
