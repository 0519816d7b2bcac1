"""DICOM files that contradict themselves, or lack what is only of use beside the picture: it is shown all the same."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import suppress

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicom_files import COLOURS, GREY, LUMA, encoded, region, scan
from helpers import picture
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import convert_color_space
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from busi_demo.imaging import read_image
from busi_demo.types import InputError

GREY_RGB = np.dstack([GREY] * 3)


def edited(content: bytes, change: Callable[[Dataset], object]) -> bytes:
    """A DICOM file with a change that `scan` cannot make."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    change(dataset)
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def compressed(pixels: np.ndarray, syntax: UID, **options: object) -> bytes:
    """One frame, uint8 or 12 bits in uint16, without loss or nearly so."""
    bits = {"bitspersample": 12} if pixels.itemsize == 2 else {}
    if syntax in (JPEGLSLossless, JPEGLSNearLossless):
        return imagecodecs.jpegls_encode(pixels, level=2 * (syntax == JPEGLSNearLossless))
    if syntax in (JPEG2000Lossless, JPEG2000):
        loss = {"level": 60} if syntax == JPEG2000 else {"reversible": True}
        return imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", **bits, **loss)
    if syntax in (JPEGLossless, JPEGLosslessSV1):
        colour = {"colorspace": "RGB", "outcolorspace": "RGB"} if pixels.ndim == 3 else {}
        predictor = 1 if syntax == JPEGLosslessSV1 else 4
        return imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor, **bits, **colour, **options)
    return imagecodecs.jpeg8_encode(pixels, level=98, **bits)


