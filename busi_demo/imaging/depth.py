"""The depth of values whose file does not say how many of its bits are used."""

from __future__ import annotations

import numpy as np

DEPTHS = (8, 10, 12, 14, 16)
"""Usual numbers of bits."""


def depth_of(largest: float) -> int:
    """The smallest of `DEPTHS` that holds a value in [0, 65535]."""
    return next(bits for bits in DEPTHS if largest < 2**bits)


def to_8_bits(values: np.ndarray, depth: int) -> np.ndarray:
    """Scale integers in [0, 2**depth - 1], of any shape, to uint8, by a table: floats of all pixels would need much
    more memory."""
    if depth == 8:
        return values.astype(np.uint8, copy=False)
    return np.rint(np.arange(2**depth) * (255 / (2**depth - 1))).astype(np.uint8)[values]
