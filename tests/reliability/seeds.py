"""Whole files from which fuzzing starts, made from simulated images, and changes of their bytes."""

from __future__ import annotations

import io
import struct
import zipfile
from functools import cache

import imagecodecs
import numpy as np
from dicom_files import encoded, region, scan
from helpers import picture
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from busi_demo.data.phantom import make_phantom

GREY = make_phantom("benign", 1, 40, 56).image
COLOUR = np.dstack([GREY, GREY[::-1], picture(3, 40, 56)])
DEEP = GREY.astype(np.uint16) * 16


def file_of(form: str, image: np.ndarray | Image.Image, **options: object) -> bytes:
    """An image file that Pillow writes."""
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, form, **options)
    return stream.getvalue()


@cache
def images() -> tuple[bytes, ...]:
    """Image files of every kind that is read, the colour modes and the compressions."""
    grey, colour = Image.fromarray(GREY), Image.fromarray(COLOUR)
    turned = Image.Exif()
    turned[0x0112] = 6
    pages = {"save_all": True, "append_images": [grey.rotate(180), grey]}
    modes = {mode: colour.convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")}
    files = [file_of("PNG", modes[mode]) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]
    files += [
        file_of("PNG", DEEP),
        file_of("PNG", grey, **pages),
        imagecodecs.png_encode(COLOUR.astype(np.uint16) << 8),
    ]
    files += [file_of("JPEG", modes[mode], exif=turned) for mode in ("L", "RGB", "CMYK")]
    files += [file_of("JPEG", colour, progressive=True, icc_profile=b"profile" * 40)]
    files += [file_of("TIFF", grey, compression=c) for c in (None, "tiff_lzw", "tiff_deflate", "packbits", "jpeg")]
    files += [file_of("TIFF", modes["1"], compression="group4"), file_of("TIFF", DEEP), file_of("TIFF", grey, **pages)]
    files += [file_of("TIFF", GREY / np.float32(3)), file_of("TIFF", modes["CMYK"])]
    files += [imagecodecs_tiff(), *(file_of("BMP", modes[mode]) for mode in ("1", "L", "P", "RGB"))]
    files += [file_of("WEBP", colour), file_of("WEBP", modes["RGBA"], lossless=True), file_of("WEBP", grey, **pages)]
    files += [file_of("GIF", grey), file_of("GIF", modes["P"], **pages, transparency=3)]
    return tuple(files)


def imagecodecs_tiff() -> bytes:
    """A TIFF file of 16 bits a sample in colour, which Pillow does not write: one uncompressed strip."""
    pixels = (COLOUR.astype("<u2") * 256).tobytes()
    height, width = GREY.shape
    fields = ((256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 122), (259, 3, 1, 1), (262, 3, 1, 2),
              (273, 4, 1, 128), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(pixels)))  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *field) for field in fields)
    head = b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + bytes(4)
    return head.ljust(122, b"\0") + struct.pack("<HHH", 16, 16, 16) + pixels


@cache
def scans() -> tuple[bytes, ...]:
    """DICOM files uncompressed and in every compression that is read, of one and of several frames."""
    spaced = {"SequenceOfUltrasoundRegions": [region(0.01, 0.01)], "WindowCenter": 100, "WindowWidth": 90,
              "RescaleSlope": 2, "RescaleIntercept": -5}  # fmt: skip
    files = [scan(GREY, **spaced), scan(GREY, "MONOCHROME1", syntax=ImplicitVRLittleEndian), scan(COLOUR, "RGB")]
    files += [scan(DEEP, BitsStored=12, HighBit=11), scan(DEEP, syntax=ExplicitVRBigEndian)]
    files += [scan(COLOUR, "YBR_FULL"), scan(np.stack([GREY] * 3), NumberOfFrames=3)]
    files += [scan(encoded("JPEG", GREY), syntax=JPEGBaseline8Bit)]
    files += [scan(encoded("JPEG", COLOUR), "YBR_FULL_422", syntax=JPEGBaseline8Bit)]
    files += [scan(encoded("JPEG2000", COLOUR), "YBR_RCT", syntax=JPEG2000Lossless)]
    files += [scan(encoded("JPEG2000", GREY, irreversible=True), syntax=JPEG2000)]
    for data, syntax in (
        (imagecodecs.jpegls_encode(GREY), JPEGLSLossless),
        (imagecodecs.jpegls_encode(DEEP, level=2), JPEGLSNearLossless),
        (imagecodecs.ljpeg_encode(GREY), JPEGLosslessSV1),
    ):
        deep = {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15} if syntax == JPEGLSNearLossless else {}
        files.append(scan(encapsulate([data]), syntax=syntax, **deep))
    dataset = dcmread(io.BytesIO(scan(np.stack([GREY] * 2), NumberOfFrames=2)))
    dataset.compress(RLELossless)
    stream = io.BytesIO()
    dataset.save_as(stream)
    files.append(stream.getvalue())
    return tuple(files)


@cache
def archives() -> tuple[bytes, ...]:
    """Zip archives in every compression, with masks, tables, other files and names of several encodings."""
    png, mask = file_of("PNG", GREY), file_of("PNG", GREY > 100)
    members = {"benign/a (1).png": png, "benign/a (1)_mask.png": mask, "images/b.png": png, "masks/b.png": mask,
               "pairs.csv": b"image,mask\nimages/b.png,masks/b.png\n", "scan": scans()[0], "read me.txt": b"text",
               "__MACOSX/._a.png": b"1", "\u4e73\u817a.png": png, "caf\u00e9/\u00fc.png": png}  # fmt: skip
    files = []
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", compression) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        files.append(stream.getvalue())
    return tuple(files)


SEEDS = {"image": images, "dicom": scans, "archive": archives}
"""Target -> its seeds."""

_ODD = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 60000, 100000]


def mutated(generator: np.random.Generator, seeds: tuple[bytes, ...]) -> bytes:
    """One of the seeds with one to six changes: bytes, odd numbers, parts removed, doubled, or taken from others."""
    data = bytearray(seeds[generator.integers(len(seeds))])
    for _ in range(int(generator.integers(1, 7))):
        size = len(data) if generator.integers(2) else min(len(data), 400)  # the header decides more than the pixels
        place = int(generator.integers(max(size, 1)))
        length = int(generator.integers(1, 40))
        match generator.integers(8):
            case 0 | 1:
                data[place : place + 1] = bytes([generator.integers(256)])
            case 2:
                data[place : place + 1] = bytes([data[place] ^ 1 << generator.integers(8)] if data else b"")
            case 3 | 4:
                width, order = int(generator.choice([2, 4])), ("little", "big")[generator.integers(2)]
                odd = _ODD[generator.integers(len(_ODD))] % 256**width
                data[place : place + width] = odd.to_bytes(width, order)
            case 5:
                del data[place : place + length]
            case 6:
                other = seeds[generator.integers(len(seeds))]
                start = int(generator.integers(len(other)))
                data[place : place + length * int(generator.integers(2))] = other[start : start + length]
            case _:
                if generator.integers(4) == 0:
                    del data[place:]
                else:
                    data[place:place] = data[place : place + length]
    return bytes(data)
