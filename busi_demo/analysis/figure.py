"""The figure of a prediction: the panels of `panels.PANELS`.

It uses Matplotlib's object interface without pyplot, which has global state, so it is thread-safe.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation
from PIL import Image

from busi_demo.analysis.panels import FAINT, INK, PANELS, PanelContent
from busi_demo.analysis.view import CAM_OPACITY
from busi_demo.imaging import GroundTruth
from busi_demo.imaging.text import percent
from busi_demo.types import InputError, Prediction

DISCLAIMER = "Research demo, not a medical device"

DPI = 160
"""Twice the density at which a figure of five columns is 1200 px wide, for sharp text on screens of high density."""

# All lengths in inches.
_SLOT, _GAP, _MARGIN = 2.8, 0.2, 0.2
_TALLEST = 1.5 * _SLOT
_TITLE, _BELOW, _FOOTER = 0.34, 0.16, 0.34
_BLANK = "#e9e9e9"


def draw_panels(
    prediction: Prediction,
    ground_truth: np.ndarray | None = None,
    title: str | None = None,
    columns: int | None = None,
    opacity: float = CAM_OPACITY,
) -> Figure:
    """Draw a prediction.

    Args:
        prediction: of an image (H, W) of any aspect ratio.
        ground_truth: bool (H, W), True inside the true lesion; `None` if it is unknown.
        title: display name of the approach; `None`: its key.
        columns: panels per row, from 1 to the number of panels: 1 or 2 for a phone. `None`: all in one row.
        opacity: of the strongest pixel of the CAM in the overlay, 0 to 1.
    Returns:
        A figure with its own Agg canvas, about 3 inches wide per column; `figure_image` and `figure_pdf` convert it.
    Raises:
        InputError: opacity is not 0 to 1, or ground_truth is not bool or has another shape than the image.
        ValueError: columns is not 1 to the number of panels.
    """
    columns = len(PANELS) if columns is None else columns
    if columns not in range(1, len(PANELS) + 1):
        raise ValueError(f"columns must be 1 to {len(PANELS)}, got {columns}.")
    if not 0 <= opacity <= 1:
        raise InputError(f"The opacity of the CAM must lie between 0 and 1, got {opacity}.")
    GroundTruth(ground_truth).check(prediction.image.shape)
    figure, all_axes = _titled_axes([panel.title_of(prediction) for panel in PANELS], prediction.image.shape, columns)
    content = PanelContent(prediction, ground_truth, opacity)
    for panel, axes in zip(PANELS, all_axes, strict=True):
        panel.draw(axes, content)
    heading = _write_heading(figure, prediction, title or prediction.approach, columns)
    _arrange(figure, all_axes, heading, columns)
    return figure


def panel_names() -> list[str]:
    """What the panels show, from left to right, in words for a sentence."""
    return [panel.name for panel in PANELS]


def figure_image(figure: Figure, dpi: int = DPI) -> Image.Image:
    """Render a figure as an "RGB" image.

    Args:
        figure: from `draw_panels`.
        dpi: pixels per inch; five columns are 15.2 inches wide.
    """
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def plain_image(image: np.ndarray) -> Image.Image:
    """A picture without an answer: uint8 (H, W) -> an RGB image."""
    return Image.fromarray(image).convert("RGB")


def png_bytes(image: Image.Image) -> bytes:
    """An image as the bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def figure_pdf(figure: Figure) -> bytes:
    """A figure as a PDF file of one page, with text and lines as vectors.

    Args:
        figure: from `draw_panels`.
    """
    page = io.BytesIO()
    figure.savefig(page, format="pdf", metadata={"Title": "Breast ultrasound", "Subject": DISCLAIMER})
    return page.getvalue()


def _titled_axes(names: Sequence[str], shape: tuple[int, int], columns: int) -> tuple[Figure, list[Axes]]:
    """A figure of its final width, and titled axes of the image's aspect ratio and of their final size in inches.
    `_arrange` later sets their positions and the height of the figure, which depend on the captions."""
    aspect = shape[0] / shape[1]
    size = np.array((min(_SLOT, _TALLEST / aspect), min(_SLOT * aspect, _TALLEST)))
    width = 2 * _MARGIN + columns * _SLOT + (columns - 1) * _GAP
    figure = Figure(figsize=(width, size[1]), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    all_axes = []
    for name in names:
        axes = figure.add_axes((0, 0, *(size / figure.get_size_inches())), label=name)
        axes.set_title(name, fontsize=13, fontweight="bold", color=INK, pad=5)
        axes.set(xticks=[], yticks=[], facecolor=_BLANK)
        for spine in axes.spines.values():
            spine.set(color="#808080", linewidth=0.6)
        all_axes.append(axes)
    return figure, all_axes


def _write_heading(figure: Figure, prediction: Prediction, title: str, columns: int) -> float:
    """Write the heading above the panels, wrapped to the figure's width; returns its height in inches."""
    answer = f"Predicted class: {prediction.predicted_class} ({percent(prediction.confidence)})"
    # Lines may only be broken after a dot, so that a name and its number stay together.
    all_classes = "\N{NO-BREAK SPACE}· ".join(
        f"{name}\N{NO-BREAK SPACE}{percent(p)}" for name, p in prediction.probabilities.items()
    )
    top = _MARGIN
    for text in (answer, f"{title} · {all_classes}") if columns > 2 else (answer, title, all_classes):
        style = {"fontsize": 11.5, "color": FAINT}
        if text is answer:
            style = {"fontsize": 16, "fontweight": "bold", "color": INK}
        top += _write_lines(figure, text, top, style)
    return top


def _write_lines(figure: Figure, text: str, top: float, style: dict) -> float:
    """Write text `top` inches below the figure's upper edge, in as few lines as fit between the margins; returns
    their height in inches."""
    place = figure.transFigure + ScaledTranslation(_MARGIN, -top, figure.dpi_scale_trans)
    written = figure.text(0, 1, "", va="top", transform=place, linespacing=1.25, parse_math=False, **style)
    room = (figure.get_figwidth() - 2 * _MARGIN) * figure.dpi
    longest = len(text)
    while True:
        lines = textwrap.wrap(text, longest)
        written.set_text("\n".join(lines))
        if longest == 1 or written.get_window_extent().width <= room:
            return len(lines) * style["fontsize"] * 1.45 / 72
        longest = max(1, max(map(len, lines)) - 1)


def _arrange(figure: Figure, all_axes: list[Axes], heading: float, columns: int) -> None:
    """Place the axes row by row below the heading, each row as high as its content, and write the footer."""
    size = all_axes[0].bbox.size / figure.dpi
    below = [(axes.bbox.y0 - axes.get_tightbbox().y0) / figure.dpi for axes in all_axes]
    rows = [_TITLE + size[1] + max(below[i : i + columns]) + _BELOW for i in range(0, len(all_axes), columns)]
    width, height = figure.get_figwidth(), heading + sum(rows) + _FOOTER
    for i, axes in enumerate(all_axes):
        row, column = divmod(i, columns)
        left = _MARGIN + column * (_SLOT + _GAP) + (_SLOT - size[0]) / 2
        bottom = height - heading - sum(rows[:row]) - _TITLE - size[1]
        axes.set_position((left / width, bottom / height, size[0] / width, size[1] / height))
    figure.set_figheight(height)
    figure.text(_MARGIN / width, 0.12 / height, DISCLAIMER, va="bottom", fontsize=9.5, color=FAINT)
