"""What kind of file it is, by its first bytes."""

from __future__ import annotations

HEAD = 256
"""Number of bytes that tell."""

_MARK = b"DICM"
_PREAMBLE = 128  # bytes before the mark, PS3.10 7.1
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
    """Whether a file is DICOM, judged by its first `HEAD` bytes. Some files lack the preamble: they start with the
    mark, or with the first attribute of group 2 or 8."""
    if dicom_start(head):
        return True
    group, little = head[:2], head[:2] in (b"\x02\x00", b"\x08\x00")
    if len(head) < 16 or not (little or group == b"\x00\x08"):
        return False
    element = int.from_bytes(head[2:4], "little" if little else "big")
    if head[4:6] in _FIRST_TYPES:
        return element < 0x2000
    return little and element < 0x0100 and 0 < int.from_bytes(head[4:8], "little") <= 64  # implicit


def dicom_start(head: bytes) -> int:
    """Number of bytes before the meta information of a DICOM file; 0 without a mark."""
    if head[_PREAMBLE : _PREAMBLE + 4] == _MARK:
        return _PREAMBLE + 4
    return 4 if head[:4] == _MARK else 0


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
