"""Drawing on an array of pixels: cached text, layers, outlines and hatching.

OpenCV draws the lines (Matplotlib needs ten times as long), Pillow the letters.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from busi_demo.analysis.panels import TINT, Layer, Style, outline_lines, shrunk

_POINT = 1 / 72  # inches
_LINE, _HALO, _EDGE = 2.0, 3.6, 0.6  # widths in points
_DASH = (5.0, 6.2)  # points drawn and left out; round ends cover 3.6 of these
_SUBPIXELS = 4  # bits, of OpenCV's coordinates
_TEXTS, _HATCHES = 2048, 32


class Canvas:
    """White paper, with lengths in inches from its upper left corner.

    Attributes:
        pixels: uint8 (height, width, 3), RGB.
        dpi: pixels per inch.
    """

    def __init__(self, width: float, height: float, dpi: int) -> None:
        self.dpi = dpi
        self.pixels = np.full((self.px(height), self.px(width), 3), 255, dtype=np.uint8)

    def px(self, inches: float) -> int:
        """Inches -> whole pixels."""
        return round(inches * self.dpi)

    def text(
        self, x: float, y: float, text: str, points: float, colour: str, bold: bool = False, align: float = 0
    ) -> None:
        """Write a line with its baseline at y.

        Args:
            align: which part of the line is at x: 0 its left end, 0.5 its middle.
        """
        letters, up = _letters(text, _font_size(points, self.dpi), bold)
        self._blend(letters, self.px(x) - round(align * letters.shape[1]), self.px(y) - up, colour)

    def fill(self, box: Sequence[float], colour: str) -> None:
        """Fill a box x, y, width, height."""
        x, y, width, height = map(self.px, box)
        self.pixels[y : y + height, x : x + width] = ImageColor.getrgb(colour)

    def edge(self, box: Sequence[float], colour: str, points: float = _EDGE) -> None:
        """Draw the border of a box x, y, width, height."""
        x, y, width, height = map(self.px, box)
        corners = (x, y), (x + width - 1, y + height - 1)
        cv2.rectangle(self.pixels, *corners, ImageColor.getrgb(colour), self._thickness(points))

    def layer(self, box: Sequence[float], layer: Layer) -> None:
        """Fill a box x, y, width, height with an array."""
        x, y, width, height = map(self.px, box)
        place = self.pixels[y : y + height, x : x + width]
        levels = layer.values
        if levels.dtype != np.uint8:
            levels = (levels * np.float32(255 / layer.top)).clip(0, 255)
        levels = _resized(levels, (width, height), layer.smooth)
        grey = cv2.cvtColor(levels if levels.dtype == np.uint8 else cv2.convertScaleAbs(levels), cv2.COLOR_GRAY2RGB)
        colours = grey if layer.colours == "gray" else cv2.LUT(grey, colour_table(layer.colours)[:, None])
        if layer.alpha is None:
            place[:] = colours
            return
        alpha = _resized(layer.alpha.astype(np.float32), (width, height), smooth=True).clip(0, 1)
        _mix(place, colours, alpha)

    def hatch(self, box: Sequence[float], mask: np.ndarray, style: Style) -> None:
        """Tint and hatch a bool (H, W) mask that is shown in a box x, y, width, height."""
        x, y, width, height = map(self.px, box)
        inside = _resized(shrunk(mask).astype(np.float32), (width, height), smooth=True)
        rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
        if not len(rows):
            return
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        strength = np.maximum(_hatching(style["hatch"], self.dpi, width, height)[part], TINT)
        colour = np.array(ImageColor.getrgb(style["color"]), dtype=np.uint8)
        _mix(self.pixels[y : y + height, x : x + width][part], colour, inside[part].clip(0, 1) * strength)

    def outline(self, box: Sequence[float], mask: np.ndarray, style: Style) -> None:
        """Draw the border of a bool (H, W) mask that is shown in a box x, y, width, height."""
        x, y, width, height = (length * self.dpi for length in box)
        scale = np.array([width / mask.shape[1], height / mask.shape[0]])
        lines = [(line + 0.5) * scale + (x, y) - 0.5 for line in outline_lines(mask)]
        self._lines(lines, style)

    def sample(self, box: Sequence[float], style: Style) -> None:
        """Draw the sign of a style for a legend into a box x, y, width, height."""
        x, y, width, height = box
        if "hatch" in style:
            self.fill(box, "#333333")
            self.hatch(box, np.ones((1, 1), dtype=bool), style)
            return
        middle = (y + height / 2) * self.dpi
        self._lines([np.array([[x * self.dpi, middle], [(x + width) * self.dpi, middle]])], style)

    def line(self, x0: float, y0: float, x1: float, y1: float, colour: str, points: float = 0.8) -> None:
        """Draw a straight line."""
        start, end = ((self.px(x), self.px(y)) for x, y in ((x0, y0), (x1, y1)))
        cv2.line(self.pixels, start, end, ImageColor.getrgb(colour), self._thickness(points))

    def _lines(self, lines: Sequence[np.ndarray], style: Style) -> None:
        """Draw lines, float (N, 2) as x, y in pixels, whole or dashed, with a dark halo."""
        if style["linestyle"] == "--":
            dash, gap = (points * _POINT * self.dpi for points in _DASH)
            lines = [piece for line in lines for piece in dashes(line, dash, gap)]
        points = [np.round(line * 2**_SUBPIXELS).astype(np.int32) for line in lines]
        for width, ink in ((_HALO, (0, 0, 0)), (_LINE, ImageColor.getrgb(style["color"]))):
            cv2.polylines(self.pixels, points, False, ink, self._thickness(width), cv2.LINE_AA, _SUBPIXELS)

    def _thickness(self, points: float) -> int:
        return max(1, round(points * _POINT * self.dpi))

    def _blend(self, letters: np.ndarray, x: int, y: int, colour: str) -> None:
        """Blend a float32 (h, w) mask in a colour, cut at the edges of the canvas."""
        height, width = self.pixels.shape[:2]
        top, left = max(0, -y), max(0, -x)
        part = letters[top : height - y, left : width - x]
        place = self.pixels[y + top : y + top + part.shape[0], x + left : x + left + part.shape[1]]
        _mix(place, np.array(ImageColor.getrgb(colour), dtype=np.uint8), part)


def text_width(text: str, points: float, bold: bool = False) -> float:
    """Width of a line of text, in inches."""
    return _font(_font_size(points, _MEASURED_AT), bold).getlength(text) / _MEASURED_AT


def wrapped(text: str, points: float, bold: bool, room: float) -> list[str]:
    """Text in as few lines as fit into `room` inches."""
    longest = max(1, len(text))
    while True:
        lines = textwrap.wrap(text, longest) or [""]
        if longest <= 1 or max(text_width(line, points, bold) for line in lines) <= room:
            return lines
        longest = max(1, max(map(len, lines)) - 1)


def dashes(line: np.ndarray, dash: float, gap: float) -> list[np.ndarray]:
    """Cut a line, float (N, 2), into dashes of a length, with gaps; all in the unit of its coordinates."""
    steps = np.hypot(*np.diff(line, axis=0).T)
    at = np.concatenate([[0.0], np.cumsum(steps)])
    pieces = []
    for start in np.arange(0, at[-1], dash + gap):
        end = min(start + dash, at[-1])
        inner = at[(at > start) & (at < end)]
        places = np.concatenate([[start], inner, [end]])
        pieces.append(np.stack([np.interp(places, at, line[:, i]) for i in (0, 1)], axis=1))
    return pieces


@cache
def colour_table(name: str) -> np.ndarray:
    """A colour map of Matplotlib: uint8 (256, 3), RGB."""
    if name == "gray":
        return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    from matplotlib import colormaps

    return (colormaps[name](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def _mix(place: np.ndarray, colours: np.ndarray, alpha: np.ndarray) -> None:
    """Lay uint8 colours, (h, w, 3) or (3,), over uint8 (h, w, 3), with alpha float (h, w) in [0, 1]."""
    below = place.astype(np.float32)
    place[:] = (below + (colours.astype(np.float32) - below) * alpha[..., None] + 0.5).astype(np.uint8)


def _resized(values: np.ndarray, size: tuple[int, int], smooth: bool) -> np.ndarray:
    """An array (h, w) of uint8 or float32 at another size (width, height)."""
    shrinks = values.shape[1] > size[0] or values.shape[0] > size[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    return cv2.resize(values, size, interpolation=how)


_MEASURED_AT = 160  # pixels per inch: letters are rounded to whole pixels, so that widths depend on it


def _font_size(points: float, dpi: int) -> int:
    return max(1, round(points * _POINT * dpi))


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which Matplotlib brings along."""
    spec = find_spec("matplotlib")
    folder = Path((spec and spec.origin) or "").parent / "mpl-data" / "fonts" / "ttf"
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(folder / name), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=_TEXTS)
def _letters(text: str, size: int, bold: bool) -> tuple[np.ndarray, int]:
    """A line of text: float32 (h, w) in [0, 1], and the row of its baseline. Do not change it: it is kept."""
    font = _font(size, bold)
    left, top, right, bottom = font.getbbox(text or " ", anchor="ls")
    image = Image.new("L", (max(1, int(right - min(0, left)) + 1), max(1, int(bottom - top) + 1)))
    ImageDraw.Draw(image).text((-min(0, left), -top), text, 255, font, anchor="ls")
    return np.asarray(image, dtype=np.float32) / 255, int(-top)


@lru_cache(maxsize=_HATCHES)
def _hatching(pattern: str, dpi: int, width: int, height: int) -> np.ndarray:
    """Lines or dots over an area: float32 (height, width) in [0, 1]. Do not change it: it is kept."""
    step = max(3.0, 4.5 * _POINT * dpi)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    if pattern[0] == "/":
        distance = np.abs((rows + columns) / 2**0.5 % step - step / 2)
        return (step * 0.13 + 0.5 - distance).clip(0, 1)
    step *= 0.75
    odd = rows // step % 2 * (step / 2)
    distance = np.hypot(rows % step - step / 2, (columns + odd) % step - step / 2)
    return (step * 0.28 + 0.5 - distance).clip(0, 1)
