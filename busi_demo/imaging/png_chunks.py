"""PNG files without what could cost the picture: metadata that are damaged, or that unpack to very much."""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"IEND"
_NEEDED = (b"tRNS", b"fdAT", b"eXIf")  # of the ancillary chunks: transparency, frames, orientation
_FIXED = {b"acTL": 8, b"fcTL": 26}  # bytes of those that tell of frames
_ORIENTATION = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")  # texts that may tell it
_LONGEST = 2**20 - 1  # bytes of a text, packed or not, that Pillow reads
_ANCILLARY = 0x20  # of the first letter of a chunk's kind


def picture_chunks(stream: BinaryIO) -> BinaryIO:
    """A PNG file with the chunks that its picture needs alone, in their order. Pillow refuses a file for a wrong
    checksum or a long text in any of the others. What follows the last chunk is not looked at.

    Args:
        stream: at its start.
    Returns:
        A stream in memory, at its start.
    """
    content = stream.read()
    kept, place = [content[: len(SIGNATURE)]], len(SIGNATURE)
    while place < len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        chunk = content[place:end]  # shorter than it says where the file is cut: Pillow tells
        if not (len(chunk) > 4 and chunk[4] & _ANCILLARY) or _is_needed(chunk):
            kept.append(chunk)
        if chunk[4:8] == _END:
            break
        place = end
    return io.BytesIO(b"".join(kept))


def _is_needed(chunk: bytes) -> bool:
    kind, body = chunk[4:8], chunk[8:-4]
    if zlib.crc32(kind + body) != int.from_bytes(chunk[-4:], "big"):
        return False
    if kind in _NEEDED or kind in _FIXED:
        return len(body) == _FIXED.get(kind, len(body))
    if not body.startswith(_ORIENTATION) or len(body) > _LONGEST:
        return False
    packed = body.partition(b"\0")[2][1:]  # after the key and the method, or the flag that a text is not packed
    return kind == b"tEXt" or (kind == b"zTXt" and _unpacks(packed)) or (kind == b"iTXt" and packed[:1] == b"\0")


def _unpacks(packed: bytes) -> bool:
    try:
        unpacker = zlib.decompressobj()
        unpacker.decompress(packed, _LONGEST)
        return unpacker.eof
    except zlib.error:
        return False
