"""Reading every supported kind of file, and refusing every other kind with one sentence."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import png_chunk
from PIL import Image, ImageFile

from busi_demo.imaging import GreyImage, picture, read_image, read_mask
from busi_demo.imaging.picture import frames_in
from busi_demo.types import InputError

HEIGHT, WIDTH = 40, 56


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    """uint8 (40, 56) with smooth values over 0 to 255, not symmetric."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.rint((3 * y + x) * 255 / (3 * (HEIGHT - 1) + WIDTH - 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def disc() -> np.ndarray:
    """bool (40, 56), a disc of radius 10 off the centre."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (y - 18) ** 2 + (x - 22) ** 2 < 100


def encode(image: Image.Image | np.ndarray, form: str, **options) -> bytes:
    """The bytes of an image file."""
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, form, **options)
    return stream.getvalue()


def refused(source, *words: str, reader=read_image, **options) -> str:
    """The message with which a source is refused; checks that it is one line and contains all the words."""
    with pytest.raises(InputError) as caught:
        reader(source, **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_8_bit_files_are_read_exactly(grey, form):
    image = read_image(encode(grey, form))
    assert image.pixels.dtype == np.uint8
    np.testing.assert_array_equal(image.pixels, grey)
    assert image.notes == () and image.spacing is None


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_lossy_files_are_read_closely(grey, form):
    pixels = read_image(encode(grey, form, quality=95)).pixels
    assert np.abs(pixels.astype(int) - grey).max() <= 8


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_is_unchanged_in_every_colour_mode(grey, mode):
    image = read_image(encode(Image.fromarray(grey).convert(mode), "PNG"))
    np.testing.assert_array_equal(image.pixels, grey)
    assert image.notes == ()


def test_cmyk_jpeg_is_not_inverted(grey):
    pixels = read_image(encode(Image.fromarray(grey).convert("RGB").convert("CMYK"), "JPEG", quality=95)).pixels
    assert np.abs(pixels.astype(int) - grey).max() <= 12


def test_one_bit_file_becomes_black_and_white(disc):
    np.testing.assert_array_equal(read_image(encode(disc, "PNG")).pixels, np.where(disc, 255, 0))


def test_transparent_parts_become_black(grey):
    alpha = np.full_like(grey, 255)
    alpha[:, :10] = 0
    alpha[:, 10:20] = 128
    pixels = read_image(encode(np.dstack([grey] * 3 + [alpha]), "PNG")).pixels
    assert (pixels[:, :10] == 0).all()
    assert np.abs(pixels[:, 10:20] - grey[:, 10:20] * (128 / 255)).max() <= 1
    np.testing.assert_array_equal(pixels[:, 20:], grey[:, 20:])


def test_transparent_palette_entry_becomes_black(grey):
    assert (read_image(encode(grey, "PNG", transparency=255)).pixels[grey == 255] == 0).all()


@pytest.mark.parametrize(
    ("largest", "full_scale"), [(255, 255), (256, 1023), (1023, 1023), (4000, 4095), (4096, 16383), (65520, 65535)]
)
@pytest.mark.parametrize("form", ["PNG", "TIFF", "array"])
def test_16_bit_values_are_scaled_by_the_smallest_depth_that_holds_them(grey, form, largest, full_scale):
    values = np.rint(grey / 255 * largest).astype(np.uint16)
    image = read_image(values if form == "array" else encode(values, form))
    np.testing.assert_array_equal(image.pixels, np.rint(values * (255 / full_scale)))
    assert len(image.notes) == (full_scale != 255)
    if image.notes:
        assert f"0 to {full_scale}" in image.notes[0]


def test_one_hot_pixel_in_a_12_bit_image_does_not_darken_the_rest(grey):
    values = grey.astype(np.uint16) * 8
    hot = values.copy()
    hot[0, 0] = 4095
    np.testing.assert_array_equal(read_image(hot).pixels[1:], read_image(values).pixels[1:])


def test_float_values_are_scaled_from_lowest_to_highest(grey):
    decibels = grey.astype(np.float32) / 255 * 60 - 60
    image = read_image(encode(decibels, "TIFF"))
    np.testing.assert_array_equal(image.pixels, grey)
    assert "-60 to 0" in image.notes[0]


def test_zero_stays_black_in_a_float_file(grey):
    pixels = read_image(encode(grey.astype(np.float32) / 510 + 0.5, "TIFF")).pixels
    np.testing.assert_allclose(pixels, 127.5 + grey / 2, atol=1)


def test_signed_integers_are_not_wrapped(grey):
    np.testing.assert_array_equal(read_image(encode(grey.astype(np.int32) - 255, "TIFF")).pixels, grey)


def test_nan_is_refused(grey):
    values = grey.astype(np.float32)
    values[3, 3] = np.nan
    refused(encode(values, "TIFF"), "NaN")


def tiff_white_is_zero(values: np.ndarray) -> bytes:
    """A TIFF file of grey values that is marked as WhiteIsZero."""
    content = encode(values, "TIFF")
    tag = (262).to_bytes(2, "little") + b"\x03\0\1\0\0\0"
    assert content.count(tag + b"\1") == 1
    return content.replace(tag + b"\1", tag + b"\0")


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
def test_white_is_zero(grey, depth):
    values = np.rint((255 - grey.astype(float)) * ((2**depth - 1) / 255))
    content = tiff_white_is_zero(values.astype(np.uint8 if depth == 8 else np.uint16))
    np.testing.assert_array_equal(read_image(content).pixels, grey)


def test_white_is_zero_in_floats(grey):
    np.testing.assert_array_equal(read_image(tiff_white_is_zero(255 - grey.astype(np.float32))).pixels, grey)


def png_16(channels: np.ndarray, interlaced: bool = False) -> bytes:
    """A PNG file of uint16 (H, W, 2 to 4): grey and alpha, RGB or RGBA."""
    height, width, count = channels.shape
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in channels)
    kind = {2: 4, 3: 2, 4: 6}[count]
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([16, kind, 0, 0, int(interlaced)])
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(raw))
        + png_chunk(b"IEND", b"")
    )


def test_exif_orientation_of_16_bit_colours_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    colours = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint16).reshape(HEIGHT, WIDTH, 3) * 9
    content = png_16(colours).replace(b"\0\0\0\0IEND", png_chunk(b"eXIf", exif.tobytes()[6:]) + b"\0\0\0\0IEND")
    np.testing.assert_array_equal(read_image(content).pixels, np.rot90(read_image(png_16(colours)).pixels, -1))


def tiff_rgb_16(colours: np.ndarray, order: str, planar: bool = False, before: int = 0) -> bytes:
    """An uncompressed TIFF file of uint16 (H, W, 3). With `before` it is a page for the end of a file of that many
    bytes."""
    height, width, _ = colours.shape
    endian, data = {"<": (b"II", "little"), ">": (b"MM", "big")}[order], colours
    if planar:
        data = colours.transpose(2, 0, 1)
    body = data.astype(f"{order}u2").tobytes()
    start, part = before + 8 + 2 + 11 * 12 + 4, len(body) // 3
    after = start + len(body)
    strips = [start + part * i for i in range(3)] if planar else [start]
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, after), (259, 3, 1, 1), (262, 3, 1, 2),
            (273, 4, len(strips), after + 6 if planar else start), (277, 3, 1, 3), (278, 3, 1, height),
            (279, 4, len(strips), after + 18 if planar else len(body)), (284, 3, 1, 2 if planar else 1),
            (339, 3, 1, 1)]  # fmt: skip
    name, word = endian

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, word)

    # one short value stands in the entry itself
    entries = b"".join(
        number(tag, 2) + number(kind, 2) + number(count, 4)
        + (number(value, 2) + b"\0\0" if (kind, count) == (3, 1) else number(value, 4))
        for tag, kind, count, value in tags
    )  # fmt: skip
    extra = number(16, 2) * 3 + b"".join(number(s, 4) for s in strips) + number(part, 4) * 3
    return name + number(42, 2) + number(8, 4) + number(11, 2) + entries + number(0, 4) + body + extra


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("form", ["PNG RGB", "PNG RGBA", "PNG grey and alpha", "TIFF <", "TIFF >", "TIFF planes"])
def test_colours_of_16_bits_are_scaled_by_the_depth_that_holds_them(grey, form, bits):
    values = np.rint(grey / 255 * (2**bits - 1)).astype(np.uint16)[..., None]
    opaque = np.full_like(values, 65535)
    content = {
        "PNG RGB": lambda: png_16(np.concatenate([values] * 3, axis=2)),
        "PNG RGBA": lambda: png_16(np.concatenate([values] * 3 + [opaque], axis=2)),
        "PNG grey and alpha": lambda: png_16(np.concatenate([values, opaque], axis=2)),
        "TIFF <": lambda: tiff_rgb_16(np.concatenate([values] * 3, axis=2), "<"),
        "TIFF >": lambda: tiff_rgb_16(np.concatenate([values] * 3, axis=2), ">"),
        "TIFF planes": lambda: tiff_rgb_16(np.concatenate([values] * 3, axis=2), "<", planar=True),
    }[form]()
    image = read_image(content)
    assert np.abs(image.pixels.astype(int) - grey).max() <= 1
    assert len(image.notes) == (bits != 8) and all(f"({bits} bits)" in note for note in image.notes)
    assert image.looks_other


@pytest.mark.parametrize("form", ["GIF", "TIFF"])
def test_a_page_by_its_number(grey, form):
    frames = [Image.fromarray(np.roll(grey, i)) for i in range(3)]
    content = encode(frames[0], form, save_all=True, append_images=frames[1:])
    for number in (1, 2, 3):
        image = read_image(content, number)
        np.testing.assert_array_equal(image.pixels, np.asarray(frames[number - 1]))
        assert f"Number {number} of 3" in image.notes[0]
    refused(content, "has 3 frames, expected a number from 1 to 3, got frame 4", frame=4)
    refused(grey, "one frame only", frame=2)


@pytest.mark.parametrize("form", ["GIF", "TIFF"])
def test_first_of_several_frames_is_used_with_a_note(grey, form):
    frames = [Image.fromarray(np.roll(grey, i)) for i in range(3)]
    image = read_image(encode(frames[0], form, save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(image.pixels, grey)
    assert "first of 3" in image.notes[0]


def test_the_previews_of_a_photograph_are_no_pages(grey, tmp_path):
    """A telephone's JPEG of several pictures: the photograph, and smaller ones of it."""
    content = encode(Image.fromarray(grey), "MPO", save_all=True, append_images=[Image.new("L", (16, 16))], quality=98)
    (tmp_path / "a.jpg").write_bytes(content)
    assert Image.open(tmp_path / "a.jpg").n_frames == 2 and frames_in(tmp_path / "a.jpg") == (1, 1)
    image = read_image(content)
    assert image.frames == 1 and not any("frames" in note for note in image.notes)
    assert np.abs(image.pixels.astype(int) - grey).max() <= 6
    refused(content, "one frame only", frame=2)


