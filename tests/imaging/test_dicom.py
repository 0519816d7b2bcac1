"""DICOM files of every kind that scanners write, made by pydicom and read with `read_image`."""

from __future__ import annotations

import io
import logging
import tracemalloc
import zlib
from collections.abc import Sequence

import imagecodecs
import numpy as np
import pytest
from dicom_files import COLOURS, GREY, LUMA, encoded, region, scan
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space
from pydicom.uid import (
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from busi_demo.imaging import GreyImage, read_image, read_mask
from busi_demo.types import InputError


def refused(content: bytes, *words: str) -> str:
    with pytest.raises(InputError) as caught:
        read_image(content)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message
    return message


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_grey_is_read_exactly(syntax):
    image = read_image(scan(syntax=syntax))
    np.testing.assert_array_equal(image.pixels, GREY)
    assert image.notes == () and image.spacing is None


def test_monochrome1_is_inverted():
    np.testing.assert_array_equal(read_image(scan(kind="MONOCHROME1")).pixels, 255 - GREY)


def test_a_dicom_file_is_recognised_by_its_content(tmp_path):
    path = tmp_path / "IM_0001"  # scanners give no suffix
    path.write_bytes(scan())
    np.testing.assert_array_equal(read_image(path).pixels, GREY)


def test_colour_becomes_luma_with_a_note():
    image = read_image(scan(COLOURS, "RGB"))
    np.testing.assert_array_equal(image.pixels, LUMA)
    assert "colour" in image.notes[0]


@pytest.mark.parametrize(("stored", "held", "allocated"), [
    (12, 12, 16), (16, 12, 16), (16, 10, 16), (16, 16, 16), (16, 8, 16), (32, 16, 32), (32, 12, 32),
])  # fmt: skip
def test_spare_bits_in_colour(stored, held, allocated):
    colours = (COLOURS.astype(np.uint64) * (2**held - 1) // COLOURS.max()).astype(f"uint{allocated}")
    image = read_image(scan(colours, "RGB", BitsStored=stored, HighBit=stored - 1))
    expected = np.array(Image.fromarray(np.rint(colours * (255 / (2**held - 1))).astype(np.uint8)).convert("L"))
    assert np.array_equal(image.pixels, expected)
    assert any("bits a colour" in note for note in image.notes) == (stored != held)


def test_compressed_colours_of_more_bits_than_the_header_says():
    colours = COLOURS.astype(np.uint16) * 257
    data = encapsulate([imagecodecs.jpeg2k_encode(colours, level=0)])
    file = scan(data, "RGB", JPEG2000Lossless, BitsAllocated=16, BitsStored=12, HighBit=11)
    assert np.array_equal(read_image(file).pixels, LUMA)


def test_colours_of_many_bits_need_no_table_of_them():
    tracemalloc.start()
    try:
        image = read_image(scan(COLOURS.astype(np.uint32) << 23, "RGB", BitsStored=31, HighBit=30))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.abs(image.pixels.astype(int) - LUMA).max() <= 1 and peak < 20e6


def test_a_dark_frame_of_a_palette_stays_dark():
    """The whole table tells how many bits it uses."""
    dark, ramp = GREY // 8, (np.arange(256) * 257).astype(np.uint16)
    assert np.array_equal(read_image(scan(dark, "PALETTE COLOR", **palette([ramp] * 3))).pixels, dark)


def palette(ramps: Sequence[np.ndarray]) -> dict[str, object]:
    """The tags of a palette of red, green and blue."""
    tags: dict[str, object] = {}
    for colour, ramp in zip(("Red", "Green", "Blue"), ramps, strict=True):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 8 * ramp.itemsize]
        tags[f"{colour}PaletteColorLookupTableData"] = ramp.tobytes()
    return tags


def test_colour_by_plane():
    planes = np.ascontiguousarray(COLOURS.transpose(2, 0, 1))
    np.testing.assert_array_equal(read_image(scan(planes, "RGB", PlanarConfiguration=1)).pixels, LUMA)


def test_ybr_full():
    ybr = convert_color_space(COLOURS, "RGB", "YBR_FULL")
    assert np.abs(read_image(scan(ybr, "YBR_FULL")).pixels - LUMA).max() <= 2


def test_ybr_full_422_has_one_colour_for_two_pixels():
    ybr = convert_color_space(np.dstack([GREY] * 3), "RGB", "YBR_FULL")
    pairs = np.concatenate([ybr[:, ::2, :1], ybr[:, 1::2, :1], ybr[:, ::2, 1:]], axis=2)  # Y1 Y2 Cb Cr
    image = read_image(scan(np.ascontiguousarray(pairs), "YBR_FULL_422"))
    assert np.abs(image.pixels.astype(int) - GREY).max() <= 1 and image.notes == ()


@pytest.mark.parametrize(("dtype", "factor"), [(np.uint8, 1), (np.uint16, 257)])
def test_palette_colours_are_looked_up(dtype, factor):
    tags = palette([(np.roll(np.arange(256)[::-1], i) * factor).astype(dtype) for i in range(3)])
    shown = np.dstack([np.roll(np.arange(256)[::-1], i).astype(np.uint8)[GREY] for i in range(3)])
    expected = np.array(Image.fromarray(shown).convert("L"))
    np.testing.assert_array_equal(read_image(scan(GREY, "PALETTE COLOR", **tags)).pixels, expected)


def test_the_full_scale_is_that_of_the_stored_bits():
    values = GREY.astype(np.uint16) * 2  # of 4095
    pixels = read_image(scan(values, BitsStored=12, HighBit=11)).pixels
    np.testing.assert_array_equal(pixels, np.rint(values * (255 / 4095)))


def test_signed_and_rescaled_values():
    signed = GREY.astype(np.int16) - 128
    tags = {"BitsAllocated": 16, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 1}
    np.testing.assert_array_equal(read_image(scan(signed, **tags)).pixels, GREY)
    np.testing.assert_array_equal(read_image(scan(signed, RescaleSlope=3, RescaleIntercept=50, **tags)).pixels, GREY)


def test_the_window_is_applied():
    # DICOM PS3.3 C.11.2.1.2.1: a window of 101 about 100 shows 50 (99.5 - 50, rounded up) as black and 150 as white
    pixels = read_image(scan(WindowCenter=[100, 30], WindowWidth=[101, 5])).pixels.astype(int)
    assert (pixels[GREY <= 49] == 0).all() and (pixels[GREY >= 150] == 255).all()
    inside = (GREY > 49) & (GREY < 150)
    np.testing.assert_allclose(pixels[inside], (GREY[inside] - 49.5) / 100 * 255, atol=0.5)


def test_a_negative_slope_inverts_the_stored_values():
    tags = {"RescaleSlope": -1, "RescaleIntercept": 300}
    np.testing.assert_array_equal(read_image(scan(**tags)).pixels, 255 - GREY)
    # of the values 300 - GREY the window shows 150 and below as black, 250 and above as white
    pixels = read_image(scan(WindowCenter=200, WindowWidth=100, VOILUTFunction="LINEAR_EXACT", **tags)).pixels
    assert (pixels[GREY >= 150] == 0).all() and (pixels[GREY <= 50] == 255).all()
    inside = (GREY > 50) & (GREY < 150)
    np.testing.assert_allclose(pixels[inside], (150 - GREY[inside].astype(int)) / 100 * 255, atol=0.5)


def test_an_exact_window_may_be_narrower_than_one():
    pixels = read_image(scan(WindowCenter=99.5, WindowWidth=0.5, VOILUTFunction="LINEAR_EXACT")).pixels
    np.testing.assert_array_equal(pixels, np.where(GREY >= 100, 255, 0))


@pytest.mark.parametrize("window", [
    {"WindowCenter": 0, "WindowWidth": 0}, {"WindowCenter": None, "WindowWidth": None}, {"WindowWidth": 50},
    {"WindowCenter": 50}, {"WindowCenter": 50, "WindowWidth": 0.5},
    {"WindowCenter": 50, "WindowWidth": 50, "VOILUTFunction": "CUBIC"}, {"WindowCenter": 1, "WindowWidth": 1},
    {"WindowCenter": 127, "WindowWidth": 1}, {"WindowCenter": 2048, "WindowWidth": 4096},
])  # fmt: skip
def test_an_invalid_window_is_ignored(window):
    np.testing.assert_array_equal(read_image(scan(**window)).pixels, GREY)


def test_a_voi_table_is_applied():
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 8], np.arange(256, dtype=np.uint8)[::-1].tobytes()
    table["LUTData"].VR = "OW"
    table.LUTData = np.arange(256, dtype="<u2")[::-1].tobytes()
    np.testing.assert_array_equal(read_image(scan(VOILUTSequence=[table])).pixels, 255 - GREY)


