"""The crop that a person chooses, as text."""

from __future__ import annotations

import re

from busi_demo.imaging import GreyImage
from busi_demo.types import Box, InputError


def parse_crop(text: str | None) -> Box | None:
    """A crop as a person writes it.

    Args:
        text: four whole numbers "x0, y0, x1, y1" in pixels of the image, x1 and y1 outside of the crop; separated by
            commas or spaces.
    Returns:
        The box; `None` for no text.
    Raises:
        InputError: the text is anything else, or the box is empty.
    """
    words = re.split(r"[\s,;]+", text.strip("()[] \t\n,;")) if text else []
    if words in ([], [""]):
        return None
    if len(words) != 4 or not all(re.fullmatch(r"[0-9]{1,6}", word) for word in words):
        raise InputError(f"A crop is four whole numbers x0, y0, x1, y1 in pixels of the image, got {text!r}.")
    x0, y0, x1, y1 = (int(word) for word in words)
    if x0 >= x1 or y0 >= y1:
        raise InputError(f"A crop x0, y0, x1, y1 needs x0 below x1 and y0 below y1, got {text!r}.")
    return x0, y0, x1, y1


def with_crop(image: GreyImage, crop: Box | None) -> GreyImage:
    """The image with the frame that a person chose; unchanged without one. Errors as in `GreyImage.cropped`."""
    return image if crop is None else image.cropped(crop)
