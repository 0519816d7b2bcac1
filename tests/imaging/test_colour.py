from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from busi_demo.data.phantom import make_phantom
from busi_demo.imaging import read_image
from busi_demo.inference.input_check import check_input
from busi_demo.types import Verdict


def as_png(channels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(channels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def scan() -> np.ndarray:
    return np.repeat(make_phantom("benign", 4).image[..., None], 3, axis=2)


def test_a_grey_scan_and_one_even_tint_have_no_colour():
    grey = scan().astype(float)
    assert read_image(as_png(grey)).coloured == 0
    tinted = grey * [1.0, 0.75, 0.4]
    assert read_image(as_png(tinted)).coloured == 0


def test_a_doppler_box_is_a_share_of_colour_and_makes_a_scan_doubtful():
    picture = scan()
    height, width, _ = picture.shape
    picture[: height // 2, : width // 4] = [220, 30, 30]
    picture[: height // 4, : width // 4] = [30, 30, 220]
    grey = read_image(as_png(picture))
    assert grey.coloured == pytest.approx(1 / 8, abs=0.01)
    assert check_input(grey.pixels, None, coloured=grey.coloured).verdict is Verdict.DOUBTFUL


def test_a_photograph_is_mostly_coloured_and_refused():
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    picture = np.asarray(Image.fromarray(colours).resize((400, 300), Image.Resampling.BICUBIC))
    grey = read_image(as_png(picture))
    assert grey.coloured > 0.5 and check_input(grey.pixels, None, coloured=grey.coloured).verdict is Verdict.REFUSED


def test_colour_counts_only_within_the_frame():
    """A grey scan on a coloured page, where the frame is the scan; and a coloured scan on a white page."""
    scan = make_phantom("benign", 3, 300, 400).image
    page = np.full((700, 900, 3), (40, 60, 160), dtype=np.uint8)
    page[200:500, 250:650] = scan[..., None]
    whole = read_image(Image.fromarray(page))
    assert whole.cropped((250, 200, 650, 500)).coloured == 0
    page[:] = 255
    page[200:500, 250:650] = scan[..., None]
    page[200:350, 250:450] = (200, 30, 30)
    assert read_image(Image.fromarray(page)).cropped((250, 200, 650, 500)).coloured == pytest.approx(0.25, abs=0.02)
