"""The Batch tab in a real browser against the real app."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pytest
from helpers import ROOT, picture, save_grey
from playwright.sync_api import Page, expect

from busi_demo.ui import texts


@pytest.fixture
def open_batch(open_page):
    def open_batch(*arguments: object) -> Page:
        page = open_page(*arguments)
        page.get_by_role("tab", name=texts.TAB_BATCH).click()
        page.locator("#batch-start").wait_for()
        return page

    return open_batch


def give(page: Page, *paths: Path) -> None:
    page.set_input_files("#batch-files input[type=file]", list(paths))
    expect(page.locator("#batch-files")).to_contain_text(paths[-1].name.rpartition(".")[0])


def first_column(page: Page) -> list[str]:
    return page.locator("#batch-table [role=gridcell][data-col='0']").all_inner_texts()


def test_files_become_a_table_and_downloads(open_batch, tmp_path):
    page = open_batch(1440)
    page.click("#batch-start")
    expect(page.locator("#batch-card").get_by_role("alert")).to_have_text(texts.BATCH_NOTHING)
    (tmp_path / "bad.png").write_text("not an image")
    names = ("benign_1.png", "benign_1_mask.png", "malignant_1.png", "normal_1.png")
    give(page, *(ROOT / "examples" / name for name in names), tmp_path / "bad.png")
    page.click("#batch-start")
    expect(page.locator("#batch-card")).to_contain_text("All 4 images analysed; 1 could not be used")
    table = page.locator("#batch-table")
    expect(table).to_contain_text("bad.png cannot be read as an image")
    with page.expect_download() as download:
        page.click("#batch-csv")
    with Path(download.value.path()).open(newline="", encoding="utf-8-sig") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["bad.png", "benign_1.png", "malignant_1.png", "normal_1.png"]
    assert rows["benign_1.png"]["dice"] and not rows["normal_1.png"]["dice"] and rows["bad.png"]["error"]
    with page.expect_download() as download:
        page.click("#batch-figures")
    with zipfile.ZipFile(download.value.path()) as archive:
        assert len(archive.namelist()) == 4 and "figures/normal_1.png.multitask_unet.png" in archive.namelist()
    assert [text.strip() for text in first_column(page)] == list(rows)


def test_an_archive_is_stopped(open_batch, tmp_path):
    page = open_batch(1024)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for i in range(60):
            archive.write(save_grey(tmp_path / f"{i}.png", picture(i)), f"set/{i:02}.png")
    give(page, tmp_path / "many.zip")
    page.click("#batch-start")
    expect(page.locator("#batch-table")).to_contain_text("set/00.png")
    page.click("#batch-stop")
    expect(page.locator("#batch-card")).to_contain_text("of 60 images analysed.")
    expect(page.locator("#batch-csv")).to_be_visible()
    expect(page.locator("#batch-start")).to_be_enabled()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_on_a_telephone(open_batch, tmp_path, colours):
    page = open_batch(390, 844, colours)
    give(page, save_grey(tmp_path / "scan.png", picture(1)))
    page.click("#batch-start")
    expect(page.locator("#batch-card")).to_contain_text("All 1 images analysed.")
    expect(page.locator("#batch-table")).to_contain_text("scan.png")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
