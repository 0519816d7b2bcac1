"""Hypothesis strategies of odd files: images of any mode and size, DICOM datasets with odd tags, odd zip archives."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.encaps import encapsulate
from reliability import seeds

_SIDES = st.one_of(st.integers(1, 90), st.sampled_from([1, 31, 32, 33, 64, 128, 300]))
_MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"),
    "BMP": ("1", "L", "P", "RGB"),
    "WEBP": ("L", "RGB", "RGBA"),
    "GIF": ("1", "L", "P", "RGB"),
}


@st.composite
def image(draw: st.DrawFn) -> bytes:
    """An image file of any kind, mode, size, profile and turn, often with some bytes changed."""
    form = draw(st.sampled_from(list(_MODES)))
    mode, width, height = draw(st.sampled_from(_MODES[form])), draw(_SIDES), draw(_SIDES)
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    if mode in ("I", "F"):
        odd = draw(st.sampled_from([1.0, 1e-3, -1e30, 3e38])) if mode == "F" else 1
        values = generator.integers(-100, 70000, (height, width)) * odd
        picture = Image.fromarray(values.astype(np.float32 if mode == "F" else np.int32))
    elif mode == "I;16":
        picture = Image.fromarray(generator.integers(0, 2**16, (height, width), np.uint16))
    else:
        picture = Image.fromarray(generator.integers(0, 256, (height, width, 3), np.uint8)).convert(mode)
    options: dict[str, Any] = {}
    if form == "TIFF":
        options["compression"] = draw(st.sampled_from([None, "tiff_lzw", "tiff_adobe_deflate", "packbits"]))
    if form in ("PNG", "JPEG", "WEBP", "TIFF") and draw(st.booleans()):
        turned = Image.Exif()
        turned[0x0112] = draw(st.integers(0, 9))
        options["exif"] = turned
    if form in ("PNG", "JPEG", "TIFF") and draw(st.booleans()):
        options["icc_profile"] = draw(st.binary(min_size=1, max_size=200))
    if form in ("PNG", "TIFF", "GIF", "WEBP") and draw(st.booleans()):
        options |= {"save_all": True, "append_images": [picture.copy() for _ in range(draw(st.integers(1, 3)))]}
    try:
        whole = seeds.file_of(form, picture, **options)
    except (OSError, ValueError, RuntimeError):  # a mode or a size that this kind of file does not have
        whole = seeds.file_of("PNG", picture.convert("L"))
    return changed(draw, whole)


def changed(draw: st.DrawFn, whole: bytes) -> bytes:
    """Some bytes changed, or the end cut off; in two of five cases nothing."""
    kind = draw(st.integers(0, 4))
    if kind <= 1 or not whole:
        return whole
    if kind == 2:
        return whole[: draw(st.integers(0, len(whole)))]
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, len(data) - 1))
        new = draw(st.binary(min_size=1, max_size=4))
        data[place : place + len(new)] = new
    return bytes(data)


_KEYWORDS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "PlanarConfiguration", "PhotometricInterpretation", "NumberOfFrames", "RescaleSlope", "RescaleIntercept",
    "RescaleType", "WindowCenter", "WindowWidth", "VOILUTFunction", "PixelSpacing", "ImagerPixelSpacing",
    "PixelAspectRatio", "Modality", "BodyPartExamined", "BurnedInAnnotation", "SmallestImagePixelValue",
    "PixelPaddingValue", "SOPClassUID", "SpecificCharacterSet", "ICCProfile", "LossyImageCompression",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData", "BluePaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData", "SequenceOfUltrasoundRegions", "VOILUTSequence", "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence", "FloatPixelData", "PerFrameFunctionalGroupsSequence",
    "DirectoryRecordSequence", "ExtendedOffsetTable", "PatientName",
)  # fmt: skip
_VRS = ("US", "SS", "UL", "DS", "IS", "CS", "OB", "OW", "UN", "SQ", "LO", "UI", "FD", "FL", "XX", "\0\0")
_LONG = ("OB", "OW", "UN", "SQ", "OF", "OD", "UT", "UR", "UC")
_KINDS = ("MONOCHROME2", "MONOCHROME1", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT", "PALETTE COLOR", "?")
_TEXTS = ("", " ", "1", "0", "-1", "1e400", "nan", "inf", "1\\2", "0.1\\0.1", "a", "1" * 70, "\\", "YES", "\u00e4")
_SYNTAXES = tuple(
    f"1.2.840.10008.1.2{end}"
    for end in ("", ".1", ".2", ".4.50", ".4.51", ".4.57", ".4.70", ".4.80", ".4.81", ".4.90", ".4.91", ".5", ".4.100",
                ".1.99", ".4.201", ".9")
)  # fmt: skip


def _element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """One element in explicit little endian, as no library writes it: any type beside any value and any length."""
    size = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode("latin-1")
    wide = vr in _LONG
    return head + (struct.pack("<HI", 0, size % 2**32) if wide else struct.pack("<H", size % 2**16)) + value


@st.composite
def _value(draw: st.DrawFn, keyword: str, depth: int) -> tuple[str, bytes]:
    """A type and a value of an element: mostly of its own type, at times of any."""
    vr = dictionary_VR(keyword).split(" or ")[0]
    if draw(st.integers(0, 9)) == 0:
        vr = draw(st.sampled_from(_VRS))
    if keyword == "PhotometricInterpretation":
        return vr, draw(st.sampled_from(_KINDS)).encode()
    if vr in ("US", "SS"):
        number = st.one_of(
            st.sampled_from([0, 1, 2, 3, 7, 8, 12, 15, 16, 32, 40, 56, 255, 65535]), st.integers(0, 2**16 - 1)
        )
        return vr, b"".join(struct.pack("<H", draw(number)) for _ in range(draw(st.sampled_from([1, 1, 1, 3, 0]))))
    if vr == "SQ" and depth < 2:
        items = b"".join(
            struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
            for item in draw(st.lists(_elements(depth + 1), max_size=2))
        )
        return vr, items
    if vr in ("DS", "IS", "CS", "LO", "UI", "PN"):
        return vr, draw(st.one_of(st.sampled_from(_TEXTS), st.text(max_size=8))).encode("utf-8")
    if vr in ("FD", "FL"):
        form = "<d" if vr == "FD" else "<f"
        return vr, struct.pack(form, draw(st.floats(width=32)))
    return vr, draw(st.binary(max_size=40))


@st.composite
def _elements(draw: st.DrawFn, depth: int = 0) -> bytes:
    extra = ("RegionLocationMinX0", "RegionLocationMaxX1", "RegionSpatialFormat", "PhysicalUnitsXDirection",
             "PhysicalDeltaX")  # fmt: skip
    names = _KEYWORDS if depth == 0 else (*_KEYWORDS[:20], *extra, "LUTDescriptor", "LUTData")
    keywords = draw(st.lists(st.sampled_from(names), max_size=6, unique=True))
    parts = {int(tag_for_keyword(keyword) or 0): draw(_value(keyword, depth)) for keyword in keywords}
    return b"".join(_element(tag, *parts[tag]) for tag in sorted(parts))


_COMPRESSED = [frame for whole in seeds.scans()[7:] for frame in [whole[whole.rindex(b"\xfe\xff\x00\xe0") + 8 :]]]


@st.composite
def dicom(draw: st.DrawFn) -> bytes:
    """A DICOM file whose attributes contradict each other, its types or its pixel data."""
    small = {"Rows": 40, "Columns": 56, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0,
             "SamplesPerPixel": 1}  # fmt: skip
    parts = {int(tag_for_keyword(name) or 0): ("US", struct.pack("<H", value)) for name, value in small.items()}
    parts[int(tag_for_keyword("PhotometricInterpretation") or 0)] = ("CS", draw(st.sampled_from(_KINDS)).encode())
    for keyword in draw(st.lists(st.sampled_from(_KEYWORDS), max_size=8, unique=True)):
        parts[int(tag_for_keyword(keyword) or 0)] = draw(_value(keyword, 0))
    body = b"".join(_element(tag, *parts[tag]) for tag in sorted(parts))
    syntax = draw(st.sampled_from(_SYNTAXES))
    frames = draw(st.lists(st.sampled_from(_COMPRESSED), min_size=1, max_size=3))
    raw = seeds.GREY.tobytes() * draw(st.integers(0, 4))
    pixels = encapsulate([changed(draw, frame) or b"\0" for frame in frames]) if draw(st.booleans()) else raw
    length = 0xFFFFFFFF if draw(st.booleans()) and pixels is not raw else draw(st.sampled_from([None, 0, 7, 2**31]))
    pixel_vr = draw(st.sampled_from(["OB", "OW", "UN"]))
    body += _element(0x7FE00010, pixel_vr, pixels, length) if draw(st.integers(0, 15)) else b""
    meta = _element(0x00020010, "UI", syntax.encode() + b"\0" * (len(syntax) % 2))
    start = bytes(128) + b"DICM" if draw(st.integers(0, 5)) else b""
    return changed(draw, start + meta + body)


_NAMES = st.one_of(
    st.sampled_from([
        "a.png", "a_mask.png", "../up.png", "/etc/absolute.png", "C:\\windows\\drive.png", "a/../../b.png", "", "/",
        ".", "..", "a//b.png", "./a.png", "a\\b.png", "con.png", "nul", "a.png/", "x" * 300 + ".png", "images/a.png",
        "masks/a.png", "benign/a.png", "pairs.csv", "DICOMDIR", "inner.zip", ".hidden.png", "__MACOSX/._a.png",
        "a\0b.png", "a\nb.png", "\u202egnp.exe", "~/a.png", "\\\\server\\a.png", "a.PNG", "a.dcm", "noname",
        "a" + "/b" * 200,
    ]),
    st.text(max_size=12).map(lambda text: text + ".png"),
    st.text(max_size=20),
)  # fmt: skip
_CONTENTS = st.one_of(
    st.sampled_from([
        b"", seeds.images()[1], seeds.images()[1][:50], seeds.scans()[0], seeds.file_of("PNG", seeds.GREY > 100),
        b"image,mask\na.png,a_mask.png\n", b"image;mask\n../up.png;\n", b"\xff\xfeimage", seeds.archives()[1],
        bytes(10**6),
    ]),
    st.binary(max_size=60),
)  # fmt: skip
_FLAGS = [0, 0, 0, 1, 0x8, 0x20, 0x40, 0x800, 0x801, 0x2000]
_METHODS = [None, None, None, 0, 8, 9, 12, 14, 93, 97, 99]


@st.composite
def archive(draw: st.DrawFn) -> bytes:
    """A zip archive with odd names, links, nested archives, and fields that contradict its contents."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that occur twice
        with zipfile.ZipFile(stream, "w") as packed:
            for name in draw(st.lists(_NAMES, max_size=6)):
                member = zipfile.ZipInfo(name.encode(errors="replace").decode())
                member.compress_type = draw(st.sampled_from([0, 8, 12, 14]))
                member.external_attr = draw(st.sampled_from([0, 0o120777 << 16, 0o040755 << 16, 0x10, 0o010644 << 16]))
                member.extra = draw(st.one_of(st.just(b""), st.binary(max_size=12), _unicode_path()))
                try:
                    packed.writestr(member, draw(_CONTENTS))
                except (ValueError, struct.error):  # a name that zipfile refuses to write
                    continue
    whole = bytearray(stream.getvalue())
    for start in _starts(whole, b"PK\x01\x02"):
        if draw(st.integers(0, 3)) == 0:
            whole[start + 8 : start + 10] = struct.pack("<H", draw(st.sampled_from(_FLAGS)))
        if (method := draw(st.sampled_from(_METHODS))) is not None:
            whole[start + 10 : start + 12] = struct.pack("<H", method)
        if draw(st.integers(0, 5)) == 0:
            size = st.sampled_from([0, 1, 10**5, 2**31, 2**32 - 1])
            whole[start + 20 : start + 28] = struct.pack("<II", draw(size), draw(size))
    return changed(draw, bytes(whole))


def _unicode_path() -> st.SearchStrategy[bytes]:
    return st.binary(max_size=10).map(lambda body: struct.pack("<HH", 0x7075, len(body) + 5) + b"\1\0\0\0\0" + body)


def _starts(data: bytearray, mark: bytes) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(mark), data)]


STRUCTURES = {"image": image, "dicom": dicom, "archive": archive}
"""Target -> its strategy."""
