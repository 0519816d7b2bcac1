"""What the page says of pictures that are no upright breast ultrasound, with the weights that ship."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Browser, Page, expect
from serving import serve_app

from busi_demo.data.phantom import make_phantom
from busi_demo.data.screen import screen
from busi_demo.ui import texts

SCAN = make_phantom("benign", 3_000_010, 420, 520).image


@pytest.fixture(scope="module")
def shipped_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("shipped")
    environment = {name: value for name, value in os.environ.items() if name != "BUSI_DEMO_WEIGHTS"}
    with serve_app(folder, environment | {"GRADIO_TEMP_DIR": str(folder)}) as url:
        yield url


def photograph() -> Image.Image:
    colours = np.random.default_rng(3).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(colours).resize((640, 480), Image.Resampling.BICUBIC)


def machine_screen() -> Image.Image:
    height, width = SCAN.shape
    box = (90, 120, height, width)
    whole = screen(height + 180, width + 240, box, np.random.default_rng(1)).copy()
    whole[90 : 90 + height, 120 : 120 + width] = SCAN
    return Image.fromarray(whole)


def document() -> Image.Image:
    page = Image.new("RGB", (900, 1200), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(22)
    for line in range(12):
        pen.text((80, 700 + 36 * line), "the report of an examination, line by line, in black on white", "black", font)
    page.paste(Image.fromarray(SCAN).convert("RGB"), (180, 120))
    return page


def two_views() -> Image.Image:
    return Image.fromarray(np.concatenate([SCAN, np.zeros((len(SCAN), 30), np.uint8), SCAN[:, ::-1]], axis=1))


def show(page: Page, picture: Image.Image, folder: Path, name: str) -> None:
    picture.save(folder / name)
    page.set_input_files("#image input[type=file]", folder / name)


def test_each_picture_gets_the_right_kind_of_answer(browser: Browser, shipped_url: str, tmp_path: Path):
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.goto(shipped_url)
    page.locator("#gallery img").first.wait_for()
    card, heading, results = page.locator("#card"), page.locator("#card h2"), page.locator("#results")

    show(page, photograph(), tmp_path, "holiday.png")
    expect(heading).to_have_text(texts.REFUSED_TITLE)
    expect(card).to_contain_text("like a photograph")
    expect(results).to_be_hidden()
    page.click("#anyway")
    expect(card).to_contain_text(texts.OVERRIDDEN)
    expect(card).to_contain_text("Warning")
    expect(results).to_be_visible()

    show(page, Image.fromarray(SCAN), tmp_path, "scan.png")
    expect(heading).to_contain_text("Benign")
    expect(card).not_to_contain_text(texts.DOUBTFUL)
    expect(page.locator("#anyway")).to_be_hidden()

    show(page, Image.fromarray(np.rot90(SCAN)), tmp_path, "turned.png")
    expect(card).to_contain_text("turned by a quarter")

    for picture, name in ((machine_screen(), "screen.png"), (document(), "document.png")):
        show(page, picture, tmp_path, name)
        expect(card).to_contain_text("Only the ultrasound was used")
        expect(heading).to_contain_text("Benign")
        expect(page.locator("#card .light.red")).to_have_count(0)

    show(page, two_views(), tmp_path, "views.png")
    expect(card).to_contain_text("There is another view")
    page.click("#drag")
    cover = page.locator("#drag-crop")
    box = cover.bounding_box()
    assert box is not None
    start, end = ((box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ((0.52, 0.02), (0.98, 0.98)))
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=3)
    page.mouse.up()
    expect(cover).to_have_count(0)
    expect(card).to_contain_text("Only the chosen part was used, x 5")
    page.click("#drag")
    page.keyboard.press("Escape")
    expect(cover).to_have_count(0)
    page.close()
