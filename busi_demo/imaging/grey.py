"""Convert grey values of any depth, and colours, to 8-bit grey."""

from __future__ import annotations

import numpy as np

from busi_demo.imaging.depth import depth_of
from busi_demo.imaging.picture import Picture, is_deep
from busi_demo.imaging.text import percent
from busi_demo.types import InputError


def to_grey(picture: Picture, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The image of a `Picture` -> uint8 (H, W) and notes on scaled values and colour.

    Args:
        name: of the image, for the messages.
    Raises:
        InputError: a value is not finite.
    """
    image = picture.image
    if is_deep(image):
        grey, notes = _to_8_bits(np.asarray(image), name)
        return 255 - grey if picture.white_is_zero else grey, notes
    if image.mode == "L":
        return np.array(image), ()  # a copy, because Pillow's memory is read-only
    channels = np.asarray(image)
    spread = channels.max(axis=2) - channels.min(axis=2)
    coloured = float((spread > 48).mean())  # more than JPEG changes grey
    share = percent(coloured)
    note = f"The image has colour (Doppler, a tint or drawn marks?) in {share} of it: only brightness was used."
    return np.array(image.convert("L")), (note,) if coloured > 0.005 else ()


def _to_8_bits(values: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Integer or float (H, W) of any range -> uint8 (H, W) and notes; the package's docstring gives the rule."""
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds values that are not numbers (NaN or infinite): export it as an 8-bit PNG.")
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    if values.dtype.kind in "iu" and low == 0 and high < 2**16:
        depth = depth_of(high)
        if depth == 8:
            return values.astype(np.uint8), ()
        high = 2.0**depth - 1
        note = f"16-bit grey values were scaled to 8 bits: 0 to {high:.0f} ({depth} bits) became 0 to 255."
    else:
        note = f"The values have no fixed range: {low:g} to {high:g} became 0 to 255."
    scale = 255 / (high - low) if high > low else 0.0
    return np.rint((values.astype(np.float64) - low) * scale).astype(np.uint8), (note,)
