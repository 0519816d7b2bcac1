"""The panels of the figure: what each shows, as arrays, masks and words. `figure` and `figure_pdf` draw them.

The outlines are sky blue and yellow from the palette of Okabe and Ito (2008) and also differ in line style; the areas
where they disagree differ in hatching. The CAM has the colours of 'inferno', with evenly rising lightness (van der Walt
and Smith 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from contourpy import contour_generator
from PIL import Image

from busi_demo.imaging import GroundTruth
from busi_demo.imaging.masks import dice, iou
from busi_demo.imaging.text import percent
from busi_demo.inference.cam_methods import find_cam_method
from busi_demo.types import InputError, Prediction

DISCLAIMER = "Research demo, not a medical device"

Style = Mapping[str, str]
PREDICTED: Style = {"color": "#56B4E9", "linestyle": "-"}
TRUTH: Style = {"color": "#F0E442", "linestyle": "--"}
TOO_MUCH: Style = {"color": PREDICTED["color"], "hatch": "////"}
MISSED: Style = {"color": TRUTH["color"], "hatch": "...."}
FRAME_COLOUR = "#E69F00"
CAM_COLOURS, UNCERTAINTY_COLOURS = "inferno", "gray"

INK, FAINT, BLANK, EDGE = "#1a1a1a", "#4d4d4d", "#e9e9e9", "#808080"

# Lengths in inches.
SLOT, GAP, MARGIN = 2.8, 0.2, 0.2
TALLEST = 1.5 * SLOT
TITLE, BELOW, FOOTER = 0.34, 0.16, 0.34
NARROWEST_BAR = 1.6
TINT = 0.3
"""Opacity of the colour inside a hatched area."""

_LONGEST_SIDE = 1000  # pixels; a panel has at most 672, and 12 million pixels take long to draw


@dataclass(frozen=True, eq=False)
class Layer:
    """An array that fills a panel.

    Attributes:
        values: (h, w), at most 1000 pixels a side.
        colours: name of a Matplotlib colour map.
        top: the value of the last colour; 0 has the first one.
        alpha: float32 (h, w), opacity in [0, 1]; `None`: opaque.
        smooth: whether larger pixels are interpolated.
    """

    values: np.ndarray
    colours: str
    top: float
    alpha: np.ndarray | None = None
    smooth: bool = True


@dataclass(frozen=True, eq=False)
class PanelPicture:
    """What a panel shows.

    Attributes:
        layers: from back to front; none leaves the panel blank.
        areas: bool (H, W) masks that are hatched, with their style.
        outlines: bool (H, W) masks whose border is drawn, with its style, from back to front.
        frame: a rectangle x0, y0, x1, y1 in pixels of the image.
        sentence: stands in the middle of a blank panel.
        caption: lines below the panel.
        bar: lines below a bar of the colours of the CAM, from 0 to 1.
        legend: labels of outlines and areas, with their style, below the panel.
    """

    layers: tuple[Layer, ...] = ()
    areas: tuple[tuple[np.ndarray, Style], ...] = ()
    outlines: tuple[tuple[np.ndarray, Style], ...] = ()
    frame: tuple[int, int, int, int] | None = None
    sentence: str | None = None
    caption: tuple[str, ...] = ()
    bar: tuple[str, ...] = ()
    legend: tuple[tuple[str, Style], ...] = ()


@dataclass(frozen=True, eq=False)
class PanelContent:
    """What the panels are made from. Checked when it is made.

    Attributes:
        prediction: of an image (H, W).
        ground_truth: bool (H, W), True inside the true lesion; `None` if it is unknown.
        opacity: of the strongest pixel of the CAM in the overlay, 0 to 1.
    Raises:
        InputError: opacity is not 0 to 1, or ground_truth is not bool or has another shape than the image.
    """

    prediction: Prediction
    ground_truth: np.ndarray | None
    opacity: float

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise InputError(f"The opacity of the CAM must lie between 0 and 1, got {self.opacity}.")
        GroundTruth(self.ground_truth).check(self.prediction.image.shape)


@dataclass(frozen=True)
class Panel:
    """A panel of the figure.

    Attributes:
        name: what it shows, in words for a sentence; screen readers read the names of all panels.
        show: makes the picture from the content.
        title: computes from the prediction what stands above the panel; `None`: its name.
    """

    name: str
    show: Callable[[PanelContent], PanelPicture]
    title: Callable[[Prediction], str] | None = None

    def title_of(self, prediction: Prediction) -> str:
        """What stands above the panel."""
        return self.name.capitalize() if self.title is None else self.title(prediction)


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """Shrink a (H, W) array to at most 1000 pixels a side: means as float32; of a bool array, bool that is True if any
    of the pixels was, so that small lesions remain. A small array is returned unchanged."""
    size = tuple(min(side, _LONGEST_SIDE) for side in pixels.shape[::-1])
    if size == pixels.shape[::-1]:
        return pixels
    means = np.asarray(Image.fromarray(pixels.astype(np.float32)).resize(size, Image.Resampling.BOX))
    return means > 0 if pixels.dtype == np.bool_ else means


def mask_grid(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, rows and values of a bool (H, W) mask with an empty border, to close outlines at the image's edge. The
    coordinates are those of the centres of the image's pixels."""
    small = shrunk(mask)
    rows, columns = (
        (np.arange(-1, few + 1) + 0.5) * many / few - 0.5 for few, many in zip(small.shape, mask.shape, strict=True)
    )
    return columns, rows, np.pad(small, 1)


