"""The panels of the figure, how each is drawn, and their colours.

The outlines are sky blue and yellow from the palette of Okabe and Ito (2008) and also differ in line style; the areas
where they disagree differ in hatching. The CAM has the colours of 'inferno', with evenly rising lightness (van der Walt
and Smith 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from busi_demo.imaging.masks import dice, iou
from busi_demo.imaging.text import percent
from busi_demo.inference.cam_methods import find_cam_method
from busi_demo.types import Prediction

PREDICTED = {"color": "#56B4E9", "linestyle": "-"}
TRUTH = {"color": "#F0E442", "linestyle": "--"}
TOO_MUCH = {"color": PREDICTED["color"], "hatch": "////"}
MISSED = {"color": TRUTH["color"], "hatch": "...."}
FRAME = {"edgecolor": "#E69F00", "linewidth": 1.2}
CAM_COLOURS = "inferno"

INK, FAINT = "#1a1a1a", "#4d4d4d"

_NARROWEST_BAR = 1.6  # inches
_HALO = (patheffects.withStroke(linewidth=3.6, foreground="black"),)
_TINT = 0.3
_LONGEST_SIDE = 1000  # pixels; a panel has at most 672, and Matplotlib needs half a minute for 12 million pixels


@dataclass(frozen=True, eq=False)
class PanelContent:
    """What the panels are drawn from.

    Attributes:
        prediction: of an image (H, W).
        ground_truth: bool (H, W), True inside the true lesion; `None` if it is unknown.
        opacity: of the strongest pixel of the CAM in the overlay, 0 to 1.
    """

    prediction: Prediction
    ground_truth: np.ndarray | None
    opacity: float


@dataclass(frozen=True)
class Panel:
    """A panel of the figure.

    Attributes:
        name: what it shows, in words for a sentence; screen readers read the names of all panels.
        draw: draws the content into axes whose coordinates are the image's pixels.
        title: computes from the prediction what stands above the panel; `None`: its name.
    """

    name: str
    draw: Callable[[Axes, PanelContent], None]
    title: Callable[[Prediction], str] | None = None

    def title_of(self, prediction: Prediction) -> str:
        """What stands above the panel."""
        return self.name.capitalize() if self.title is None else self.title(prediction)


def _show(axes: Axes, pixels: np.ndarray, **style: Any) -> None:
    """Fill axes with a (H, W) array, in the coordinates of the array's pixels."""
    height, width = pixels.shape
    axes.imshow(_shrunk(pixels), extent=(-0.5, width - 0.5, height - 0.5, -0.5), aspect="auto", **style)


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    """Shrink a (H, W) array to at most `_LONGEST_SIDE` per side: means as float32; of a bool array, bool that is True
    if any of the pixels was, so that small lesions remain. A small array is returned unchanged."""
    size = tuple(min(side, _LONGEST_SIDE) for side in pixels.shape[::-1])
    if size == pixels.shape[::-1]:
        return pixels
    means = np.asarray(Image.fromarray(pixels.astype(np.float32)).resize(size, Image.Resampling.BOX))
    return means > 0 if pixels.dtype == np.bool_ else means


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


def _draw_mask(axes: Axes, mask: np.ndarray) -> str:
    """Draw a bool (H, W) mask in white on black; returns a caption with its size."""
    _show(axes, mask, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    return f"lesion: {percent(float(mask.mean()))} of the image" if mask.any() else "no lesion"


def draw_input(axes: Axes, content: PanelContent) -> None:
    """Draw the image with its size, and the frame if that is not the whole image."""
    image = content.prediction.image
    _show(axes, image, cmap="gray", vmin=0, vmax=255)
    text = f"{image.shape[1]} × {image.shape[0]} pixels"
    if frame := content.prediction.frame:
        x0, y0, x1, y1 = frame
        axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, **FRAME))
        text += f"\nused: the {x1 - x0} × {y1 - y0} in the frame"
    _caption(axes, text)


def draw_ground_truth(axes: Axes, content: PanelContent) -> None:
    """Draw the true mask if it is known."""
    if content.ground_truth is None:
        _say(axes, "not provided")
    else:
        _caption(axes, _draw_mask(axes, content.ground_truth))


def draw_predicted_mask(axes: Axes, content: PanelContent) -> None:
    """Draw the predicted mask with its overlap with the true mask."""
    prediction, ground_truth = content.prediction, content.ground_truth
    text = _draw_mask(axes, prediction.mask)
    if ground_truth is not None:
        text += f"\nDice {dice(prediction.mask, ground_truth):.2f} · IoU {iou(prediction.mask, ground_truth):.2f}"
    _caption(axes, text)


