"""The five-panel figure of a prediction: input, ground truth, predicted mask, Grad-CAM and overlay.

Drawn on Matplotlib's object interface without pyplot, hence without global state: safe in the threads of a server.
Outlines are sky blue and yellow of the palette of Okabe and Ito (2008), told apart by line style too; the CAM is drawn
in 'inferno', whose lightness rises evenly (van der Walt and Smith 2015).
"""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation
from PIL import Image

from busi_demo.evaluation.metrics import dice, iou
from busi_demo.types import InputError, Prediction

PANELS = ("Input", "Ground truth", "Predicted mask", "Grad-CAM", "Overlay")
DISCLAIMER = "Research demo, not a medical device"

PREDICTED = {"color": "#56B4E9", "linestyle": "-"}
TRUTH = {"color": "#F0E442", "linestyle": "--"}
CAM_COLOURS = "inferno"

DPI = 160
"""Twice the density at which a five-column figure fills 1200 px of a browser, for sharp text on any screen."""

# All lengths in inches.
_SLOT, _GAP, _MARGIN = 2.8, 0.2, 0.2
_TALLEST = 1.5 * _SLOT
_TITLE, _BELOW, _FOOTER = 0.34, 0.16, 0.34
_NARROWEST_BAR = 1.6
_INK, _FAINT, _BLANK = "#1a1a1a", "#4d4d4d", "#e9e9e9"
_HALO = (patheffects.withStroke(linewidth=3.6, foreground="black"),)


def percent(share: float) -> str:
    """A share in [0, 1] for reading; never rounded to a certainty that it is not."""
    if 0 < share < 0.001:
        return "<0.1%"
    return ">99.9%" if 0.999 < share < 1 else f"{share:.1%}"


def five_panels(
    prediction: Prediction, ground_truth: np.ndarray | None = None, title: str | None = None, columns: int = 5
) -> Figure:
    """Draw a prediction.

    Args:
        prediction: what is shown; every map at the image's own size (H, W), of any aspect ratio.
        ground_truth: bool (H, W), True inside the true lesion; `None` where it is unknown.
        title: name of the approach as people read it; its key where `None`.
        columns: panels a row, 1 to 5. 5 suits a page of 1200 px, 2 or 1 a telephone.
    Returns:
        A figure bound to its own Agg canvas, about 3 inches a column wide; `figure_image` makes pixels of it.
    Raises:
        InputError: ground_truth is not bool or has another shape than the image.
        ValueError: columns is not 1 to 5.
    """
    if columns not in range(1, len(PANELS) + 1):
        raise ValueError(f"columns must be 1 to {len(PANELS)}, got {columns}.")
    if ground_truth is not None and (ground_truth.shape != prediction.image.shape or ground_truth.dtype != np.bool_):
        raise InputError(
            f"The ground truth must be bool {prediction.image.shape} like the image, "
            f"got {ground_truth.dtype} {ground_truth.shape}: read it with read_mask(source, image.shape)."
        )
    figure, axes = _titled_axes(prediction.image.shape, columns)
    _draw_input(axes[0], prediction.image)
    _draw_ground_truth(axes[1], ground_truth)
    _draw_predicted_mask(axes[2], prediction, ground_truth)
    _draw_cam(axes[3], prediction)
    _draw_overlay(axes[4], prediction, ground_truth)
    heading = _write_heading(figure, prediction, title or prediction.approach, columns)
    _arrange(figure, axes, heading, columns)
    return figure