def outline_lines(mask: np.ndarray) -> list[np.ndarray]:
    """The borders of a bool (H, W) mask: closed lines, float64 (N, 2) as x, y in pixels of the image."""
    columns, rows, values = mask_grid(mask)
    return contour_generator(columns, rows, values.astype(np.float64)).lines(0.5)  # type: ignore[return-value]


def heading(prediction: Prediction, title: str, columns: int) -> tuple[str, ...]:
    """The lines above the panels: the class, the approach and all probabilities. They may be broken after a dot alone,
    so that a name and its number stay together."""
    answer = f"Predicted class: {prediction.predicted_class} ({percent(prediction.confidence)})"
    all_classes = "\N{NO-BREAK SPACE}· ".join(
        f"{name}\N{NO-BREAK SPACE}{percent(p)}" for name, p in prediction.probabilities.items()
    )
    return (answer, f"{title} · {all_classes}") if columns > 2 else (answer, title, all_classes)


def chosen_panels(columns: int | None, uncertainty: bool) -> tuple[tuple[Panel, ...], int]:
    """The panels of a figure and how many stand in a row.

    Args:
        columns: `None`: all.
        uncertainty: whether `UNCERTAINTY` follows the others.
    Raises:
        ValueError: columns is not 1 to the number of panels.
    """
    panels = (*PANELS, UNCERTAINTY) if uncertainty else PANELS
    columns = len(panels) if columns is None else columns
    if columns not in range(1, len(panels) + 1):
        raise ValueError(f"columns must be 1 to {len(panels)}, got {columns}.")
    return panels, columns


def panel_names(uncertainty: bool = False) -> list[str]:
    """What the panels show, from left to right, in words for a sentence."""
    return [panel.name for panel in chosen_panels(None, uncertainty)[0]]


def panel_size(shape: tuple[int, ...]) -> tuple[float, float]:
    """Width and height, in inches, of a panel of an image of shape (H, W)."""
    aspect = shape[0] / shape[1]
    return min(SLOT, TALLEST / aspect), min(SLOT * aspect, TALLEST)


def _image(prediction: Prediction) -> Layer:
    return Layer(shrunk(prediction.image), "gray", 255)


def _mask(mask: np.ndarray) -> tuple[Layer, str]:
    """A bool (H, W) mask in white on black, and its size in words."""
    text = f"lesion: {percent(float(mask.mean()))} of the image" if mask.any() else "no lesion"
    return Layer(shrunk(mask), "gray", 1, smooth=False), text