def recoded(pixels: np.ndarray, syntax: UID, **tags: object) -> bytes:
    """A file with a compressed frame."""
    kind = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if syntax == RLELossless:
        return edited(scan(pixels, kind, **tags), lambda dataset: dataset.compress(RLELossless))
    content = scan(encapsulate([compressed(pixels, syntax)]), kind, syntax, **tags)
    if pixels.itemsize == 1:
        return content
    return edited(content, lambda dataset: dataset.update({"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}))


def with_text(content: bytes, keyword: str, text: bytes) -> bytes:
    """A file whose decimal attribute holds this text, which pydicom would refuse to write."""
    placeholder = "9876543210123456"[: max(4, len(text) + len(text) % 2)]
    changed = edited(content, lambda dataset: setattr(dataset, keyword, placeholder))
    assert changed.count(placeholder.encode()) == 1
    return changed.replace(placeholder.encode(), text.ljust(len(placeholder)))


def without(content: bytes, *keywords: str) -> bytes:
    return edited(content, lambda dataset: [delattr(dataset, keyword) for keyword in keywords])


@pytest.mark.parametrize("spacing", [b"0,25\\0,25", b"0,25 \\ 0,25", b"0.25\\0,25"])
def test_decimal_commas_in_the_spacing(spacing):
    image = read_image(with_text(scan(), "PixelSpacing", spacing))
    np.testing.assert_array_equal(image.pixels, GREY)
    assert image.spacing == (0.25, 0.25)


@pytest.mark.parametrize("keyword", ["WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "PixelSpacing",
                                     "ImagerPixelSpacing"])  # fmt: skip
@pytest.mark.parametrize("text", [b"abcdefg", b"nan", b"inf\\1", b"1,5,3\\0", b"1e999"])
def test_numbers_that_are_none_do_not_cost_the_picture(keyword, text):
    image = read_image(with_text(scan(), keyword, text))
    np.testing.assert_array_equal(image.pixels, GREY)
    assert image.spacing is None


def test_decimal_commas_in_the_window():
    content = with_text(with_text(scan(), "WindowCenter", b"100,0"), "WindowWidth", b"101,000")
    np.testing.assert_array_equal(
        read_image(content).pixels, read_image(scan(WindowCenter=100, WindowWidth=101)).pixels
    )


@pytest.mark.parametrize("window", [(-5000, 100), (5000, 10), (0, 1e30), (1e30, 100)])
def test_a_window_that_shows_nothing_is_ignored_with_a_note(window):
    image = read_image(scan(WindowCenter=window[0], WindowWidth=window[1]))
    np.testing.assert_array_equal(image.pixels, GREY)
    assert "brightness settings" in image.notes[0]


def test_damaged_tables_are_ignored_with_a_note():
    table = Dataset()
    table.LUTDescriptor = [256, 0, 8]  # without LUTData
    for keyword in ("VOILUTSequence", "ModalityLUTSequence"):
        image = read_image(scan(**{keyword: [table]}))
        np.testing.assert_array_equal(image.pixels, GREY)
        assert "brightness settings" in image.notes[0]


@pytest.mark.parametrize("lacks", ["PhysicalDeltaX", "PhysicalDeltaY", "PhysicalUnitsXDirection"])
def test_an_incomplete_region_does_not_hide_a_good_one(lacks):
    broken = region(0.02, 0.02)
    delattr(broken, lacks)
    alone = read_image(scan(SequenceOfUltrasoundRegions=[broken]))
    np.testing.assert_array_equal(alone.pixels, GREY)
    assert alone.spacing is None
    for regions in ([broken, region(0.03, 0.03, 20)], [region(0.03, 0.03, 20), broken]):
        assert read_image(scan(SequenceOfUltrasoundRegions=regions)).spacing == pytest.approx((0.3, 0.3))


def test_a_region_without_its_place_has_a_scale_but_no_priority():
    placeless = region(0.03, 0.03)
    del placeless.RegionLocationMaxX1
    assert read_image(scan(SequenceOfUltrasoundRegions=[placeless])).spacing == pytest.approx((0.3, 0.3))
    both = [placeless, region(0.02, 0.02, 20)]
    assert read_image(scan(SequenceOfUltrasoundRegions=both)).spacing == pytest.approx((0.2, 0.2))


@pytest.mark.parametrize("delta", [float("nan"), float("inf"), 0.0, 1.0, 1e-9])
def test_the_scale_of_a_region_must_be_plausible(delta):
    regions = [region(delta, delta), region(0.03, 0.03, 20)]
    assert read_image(scan(SequenceOfUltrasoundRegions=regions)).spacing == pytest.approx((0.3, 0.3))
    assert read_image(scan(SequenceOfUltrasoundRegions=regions[:1], PixelSpacing=[0.2, 0.2])).spacing == (0.2, 0.2)
    assert read_image(scan(SequenceOfUltrasoundRegions=regions[:1])).spacing is None


@pytest.mark.parametrize(
    ("spacing", "words"),
    [([1, 1], "no scale"), ([50, 50], "50 x 50 mm"), ([0.001, 0.001], "0.001"), ([0.1, 1.2], "1.2")],
)
def test_placeholders_and_absurd_spacings_are_ignored_with_a_note(spacing, words):
    image = read_image(scan(PixelSpacing=spacing))
    assert image.spacing is None and len(image.notes) == 1 and words in image.notes[0]


@pytest.mark.parametrize(("spacing", "known"), [([0, 0], None), ([-1, 0.2], None), ([0.3], None)])
def test_a_spacing_that_says_nothing_needs_no_note(spacing, known):
    image = read_image(scan(PixelSpacing=spacing))
    assert image.spacing is known and image.notes == ()


@pytest.mark.parametrize("announced", [10, 3])
def test_fewer_frames_than_announced(announced):
    image = read_image(scan(encoded("JPEG", quality=95), syntax=JPEGBaseline8Bit, NumberOfFrames=announced))
    assert np.abs(image.pixels.astype(int) - GREY).max() <= 6
    assert f"announces {announced} frames, but holds 1" in image.notes[0]
    loop = np.stack([GREY, np.roll(GREY, 1)])
    image = read_image(scan(loop, NumberOfFrames=announced))
    np.testing.assert_array_equal(image.pixels, loop[1])
    assert "holds 2" in image.notes[0] and "middle one of 2" in image.notes[1]


@pytest.mark.parametrize("announced", [b"0", b"-3", b"many", b""])
def test_a_frame_count_that_is_none(announced):
    image = read_image(with_text(scan(), "NumberOfFrames", announced) if announced else scan(NumberOfFrames=None))
    np.testing.assert_array_equal(image.pixels, GREY)


def test_more_compressed_frames_than_announced():
    frames = [jpeg(np.roll(GREY, i)) for i in range(3)]
    image = read_image(scan(encapsulate(frames), syntax=JPEGBaseline8Bit))
    assert np.abs(image.pixels.astype(int) - np.roll(GREY, 1)).max() <= 6
    assert "middle one of 3 frames" in image.notes[0]


@pytest.mark.parametrize("offsets", [True, False])
def test_frames_in_several_fragments(offsets):
    frames = [jpeg(np.roll(GREY, i)) for i in range(3)]
    content = scan(encapsulate(frames, 3, has_bot=offsets), syntax=JPEGBaseline8Bit, NumberOfFrames=3)
    for number in (1, 2, 3):
        shown = read_image(content, number).pixels.astype(int)
        assert np.abs(shown - np.roll(GREY, number - 1)).max() <= 6


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def stripped(content: bytes) -> bytes:
    """A JPEG file without its APP0 segment."""
    assert content[2:4] == b"\xff\xe0"
    return content[:2] + content[4 + int.from_bytes(content[4:6], "big") :]


def unnamed(content: bytes) -> bytes:
    """A JPEG file in which neither a marker nor the names of the components tell what they are."""
    if content[2:4] in (b"\xff\xe0", b"\xff\xee"):
        content = content[:2] + content[4 + int.from_bytes(content[4:6], "big") :]
    for component, byte in zip(b"RGB", b"\1\2\3", strict=True):
        for following in (b"\x11", b"\0"):
            content = content.replace(bytes([component]) + following, bytes([byte]) + following)
    return content


def test_the_data_decide_about_a_wrong_colour_label():
    """JPEG: YCbCr with every label, with and without a marker, with whole and half colour resolution."""
    for label in ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "MONOCHROME2"):
        for sampling in ("4:4:4", "4:2:0"):
            coded = jpeg(GREY_RGB, subsampling=sampling)
            for data in (coded, stripped(coded)):
                samples = {"SamplesPerPixel": 3, "PlanarConfiguration": 0}
                image = read_image(scan(encapsulate([data]), label, JPEGBaseline8Bit, **samples))
                assert np.abs(image.pixels.astype(int) - GREY).max() <= 6, (label, sampling)


@pytest.mark.parametrize("label", ["RGB", "YBR_FULL_422"])
def test_jpeg_that_holds_rgb(label):
    stream = io.BytesIO()
    Image.fromarray(GREY_RGB).save(stream, "JPEG", quality=95, keep_rgb=True)
    for coded in (stream.getvalue(), unnamed(stream.getvalue())):
        image = read_image(scan(encapsulate([coded]), label, JPEGBaseline8Bit))
        assert np.abs(image.pixels.astype(int) - GREY).max() <= 6


@pytest.mark.parametrize("label", ["RGB", "YBR_RCT", "YBR_ICT", "YBR_FULL"])
def test_jpeg_2000_with_a_wrong_colour_label(label):
    data = encoded("JPEG2000", COLOURS, no_jp2=True, irreversible=False, mct=1)
    np.testing.assert_allclose(read_image(scan(data, label, JPEG2000Lossless)).pixels, LUMA, atol=1)


@pytest.mark.parametrize(("label", "pixels", "expected"), [
    ("RGB", GREY, GREY), ("YBR_FULL", GREY, GREY), ("MONOCHROME2", COLOURS, LUMA), ("", GREY, GREY)])  # fmt: skip
def test_a_label_that_contradicts_the_number_of_samples(label, pixels, expected):
    samples = {"SamplesPerPixel": 3 if pixels.ndim == 3 else 1, "PlanarConfiguration": 0}
    np.testing.assert_array_equal(read_image(scan(pixels, label or "MONOCHROME2", **samples)).pixels, expected)
    if not label:
        np.testing.assert_array_equal(read_image(without(scan(), "PhotometricInterpretation")).pixels, GREY)


def test_depths_that_are_missing_are_the_usual_ones():
    lacking = without(scan(), "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel")
    np.testing.assert_array_equal(read_image(lacking).pixels, GREY)
    np.testing.assert_array_equal(read_image(without(scan(COLOURS, "RGB"), "PlanarConfiguration")).pixels, LUMA)


@pytest.mark.parametrize("lacking", [("BitsAllocated",), ("BitsAllocated", "BitsStored"), ("BitsAllocated", "HighBit"),
                                     ("BitsAllocated", "BitsStored", "HighBit")])  # fmt: skip
@pytest.mark.parametrize("count", [1, 3])
def test_a_missing_depth_of_16_bits_is_told_by_the_rest(lacking, count):
    deep = np.stack([np.roll(GREY, i) for i in range(count)]).astype(np.uint16) * 16
    frames = {"NumberOfFrames": count} if count > 1 else {}
    whole = scan(deep if count > 1 else deep[0], BitsStored=12, HighBit=11, **frames)
    assert pydicom.dcmread(io.BytesIO(whole)).BitsAllocated == 16
    for number in range(1, count + 1):
        shown = read_image(without(whole, *lacking), number if count > 1 else None)
        assert shown.pixels.shape == GREY.shape
        assert np.corrcoef(shown.pixels.ravel(), np.roll(GREY, number - 1).ravel())[0, 1] > 0.999


@pytest.mark.parametrize(("pixels", "syntax"), [
    (GREY, JPEGBaseline8Bit), (GREY.astype(np.uint16) * 16, JPEGExtended12Bit)])  # fmt: skip
def test_jpeg_with_loss_has_no_signed_samples(pixels, syntax):
    """A file whose header calls them signed is shown as one whose header does not."""
    plain = recoded(pixels, syntax)
    called_signed = edited(plain, lambda dataset: setattr(dataset, "PixelRepresentation", 1))
    for tags in ({}, {"WindowCenter": GREY.mean() * (16 if pixels.itemsize == 2 else 1), "WindowWidth": 64}):
        shown, expected = (
            read_image(edited(content, lambda dataset, tags=tags: dataset.update(tags))).pixels
            for content in (called_signed, plain)
        )
        np.testing.assert_array_equal(shown, expected)


def test_the_size_is_that_of_the_compressed_data():
    content = scan(encoded("JPEG", quality=95), syntax=JPEGBaseline8Bit, Rows=50, Columns=10)
    assert read_image(content).pixels.shape == GREY.shape
    bomb = encapsulate([jpeg(np.zeros((8, 8), np.uint8)).replace(b"\x00\x08\x00\x08", b"\xea\x60\xea\x60", 1)])
    with pytest.raises(InputError, match="25 million"):
        read_image(scan(bomb, syntax=JPEGBaseline8Bit))


@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless,
                                    JPEG2000Lossless, JPEG2000, RLELossless, JPEGExtended12Bit])  # fmt: skip