def figure_image(figure: Figure, dpi: int = DPI) -> Image.Image:
    """Pixels of a figure as an "RGB" image; gr.Image takes it as it is, `.save("name.png")` writes it.

    Args:
        figure: from `five_panels`.
        dpi: pixels an inch; five columns are 15.2 inches wide.
    """
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _titled_axes(shape: tuple[int, int], columns: int) -> tuple[Figure, list[Axes]]:
    """A figure of its final width and five titled axes of the image's aspect ratio, of their final size in inches.
    Where they stand and how high the figure is, `_arrange` settles when it is known what stands below each."""
    aspect = shape[0] / shape[1]
    size = np.array((min(_SLOT, _TALLEST / aspect), min(_SLOT * aspect, _TALLEST)))
    width = 2 * _MARGIN + columns * _SLOT + (columns - 1) * _GAP
    figure = Figure(figsize=(width, size[1]), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = []
    for name in PANELS:
        panel = figure.add_axes((0, 0, *(size / figure.get_size_inches())), label=name)
        panel.set_title(name, fontsize=13, fontweight="bold", color=_INK, pad=5)
        panel.set(xticks=[], yticks=[], facecolor=_BLANK)
        for spine in panel.spines.values():
            spine.set(color="#808080", linewidth=0.6)
        axes.append(panel)
    return figure, axes


def _write_heading(figure: Figure, prediction: Prediction, title: str, columns: int) -> float:
    """Write what stands above the panels, broken to the figure's width; returns its height in inches."""
    answer = f"Predicted class: {prediction.predicted_class} ({percent(prediction.confidence)})"
    # No line shall begin with a dot or part a name from its number: only the blank behind a dot is one to break at.
    all_classes = "\N{NO-BREAK SPACE}· ".join(
        f"{name}\N{NO-BREAK SPACE}{percent(p)}" for name, p in prediction.probabilities.items()
    )
    top = _MARGIN
    for text in (answer, f"{title} · {all_classes}") if columns > 2 else (answer, title, all_classes):
        style = {"fontsize": 11.5, "color": _FAINT}
        if text is answer:
            style = {"fontsize": 16, "fontweight": "bold", "color": _INK}
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


def _arrange(figure: Figure, axes: list[Axes], heading: float, columns: int) -> None:
    """Set the axes row by row below the heading, each row as high as what is drawn in it, and write the footer."""
    size = axes[0].bbox.size / figure.dpi
    below = [(panel.bbox.y0 - panel.get_tightbbox().y0) / figure.dpi for panel in axes]
    rows = [_TITLE + size[1] + max(below[i : i + columns]) + _BELOW for i in range(0, len(axes), columns)]
    width, height = figure.get_figwidth(), heading + sum(rows) + _FOOTER
    for i, panel in enumerate(axes):
        row, column = divmod(i, columns)
        left = _MARGIN + column * (_SLOT + _GAP) + (_SLOT - size[0]) / 2
        bottom = height - heading - sum(rows[:row]) - _TITLE - size[1]
        panel.set_position((left / width, bottom / height, size[0] / width, size[1] / height))
    figure.set_figheight(height)
    figure.text(_MARGIN / width, 0.12 / height, DISCLAIMER, va="bottom", fontsize=9.5, color=_FAINT)


def _caption(panel: Axes, text: str) -> None:
    """One or two lines below a panel."""
    panel.annotate(
        text, (0.5, 0), (0, -6), "axes fraction", textcoords="offset points",
        ha="center", va="top", fontsize=10.5, color=_INK, linespacing=1.35,
    )  # fmt: skip


def _say(panel: Axes, text: str) -> None:
    """A sentence in the middle of a panel that has nothing to show, or below it where it is too small for that."""
    sentence = panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center", fontsize=12)
    sentence.set_color(_FAINT)
    if (sentence.get_window_extent().size > panel.bbox.size).any():
        sentence.remove()
        _caption(panel, text)


def _draw_mask(panel: Axes, mask: np.ndarray) -> str:
    """Draw a bool (H, W) mask in white on black; returns what to say of its size."""
    panel.imshow(mask, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    return f"lesion: {percent(float(mask.mean()))} of the image" if mask.any() else "no lesion"


def _draw_input(panel: Axes, image: np.ndarray) -> None:
    panel.imshow(image, cmap="gray", vmin=0, vmax=255, aspect="auto")
    _caption(panel, f"{image.shape[1]} × {image.shape[0]} pixels")


def _draw_ground_truth(panel: Axes, ground_truth: np.ndarray | None) -> None:
    if ground_truth is None:
        _say(panel, "not provided")
    else:
        _caption(panel, _draw_mask(panel, ground_truth))


def _draw_predicted_mask(panel: Axes, prediction: Prediction, ground_truth: np.ndarray | None) -> None:
    text = _draw_mask(panel, prediction.mask)
    if ground_truth is not None:
        text += f"\nDice {dice(prediction.mask, ground_truth):.2f} · IoU {iou(prediction.mask, ground_truth):.2f}"
    _caption(panel, text)


def _draw_cam(panel: Axes, prediction: Prediction) -> None:
    if not prediction.cam.any():
        _say(panel, f"no positive evidence\nfor {prediction.cam_class}")
        return
    panel.imshow(prediction.cam, cmap=CAM_COLOURS, vmin=0, vmax=1, aspect="auto")
    width, height = panel.bbox.size / panel.figure.dpi
    share = max(1, _NARROWEST_BAR / width)
    bar = panel.inset_axes((0.5 - share / 2, -0.18 / height, share, 0.1 / height))
    panel.figure.colorbar(ScalarMappable(Normalize(0, 1), CAM_COLOURS), cax=bar, orientation="horizontal")
    bar.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    bar.tick_params(labelsize=9.5, length=2.5, pad=2, colors=_INK)
    bar.set_xlabel(
        f"relative class evidence for {prediction.cam_class}\n"
        f"1 = strongest pixel ({prediction.cam_peak:.2g} logit units)",
        fontsize=9.5, color=_INK, labelpad=2,
    )  # fmt: skip


def _draw_overlay(panel: Axes, prediction: Prediction, ground_truth: np.ndarray | None) -> None:
    panel.imshow(prediction.image, cmap="gray", vmin=0, vmax=255, aspect="auto")
    if prediction.cam.any():
        panel.imshow(prediction.cam, cmap=CAM_COLOURS, vmin=0, vmax=1, alpha=prediction.cam * 0.55, aspect="auto")
    handles = []
    for mask, style, label in ((ground_truth, TRUTH, "ground truth"), (prediction.mask, PREDICTED, "predicted")):
        if mask is not None and mask.any():
            _outline(panel, mask, style)
            handles.append(Line2D([], [], linewidth=2, path_effects=_HALO, label=label, **style))
    if handles:
        panel.legend(
            handles=handles[::-1], loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False,
            fontsize=10.5, labelcolor=_INK, borderaxespad=0.3, handlelength=1.75, columnspacing=1.2,
        )  # fmt: skip
    else:
        _caption(panel, "no lesion to outline")


def _outline(panel: Axes, mask: np.ndarray, style: dict[str, str]) -> None:
    """Draw the border of a bool (H, W) mask; a lesion that the image cuts is closed along the image's edge."""
    height, width = mask.shape
    lines = panel.contour(
        np.arange(-1, width + 1), np.arange(-1, height + 1), np.pad(mask, 1), levels=[0.5],
        colors=style["color"], linestyles=style["linestyle"], linewidths=2,
    )  # fmt: skip
    lines.set(path_effects=_HALO, clip_on=False)
    panel.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