def show_input(content: PanelContent) -> PanelPicture:
    """The image with its size, and the frame if that is not the whole image."""
    prediction = content.prediction
    height, width = prediction.image.shape
    caption = [f"{width} × {height} pixels"]
    if prediction.frame:
        x0, y0, x1, y1 = prediction.frame
        caption.append(f"used: the {x1 - x0} × {y1 - y0} in the frame")
    return PanelPicture((_image(prediction),), frame=prediction.frame, caption=tuple(caption))


def show_ground_truth(content: PanelContent) -> PanelPicture:
    """The true mask if it is known."""
    if content.ground_truth is None:
        return PanelPicture(sentence="not provided")
    layer, text = _mask(content.ground_truth)
    return PanelPicture((layer,), caption=(text,))


def show_predicted_mask(content: PanelContent) -> PanelPicture:
    """The predicted mask with its overlap with the true mask."""
    mask, truth = content.prediction.mask, content.ground_truth
    layer, text = _mask(mask)
    scores = () if truth is None else (f"Dice {dice(mask, truth):.2f} · IoU {iou(mask, truth):.2f}",)
    return PanelPicture((layer,), caption=(text, *scores))


def show_cam(content: PanelContent) -> PanelPicture:
    """The class activation map with its scale, or a sentence if the map is empty."""
    prediction = content.prediction
    method = find_cam_method(prediction.cam_method)
    if not prediction.cam.any():
        nothing = f"no positive evidence\nfor {prediction.cam_class}" if method.of_class else "no pattern"
        return PanelPicture(sentence=nothing)
    shows = f"relative class evidence for {prediction.cam_class}" if method.of_class else "main pattern, of no class"
    peak = f" ({prediction.cam_peak:.2g} logit units)" if method.in_logits else ""
    layer = Layer(shrunk(prediction.cam), CAM_COLOURS, 1)
    return PanelPicture((layer,), bar=(shows, f"1 = strongest pixel{peak}"))


def show_overlay(content: PanelContent) -> PanelPicture:
    """Image, CAM and both outlines; areas where these disagree are hatched."""
    prediction, truth, opacity = content.prediction, content.ground_truth, content.opacity
    layers, mask = [_image(prediction)], prediction.mask
    if prediction.cam.any() and opacity:
        cam = shrunk(prediction.cam)
        layers.append(Layer(cam, CAM_COLOURS, 1, alpha=cam * opacity))
    outlines = [
        (area, style, label) for area, style, label in ((mask, PREDICTED, "predicted"), (truth, TRUTH, "ground truth"))
        if area is not None and area.any()
    ]  # fmt: skip
    both = () if truth is None else ((mask & ~truth, TOO_MUCH, "too much"), (truth & ~mask, MISSED, "missed"))
    areas = [(area, style, label) for area, style, label in both if area.any()]
    return PanelPicture(
        tuple(layers),
        areas=tuple((area, style) for area, style, _ in areas),
        outlines=tuple((area, style) for area, style, _ in reversed(outlines)),
        caption=() if outlines else ("no lesion to outline",),
        legend=tuple((label, style) for _, style, label in (*outlines, *areas)),
    )


def show_uncertainty(content: PanelContent) -> PanelPicture:
    """How unsure the mask is at each pixel, and how much of that is disagreement of several networks."""
    prediction = content.prediction
    entropy = prediction.uncertainty
    caption = ["entropy of the mask, 0 to 1 bit (white)"]
    if prediction.disagreement is None:
        caption.append("of one network")
    elif total := float(entropy.sum()):
        share = min(1.0, float(prediction.disagreement.sum()) / total)
        caption.append(f"{percent(share)} of it: the networks disagree")
    return PanelPicture((Layer(shrunk(entropy), UNCERTAINTY_COLOURS, 1),), caption=tuple(caption))


PANELS = (
    Panel("input", show_input),
    Panel("ground truth", show_ground_truth),
    Panel("predicted mask", show_predicted_mask),
    Panel("class activation map", show_cam, lambda prediction: find_cam_method(prediction.cam_method).title),
    Panel("overlay", show_overlay),
)
"""The panels of the figure from left to right."""
UNCERTAINTY = Panel("uncertainty", show_uncertainty)
"""A further panel, which a person can switch on."""
