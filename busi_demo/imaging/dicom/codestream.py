"""What the compressed data of one DICOM frame say of themselves, whatever the header claims."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.uid import (
    JPEG2000,
    UID,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

JPEG_START, JPEG_2000_START = b"\xff\xd8", b"\xff\x4f\xff\x51"
_BOX_START = b"\x00\x00\x00\x0cjP  "  # JPEG 2000 in a file of its own format
_FRAME_HEADERS = {0xC0: JPEGBaseline8Bit, 0xC1: JPEGExtended12Bit, 0xC2: JPEGBaseline8Bit, 0xC3: JPEGLosslessSV1,
                  0xF7: JPEGLSLossless}  # fmt: skip
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


@dataclass(frozen=True)
class Codestream:
    """The header of a compressed frame.

    Attributes:
        syntax: one that decodes it; of JPEG, baseline for all with 8 bits and loss, extended for those with 12.
        rows, columns, samples, bits: size, samples per pixel and bits of a sample; 0 where it does not say.
        colour: "RGB" or "YCbCr", what the samples are once decoded without any conversion of ours; `None` where it does
            not say.
    """

    syntax: UID
    rows: int = 0
    columns: int = 0
    samples: int = 0
    bits: int = 0
    colour: str | None = None


def starts_frame(data: bytes) -> bool:
    """Whether a fragment is the start of a frame in one of the JPEG formats."""
    return data.startswith((JPEG_START, JPEG_2000_START, _BOX_START))


def bare(data: bytes) -> bytes:
    """A frame without the boxes of a JPEG 2000 file, which DICOM does not have: damaged ones can lead a reader in
    circles. Any other frame, and one without pixels in its boxes, as it is."""
    return data[max(data.find(JPEG_2000_START), 0) :] if data.startswith(_BOX_START) else data


def parse(data: bytes) -> Codestream | None:
    """The header of a frame; `None` if it is in none of the formats that are read."""
    if data.startswith(JPEG_START):
        return _jpeg(data)
    data = bare(data)
    if data.startswith(JPEG_2000_START):
        return _jpeg_2000(data)
    segments, first = (int.from_bytes(data[i : i + 4], "little") for i in (0, 4))
    return Codestream(RLELossless) if 1 <= segments <= 15 and first == 64 and len(data) > 64 else None


def _jpeg(data: bytes) -> Codestream | None:
    """JPEG, lossless JPEG or JPEG-LS: the segments up to the frame header."""
    position, colour = 2, None
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            position += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + length]
        if marker == 0xE0 and body.startswith(b"JFIF\0"):
            colour = "YCbCr"
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            colour = "YCbCr" if body[11] else "RGB"
        elif marker in _FRAME_HEADERS and len(body) >= 6:
            rows, columns = (int.from_bytes(body[i : i + 2], "big") for i in (1, 3))
            kind, own = _FRAME_HEADERS[marker], _colour_of_components(body)
            if kind == JPEGExtended12Bit and body[0] == 8:
                kind = JPEGBaseline8Bit
            return Codestream(kind, rows, columns, body[5], body[0], colour or own)
        elif marker == 0xDA:
            return None
        position += 2 + length
    return None


def _colour_of_components(body: bytes) -> str | None:
    """From names and sampling of the components in a frame header: colour differences alone are stored coarsely."""
    components = [body[i : i + 3] for i in range(6, 6 + 3 * body[5], 3)]
    if len(components) != 3 or any(len(component) < 3 for component in components):
        return None
    if bytes(component[0] for component in components) == b"RGB":
        return "RGB"
    return "YCbCr" if components[0][1] != components[1][1] else None


def _jpeg_2000(data: bytes) -> Codestream:
    """JPEG 2000: SIZ, which is always first, and the colour transform in COD."""
    numbers = [int.from_bytes(data[i : i + 4], "big") for i in range(8, 24, 4)]
    columns, rows = numbers[0] - numbers[2], numbers[1] - numbers[3]
    samples, bits = int.from_bytes(data[40:42], "big"), (data[42] & 0x7F) + 1
    position, colour = 4 + int.from_bytes(data[4:6], "big"), None
    while position + 9 <= len(data) and data[position] == 0xFF and data[position + 1] != 0x90:
        if data[position + 1] == 0x52:
            colour = "RGB" if data[position + 8] else None  # the decoder undoes the transform
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return Codestream(JPEG2000, rows, columns, samples, bits, colour)