@pytest.mark.parametrize(("frames", "middle"), [(2, 1), (5, 2)])
def test_the_middle_frame_is_used_with_a_note(frames, middle):
    loop = np.stack([np.roll(GREY, i) for i in range(frames)])
    image = read_image(scan(loop, NumberOfFrames=frames))
    np.testing.assert_array_equal(image.pixels, loop[middle])
    assert f"{frames} frames" in image.notes[0] and f"number {middle + 1}" in image.notes[0]


def test_jpeg_baseline():
    image = read_image(scan(encoded("JPEG", quality=95), syntax=JPEGBaseline8Bit))
    assert np.abs(image.pixels.astype(int) - GREY).max() <= 6
    image = read_image(scan(encoded("JPEG", COLOURS, quality=95), "YBR_FULL_422", JPEGBaseline8Bit))
    assert np.abs(image.pixels - LUMA).mean() <= 2


def test_jpeg_2000():
    content = scan(encoded("JPEG2000", no_jp2=True, irreversible=False), syntax=JPEG2000Lossless)
    np.testing.assert_array_equal(read_image(content).pixels, GREY)


def test_run_length_coding():
    def row(values: bytes) -> bytes:
        return bytes([len(values) - 1]) + values  # PackBits, a literal run

    body = b"".join(row(line.tobytes()) for line in GREY)
    header = np.array([1, 64] + [0] * 14, dtype="<u4").tobytes()
    np.testing.assert_array_equal(read_image(scan(encapsulate([header + body]), syntax=RLELossless)).pixels, GREY)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, MPEG4HP41])