def test_what_follows_the_end_of_a_png_file_is_not_looked_at(grey):
    plain = encode(Image.fromarray(grey), "PNG")
    for rest in (b"\0" * 2**20, b"\xff" * 99, plain, plain[33:]):
        np.testing.assert_array_equal(read_image(plain + rest).pixels, grey)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "I;16"])
def test_pages_of_a_tiff_file_do_not_take_the_palette_of_another(grey, mode):
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    page = deep if mode == "I;16" else Image.fromarray(grey).convert(mode)
    other = Image.new("RGB", page.size, (9, 8, 7)).quantize(2)
    for pages, number in (([page, other], 1), ([other, page], 2)):
        content = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
        np.testing.assert_array_equal(read_image(content, frame=number).pixels, grey)
        assert (read_image(content, frame=3 - number).pixels == 8).all()


def test_a_page_of_16_bit_colours_does_not_take_the_palette_of_the_page_before(grey):
    first = bytearray(encode(Image.new("RGB", (WIDTH, HEIGHT), (9, 8, 7)).quantize(2), "TIFF"))
    second = tiff_rgb_16(np.dstack([grey.astype(np.uint16) * 257] * 3), "<", before=len(first))
    entries = int.from_bytes(first[4:8], "little")
    after = entries + 2 + 12 * int.from_bytes(first[entries : entries + 2], "little")
    first[after : after + 4] = (len(first) + 8).to_bytes(4, "little")  # where the entries of the second page stand
    np.testing.assert_array_equal(read_image(bytes(first) + second, frame=2).pixels, grey)


