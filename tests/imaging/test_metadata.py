"""Metadata of PNG, JPEG and TIFF files never cost the picture, however damaged they are."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from helpers import picture, png_chunk
from PIL import ExifTags, Image

from busi_demo.imaging import read_image
from busi_demo.imaging.picture import size_of

GREY = picture(1, 60, 80)
LONG = b"x" * 2**21


def png(image: np.ndarray = GREY, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", **options)
    return stream.getvalue()


def with_chunk(content: bytes, more: bytes, before: bytes) -> bytes:
    place = content.index(before) - 4
    return content[:place] + more + content[place:]


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize(
    "more",
    [
        png_chunk(b"tEXt", b"Comment\0lesion", wrong=1),
        png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(LONG)),
        png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(LONG)),
        png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 4\nno hexadecimal digits")),
        png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(LONG)),
        png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(LONG)),
        png_chunk(b"iCCP", b"profile\0\0no zlib stream"),
        png_chunk(b"pHYs", b"\0"),
        png_chunk(b"gAMA", b""),
        png_chunk(b"eXIf", b"no TIFF header"),
        png_chunk(b"acTL", b"\0"),
    ],
)
def test_a_damaged_or_long_chunk_of_a_png_does_not_cost_the_picture(more, before):
    np.testing.assert_array_equal(read_image(with_chunk(png(), more, before)).pixels, GREY)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_damaged_exif_data_do_not_cost_the_picture(form):
    stream = io.BytesIO()
    options = {} if form == "TIFF" else {"exif": b"Exif\0\0no TIFF header"}
    Image.fromarray(GREY).save(stream, form, **options)
    assert read_image(stream.getvalue()).pixels.shape == GREY.shape


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "turned"),
    [(1, GREY), (2, GREY[:, ::-1]), (3, GREY[::-1, ::-1]), (4, GREY[::-1]), (5, GREY.T), (6, GREY[::-1].T),
     (7, GREY[::-1, ::-1].T), (8, GREY.T[::-1])],
)  # fmt: skip
def test_every_orientation_of_exif_is_undone(form, orientation, turned, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "turned"
    Image.fromarray(GREY).save(
        path, form, exif=exif, **({"quality": 100, "lossless": True} if form in ("JPEG", "WEBP") else {})
    )
    pixels = read_image(path).pixels
    assert pixels.shape == size_of(path) == turned.shape
    assert np.abs(pixels.astype(int) - turned).max() <= (8 if form == "JPEG" else 0)


def test_transparency_and_the_frames_of_a_png_stay():
    clear = np.dstack([GREY, np.where(GREY > 99, 255, 0).astype(np.uint8)])
    np.testing.assert_array_equal(read_image(png(clear)).pixels, np.where(GREY > 99, GREY, 0))
    frames = [Image.fromarray(picture(seed, 60, 80)) for seed in (2, 3)]
    assert read_image(png(save_all=True, append_images=frames), 3).frames == 3
