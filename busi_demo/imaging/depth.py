"""The depth of values whose file does not say how many of its bits are used."""

from __future__ import annotations

DEPTHS = (8, 10, 12, 14, 16)
"""Usual numbers of bits."""


def depth_of(largest: float) -> int:
    """The smallest of `DEPTHS` that holds a value in [0, 65535]."""
    return next(bits for bits in DEPTHS if largest < 2**bits)