def test_doppler_colour_is_reduced_to_luma_with_a_note(grey):
    colour = np.dstack([grey] * 3)
    colour[10:20, 10:20] = (255, 0, 0)
    image = read_image(colour)
    assert (image.pixels[10:20, 10:20] == 76).all()  # 0.299 * 255
    assert "colour" in image.notes[0]


def test_constant_image_is_allowed_with_a_note():
    image = read_image(np.full((HEIGHT, WIDTH), 90, np.uint8))
    assert (image.pixels == 90).all() and "same grey value" in image.notes[0]


def test_dark_image_is_allowed_with_a_note(grey):
    image = read_image(grey // 16)
    assert image.pixels.max() == 15 and "almost black" in image.notes[0]


def test_all_kinds_of_sources_give_the_same_pixels(grey, tmp_path):
    path = tmp_path / "scan (1).png"
    path.write_bytes(encode(grey, "PNG"))
    for source in (path, str(path), path.read_bytes(), Image.open(path), grey, np.dstack([grey] * 3)):
        np.testing.assert_array_equal(read_image(source).pixels, grey)


def test_pixels_can_be_changed_without_changing_the_source(grey):
    pixels = read_image(grey).pixels
    pixels[:] = 0
    assert grey.any()


def test_format_is_recognised_by_content_not_by_name(grey, tmp_path):
    path = tmp_path / "scan.png"
    path.write_bytes(encode(grey, "BMP"))
    np.testing.assert_array_equal(read_image(path).pixels, grey)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_truncated_file_is_refused(form, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    path = tmp_path / "cut.img"
    whole = encode(noise, form)
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, "cut.img")


@pytest.mark.parametrize("content", [b"hello, this is no image", b"%!PS-Adobe-3.0 EPSF-3.0", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_not_an_image_is_refused(content, tmp_path):
    path = tmp_path / "notes.png"
    path.write_bytes(content)
    refused(path, "notes.png", "expected a PNG")


def test_empty_file_missing_file_and_folder_have_different_messages(tmp_path):
    empty = tmp_path / "empty.png"
    empty.touch()
    refused(empty, "empty.png", "0 bytes")
    refused(b"", "0 bytes")
    gone = refused(tmp_path / "gone.png", "gone.png", "does not exist")
    folder = refused(str(tmp_path), tmp_path.name, "is a folder")
    within = refused(empty / "a.png", "a.png cannot be opened (Not a directory)")
    assert not any(str(tmp_path) in sentence for sentence in (gone, folder, within))  # a page may show them
    assert folder.startswith(f"{tmp_path.name} is a folder, expected one file")
    refused("with\0zero.png", "cannot be opened")
    refused(".", ". is a folder")


def test_small_image_is_refused_at_the_documented_side():
    refused(np.zeros((200, 31), np.uint8), "31 x 200", "32")
    assert read_image(np.zeros((200, 32), np.uint8)).pixels.shape == (200, 32)


@pytest.mark.parametrize(("shape", "noted"), [((4000, 33), True), ((33, 4000), True), ((40, 160), False)])
def test_a_very_narrow_image_gets_a_note(shape, noted):
    notes = read_image(np.tile(np.arange(shape[1], dtype=np.uint8), (shape[0], 1))).notes
    assert any(f"strip of {shape[1]} x {shape[0]} pixels" in note for note in notes) is noted


def test_huge_image_is_refused_before_it_is_decoded(monkeypatch, tmp_path):
    def fail(*_):
        raise AssertionError("decoded")

    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(encode(Image.new("1", (8000, 8000)), "PNG"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    refused(bomb, "bomb.png", "25 million")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)  # Pillow's own guard speaks with our words
    refused(bomb, "bomb.png", "25 million")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((50, 50), np.float32),
        np.zeros((50, 50), np.int64),
        np.zeros((50, 50, 3), np.uint16),
        np.zeros((50, 50, 2), np.uint8),
        np.zeros((3, 50, 50), np.uint8),
        np.zeros(50, np.uint8),
        np.zeros((0, 50), np.uint8),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_arrays_of_unknown_range_or_shape_are_refused(array):
    refused(array, str(array.dtype), str(array.shape))


def test_other_types_are_refused():
    refused([1, 2, 3], "list")


def test_grey_image_is_checked_when_it_is_made():
    with pytest.raises(ValueError, match="uint8"):
        GreyImage(np.zeros((40, 40), np.float32))


@pytest.mark.parametrize(
    "make",
    [
        lambda d: d,
        lambda d: d.astype(np.uint8),
        lambda d: d.astype(np.uint8) * 255,
        lambda d: d.astype(np.uint16) * 65535,
        lambda d: np.dstack([d.astype(np.uint8) * 255] * 3),
        lambda d: encode(d, "PNG"),
        lambda d: encode(Image.fromarray(d).convert("RGBA"), "PNG"),
        lambda d: encode(d.astype(np.float32), "TIFF"),
        lambda d: encode(Image.fromarray(d).convert("P"), "GIF"),
        lambda d: encode(Image.fromarray(d).convert("RGB"), "JPEG", quality=80),
    ],
    ids=["bool", "0/1", "0/255", "16-bit", "RGB", "1-bit PNG", "RGBA", "float TIFF", "GIF", "JPEG"],
)
def test_masks_of_every_encoding_are_read_exactly(disc, make):
    mask, notes = read_mask(make(disc), disc.shape)
    assert mask.dtype == np.bool_ and notes == ()
    np.testing.assert_array_equal(mask, disc)


def test_white_with_alpha_is_a_mask(disc):
    rgba = np.full((*disc.shape, 4), 255, np.uint8)
    rgba[..., 3] = disc * 255
    np.testing.assert_array_equal(read_mask(rgba)[0], disc)


def test_soft_edges_are_cut_at_half(disc):
    large = Image.fromarray(disc).convert("L").resize((WIDTH * 4, HEIGHT * 4), Image.Resampling.BILINEAR)
    mask, _ = read_mask(encode(large, "JPEG"))
    assert mask.sum() == pytest.approx(16 * disc.sum(), rel=0.03)
    ramp = np.zeros((HEIGHT, WIDTH), np.uint8)
    ramp[:, :10], ramp[0, 20], ramp[0, 21] = 255, 127, 128
    assert read_mask(ramp)[0][0, 20:22].tolist() == [False, True]


def test_mask_of_another_size_is_resized_by_nearest_neighbour_with_a_note(disc):
    mask, notes = read_mask(disc, (HEIGHT * 2, WIDTH * 2))
    np.testing.assert_array_equal(mask, disc.repeat(2, axis=0).repeat(2, axis=1))
    assert "56 x 40" in notes[0] and "112 x 80" in notes[0]
    assert read_mask(disc, (HEIGHT * 2, WIDTH * 2 + 2))[0].shape == (HEIGHT * 2, WIDTH * 2 + 2)


def test_mask_of_other_proportions_is_refused(disc):
    refused(disc, "56 x 40", "40 x 56", reader=read_mask, shape=(WIDTH, HEIGHT))
    refused(disc, "56 x 40", reader=read_mask, shape=(HEIGHT, WIDTH + 4))


def test_mask_keeps_its_size_if_no_shape_is_given():
    tiny = np.eye(5, dtype=bool)
    np.testing.assert_array_equal(read_mask(tiny)[0], tiny)


def test_empty_mask_is_allowed_with_a_note():
    mask, notes = read_mask(np.zeros((HEIGHT, WIDTH), np.uint8))
    assert not mask.any() and "empty" in notes[0]


def test_an_ultrasound_image_is_refused_as_mask(grey, tmp_path):
    path = tmp_path / "scan.png"
    path.write_bytes(encode(grey, "PNG"))
    refused(path, "scan.png", "not a mask", reader=read_mask)
    small_sector = np.zeros((400, 560), np.uint8)
    small_sector[:HEIGHT, :WIDTH] = grey
    refused(small_sector, "not a mask", reader=read_mask)


def test_label_numbers_are_refused_as_mask(disc):
    refused(disc.astype(np.uint8) * 2, "largest value is 2", reader=read_mask)


def test_mask_errors_name_the_file(tmp_path):
    refused(Path(tmp_path / "gone_mask.png"), "gone_mask.png", "does not exist", reader=read_mask)


def test_reading_opens_no_other_formats(grey):
    refused(encode(grey, "PPM"), "cannot be read as an image")
    assert "EPS" not in picture._FORMATS
