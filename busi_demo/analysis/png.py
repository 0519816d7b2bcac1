"""PNG files of figures: half of the time of a figure was their encoding."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2  # types of colour
_SUB = 1  # the filter that stores the difference to the pixel on the left


def png_bytes(image: Image.Image | np.ndarray) -> bytes:
    """An image of mode "L" or "RGB", or its uint8 pixels, as a PNG file (ISO/IEC 15948). One filter and the light
    compression of zlib-ng take half the time of the fastest encoder that writes whole files, and make smaller ones."""
    from imagecodecs import zlibng_encode  # loaded here: a second that a table of answers need not wait for

    pixels = np.ascontiguousarray(image)
    height, width = pixels.shape[:2]
    channels = pixels.size // (height * width)
    pixels = pixels.reshape(height, -1)
    buffer = bytearray(height * (1 + width * channels))
    rows = np.frombuffer(buffer, np.uint8).reshape(height, -1)
    rows[:, 0] = _SUB
    rows[:, 1 : 1 + channels] = pixels[:, :channels]
    np.subtract(pixels[:, channels:], pixels[:, :-channels], out=rows[:, 1 + channels :])
    header = struct.pack(">IIBBBBB", width, height, 8, _GREY if channels == 1 else _RGB, 0, 0, 0)
    data = bytes(zlibng_encode(buffer, level=2))
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
