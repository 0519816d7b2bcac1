"""The figure of a prediction as a PDF page, with text and lines as vectors.

It uses Matplotlib's object interface without pyplot, which has global state, so it is thread-safe.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.transforms import ScaledTranslation

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
    TINT,
    TITLE,
    PanelContent,
    PanelPicture,
    Style,
    chosen_panels,
    heading,
    mask_grid,
    panel_size,
)
from busi_demo.analysis.view import CAM_OPACITY
from busi_demo.types import Prediction

_HALO = (patheffects.withStroke(linewidth=3.6, foreground="black"),)


def draw_panels(
    prediction: Prediction,
    ground_truth: np.ndarray | None = None,
    title: str | None = None,
    columns: int | None = None,
    opacity: float = CAM_OPACITY,
    uncertainty: bool = False,
) -> Figure:
    """Draw a prediction; arguments and errors as in `figure.draw_figure`.

    Returns:
        A figure with its own Agg canvas, about 3 inches wide per column; `figure_pdf` converts it.
    """
    panels, columns = chosen_panels(columns, uncertainty)
    content = PanelContent(prediction, ground_truth, opacity)
    shape = prediction.image.shape
    figure, all_axes = _titled_axes([panel.title_of(prediction) for panel in panels], shape, columns)
    for panel, axes in zip(panels, all_axes, strict=True):
        _fill(axes, panel.show(content), (shape[0], shape[1]))
    lines = heading(prediction, title or prediction.approach, columns)
    _arrange(figure, all_axes, _write_heading(figure, lines), columns)
    return figure


def draw_plain(image: np.ndarray) -> Figure:
    """A picture without an answer: uint8 (H, W) -> a figure of it alone, at the size of a panel."""
    figure = Figure(figsize=panel_size(image.shape), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(image, aspect="auto", cmap="gray", vmin=0, vmax=255, interpolation="none")
    axes.axis("off")
    return figure


def figure_pdf(figure: Figure) -> bytes:
    """A figure as a PDF file of one page.

    Args:
        figure: from `draw_panels` or `draw_plain`.
    """
    page = io.BytesIO()
    figure.savefig(page, format="pdf", metadata={"Title": "Breast ultrasound", "Subject": DISCLAIMER})
    return page.getvalue()


def _fill(axes: Axes, picture: PanelPicture, shape: tuple[int, int]) -> None:
    """Draw a picture into axes, in the coordinates of the image's pixels."""
    height, width = shape
    for layer in picture.layers:
        axes.imshow(
            layer.values, extent=(-0.5, width - 0.5, height - 0.5, -0.5), aspect="auto", cmap=layer.colours, vmin=0,
            vmax=layer.top, alpha=layer.alpha, interpolation=None if layer.smooth else "nearest",
        )  # fmt: skip
    for mask, style in picture.areas:
        tint = to_rgba(style["color"], TINT)
        area = axes.contourf(*mask_grid(mask), levels=[0.5, 1], colors=[tint], hatches=[style["hatch"]])
        area.set(edgecolor=style["color"], linewidth=0)
    for mask, style in picture.outlines:
        _outline(axes, mask, style)
    if picture.frame:
        x0, y0, x1, y1 = picture.frame
        edge = {"edgecolor": FRAME_COLOUR, "linewidth": 1.2}
        axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, **edge))
    if picture.sentence:
        _say(axes, picture.sentence)
    if picture.caption:
        _caption(axes, "\n".join(picture.caption))
    if picture.bar:
        _bar(axes, picture.bar)
    if picture.legend:
        axes.legend(
            handles=[_handle(label, style) for label, style in picture.legend], loc="upper center",
            bbox_to_anchor=(0.5, 0), ncols=2, frameon=False, fontsize=10.5, labelcolor=INK, borderaxespad=0.3,
            handlelength=1.75, columnspacing=1.2,
        )  # fmt: skip


def _caption(axes: Axes, text: str) -> None:
    """One or two lines below axes."""
    axes.annotate(
        text, (0.5, 0), (0, -6), "axes fraction", textcoords="offset points",
        ha="center", va="top", fontsize=10.5, color=INK, linespacing=1.35,
    )  # fmt: skip


def _say(axes: Axes, text: str) -> None:
    """Write a sentence in the middle of empty axes, or below axes that are too small for it."""
    sentence = axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=12)
    sentence.set_color(FAINT)
    if (sentence.get_window_extent().size > axes.bbox.size).any():
        sentence.remove()
        _caption(axes, text)


