"""Convert grey values of any depth, and colours, to 8-bit grey."""

from __future__ import annotations

import numpy as np
from PIL import Image

from busi_demo.imaging.depth import depth_of, to_8_bits
from busi_demo.imaging.picture import Picture, is_deep
from busi_demo.imaging.text import percent
from busi_demo.types import InputError

_COLOURED = 48  # difference of channels, more than JPEG changes grey
_COLOUR_SIDE = 512  # pixels, at which colour is looked for
_ONE_HUE, _TINTED = 0.99, 0.3  # concentration of the hues, and share of the pixels, of a tint


def to_grey(picture: Picture, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The image of a `Picture` -> uint8 (H, W) and notes on scaled values and colour.

    Args:
        name: of the image, for the messages.
    Raises:
        InputError: a value is not finite.
    """
    image = picture.image
    if is_deep(image):
        grey, notes = _scaled(np.asarray(image), name)
        return 255 - grey if picture.white_is_zero else grey, notes
    if image.mode == "L":
        return np.array(image), ()  # a copy, because Pillow's memory is read-only
    channels = np.asarray(image)
    spread = channels.max(axis=2) - channels.min(axis=2)
    coloured = float((spread > _COLOURED).mean())
    share = percent(coloured)
    note = f"The image has colour (Doppler, a tint or drawn marks?) in {share} of it: only brightness was used."
    return np.array(image.convert("L")), (note,) if coloured > 0.005 else ()


def colours_of(picture: Picture) -> np.ndarray | None:
    """The colours of a picture, uint8 (h, w, 3), RGB, at most 512 pixels a side; `None` for a grey one."""
    image = picture.image
    if is_deep(image) or image.mode == "L":
        return None
    small = image.convert("RGB")
    small.thumbnail((_COLOUR_SIDE, _COLOUR_SIDE))
    channels = np.asarray(small)
    return channels if (channels.max(axis=2) - channels.min(axis=2) > _COLOURED).any() else None


def colour_share(colours: np.ndarray) -> float:
    """The share of pixels with a colour, 0 to 1; 0 for grey ones and for one even tint, as screens have.

    Args:
        colours: uint8 (h, w, 3), RGB.
    """
    coloured = colours.max(axis=2) - colours.min(axis=2) > _COLOURED
    if not coloured.any():
        return 0.0
    hues = np.asarray(Image.fromarray(colours).convert("HSV"))[..., 0][coloured] * (2 * np.pi / 256)
    is_tint = abs(np.exp(1j * hues).mean()) >= _ONE_HUE and float(coloured.mean()) >= _TINTED
    return 0.0 if is_tint else float(coloured.mean())


def _scaled(values: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Integer or float (H, W) of any range -> uint8 (H, W) and notes; the package's docstring gives the rule."""
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds values that are not numbers (NaN or infinite): export it as an 8-bit PNG.")
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    if values.dtype.kind in "iu" and low == 0 and high < 2**16:
        depth = depth_of(high)
        if depth == 8:
            return values.astype(np.uint8), ()
        note = f"16-bit grey values were scaled to 8 bits: 0 to {2**depth - 1} ({depth} bits) became 0 to 255."
        return to_8_bits(values, depth), (note,)
    note = f"The values have no fixed range: {low:g} to {high:g} became 0 to 255."
    scale = 255 / (high - low) if high > low else 0.0
    return np.rint((values.astype(np.float64) - low) * scale).astype(np.uint8), (note,)