@pytest.mark.parametrize("kind", ["grey", "colour", "12 bits"])
def test_every_compression_opens(syntax, kind):
    pixels = {"grey": GREY, "colour": COLOURS, "12 bits": GREY.astype(np.uint16) * 16}[kind]
    tags = {"BitsStored": 12, "HighBit": 11} if kind == "12 bits" else {}
    plain = scan(pixels, "RGB" if kind == "colour" else "MONOCHROME2", **tags)
    shown = read_image(recoded(pixels, syntax, **tags)).pixels.astype(int)
    lossy = 6 if syntax in (JPEG2000, JPEGLSNearLossless, JPEGExtended12Bit) else 1
    assert np.abs(shown - read_image(plain).pixels).max() <= lossy


def test_lossless_jpeg_in_ybr():
    ybr = convert_color_space(COLOURS, "RGB", "YBR_FULL")
    content = scan(encapsulate([unnamed(compressed(ybr, JPEGLosslessSV1))]), "YBR_FULL", JPEGLosslessSV1)
    assert np.abs(read_image(content).pixels.astype(int) - LUMA).max() <= 2


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless])
def test_signed_values_in_a_compression(syntax):
    signed = (GREY.astype(np.int16) - 128) * 16
    coded = encapsulate([compressed((signed & 0xFFF).astype(np.uint16), syntax)])
    tags = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 1}
    shown = read_image(edited(scan(coded, syntax=syntax), lambda dataset: dataset.update(tags)))
    assert np.abs(shown.pixels.astype(int) - GREY).max() <= 1


