"""A person's way through the page, in a real browser against the real app."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from helpers import ROOT, disc, heading, picture, save_grey, write_dicom
from PIL import Image
from playwright.sync_api import Download, Page, expect
from serving import drop, paste

from busi_demo.imaging import read_image
from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.ui import texts


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return save_grey(tmp_path / "scan.png", picture(1))


PATIENCE = 120  # seconds


def upload(page: Page, path: Path, box: str = "#image") -> None:
    page.set_input_files(f"{box} input[type=file]", path)


def choose(page: Page, approach: str) -> None:
    page.locator("#approach label").filter(has_text=APPROACHES[approach].title).click()


def expect_verdict(page: Page, approach: str, path: Path, predictors: dict) -> str:
    """The card names approach, class and probability, as the command line would; returns the figure's address."""
    prediction = predictors[approach].predict(path)
    expect(page.locator("#card .by")).to_have_text(APPROACHES[approach].title)
    answer = heading(prediction)
    expect(page.locator("#card h2")).to_have_text(answer)
    figure = page.locator("#figure img")
    expect(figure).to_have_attribute("alt", re.compile(re.escape(f"by {APPROACHES[approach].title};")))
    assert figure.evaluate("image => image.decode().then(() => image.naturalWidth)") > 2000
    return figure.get_attribute("src")


