"""Screens of ultrasound machines around a picture: captions, grey bar, depth scale, icons.

Nothing is copied from a machine: the layouts are random, so that no place or word indicates a lesion.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_CAPTIONS = (
    "BREAST L", "BREAST R", "10:30", "12:14:07", "2 o'clock", "MI 0.9", "TIs 0.2", "Gn 62", "DR 65", "FR 27Hz",
    "4.0 cm", "Frq 12.0", "L12-5", "RT", "LT", "SAG", "TRANS", "D 3.5cm", "P 100%", "Map F", "XRES", "SonoCT",
    "2D", "THI", "AO 93%",
)  # fmt: skip


@cache
def caption_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of captions; `size` in pixels."""
    return ImageFont.load_default(size)


def screen(height: int, width: int, box: tuple[int, int, int, int], generator: np.random.Generator) -> np.ndarray:
    """Draw the screen of a machine, with room for a picture.

    Args:
        height, width: of the screen, pixels.
        box: top, left, height and width of the picture on it, pixels; what is drawn there is meant to be covered.
        generator: of the layout.
    Returns:
        uint8 (height, width) in 0..255.
    """
    top, left, tall, wide = box
    base = int(generator.integers(5, 45)) if generator.random() < 0.5 else 0
    image = Image.new("L", (width, height), base)
    pen = ImageDraw.Draw(image)
    letters = max(6, round(min(height, width) * generator.uniform(0.03, 0.055)))
    if generator.random() < 0.5:  # a bar of the user interface, above or below
        bar = round(generator.uniform(0.4, 1.0) * (top if generator.random() < 0.5 else height - top - tall))
        level = int(generator.integers(30, 200))
        pen.rectangle((0, 0, width, bar) if generator.random() < 0.5 else (0, height - bar, width, height), fill=level)
    _write_captions(pen, (height, width), box, letters, generator)
    if generator.random() < 0.6:  # the grey bar, black below and white above
        bar_width, bar_height = max(2, round(width * 0.02)), max(4, round(tall * generator.uniform(0.2, 0.6)))
        beside = (left - 3 * bar_width, left + wide + bar_width)[int(generator.integers(2))]
        x = min(max(0, beside), width - bar_width)
        ramp = np.repeat(np.linspace(255, 0, bar_height).astype(np.uint8)[:, None], bar_width, axis=1)
        image.paste(Image.fromarray(ramp), (x, top + (tall - bar_height) // 2))
    if generator.random() < 0.7:  # the depth scale
        edge, step = left + wide + 1, max(3.0, tall / float(generator.integers(4, 12)))
        for i, mark in enumerate(np.arange(top, top + tall, step / 2).tolist()):
            length = max(1, width // (50 if i % 2 else 28))
            pen.line((edge, mark, edge + length, mark), fill=int(generator.integers(110, 256)))
    if generator.random() < 0.4:  # icons
        side = max(3, letters)
        for _ in range(int(generator.integers(1, 6))):
            up, start = generator.uniform(0, height - side), generator.uniform(0, width - side)
            shape = (start, up, start + side * generator.uniform(0.8, 2), up + side)
            draw = pen.rectangle if generator.random() < 0.6 else pen.ellipse
            draw(shape, outline=int(generator.integers(90, 256)))
    return np.array(image)


def _write_captions(
    pen: ImageDraw.ImageDraw,
    shape: tuple[int, int],
    box: tuple[int, int, int, int],
    letters: int,
    generator: np.random.Generator,
) -> None:
    """Write columns of short texts above, below and beside the picture."""
    (height, width), (top, left, tall, wide) = shape, box
    grey = int(generator.integers(110, 256))
    for row in np.arange(2, height - letters, letters * generator.uniform(1.1, 2.0)).tolist():
        beside = top < row + letters and row < top + tall
        places = [(2, left)] if beside else [(2, width // 2), (width // 2, width)]
        if beside:
            places.append((left + wide + 4, width))
        for start, stop in places:
            text = str(generator.choice(_CAPTIONS))
            if generator.random() < 0.45 and pen.textlength(text, font=caption_font(letters)) < stop - start:
                pen.text((start, row), text, fill=grey, font=caption_font(letters))