def test_the_data_decide_about_a_wrong_transfer_syntax():
    data = recoded(GREY, JPEGLosslessSV1)
    lied = edited(data, lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", JPEGBaseline8Bit))
    np.testing.assert_array_equal(read_image(lied).pixels, GREY)
    plain = bytes(scan()).replace(str(ExplicitVRLittleEndian).encode(), b"1.2.840.10008.1.2.5")
    np.testing.assert_array_equal(read_image(plain).pixels, GREY)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("keep", ["nothing", "zeros", "mark", "meta", "zeros and meta"])
def test_a_file_without_preamble_mark_or_meta_information(syntax, keep):
    source = pydicom.dcmread(io.BytesIO(scan()))
    source.ImageType = ["DERIVED", "SECONDARY", *(f"VALUE {number:09d}" for number in range(20))]
    source.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, source, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    whole = stream.getvalue()
    if keep in ("nothing", "zeros"):
        bare = io.BytesIO()
        source.preamble = None
        del source.file_meta
        pydicom.dcmwrite(bare, source, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
        content = bytes(128 if keep == "zeros" else 0) + bare.getvalue()
        assert content[128:132] != b"DICM"
    else:
        content = {"mark": whole[128:], "meta": whole[132:], "zeros and meta": bytes(128) + whole[132:]}[keep]
    np.testing.assert_array_equal(read_image(content).pixels, GREY)


def test_a_directory_file_says_what_it_is():
    directory = Dataset()
    directory.FileSetID = "SET"
    directory.DirectoryRecordSequence = []
    stream = io.BytesIO()
    directory.file_meta = pydicom.dataset.FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    pydicom.dcmwrite(stream, directory, enforce_file_format=True)
    with pytest.raises(InputError, match="table of contents of a DICOM folder"):
        read_image(stream.getvalue())


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_frame_by_its_number(number):
    loop = np.stack([np.roll(GREY, i) for i in range(5)])
    image = read_image(scan(loop, NumberOfFrames=5), number)
    np.testing.assert_array_equal(image.pixels, loop[number - 1])
    assert f"number {number}" in image.notes[0] and "middle" not in image.notes[0]


@pytest.mark.parametrize("number", [0, 6, -1])
def test_a_frame_that_is_not_there(number):
    loop = np.stack([GREY] * 5)
    with pytest.raises(InputError, match=rf"has 5 frames, expected a number from 1 to 5, got frame {number}: give"):
        read_image(scan(loop, NumberOfFrames=5), number)
    with pytest.raises(InputError, match="has one frame only, expected 1, got frame 6"):
        read_image(scan(), 6)


def test_the_header_holds_codes_and_no_names():
    image = read_image(scan(Modality="US", BodyPartExamined="breast"))
    assert image.header == {"Modality": "US", "BodyPartExamined": "BREAST", "PhotometricInterpretation": "MONOCHROME2"}
    assert read_image(scan(Modality="Doe^Jane")).header == {"PhotometricInterpretation": "MONOCHROME2"}
    assert read_image(picture(1)).header == {}


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless, JPEGBaseline8Bit])
def test_damaged_compressed_data_get_a_sentence(syntax):
    whole = recoded(GREY, syntax)
    generator = np.random.default_rng(0)
    start = whole.index(b"\xfe\xff\x00\xe0")
    for _ in range(30):
        content = bytearray(whole)
        for place in generator.integers(start, len(whole), 3):
            content[place] = generator.integers(256)
        try:
            read_image(bytes(content))
        except InputError as error:
            assert "\n" not in str(error)
    for cut in range(start, len(whole), 50):
        try:
            read_image(whole[:cut])
        except InputError as error:
            assert "\n" not in str(error)


