"""Corruptions of an image at five severities, to measure robustness (Hendrycks & Dietterich, Benchmarking Neural
Network Robustness to Common Corruptions and Perturbations, ICLR 2019). They imitate what happens to ultrasound images
on their way to a demo; the true mask moves along."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from busi_demo.data.screen import caption_font, screen

SEVERITIES = (1, 2, 3, 4, 5)
"""From hardly visible to strong."""

_SHORTEST = 48  # pixels

Corrupted = tuple[np.ndarray, np.ndarray]
Corruption = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], Corrupted]


def corrupt(name: str, image: np.ndarray, mask: np.ndarray, severity: int, generator: np.random.Generator) -> Corrupted:
    """Corrupt an image.

    Args:
        name: key of `CORRUPTIONS`.
        image: uint8 (H, W) in 0..255.
        mask: bool (H, W), True inside a lesion.
        severity: one of `SEVERITIES`.
        generator: of whatever is random in it.
    Returns:
        Copies of image and mask as uint8 and bool of one shape, larger than (H, W) where something is put around.
    Raises:
        KeyError: there is no such corruption.
        ValueError: there is no such severity.
    """
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be one of {SEVERITIES}, got {severity}.")
    pixels, moved = CORRUPTIONS[name](image, mask, severity, generator)
    return np.array(pixels), np.array(moved)  # copies: those of PIL images cannot be written


def _speckle(image: np.ndarray, mask: np.ndarray, severity: int, generator: np.random.Generator) -> Corrupted:
    grain = gaussian_filter(generator.standard_normal(image.shape), 1.2)
    factor = 1 + (0.1, 0.2, 0.3, 0.45, 0.6)[severity - 1] * grain / grain.std()
    return _grey(image * factor), mask


def _blur(image: np.ndarray, mask: np.ndarray, severity: int, generator: np.random.Generator) -> Corrupted:
    sigma = min(image.shape) * (0.003, 0.006, 0.01, 0.015, 0.022)[severity - 1]
    return _grey(gaussian_filter(image.astype(np.float32), sigma)), mask


def _low_resolution(image: np.ndarray, mask: np.ndarray, severity: int, generator: np.random.Generator) -> Corrupted:
    share = (224, 160, 112, 80, 64)[severity - 1] / max(image.shape)
    share = min(1, max(share, _SHORTEST / min(image.shape)))  # what is smaller is no input of this project
    size = tuple(round(side * share) for side in image.shape[::-1])
    small = Image.fromarray(image).resize(size, Image.Resampling.BOX)
    covered = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX))
    shrunk = covered >= 0.5
    return np.asarray(small), shrunk if shrunk.any() else covered > 0


def _gain(image: np.ndarray, mask: np.ndarray, severity: int, generator: np.random.Generator) -> Corrupted:
    """Too bright or too dark, and more so with depth."""
    strength = (0.2, 0.35, 0.5, 0.7, 0.9)[severity - 1] * generator.choice((-1, 1))
    ramp = np.linspace(0.5, 1.5, image.shape[0])[:, None]
    return _grey(image * np.exp(strength * ramp)), mask


def _black_margin(image: np.ndarray, mask: np.ndarray, severity: int, generator: np.random.Generator) -> Corrupted:
    share = (0.05, 0.12, 0.2, 0.3, 0.45)[severity - 1]
    return _around(image, mask, share, lambda h, w, box: np.zeros((h, w), np.uint8))


def _screen(image: np.ndarray, mask: np.ndarray, severity: int, generator: np.random.Generator) -> Corrupted:
    share = (0.08, 0.15, 0.25, 0.4, 0.6)[severity - 1]
    return _around(image, mask, share, lambda h, w, box: screen(h, w, box, generator))


def _text(image: np.ndarray, mask: np.ndarray, severity: int, generator: np.random.Generator) -> Corrupted:
    """Captions on the image, as of a screen that is seen through."""
    written = Image.fromarray(image)
    pen, font = ImageDraw.Draw(written), caption_font(max(8, round(min(image.shape) * 0.05)))
    captions = ("BREAST L", "MI 0.9", "4.0 cm", "2 o'clock", "TRANS")
    for _ in range((1, 2, 4, 7, 12)[severity - 1]):
        x, y = generator.uniform(0, 0.8) * image.shape[1], generator.uniform(0, 0.95) * image.shape[0]
        pen.text((x, y), str(generator.choice(captions)), fill=235, font=font)
    return np.asarray(written), mask


def _two_views(image: np.ndarray, mask: np.ndarray, severity: int, generator: np.random.Generator) -> Corrupted:
    """Beside the image a part of its mirror image, up to all of it."""
    columns = max(1, round(image.shape[1] * severity / max(SEVERITIES)))
    gap = max(2, image.shape[1] // 50)
    parts = [np.pad(a, ((0, 0), (0, gap))) for a in (image, mask)]
    return tuple(np.hstack([part, a[:, ::-1][:, :columns]]) for part, a in zip(parts, (image, mask), strict=True))  # type: ignore[return-value]


def _jpeg(image: np.ndarray, mask: np.ndarray, severity: int, generator: np.random.Generator) -> Corrupted:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="JPEG", quality=(60, 40, 25, 15, 8)[severity - 1])
    return np.asarray(Image.open(file)), mask


CORRUPTIONS: dict[str, Corruption] = {
    "speckle": _speckle,
    "blur": _blur,
    "low resolution": _low_resolution,
    "gain": _gain,
    "black margin": _black_margin,
    "screen": _screen,
    "text": _text,
    "two views": _two_views,
    "JPEG": _jpeg,
}
"""Name -> corruption."""


def _grey(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).round().astype(np.uint8)


def _around(
    image: np.ndarray,
    mask: np.ndarray,
    share: float,
    surround: Callable[[int, int, tuple[int, int, int, int]], np.ndarray],
) -> Corrupted:
    """Put something around an image: on each side `share` of its height and width."""
    height, width = image.shape
    top, left = round(share * height), round(share * width)
    whole = surround(height + 2 * top, width + 2 * left, (top, left, height, width)).copy()
    moved = np.zeros(whole.shape, dtype=bool)
    place = (slice(top, top + height), slice(left, left + width))
    whole[place], moved[place] = image, mask
    return whole, moved
