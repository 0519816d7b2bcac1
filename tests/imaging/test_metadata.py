"""Metadata of PNG, JPEG and TIFF files never cost the picture, however damaged they are."""

from __future__ import annotations

import io
import struct
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


def tiff(pixels: np.ndarray, order: str, photometric: int, **more: tuple[int, ...]) -> bytes:
    """An uncompressed TIFF file, little-endian ("<") or big-endian (">"), of an array (H, W); more tags by number."""
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    height, width = pixels.shape
    tags = {256: (width,), 257: (height,), 258: (8 * pixels.itemsize,), 259: (1,), 262: (photometric,),
            273: (0,), 277: (1,), 278: (height,), 279: (len(data),),
            **{int(number[1:]): values for number, values in more.items()}}  # fmt: skip
    place = 8 + 2 + 12 * len(tags) + 4
    tables = b"".join(struct.pack(f"{order}{len(v)}H", *v) for v in tags.values() if len(v) > 2)
    tags[273] = (place + len(tables),)
    entries, table = b"", place
    for number, values in sorted(tags.items()):
        if len(values) > 2:
            entries += struct.pack(f"{order}HHII", number, 3, len(values), table)
            table += 2 * len(values)
        elif len(values) == 2:
            entries += struct.pack(f"{order}HHI2H", number, 3, 2, *values)
        else:
            entries += struct.pack(f"{order}HHII", number, 4, 1, values[0])
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    return head + entries + bytes(4) + tables + data


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("depth", [12, 16])
def test_white_is_zero_of_16_bits_in_either_byte_order(order, depth):
    values = np.rint((255 - GREY.astype(float)) * ((2**depth - 1) / 255)).astype(np.uint16)
    np.testing.assert_array_equal(read_image(tiff(values, order, 0)).pixels, GREY)


@pytest.mark.parametrize("order", "<>")
def test_unsigned_integers_of_32_bits(order):
    values = (GREY.astype(np.uint64) * (2**32 - 1) // int(GREY.max())).astype(np.uint32)
    pixels = read_image(tiff(values, order, 1)).pixels.astype(int)
    assert np.abs(pixels - GREY.astype(float) * 255 / GREY.max()).max() <= 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bytes_of_a_value", [4, 8])
@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_floating_point_values(order, bytes_of_a_value, scale):
    values = (GREY / GREY.max() * scale).astype(f"f{bytes_of_a_value}")
    pixels = read_image(tiff(values, order, 1, t339=(3,))).pixels.astype(int)
    assert np.abs(pixels - GREY.astype(float) * 255 / GREY.max()).max() <= 1


@pytest.mark.parametrize("factor", [1, 257])
def test_a_palette_of_8_or_16_bits(factor):
    content = tiff(GREY, "<", 3, t320=tuple(i * factor for i in [*range(256)] * 3))
    np.testing.assert_array_equal(read_image(content).pixels, GREY)


@pytest.mark.parametrize("factor", [1, 257])
def test_a_palette_beside_transparency(factor):
    pairs = GREY.astype(np.uint16) | np.uint16(255 << 8)  # colour and transparency of a pixel, a byte each
    colours = tuple(i * factor for i in [*range(256)] * 3)
    content = tiff(pairs, "<", 3, t258=(8, 8), t277=(2,), t338=(2,), t320=colours)
    np.testing.assert_array_equal(read_image(content).pixels, GREY)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_a_picture_that_is_all_transparent_is_shown(form):
    stream = io.BytesIO()
    clear = np.dstack([GREY, GREY, GREY, np.zeros_like(GREY)])
    Image.fromarray(clear).save(stream, form, **({"lossless": True, "exact": True} if form == "WEBP" else {}))
    image = read_image(stream.getvalue())
    np.testing.assert_array_equal(image.pixels, GREY)
    assert any("without transparency" in note for note in image.notes)