def _bar(axes: Axes, lines: Sequence[str]) -> None:
    """The colours of the CAM below axes, with their scale and some lines."""
    width, height = axes.bbox.size / axes.figure.dpi
    share = max(1, NARROWEST_BAR / width)
    bar = axes.inset_axes((0.5 - share / 2, -0.18 / height, share, 0.1 / height))
    axes.figure.colorbar(ScalarMappable(Normalize(0, 1), CAM_COLOURS), cax=bar, orientation="horizontal")
    bar.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    bar.tick_params(labelsize=9.5, length=2.5, pad=2, colors=INK)
    bar.set_xlabel("\n".join(lines), fontsize=9.5, color=INK, labelpad=2)


def _handle(label: str, style: Style) -> Artist:
    if "hatch" not in style:
        return Line2D([], [], linewidth=2, path_effects=_HALO, label=label, **style)
    # The legend is white: a dark patch shows the colours as on the image.
    hatch = 2 * style["hatch"][:2]
    return Patch(facecolor="#333333", edgecolor=style["color"], hatch=hatch, linewidth=0, label=label)


def _outline(axes: Axes, mask: np.ndarray, style: Style) -> None:
    """Draw the border of a bool (H, W) mask; the outline of a lesion at the image's edge closes along it."""
    height, width = mask.shape
    lines = axes.contour(
        *mask_grid(mask), levels=[0.5], colors=style["color"], linestyles=style["linestyle"], linewidths=2,
    )  # fmt: skip
    lines.set(path_effects=_HALO, clip_on=False)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _titled_axes(names: Sequence[str], shape: tuple[int, ...], columns: int) -> tuple[Figure, list[Axes]]:
    """A figure of its final width, and titled axes of the image's aspect ratio and of their final size in inches.
    `_arrange` later sets their positions and the height of the figure, which depend on the captions."""
    size = np.array(panel_size(shape))
    width = 2 * MARGIN + columns * SLOT + (columns - 1) * GAP
    figure = Figure(figsize=(width, size[1]), facecolor="white")
    FigureCanvasAgg(figure)
    all_axes = []
    for name in names:
        axes = figure.add_axes((0, 0, *(size / figure.get_size_inches())), label=name)
        axes.set_title(name, fontsize=13, fontweight="bold", color=INK, pad=5)
        axes.set(xticks=[], yticks=[], facecolor=BLANK)
        for spine in axes.spines.values():
            spine.set(color=EDGE, linewidth=0.6)
        all_axes.append(axes)
    return figure, all_axes


def _write_heading(figure: Figure, lines: Sequence[str]) -> float:
    """Write the heading above the panels, wrapped to the figure's width; returns its height in inches."""
    top = MARGIN
    for text in lines:
        style = {"fontsize": 11.5, "color": FAINT}
        if text is lines[0]:
            style = {"fontsize": 16, "fontweight": "bold", "color": INK}
        top += _write_lines(figure, text, top, style)
    return top


def _write_lines(figure: Figure, text: str, top: float, style: dict) -> float:
    """Write text `top` inches below the figure's upper edge, in as few lines as fit between the margins; returns
    their height in inches."""
    place = figure.transFigure + ScaledTranslation(MARGIN, -top, figure.dpi_scale_trans)
    written = figure.text(0, 1, "", va="top", transform=place, linespacing=1.25, parse_math=False, **style)
    room = (figure.get_figwidth() - 2 * MARGIN) * figure.dpi
    longest = len(text)
    while True:
        lines = textwrap.wrap(text, longest)
        written.set_text("\n".join(lines))
        if longest == 1 or written.get_window_extent().width <= room:
            return len(lines) * style["fontsize"] * 1.45 / 72
        longest = max(1, max(map(len, lines)) - 1)


def _arrange(figure: Figure, all_axes: list[Axes], top: float, columns: int) -> None:
    """Place the axes row by row below the heading, each row as high as its content, and write the footer."""
    size = all_axes[0].bbox.size / figure.dpi
    below = [(axes.bbox.y0 - axes.get_tightbbox().y0) / figure.dpi for axes in all_axes]
    rows = [TITLE + size[1] + max(below[i : i + columns]) + BELOW for i in range(0, len(all_axes), columns)]
    width, height = figure.get_figwidth(), top + sum(rows) + FOOTER
    for i, axes in enumerate(all_axes):
        row, column = divmod(i, columns)
        left = MARGIN + column * (SLOT + GAP) + (SLOT - size[0]) / 2
        bottom = height - top - sum(rows[:row]) - TITLE - size[1]
        axes.set_position((left / width, bottom / height, size[0] / width, size[1] / height))
    figure.set_figheight(height)
    figure.text(MARGIN / width, 0.12 / height, DISCLAIMER, va="bottom", fontsize=9.5, color=FAINT)