def test_boxes_that_lead_nowhere_do_not_hold_the_reader_up():
    """A box of JPEG 2000 without a length, on which pydicom would stand still."""
    stream = io.BytesIO()
    Image.fromarray(GREY).save(stream, "JPEG2000")
    boxed = bytearray(stream.getvalue())
    boxed[12:16] = bytes(4)
    image = read_image(scan(encapsulate([bytes(boxed)]), syntax=JPEG2000Lossless))
    np.testing.assert_array_equal(image.pixels, GREY)


def test_jpeg_ls_that_is_cut_short_is_refused_at_once():
    whole = imagecodecs.jpegls_encode(GREY)
    start = time.process_time()
    for length in range(len(whole) - 700, len(whole) - 2, 35):
        with pytest.raises(InputError, match="damaged DICOM file"):
            read_image(scan(encapsulate([whole[:length]]), syntax=JPEGLSLossless))
    assert time.process_time() - start < 8  # CharLS alone takes up to 20 for one


@pytest.mark.parametrize("label", ["MONOCHROME", "GRAYSCALE", "PALETTE COLOR", "HSV", "monochrome2 "])
def test_a_wrong_label_of_one_sample_a_pixel_is_grey(label):
    content = edited(scan(), lambda dataset: setattr(dataset, "PhotometricInterpretation", label))
    np.testing.assert_array_equal(read_image(content).pixels, GREY)


