"""Compressed frames that neither Pillow nor pydicom decodes: lossless JPEG, JPEG of 12 bits, JPEG-LS."""

from __future__ import annotations

import numpy as np
from pydicom.uid import JPEG2000, JPEGExtended12Bit, JPEGLosslessSV1, JPEGLSLossless

from busi_demo.imaging.dicom.codestream import Codestream

_END = b"\xff\xd9"
DECODED_HERE = (JPEGExtended12Bit, JPEGLosslessSV1, JPEGLSLossless)


def decode_frame(data: bytes, header: Codestream, signed_bits: int | None) -> np.ndarray:
    """Decode one frame without converting its colours.

    Args:
        data: the frame.
        header: its own header, with a size that was checked.
        signed_bits: of a sample, if these are two's complement numbers; else `None`.
    Returns:
        Integers of 8 or 16 bits, (H, W) or (H, W, 3).
    Raises:
        RuntimeError, ValueError: the frame is damaged.
    """
    import imagecodecs  # large, and of use for few files

    if header.syntax == JPEGLSLossless:
        # In data that are cut short CharLS may search for a bit that is 1 for 20 seconds; it stops at an end marker.
        stored = imagecodecs.jpegls_decode(data + _END)
    elif header.syntax == JPEG2000:
        stored = imagecodecs.jpeg2k_decode(data)
    else:
        same = "RGB" if header.samples == 3 else None
        stored = imagecodecs.jpeg8_decode(data, colorspace=same, outcolorspace=same)
    if stored.shape[:2] != (header.rows, header.columns):
        raise ValueError(f"Expected {header.rows} x {header.columns} pixels, got {stored.shape}.")
    if signed_bits and stored.dtype.kind == "u":
        unused = 8 * stored.itemsize - signed_bits
        stored = (stored << unused).view(stored.dtype.str.replace("u", "i")) >> unused
    return stored
