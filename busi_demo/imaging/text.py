"""Formatting of numbers in messages for people."""

from __future__ import annotations


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage with one decimal; 0 % and 100 % are written for exactly these values only."""
    if 0 < share < 0.001:
        return "<0.1%"
    return ">99.9%" if 0.999 < share < 1 else f"{share:.1%}"