def draw_cam(axes: Axes, content: PanelContent) -> None:
    """Draw the class activation map with its scale, or a sentence if the map is empty."""
    prediction = content.prediction
    method = find_cam_method(prediction.cam_method)
    if not prediction.cam.any():
        nothing = f"no positive evidence\nfor {prediction.cam_class}" if method.of_class else "no pattern"
        _say(axes, nothing)
        return
    _show(axes, prediction.cam, cmap=CAM_COLOURS, vmin=0, vmax=1)
    width, height = axes.bbox.size / axes.figure.dpi
    share = max(1, _NARROWEST_BAR / width)
    bar = axes.inset_axes((0.5 - share / 2, -0.18 / height, share, 0.1 / height))
    axes.figure.colorbar(ScalarMappable(Normalize(0, 1), CAM_COLOURS), cax=bar, orientation="horizontal")
    bar.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    bar.tick_params(labelsize=9.5, length=2.5, pad=2, colors=INK)
    shows = f"relative class evidence for {prediction.cam_class}" if method.of_class else "main pattern, of no class"
    peak = f" ({prediction.cam_peak:.2g} logit units)" if method.in_logits else ""
    bar.set_xlabel(f"{shows}\n1 = strongest pixel{peak}", fontsize=9.5, color=INK, labelpad=2)


def draw_overlay(axes: Axes, content: PanelContent) -> None:
    """Draw image, CAM and both outlines; areas where these disagree are hatched."""
    prediction, ground_truth, opacity = content.prediction, content.ground_truth, content.opacity
    _show(axes, prediction.image, cmap="gray", vmin=0, vmax=255)
    if prediction.cam.any() and opacity:
        alpha = _shrunk(prediction.cam) * opacity
        _show(axes, prediction.cam, cmap=CAM_COLOURS, vmin=0, vmax=1, alpha=alpha)
    handles: list[Line2D | Patch] = []
    for mask, style, label in ((prediction.mask, PREDICTED, "predicted"), (ground_truth, TRUTH, "ground truth")):
        if mask is not None and mask.any():
            handles.append(Line2D([], [], linewidth=2, path_effects=_HALO, label=label, **style))
    if ground_truth is not None:
        for mask, style, label in (
            (prediction.mask & ~ground_truth, TOO_MUCH, "too much"), (ground_truth & ~prediction.mask, MISSED, "missed")
        ):  # fmt: skip
            if mask.any():
                handles.append(_hatch(axes, mask, style, label))
    for mask, style in ((ground_truth, TRUTH), (prediction.mask, PREDICTED)):
        if mask is not None and mask.any():
            _outline(axes, mask, style)
    if handles:
        axes.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False,
            fontsize=10.5, labelcolor=INK, borderaxespad=0.3, handlelength=1.75, columnspacing=1.2,
        )  # fmt: skip
    else:
        _caption(axes, "no lesion to outline")


def _hatch(axes: Axes, mask: np.ndarray, style: dict[str, str], label: str) -> Patch:
    """Tint and hatch the inside of a bool (H, W) mask; returns its handle for the legend."""
    tint = to_rgba(style["color"], _TINT)
    area = axes.contourf(*_grid(mask), levels=[0.5, 1], colors=[tint], hatches=[style["hatch"]])
    area.set(edgecolor=style["color"], linewidth=0)
    # The legend is white: a dark patch shows the colours as on the image.
    return Patch(facecolor="#333333", edgecolor=style["color"], hatch=2 * style["hatch"][:2], linewidth=0, label=label)


def _grid(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, rows and values of a bool (H, W) mask with an empty border, to close outlines at the image's edge."""
    small = _shrunk(mask)
    rows, columns = (
        (np.arange(-1, few + 1) + 0.5) * many / few - 0.5 for few, many in zip(small.shape, mask.shape, strict=True)
    )
    return columns, rows, np.pad(small, 1)


def _outline(axes: Axes, mask: np.ndarray, style: dict[str, str]) -> None:
    """Draw the border of a bool (H, W) mask; the outline of a lesion at the image's edge closes along it."""
    height, width = mask.shape
    lines = axes.contour(
        *_grid(mask), levels=[0.5], colors=style["color"], linestyles=style["linestyle"], linewidths=2,
    )  # fmt: skip
    lines.set(path_effects=_HALO, clip_on=False)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


PANELS = (
    Panel("input", draw_input),
    Panel("ground truth", draw_ground_truth),
    Panel("predicted mask", draw_predicted_mask),
    Panel("class activation map", draw_cam, lambda prediction: find_cam_method(prediction.cam_method).title),
    Panel("overlay", draw_overlay),
)
"""The panels of the figure from left to right."""
