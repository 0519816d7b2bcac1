"""An image with a frame: what networks see of it, and how maps come back into it; crops that a person chooses."""

from __future__ import annotations

import io

import numpy as np
import pytest
from dicom_files import scan
from helpers import picture, write_dicom
from pydicom import DataElement, dcmread

from busi_demo.data.phantom import make_phantom
from busi_demo.imaging import GreyImage, read_image
from busi_demo.imaging.crop import parse_crop, with_crop
from busi_demo.types import InputError

PIXELS = picture(0, 80, 120)


def test_without_a_frame_networks_see_the_pixels_themselves():
    image = GreyImage(PIXELS, spacing=(0.1, 0.1015))  # square to all purposes
    values = PIXELS.astype(np.float32)
    assert image.framed is not None and np.array_equal(image.framed, PIXELS)
    assert image.placed(values) is values and image.frame_share == 1


def test_maps_of_the_frame_come_back_to_their_place():
    image = GreyImage(PIXELS, frame=(30, 10, 90, 60))
    assert np.array_equal(image.framed, PIXELS[10:60, 30:90])
    placed = image.placed(np.ones((50, 60), np.float32))
    assert placed.shape == PIXELS.shape and placed.dtype == np.float32
    assert placed[10:60, 30:90].all() and placed.sum() == 50 * 60
    assert image.frame_share == 50 * 60 / (80 * 120)


@pytest.mark.parametrize(
    ("spacing", "shape"), [((0.1, 0.2), (80, 240)), ((0.3, 0.2), (120, 120)), ((0.1, 10), (80, 120))]
)
def test_networks_see_square_pixels(spacing, shape):
    image = GreyImage(PIXELS, spacing)
    assert image.framed.shape == shape
    ramp = np.tile(np.linspace(0, 1, shape[1], dtype=np.float32), (shape[0], 1))
    placed = image.placed(ramp)
    assert placed.shape == PIXELS.shape and np.abs(placed - np.linspace(0, 1, 120)).max() < 0.02


def test_reading_finds_the_frame_and_says_so():
    scan = make_phantom("benign", 1).image
    page = np.full((400, 500), 230, np.uint8)
    page[100:324, 50:274] = scan
    image = read_image(page)
    assert image.frame == (50, 100, 274, 324) and np.array_equal(image.framed, scan)
    assert image.notes == () and image.warnings == (image.frame_note,)
    assert "x 50 to 274 and y 100 to 324 of 500 x 400 pixels" in image.frame_note


def test_reading_says_that_pixels_are_not_square(tmp_path):
    path = write_dicom(tmp_path / "scan.dcm", PIXELS, spacing=0.1)
    file = dcmread(path)
    file.SequenceOfUltrasoundRegions[0].PhysicalDeltaX = 0.02
    file.save_as(path)
    image = read_image(path)
    assert image.framed.shape == (80, 240)
    assert any("not square (0.2 mm across, 0.1 mm down)" in note for note in image.notes)


@pytest.mark.parametrize(("ratio", "shape", "note"), [
    ([2, 1], (80, 56), "2 times as high as wide"),
    ([1, 2], (40, 112), "0.5 times as high as wide"),
    (["4,0", "3"], (53, 56), "1.33 times as high as wide"),
    ([1, 1], (40, 56), None),
    ([1], (40, 56), None),
    ([0, 1], (40, 56), None),
    ([500, 1], (40, 56), None),
])  # fmt: skip
def test_a_file_that_tells_the_shape_of_its_pixels_alone_is_stretched(ratio, shape, note):
    dataset = dcmread(io.BytesIO(scan()))
    dataset.add(DataElement("PixelAspectRatio", "IS" if isinstance(ratio[0], int) else "LO", ratio))
    stream = io.BytesIO()
    dataset.save_as(stream)
    image = read_image(stream.getvalue())
    assert image.framed.shape == shape and image.spacing is None and image.pixels.shape == (40, 56)
    assert [n for n in image.notes if "not square" in n] == ([n for n in image.notes if note in n] if note else [])


def test_a_chosen_crop_replaces_what_was_found():
    found = GreyImage(PIXELS, notes=("dark",), frame=(30, 10, 90, 60), frame_note="found")
    chosen = found.cropped((0, 0, 64, 48))
    assert chosen.frame == (0, 0, 64, 48)
    assert chosen.warnings == ("dark", "Only the chosen part was used, x 0 to 64 and y 0 to 48.")
    whole = found.cropped((0, 0, 120, 80))
    assert whole.frame is None and whole.warnings == ("dark",)
    assert with_crop(found, None) is found


@pytest.mark.parametrize("box", [(0, 0, 121, 80), (0, 0, 31, 80), (10, 60, 90, 81), (90, 10, 30, 60)])
def test_a_crop_that_leaves_the_image_or_is_too_small_is_refused(box):
    with pytest.raises(
        InputError, match=r"within the image of 120 x 80 pixels and be at least 32 pixels a side, got x"
    ):
        GreyImage(PIXELS).cropped(box)


@pytest.mark.parametrize("frame", [(0, 0, 121, 80), (-1, 0, 50, 50), (20, 20, 20, 40)])
def test_a_frame_lies_within_its_image(frame):
    with pytest.raises(ValueError, match="frame must lie within 120 x 80 pixels"):
        GreyImage(PIXELS, frame=frame)


@pytest.mark.parametrize("text", ["1,2,30,40", " 1, 2, 30, 40 ", "1 2 30 40", "(1, 2, 30, 40)", "1;2;30;40"])
def test_a_crop_is_read_as_people_write_it(text):
    assert parse_crop(text) == (1, 2, 30, 40)


@pytest.mark.parametrize("text", [None, "", "  ", "\n"])
def test_no_text_is_no_crop(text):
    assert parse_crop(text) is None


@pytest.mark.parametrize(("text", "sentence"), [
    ("1,2,3", "four whole numbers x0, y0, x1, y1 in pixels of the image, got '1,2,3'"),
    ("1,2,3,4,5", "four whole numbers"),
    ("a,b,c,d", "four whole numbers"),
    ("-1,0,50,50", "four whole numbers"),
    ("1.5,2,30,40", "four whole numbers"),
    ("1,,30,40", "four whole numbers"),
    ("30,2,30,40", "x0 below x1 and y0 below y1, got '30,2,30,40'"),
    ("1,40,30,2", "x0 below x1"),
])  # fmt: skip
def test_other_texts_are_refused_with_a_sentence(text, sentence):
    with pytest.raises(InputError, match=sentence):
        parse_crop(text)
