"""What kind of file it is, by its first bytes."""

from __future__ import annotations

HEAD = 256
"""Number of bytes that tell."""

PREAMBLE, MARK = 128, b"DICM"
"""A DICOM file begins with so many bytes, then this mark (PS3.10 7.1)."""

_LONGEST = 1024  # bytes of the first attribute, which may be ImageType
_FIRST_TYPES = (b"UL", b"CS", b"UI", b"SH", b"OB", b"DA", b"TM", b"LO", b"ST", b"PN", b"SQ")
_STARTS = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"%!PS", "a PostScript file"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"{\\rtf", "a text document"),
)
_BRANDS = {b"heic": "a HEIC photo", b"heix": "a HEIC photo", b"mif1": "a HEIC photo", b"avif": "an AVIF image"}


def is_dicom(head: bytes) -> bool:
    """Whether a file is DICOM, judged by its first `HEAD` bytes."""
    return dicom_start(head) is not None


def dicom_start(head: bytes) -> int | None:
    """Number of bytes before the first attribute of a DICOM file; `None` for any other file. Some files lack the
    preamble, its mark, or both: they are known by the first attribute, of group 2 or 8."""
    for start in (PREAMBLE, 0):
        if head[start : start + 4] == MARK:
            return start + 4
    if _is_attribute(head[PREAMBLE:]) and not any(head[:PREAMBLE]):
        return PREAMBLE
    return 0 if _is_attribute(head) else None


def _is_attribute(head: bytes) -> bool:
    group, little = head[:2], head[:2] in (b"\x02\x00", b"\x08\x00")
    if len(head) < 16 or not (little or group == b"\x00\x08"):
        return False
    element = int.from_bytes(head[2:4], "little" if little else "big")
    if head[4:6] in _FIRST_TYPES:
        return element < 0x2000
    return little and element < 0x0100 and 0 < int.from_bytes(head[4:8], "little") <= _LONGEST  # implicit


def kind_of(head: bytes) -> str | None:
    """What a file is, with its article, from its first `HEAD` bytes; `None` if they do not tell."""
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a video")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "a video"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "an SVG drawing"
    return "an XML file" if text.startswith(b"<?xml") else None
