"""What is drawn in each of the five panels, and in which colours.

Outlines are sky blue and yellow of the palette of Okabe and Ito (2008), told apart by line style too, as are by their
hatching the places where they disagree; the CAM is drawn in 'inferno', whose lightness rises evenly (van der Walt and
Smith 2015).
"""

from __future__ import annotations

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from busi_demo.cam_methods import find_cam_method
from busi_demo.evaluation.metrics import dice, iou
from busi_demo.types import Prediction

PREDICTED = {"color": "#56B4E9", "linestyle": "-"}
TRUTH = {"color": "#F0E442", "linestyle": "--"}
TOO_MUCH = {"color": PREDICTED["color"], "hatch": "////"}
MISSED = {"color": TRUTH["color"], "hatch": "...."}
CAM_COLOURS = "inferno"

INK, FAINT = "#1a1a1a", "#4d4d4d"

_NARROWEST_BAR = 1.6  # inches
_HALO = (patheffects.withStroke(linewidth=3.6, foreground="black"),)
_TINT = 0.3


def percent(share: float) -> str:
    """A share in [0, 1] for reading; never rounded to a certainty that it is not."""
    if 0 < share < 0.001:
        return "<0.1%"
    return ">99.9%" if 0.999 < share < 1 else f"{share:.1%}"


def _caption(panel: Axes, text: str) -> None:
    """One or two lines below a panel."""
    panel.annotate(
        text, (0.5, 0), (0, -6), "axes fraction", textcoords="offset points",
        ha="center", va="top", fontsize=10.5, color=INK, linespacing=1.35,
    )  # fmt: skip


def _say(panel: Axes, text: str) -> None:
    """A sentence in the middle of a panel that has nothing to show, or below it where it is too small for that."""
    sentence = panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center", fontsize=12)
    sentence.set_color(FAINT)
    if (sentence.get_window_extent().size > panel.bbox.size).any():
        sentence.remove()
        _caption(panel, text)


def _draw_mask(panel: Axes, mask: np.ndarray) -> str:
    """Draw a bool (H, W) mask in white on black; returns what to say of its size."""
    panel.imshow(mask, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    return f"lesion: {percent(float(mask.mean()))} of the image" if mask.any() else "no lesion"


def draw_input(panel: Axes, image: np.ndarray) -> None:
    """The image itself, with its size."""
    panel.imshow(image, cmap="gray", vmin=0, vmax=255, aspect="auto")
    _caption(panel, f"{image.shape[1]} × {image.shape[0]} pixels")


def draw_ground_truth(panel: Axes, ground_truth: np.ndarray | None) -> None:
    """The true mask, where it is known."""
    if ground_truth is None:
        _say(panel, "not provided")
    else:
        _caption(panel, _draw_mask(panel, ground_truth))


def draw_predicted_mask(panel: Axes, prediction: Prediction, ground_truth: np.ndarray | None) -> None:
    """The predicted mask, with its agreement with the true one."""
    text = _draw_mask(panel, prediction.mask)
    if ground_truth is not None:
        text += f"\nDice {dice(prediction.mask, ground_truth):.2f} · IoU {iou(prediction.mask, ground_truth):.2f}"
    _caption(panel, text)


def draw_cam(panel: Axes, prediction: Prediction) -> None:
    """The class activation map with its scale, or a sentence where it is empty."""
    method = find_cam_method(prediction.cam_method)
    if not prediction.cam.any():
        nothing = f"no positive evidence\nfor {prediction.cam_class}" if method.of_class else "no pattern"
        _say(panel, nothing)
        return
    panel.imshow(prediction.cam, cmap=CAM_COLOURS, vmin=0, vmax=1, aspect="auto")
    width, height = panel.bbox.size / panel.figure.dpi
    share = max(1, _NARROWEST_BAR / width)
    bar = panel.inset_axes((0.5 - share / 2, -0.18 / height, share, 0.1 / height))
    panel.figure.colorbar(ScalarMappable(Normalize(0, 1), CAM_COLOURS), cax=bar, orientation="horizontal")
    bar.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    bar.tick_params(labelsize=9.5, length=2.5, pad=2, colors=INK)
    shows = f"relative class evidence for {prediction.cam_class}" if method.of_class else "main pattern, of no class"
    peak = f" ({prediction.cam_peak:.2g} logit units)" if method.in_logits else ""
    bar.set_xlabel(f"{shows}\n1 = strongest pixel{peak}", fontsize=9.5, color=INK, labelpad=2)


def draw_overlay(panel: Axes, prediction: Prediction, ground_truth: np.ndarray | None, opacity: float) -> None:
    """Image, CAM, both outlines, and hatched where they disagree."""
    panel.imshow(prediction.image, cmap="gray", vmin=0, vmax=255, aspect="auto")
    if prediction.cam.any() and opacity:
        alpha = prediction.cam * opacity
        panel.imshow(prediction.cam, cmap=CAM_COLOURS, vmin=0, vmax=1, alpha=alpha, aspect="auto")
    handles: list[Line2D | Patch] = []
    for mask, style, label in ((prediction.mask, PREDICTED, "predicted"), (ground_truth, TRUTH, "ground truth")):
        if mask is not None and mask.any():
            handles.append(Line2D([], [], linewidth=2, path_effects=_HALO, label=label, **style))
    if ground_truth is not None:
        for mask, style, label in (
            (prediction.mask & ~ground_truth, TOO_MUCH, "too much"), (ground_truth & ~prediction.mask, MISSED, "missed")
        ):  # fmt: skip
            if mask.any():
                handles.append(_hatch(panel, mask, style, label))
    for mask, style in ((ground_truth, TRUTH), (prediction.mask, PREDICTED)):
        if mask is not None and mask.any():
            _outline(panel, mask, style)
    if handles:
        panel.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False,
            fontsize=10.5, labelcolor=INK, borderaxespad=0.3, handlelength=1.75, columnspacing=1.2,
        )  # fmt: skip
    else:
        _caption(panel, "no lesion to outline")


def _hatch(panel: Axes, mask: np.ndarray, style: dict[str, str], label: str) -> Patch:
    """Tint and hatch the inside of a bool (H, W) mask; returns what stands for it in a legend."""
    tint = to_rgba(style["color"], _TINT)
    area = panel.contourf(*_grid(mask), levels=[0.5, 1], colors=[tint], hatches=[style["hatch"]])
    area.set(edgecolor=style["color"], linewidth=0)
    # On the white of the legend the same colours lie on black, as they do on the image.
    return Patch(facecolor="#333333", edgecolor=style["color"], hatch=2 * style["hatch"][:2], linewidth=0, label=label)


def _grid(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, rows and values of a bool (H, W) mask with an empty border, that what the image cuts is closed too."""
    height, width = mask.shape
    return np.arange(-1, width + 1), np.arange(-1, height + 1), np.pad(mask, 1)


def _outline(panel: Axes, mask: np.ndarray, style: dict[str, str]) -> None:
    """Draw the border of a bool (H, W) mask; a lesion that the image cuts is closed along the image's edge."""
    height, width = mask.shape
    lines = panel.contour(
        *_grid(mask), levels=[0.5], colors=style["color"], linestyles=style["linestyle"], linewidths=2,
    )  # fmt: skip
    lines.set(path_effects=_HALO, clip_on=False)
    panel.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
