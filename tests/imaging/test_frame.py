"""The ultrasound is found within pages and screens, and a picture of ultrasound alone is left as it is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from helpers import disc
from PIL import Image, ImageDraw

from busi_demo.data.corruptions import corrupt
from busi_demo.data.phantom import make_phantom
from busi_demo.data.screen import caption_font, screen
from busi_demo.imaging.frame import find_frame
from busi_demo.types import CLASSES, Box


@pytest.fixture(scope="module")
def phantoms() -> list[np.ndarray]:
    """Phantoms of all classes and of other sizes, uint8 (H, W)."""
    sizes = ((224, 224), (300, 420), (180, 240), (420, 300))
    return [make_phantom(label, seed, *sizes[seed]).image for label in CLASSES for seed in range(4)]


def on(page: np.ndarray, scan: np.ndarray, x: int, y: int) -> tuple[np.ndarray, Box]:
    """A page with a scan pasted on it, and the box of the scan."""
    page = page.copy()
    page[y : y + scan.shape[0], x : x + scan.shape[1]] = scan
    return page, (x, y, x + scan.shape[1], y + scan.shape[0])


def margins(scan: np.ndarray, level: int, left: float, right: float, top: float, bottom: float) -> tuple:
    """A scan on an even page; the margins are shares of its width and height."""
    height, width = scan.shape
    left, right, top, bottom = (round(m) for m in (left * width, right * width, top * height, bottom * height))
    return on(np.full((height + top + bottom, width + left + right), level, np.uint8), scan, left, top)


def overlap(one: Box | None, other: Box) -> float:
    """IoU of two boxes."""
    if one is None:
        return 0.0
    width, height = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    shared = max(0, width) * max(0, height)
    return shared / (sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)) - shared)


def test_ultrasound_alone_is_left_as_it_is(phantoms):
    for scan in phantoms:
        for picture in (scan, scan[:, ::-1], scan // 2, scan // 4 + 100, 255 - scan // 2):
            found = find_frame(np.ascontiguousarray(picture))
            assert found.box is None and found.note is None


@pytest.mark.parametrize("level", [255, 200, 128, 60, 40])
@pytest.mark.parametrize("shares", [(0.05, 0.6, 0.3, 0.1), (0.3, 0.3, 0.3, 0.3), (0.6, 0.05, 0.05, 0.6)])
def test_an_even_page_is_left_out_to_the_pixel(phantoms, level, shares):
    for scan in phantoms:
        page, box = margins(scan, level, *shares)
        found = find_frame(page)
        assert found.box == box
        assert found.note == (
            f"Only the ultrasound was used, x {box[0]} to {box[2]} and y {box[1]} to {box[3]} of {page.shape[1]} x "
            f"{page.shape[0]} pixels; what surrounds it was left out."
        )


@pytest.mark.parametrize("shares", [(0.4, 0, 0, 0), (0, 0.1, 0, 0), (0, 0, 0.2, 0), (0, 0, 0, 0.3)])
def test_a_margin_on_one_side_is_left_out(phantoms, shares):
    for scan in phantoms:
        page, box = margins(scan, 255, *shares)
        assert find_frame(page).box == box


def test_a_black_page_is_left_out(phantoms):
    for scan in phantoms:
        page, box = margins(scan, 0, 0.3, 0.2, 0.2, 0.4)
        assert overlap(find_frame(page).box, box) > 0.9


def test_a_narrow_black_margin_is_kept(phantoms):
    for scan in phantoms:
        assert find_frame(margins(scan, 0, 0.01, 0.01, 0.01, 0.01)[0]).box is None


def test_a_jpeg_of_a_page_and_its_noise_do_not_matter(phantoms):
    noise = np.random.default_rng(0)
    for scan in phantoms:
        page, box = margins(scan, 230, 0.3, 0.2, 0.1, 0.4)
        file = io.BytesIO()
        Image.fromarray(page).save(file, "JPEG", quality=60)
        assert overlap(find_frame(np.array(Image.open(file))).box, box) > 0.9
        grainy = np.where(page == 230, 230 + noise.normal(0, 1.5, page.shape), page).round().astype(np.uint8)
        assert overlap(find_frame(grainy).box, box) > 0.95


def test_a_scan_is_found_between_the_lines_of_a_document(phantoms):
    for scan in phantoms:
        image = Image.new("L", (scan.shape[1] * 2, scan.shape[0] * 2), 250)
        pen = ImageDraw.Draw(image)
        for line in range(10, image.height - 12, 16):
            pen.text((12, line), "The lesion is oval and measures 12 mm by 8 mm. " * 4, 20, caption_font(11))
        x, y = scan.shape[1] // 2, scan.shape[0] // 3
        pen.rectangle((x - 6, y - 6, x + scan.shape[1] + 6, y + scan.shape[0] + 6), fill=250)
        page, box = on(np.array(image), scan, x, y)
        assert find_frame(page).box == box


def test_a_scan_is_found_on_the_screen_of_a_machine(phantoms):
    generator, found = np.random.default_rng(1), []
    for scan in phantoms:
        (height, width), top, left = scan.shape, scan.shape[0] // 4, scan.shape[1] // 5
        shape = (round(1.6 * height), round(1.5 * width))
        picture, box = on(screen(*shape, (top, left, height, width), generator), scan, left, top)
        found.append(overlap(find_frame(picture).box, box))
    assert np.median(found) > 0.95 and min(found) > 0.5


def test_the_wider_of_two_views_is_used_and_the_other_is_named(phantoms):
    for scan in phantoms:
        height, width = scan.shape
        picture, _ = corrupt("two views", scan, np.zeros(scan.shape, bool), 3, np.random.default_rng(0))
        found = find_frame(picture)
        gap = max(2, width // 50)
        assert found.box == (0, 0, width, height)
        assert f"There is another view, x {width + gap} to {picture.shape[1]} and y 0 to {height}" in found.note


def test_of_equal_views_on_a_page_the_left_is_used(phantoms):
    scan = phantoms[0]
    both = np.hstack([scan, np.full((scan.shape[0], 12), 255, np.uint8), scan[:, ::-1]])
    page, _ = margins(both, 255, 0.1, 0.1, 0.2, 0.2)
    x, y = round(0.1 * both.shape[1]), round(0.2 * both.shape[0])
    assert find_frame(page).box == (x, y, x + scan.shape[1], y + scan.shape[0])


def test_a_large_picture_is_searched_as_a_small_one(phantoms):
    page, box = margins(phantoms[0], 255, 0.3, 0.2, 0.1, 0.4)
    large = page.repeat(6, axis=0).repeat(6, axis=1)
    assert find_frame(large).box == tuple(6 * end for end in box)


@pytest.mark.parametrize("picture", [
    np.full((300, 400), 255, np.uint8),
    np.zeros((64, 64), np.uint8),
    disc(300, 400, 150, 200, 80).astype(np.uint8) * 255,
    np.where(disc(300, 400, 150, 200, 80), 90, 200).astype(np.uint8),
    np.tile(np.arange(256, dtype=np.uint8), (200, 1)),
], ids=["white", "black", "white disc", "grey disc", "ramp"])  # fmt: skip
def test_a_picture_without_ultrasound_has_no_frame(picture):
    found = find_frame(picture)
    assert found.box is None and found.note is None


def test_a_scan_that_is_too_small_is_not_guessed(phantoms):
    page, _ = on(np.full((1500, 1500), 255, np.uint8), phantoms[0][:120, :120], 700, 700)
    found = find_frame(page)
    assert found.box is None and found.note.startswith("Something seems to surround the ultrasound")