WIDE = (GREY.astype(np.uint32) * 4095 // 255).astype(np.uint16)
"""`GREY` in 12 bits."""


@pytest.mark.parametrize("declared", [8, 12, 16])
@pytest.mark.parametrize(("data", "syntax"), [
    (imagecodecs.jpeg2k_encode(WIDE, level=0, bitspersample=12), JPEG2000Lossless),
    (imagecodecs.jpegls_encode(WIDE), JPEGLSLossless),
    (imagecodecs.ljpeg_encode(WIDE, bitspersample=12), JPEGLosslessSV1),
])  # fmt: skip
def test_compressed_data_tell_how_many_bits_they_use(data, syntax, declared):
    allocated = 8 if declared == 8 else 16
    tags = {"BitsAllocated": allocated, "BitsStored": declared, "HighBit": declared - 1}
    close(scan(encapsulate([data]), syntax=syntax, **tags), GREY)


def test_spare_bits_of_grey_values_are_left_out_with_a_note():
    image = read_image(scan(WIDE))
    assert np.abs(image.pixels.astype(int) - GREY).max() <= 1
    assert any("16 bits and uses 12" in note for note in image.notes)
    windowed = read_image(scan(WIDE, WindowCenter=32768, WindowWidth=65536))
    assert windowed.pixels.max() < 32  # as the file says


@pytest.mark.parametrize(
    ("values", "spare"),
    [
        (GREY.astype(np.int16), True),
        (GREY.astype(np.int16) * 16, True),
        (GREY.astype(np.int16) * 128, True),  # 15 bits
        ((GREY.astype(np.int16) - 128) * 16, True),
        ((GREY.astype(np.int32) - 128).astype(np.int16) * 256, False),
    ],
)
@pytest.mark.parametrize("slope", [None, 2.5, -1])
def test_signed_values_of_as_many_bits_as_are_allocated(values, spare, slope):
    """As programs write them that hold pictures as signed integers; without a window."""
    tags = {"PixelRepresentation": 1} | ({"RescaleSlope": slope, "RescaleIntercept": 3} if slope else {})
    image = read_image(scan(values.view(np.uint16), **tags))
    shown = 255 - image.pixels.astype(int) if slope == -1 else image.pixels.astype(int)
    assert np.abs(shown - GREY).max() <= 1 + GREY.max() // 128  # 255 of 256 steps
    assert any("and uses" in note for note in image.notes) == spare


@pytest.mark.parametrize("factor", [1, 16, 256])
def test_unsigned_values_of_32_bits(factor):
    values = GREY.astype(np.uint32) * factor
    image = read_image(scan(values))
    assert np.abs(image.pixels.astype(int) - GREY).max() <= 1
    with_placeholder = read_image(scan(values, WindowCenter=10**6, WindowWidth=2))
    np.testing.assert_array_equal(with_placeholder.pixels, image.pixels)
    assert "were ignored" in with_placeholder.notes[0]


def test_many_fragments_of_a_few_bytes_are_joined_in_time():
    data = encoded("JPEG", quality=95)
    frame = next(generate_frames(data, number_of_frames=1))
    pieces = [frame[:-2][i : i + 10] for i in range(0, len(frame) - 2, 10)] + [bytes(10)] * 400_000 + [frame[-2:]]
    items = b"".join(b"\xfe\xff\x00\xe0" + len(p).to_bytes(4, "little") + p for p in pieces)
    start = time.process_time()
    with suppress(InputError):
        read_image(scan(b"\xfe\xff\x00\xe0" + bytes(4) + items, syntax=JPEGBaseline8Bit))
    assert time.process_time() - start < 10


def test_values_in_the_upper_bits_are_moved_down():
    close(scan(WIDE << 4, BitsStored=12, HighBit=15), GREY)
    close(scan(GREY.astype(np.uint16) << 8, BitsStored=8, HighBit=15), GREY)


@pytest.mark.parametrize("tags", [
    {"RescaleSlope": 1e-20, "RescaleIntercept": 5}, {"RescaleSlope": 1, "RescaleIntercept": -1e20},
    {"WindowCenter": 255, "WindowWidth": 4}, {"WindowCenter": 100, "WindowWidth": 1e-9, "VOILUTFunction": "SIGMOID"},
])  # fmt: skip
def test_settings_that_leave_nothing_of_the_picture_are_ignored_with_a_note(tags):
    image = read_image(scan(GREY, **tags))
    assert np.abs(image.pixels.astype(int) - GREY).max() <= 1
    assert any("they were ignored" in note for note in image.notes)


GREY_COLOURS = np.dstack([GREY, GREY, np.clip(GREY.astype(int) + 3, 0, 255).astype(np.uint8)])
YCBCR = convert_color_space(GREY_COLOURS, "RGB", "YBR_FULL")


@pytest.mark.parametrize(("samples", "called"), [(GREY_COLOURS, "YBR_FULL"), (YCBCR, "RGB")])
@pytest.mark.parametrize("coded", [False, True])
def test_a_wrong_colour_label_is_not_believed(samples, called, coded):
    if coded:
        file = scan(encapsulate([imagecodecs.jpegls_encode(samples)]), called, JPEGLSLossless)
    else:
        file = scan(samples, called)
    close(file, GREY)


def test_frames_of_several_fragments_are_counted_by_what_they_are():
    stream = encoded("JPEG", quality=95)
    (frame,) = generate_frames(stream, number_of_frames=1)
    one = scan(encapsulate([frame], fragments_per_frame=2), syntax=JPEGBaseline8Bit, NumberOfFrames=2)
    close(one, GREY)
    three = scan(encapsulate([frame] * 3, fragments_per_frame=2), syntax=JPEGBaseline8Bit, NumberOfFrames=6)
    assert read_image(three).frames == 3


def test_three_samples_a_pixel_that_nothing_tells_of():
    def forget(dataset: Dataset) -> None:
        del dataset.SamplesPerPixel
        dataset.PhotometricInterpretation = "MONOCHROME2"

    file = edited(scan(GREY_COLOURS, "RGB"), forget)
    assert read_image(file).frames == 1
    close(file, GREY)


def close(file: bytes, expected: np.ndarray) -> None:
    difference = np.abs(read_image(file).pixels.astype(int) - expected)
    assert difference.mean() < 2 and difference.max() < 25