def expect_no_sideways_scroll(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_upload_and_every_approach_in_turn(open_page, scan, predictors, files_left):
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
    page.close()
    assert files_left(scan.name, "figure.png") == set()


def test_an_example_is_analysed_with_its_mask_by_the_chosen_approach(open_page, predictors):
    page = open_page(1440)
    choose(page, "multitask_cnn")
    page.get_by_label("Thumbnail 1 of").click()
    expect_verdict(page, "multitask_cnn", ROOT / "examples" / "benign_1.png", predictors)
    expect(page.locator("#card")).to_contain_text(re.compile(r"Dice \d\.\d{3} IoU \d\.\d{3}"))
    page.locator("#image").get_by_label("Remove Image").click()
    expect(page.locator("#card")).to_have_text(texts.WAITING)
    expect(page.locator("#image button").first).to_be_focused()
    expect(page.locator("#figure")).to_be_hidden()


def test_a_mask_is_added_and_taken_away(open_page, scan, tmp_path, files_left):
    page = open_page(1440)
    upload(page, scan)
    expect(page.locator("#card h2")).to_be_visible()
    expect(page.locator("#card")).not_to_contain_text(texts.DICE)
    page.get_by_text(texts.MASK_SECTION).click()
    upload(page, save_grey(tmp_path / "truth.png", disc(72, 96, 30, 40, 15)), "#mask")
    expect(page.locator("#card")).to_contain_text(texts.DICE)
    page.locator("#mask").get_by_label("Remove Image").click()
    expect(page.locator("#card")).not_to_contain_text(texts.DICE)
    upload(page, save_grey(tmp_path / "no_mask.png", picture(2)), "#mask")
    expect(page.get_by_role("alert")).to_contain_text("no_mask.png is not a mask")
    assert files_left("truth.png", "no_mask.png") == set()


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
    expect(page.locator("#figure")).to_be_hidden()


def test_paste_anywhere(open_page, scan, predictors):
    page = open_page(1440)
    paste(page, scan)
    expect_verdict(page, DEFAULT_APPROACH, scan, predictors)


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_on_a_telephone(open_page, scan, colours):
    page = open_page(390, 844, colours)
    expect_no_sideways_scroll(page)
    upload(page, scan)
    figure = page.locator("#figure img")
    expect(figure).to_be_attached()
    page.locator("#figure").scroll_into_view_if_needed()  # it is far down, and loaded when it is come near
    expect(figure).to_be_visible()
    box = figure.bounding_box()
    assert box["height"] > 4 * box["width"] > 4 * 320
    expect_no_sideways_scroll(page)
    page.set_viewport_size({"width": 844, "height": 390})  # turned on its side: drawn anew, side by side
    page.wait_for_function(
        "(() => { const i = document.querySelector('#figure img'); return i.width > 2 * i.height })()"
    )
    expect_no_sideways_scroll(page)


def test_the_keyboard_alone(open_page):
    page = open_page(1024)
    page.get_by_role("tab", name=texts.TAB_ANALYSE).press("ArrowRight")
    page.get_by_role("tab", name=texts.TAB_COMPARE, selected=True).press("ArrowLeft")
    expect(page.get_by_role("tab", name=texts.TAB_ANALYSE, selected=True)).to_be_focused()
    page.locator("#gallery").get_by_label("Thumbnail 2 of").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#card .by")).to_have_text(APPROACHES[DEFAULT_APPROACH].title)
    page.locator("#approach input[value=multitask_cnn]").focus()
    page.keyboard.press("Space")
    expect(page.locator("#card .by")).to_have_text(APPROACHES["multitask_cnn"].title)
    expect_no_sideways_scroll(page)


def shown(page: Page) -> dict[str, str]:
    """What a view consists of: the figure's address and what stands in the findings and on the card."""
    return {
        "figure": page.locator("#figure img").get_attribute("src"),
        "findings": page.locator("#findings").inner_text(),
        "card": page.locator("#card").inner_text(),
    }


def expect_new_figure(page: Page, before: dict[str, str]) -> dict[str, str]:
    expect(page.locator("#figure img")).not_to_have_attribute("src", before["figure"])
    page.locator("#figure img").evaluate("image => image.decode()")
    return shown(page)


def choose_option(page: Page, box: str, name: str) -> None:
    page.locator(f"{box} input").click()
    page.get_by_role("option", name=name, exact=True).click()


def test_every_control_changes_the_view_and_the_network_rests(open_page, scan, predictors):
    """tests/inference/test_forward_pass.py shows that no view runs the network; here the answer stays the same."""
    page = open_page(1440)
    upload(page, scan)
    expect_verdict(page, DEFAULT_APPROACH, scan, predictors)
    first = shown(page)
    passed = page.locator("#card .passed").inner_text()
    look = predictors[DEFAULT_APPROACH].forward_pass(scan)

    page.locator("#threshold input[type=number]").fill("0.42")
    expect(page.locator("#findings")).to_contain_text(f"{look.prediction(threshold=0.42).lesion_area_fraction:.1%} of")
    lower = expect_new_figure(page, first)
    page.locator("#opacity input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    stronger = expect_new_figure(page, lower)
    assert stronger["findings"] == lower["findings"]
    choose_option(page, "#cam-method", "Eigen-CAM")
    expect(page.locator("#findings section").last).to_contain_text("Eigen-CAM")
    other = expect_new_figure(page, stronger)
    choose_option(page, "#cam-method", "LayerCAM")
    expect(page.locator("#findings section").last).to_contain_text("LayerCAM of")
    choose_option(page, "#cam-class", "normal")
    expect(page.locator("#findings section").last).to_contain_text("LayerCAM of normal")
    assert expect_new_figure(page, other)["figure"] != first["figure"]
    assert page.locator("#card .passed").inner_text() == passed

    page.locator("#reset").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#figure img")).to_have_attribute("src", first["figure"])
    expect(page.locator("#threshold input[type=number]")).to_have_value("0.5")
    assert shown(page) == first


def test_each_frame_of_a_file_with_several_is_analysed(open_page, tmp_path, predictors):
    pages = [Image.fromarray(picture(seed)) for seed in (1, 2, 3)]
    pages[0].save(tmp_path / "loop.tiff", save_all=True, append_images=pages[1:])
    page, address = open_page(1440), None
    upload(page, tmp_path / "loop.tiff")
    for number, used in ((1, "The first"), (3, "Number 3"), (2, "Number 2")):
        if number > 1:
            for key in {3: ("ArrowRight", "ArrowRight"), 2: ("ArrowLeft",)}[number]:
                page.locator("#frame input[type=range]").press(key)
            expect(page.locator("#image img")).not_to_have_attribute("src", address)
        expect_verdict(page, DEFAULT_APPROACH, read_image(tmp_path / "loop.tiff", number), predictors)
        expect(page.locator("#frame")).to_be_visible()
        # which one, before the next is chosen: the answers to two frames may be equal
        expect(page.locator("#card")).to_contain_text(f"{used} of 3 pages or frames was used")
        address = page.locator("#image img").get_attribute("src")
    upload(page, save_grey(tmp_path / "scan.png", picture(1)), "#image")
    expect_verdict(page, DEFAULT_APPROACH, tmp_path / "scan.png", predictors)
    expect(page.locator("#frame")).to_be_hidden()


def test_a_dicom_brings_its_scale_and_the_report_goes_along(open_page, tmp_path):
    page, key = open_page(1440), "two_stage"  # untrained as it is here, it outlines something
    page.get_by_label(APPROACHES[key].title, exact=True).check()
    path = write_dicom(tmp_path / "IM_0001", picture(1), spacing=0.2)
    drop(page, path, "#image")
    expect(page.locator("#findings")).to_contain_text(" mm²")
    expect(page.locator("#image img")).to_be_visible()
    downloads: dict[str, Download] = {}
    page.on("download", lambda download: downloads.update({download.suggested_filename: download}))
    kinds = ("figure-pdf", "report-pdf", "report-json")
    page.evaluate("ids => ids.forEach(id => document.getElementById(id).click())", kinds)  # at a time, and none is lost
    wanted = {f"IM_0001.{key}.{kind.replace('-', '.')}" for kind in kinds}
    deadline = time.monotonic() + PATIENCE
    while set(downloads) != wanted and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    assert set(downloads) == wanted
    report = json.loads(Path(downloads[f"IM_0001.{key}.report.json"].path()).read_text())
    assert report["image"]["spacing_mm"] == pytest.approx([0.2, 0.2]) and "Doe" not in json.dumps(report)