def test_an_unsupported_encoding_is_named(syntax):
    refused(scan(encapsulate([b"\0" * 100]), syntax=syntax), syntax.name, "export it")


def test_a_deflated_file_is_not_unpacked(monkeypatch):
    content = scan(syntax=DeflatedExplicitVRLittleEndian)

    def fail(*_, **__):
        raise AssertionError("unpacked")

    monkeypatch.setattr(zlib, "decompress", fail)
    refused(content, "Deflated")


def test_ultrasound_regions_give_the_spacing():
    image = read_image(scan(SequenceOfUltrasoundRegions=[region(0.02, -0.03)], PixelSpacing=[9, 9]))
    assert image.spacing == pytest.approx((0.3, 0.2))  # cm -> mm, (row, column)


def test_the_spacing_is_that_of_the_largest_region_with_a_note_on_others():
    image = read_image(scan(SequenceOfUltrasoundRegions=[region(0.1, 0.1, 20), region(0.02, 0.02, 50)]))
    assert image.spacing == pytest.approx((0.2, 0.2))
    assert "different scales" in image.notes[0]
    assert read_image(scan(SequenceOfUltrasoundRegions=[region(0.02, 0.02), region(0.02, 0.02, 20)])).notes == ()


@pytest.mark.parametrize("tags", [
    {"PhysicalUnitsXDirection": 4},  # seconds
    {"RegionSpatialFormat": 2},  # M mode
    {"PhysicalDeltaX": 0.0},
])  # fmt: skip
def test_a_region_without_lengths_is_ignored(tags):
    content = scan(SequenceOfUltrasoundRegions=[region(0.02, 0.02, **tags)], PixelSpacing=[0.4, 0.5])
    assert read_image(content).spacing == (0.4, 0.5)


def test_pixel_spacing_has_priority_over_imager_pixel_spacing():
    assert read_image(scan(PixelSpacing=[0.1, 0.2], ImagerPixelSpacing=[9, 9])).spacing == (0.1, 0.2)
    assert read_image(scan(ImagerPixelSpacing=[0.3, 0.2])).spacing == (0.3, 0.2)
    assert read_image(scan(PixelSpacing=[0, 0.2])).spacing is None


def test_print_resolutions_are_ignored():
    for form in ("PNG", "JPEG", "TIFF"):
        stream = io.BytesIO()
        Image.fromarray(GREY).save(stream, form, dpi=(300, 300))
        assert read_image(stream.getvalue()).spacing is None


def test_no_patient_data_is_passed_on(capfd, caplog):
    caplog.set_level(logging.DEBUG)
    image = read_image(scan(StudyDate="Doe, not a date", BurnedInAnnotation="YES"))
    assert isinstance(image, GreyImage) and "burnt into" in image.notes[0]
    content = scan(StudyDate="Doe, not a date")
    message = refused(content[: len(content) - 500], "damaged DICOM")
    for text in (repr(image), message, caplog.text, *capfd.readouterr()):
        assert "Doe" not in text and "4711" not in text


def test_a_file_without_a_picture_is_refused():
    content = scan()
    refused(content[: content.index(b"\xe0\x7f\x10\x00")], "without a picture")
    refused(scan(PhotometricInterpretation="CMYK"), "colours")
    refused(b"\0" * 128 + b"DICM" + b"\xff" * 50, "damaged DICOM")
    refused(scan(Rows=60000, Columns=60000), "25 million")


def test_a_mask_may_be_dicom():
    mask = GREY > 128
    np.testing.assert_array_equal(read_mask(scan(mask.astype(np.uint8) * 255), mask.shape)[0], mask)
