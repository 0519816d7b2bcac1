"""The figure of a prediction: the panels of `panels.PANELS` as an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from busi_demo.analysis.canvas import Canvas, colour_table, text_width, wrapped
from busi_demo.analysis.panels import (
    BELOW,
    BLANK,
    CAM_COLOURS,
    DISCLAIMER,
    EDGE,
    FAINT,
    FOOTER,
    FRAME_COLOUR,
    GAP,
    INK,
    MARGIN,
    NARROWEST_BAR,
    SLOT,
    TITLE,
    Layer,
    PanelContent,
    PanelPicture,
    Style,
    chosen_panels,
    heading,
    panel_size,
)
from busi_demo.analysis.view import CAM_OPACITY
from busi_demo.types import Prediction

__all__ = ["DISCLAIMER", "DPI", "draw_figure", "plain_image"]

DPI = 160
"""Twice the density at which a figure of five columns is 1200 px wide, for sharp text on screens of high density."""

# Lengths in inches, sizes of letters in points.
_CAPTION, _SMALL, _SENTENCE = 10.5, 9.5, 12
_LINE = 1.45 / 72  # from one line to the next, for each point of the letters
_PAD = 6 / 72
_BAR, _TICK = 0.1, 2.5 / 72
_SAMPLE, _ENTRY_GAP, _COLUMN_GAP = 1.75 * _CAPTION / 72, 0.12, 0.18


def draw_figure(
    prediction: Prediction,
    ground_truth: np.ndarray | None = None,
    title: str | None = None,
    columns: int | None = None,
    opacity: float = CAM_OPACITY,
    uncertainty: bool = False,
    dpi: int = DPI,
) -> np.ndarray:
    """Draw a prediction.

    Args:
        prediction: of an image (H, W) of any aspect ratio.
        ground_truth: bool (H, W), True inside the true lesion; `None` if it is unknown.
        title: display name of the approach; `None`: its key.
        columns: panels per row, from 1 to the number of panels: 1 or 2 for a phone. `None`: all in one row.
        opacity: of the strongest pixel of the CAM in the overlay, 0 to 1.
        uncertainty: whether the panel `UNCERTAINTY` follows the others.
        dpi: pixels per inch; five columns are 15.2 inches wide.
    Returns:
        uint8 (height, width, 3), RGB, about 3 inches wide per column.
    Raises:
        InputError: opacity is not 0 to 1, or ground_truth is not bool or has another shape than the image.
        ValueError: columns is not 1 to the number of panels.
    """
    panels, columns = chosen_panels(columns, uncertainty)
    content = PanelContent(prediction, ground_truth, opacity)
    size = panel_size(prediction.image.shape)
    pictures = [_placed_sentence(panel.show(content), size) for panel in panels]
    width = 2 * MARGIN + columns * SLOT + (columns - 1) * GAP
    lines = _heading_lines(heading(prediction, title or prediction.approach, columns), width - 2 * MARGIN)
    top = MARGIN + sum(points * _LINE for _, points, _, _ in lines)
    below = [_below(picture) for picture in pictures]
    rows = [TITLE + size[1] + max(below[i : i + columns]) + BELOW for i in range(0, len(panels), columns)]
    canvas = Canvas(width, top + sum(rows) + FOOTER, dpi)
    y = MARGIN
    for text, points, colour, bold in lines:
        canvas.text(MARGIN, y + points / 72, text, points, colour, bold)
        y += points * _LINE
    for i, (panel, picture) in enumerate(zip(panels, pictures, strict=True)):
        row, column = divmod(i, columns)
        x = MARGIN + column * (SLOT + GAP) + (SLOT - size[0]) / 2
        y = top + sum(rows[:row]) + TITLE
        canvas.text(x + size[0] / 2, y - 5 / 72, panel.title_of(prediction), 13, INK, bold=True, align=0.5)
        _draw(canvas, picture, (x, y, *size), prediction.image.shape)
    canvas.text(MARGIN, top + sum(rows) + FOOTER - 0.16, DISCLAIMER, _SMALL, FAINT)
    return canvas.pixels


def plain_image(image: np.ndarray) -> np.ndarray:
    """A picture without an answer: uint8 (H, W) -> uint8 (H, W, 3), RGB."""
    return np.repeat(image[..., None], 3, axis=2)


def _placed_sentence(picture: PanelPicture, size: tuple[float, float]) -> PanelPicture:
    """The picture with its sentence below the panel if the panel is too small for it."""
    if picture.sentence is None:
        return picture
    lines = picture.sentence.split("\n")
    if max(text_width(line, _SENTENCE) for line in lines) <= size[0] and len(lines) * _SENTENCE * _LINE <= size[1]:
        return picture
    return PanelPicture(caption=tuple(lines))


def _heading_lines(texts: Sequence[str], room: float) -> list[tuple[str, float, str, bool]]:
    """Lines with the size, the colour and the weight of their letters."""
    lines = []
    for i, text in enumerate(texts):
        points, colour, bold = (16.0, INK, True) if i == 0 else (11.5, FAINT, False)
        lines += [(line, points, colour, bold) for line in wrapped(text, points, bold, room)]
    return lines


def _below(picture: PanelPicture) -> float:
    """Height of what stands below a panel."""
    if picture.bar:
        return 0.18 + _TICK + (1 + len(picture.bar)) * _SMALL * _LINE
    return _PAD + (len(picture.caption) + len(_legend_rows(picture))) * _CAPTION * _LINE


def _legend_rows(picture: PanelPicture) -> list[list[tuple[str, Style]]]:
    """The entries of the legend in two columns, filled one after the other."""
    entries = list(picture.legend)
    half = -(-len(entries) // 2)
    return [entries[row::half] for row in range(half)]


def _draw(canvas: Canvas, picture: PanelPicture, box: tuple[float, ...], shape: tuple[int, ...]) -> None:
    """Draw a picture of an image of shape (H, W) into a box x, y, width, height, and what belongs below it."""
    x, y, width, height = box
    if not picture.layers:
        canvas.fill(box, BLANK)
    for layer in picture.layers:
        canvas.layer(box, layer)
    canvas.edge(box, EDGE)
    for mask, style in picture.areas:
        canvas.hatch(box, mask, style)
    for mask, style in picture.outlines:
        canvas.outline(box, mask, style)
    if picture.frame:
        x0, y0, x1, y1 = picture.frame
        across, down = width / shape[1], height / shape[0]
        canvas.edge((x + x0 * across, y + y0 * down, (x1 - x0) * across, (y1 - y0) * down), FRAME_COLOUR, 1.2)
    middle = x + width / 2
    if picture.sentence:
        lines = picture.sentence.split("\n")
        first = y + height / 2 - len(lines) * _SENTENCE * _LINE / 2
        _write(canvas, middle, first, lines, _SENTENCE, FAINT)
    bottom = y + height
    _write(canvas, middle, bottom + _PAD, picture.caption, _CAPTION, INK)
    if picture.bar:
        _draw_bar(canvas, middle, bottom + 0.08, max(width, NARROWEST_BAR), picture.bar)
    _draw_legend(canvas, middle, bottom + _PAD + len(picture.caption) * _CAPTION * _LINE, picture)


def _write(canvas: Canvas, middle: float, top: float, lines: Sequence[str], points: float, colour: str) -> None:
    """Write centred lines below `top`."""
    for i, line in enumerate(lines):
        canvas.text(middle, top + (i + 0.72) * points * _LINE, line, points, colour, align=0.5)


def _draw_bar(canvas: Canvas, middle: float, top: float, width: float, lines: Sequence[str]) -> None:
    left, below = middle - width / 2, top + _BAR
    box = (left, top, width, _BAR)
    canvas.layer(box, Layer(np.linspace(0, 1, len(colour_table(CAM_COLOURS)))[None], CAM_COLOURS, 1))
    canvas.edge(box, INK, 0.8)
    for place, text in ((0.0, "0"), (0.5, "0.5"), (1.0, "1")):
        at = left + place * (width - 1 / canvas.dpi)
        canvas.line(at, below, at, below + _TICK, INK)
        canvas.text(at, below + _TICK + 0.78 * _SMALL * _LINE, text, _SMALL, INK, align=0.5)
    _write(canvas, middle, below + _TICK + _SMALL * _LINE, lines, _SMALL, INK)


def _draw_legend(canvas: Canvas, middle: float, top: float, picture: PanelPicture) -> None:
    rows = _legend_rows(picture)
    widths = [
        max(text_width(row[column][0], _CAPTION) for row in rows if column < len(row)) + _SAMPLE + _ENTRY_GAP
        for column in range(max(map(len, rows), default=0))
    ]
    left = middle - (sum(widths) + _COLUMN_GAP * (len(widths) - 1)) / 2
    for i, row in enumerate(rows):
        baseline = top + (i + 0.72) * _CAPTION * _LINE
        for column, (label, style) in enumerate(row):
            x = left + sum(widths[:column]) + column * _COLUMN_GAP
            canvas.sample((x, baseline - 0.7 * _CAPTION / 72, _SAMPLE, 0.7 * _CAPTION / 72), style)
            canvas.text(x + _SAMPLE + _ENTRY_GAP, baseline, label, _CAPTION, INK)
