"""The types that every part of the project shares."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import nn

CLASSES: tuple[str, ...] = ("benign", "malignant", "normal")
"""Class names; their order is the order of every logit and probability vector."""


class InputError(ValueError):
    """An input cannot be used. The message is one sentence that can be shown to the person who gave it."""


def reason_of(error: Exception) -> str:
    """The cause of an error, for a message on a page. Only the reason of an OSError is used: its text names a path."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)


def place_of(error: BaseException) -> str:
    """Kind and place of an error, for a log: without its text, which may hold a name."""
    return "".join([type(error).__name__, "\n", *traceback.format_tb(error.__traceback__)]).rstrip()


class Agreement(Enum):
    """Whether the predicted class and the lesion mask agree. Set when a prediction is made."""

    AGREES = "agrees"
    """A tumour class with a mask, or the class normal without one."""
    WITHDRAWN = "withdrawn"
    """The class is normal, but a lesion was outlined: its mask was withdrawn and is empty now."""
    FAINT = "faint"
    """The class is a tumour, and its mask was found only at a lower threshold."""
    CONTRADICTS = "contradicts"
    """A tumour class without a mask; or the class normal with a mask, at a threshold chosen by a person."""


Box = tuple[int, int, int, int]
"""A rectangle in pixels as (x0, y0, x1, y1); x1 and y1 are outside of it."""


class Verdict(Enum):
    """Whether a picture is one that the networks can answer on."""

    ACCEPTED = "accepted"
    """A B-mode ultrasound of a breast, as far as can be told."""
    DOUBTFUL = "doubtful"
    """Answered, but the answer is not to be trusted; the reasons say why."""
    REFUSED = "refused"
    """No class is told, unless a person asks to analyse it anyway."""


@dataclass(frozen=True)
class InputCheck:
    """What was found out about a picture before its answer is told.

    Attributes:
        verdict: of all checks together.
        reasons: sentences for people; empty if the picture is accepted.
        overridden: a person asked to analyse a refused picture anyway.
        compared: the picture was compared with all that the networks know; else nothing speaks for it either.
    Raises:
        ValueError: a picture that is not accepted has no reason.
    """

    verdict: Verdict = Verdict.ACCEPTED
    reasons: tuple[str, ...] = ()
    overridden: bool = False
    compared: bool = True

    def __post_init__(self) -> None:
        if (self.verdict is Verdict.ACCEPTED) != (not self.reasons):
            raise ValueError(f"A picture that is {self.verdict.value} must not have the reasons {self.reasons}.")

    @property
    def withheld(self) -> bool:
        """Whether class, probabilities, mask and map must not be shown."""
        return self.verdict is Verdict.REFUSED and not self.overridden


ACCEPTED = InputCheck()
"""Of a picture that nothing speaks against."""


def binary_entropy(probability: np.ndarray) -> np.ndarray:
    """Entropy in bits of the probability of one of two outcomes, float32 of the same shape, in [0, 1]."""
    p = probability.astype(np.float32).clip(1e-7, 1 - 1e-7)
    return (-(p * np.log2(p) + (1 - p) * np.log2(1 - p))).clip(0, 1)


@dataclass(frozen=True, eq=False)
class ModelOutput:
    """What one forward pass of any approach returns, as logits.

    Attributes:
        mask_logits: float (N, 1, S, S), S the input size; sigmoid gives the lesion probability of each pixel.
        class_logits: float (N, 3) in the order of `CLASSES`; softmax gives the class probabilities.
        features: float (N, C, h, w), input of the classification head. `head(features)` is `class_logits`.
        head: the module from `features` to `class_logits`; Grad-CAM uses it without a second forward pass.
        boxes: float (N, 4) as x0, y0, x1, y1 in input pixels: the part of the input that `features` covers; `None`
            where that is the whole input.
        descriptor: float (N, D), a summary of the texture that an encoder sees, to compare pictures with; `None` from
            a network that makes none.
        disagreement: float (N, 1, S, S) in [0, 1], bits: the part of the uncertainty of each mask pixel that comes from
            networks that disagree; `None` from one network alone.
    """

    mask_logits: torch.Tensor
    class_logits: torch.Tensor
    features: torch.Tensor
    head: nn.Module
    boxes: torch.Tensor | None = None
    descriptor: torch.Tensor | None = None
    disagreement: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to one image, in NumPy, every map at the image's own size (H, W). Checked when it is made.

    Attributes:
        approach: key of the approach in `busi_demo.models.APPROACHES`.
        image: uint8 (H, W), the grey image as read.
        mask: bool (H, W), True inside the predicted lesion.
        mask_probability: float32 (H, W) in [0, 1].
        probabilities: class name -> probability in [0, 1], all of `CLASSES`, summing to 1.
        cam: float32 (H, W) in [0, 1], class evidence for `cam_class` relative to its strongest pixel; all zero where
            there is no positive evidence.
        cam_class: the class that `cam` explains.
        cam_peak: raw value of the strongest pixel of `cam`, in logit units for Grad-CAM, a share of the map's total
            for the mean of a consensus; 0.0 where there is no positive evidence.
        threshold: lowest mask probability of a lesion pixel, in (0, 1).
        agreement: whether the predicted class and the mask agree.
        warnings: sentences to show with the answer.
        seconds: wall time of the prediction, in seconds.
        spacing: millimetres per pixel of `image` as (row, column), both above 0; `None` where it is unknown.
        aspect: height of a pixel divided by its width, where the spacing is unknown; else ignored.
        outline_key: key of the approach whose network computed the mask probabilities: two predictions with the same
            key have the same mask probabilities. `None`: no other prediction is known to have the same.
        cam_method: key of the method that made `cam`, see `busi_demo.inference.cam_methods`.
        input_check: whether the picture is one that the networks can answer on. Where it is `withheld`, records, tables
            and figures do not tell the answer.
        frame: the part of the picture that the network saw; `None`: all of it. Maps are zero outside.
        disagreement: float32 (H, W) in [0, 1], as in `ModelOutput`; `None` where one network answered alone.
        min_area: share of the image's pixels, in [0, 1); smaller regions were removed from the mask.
    Raises:
        ValueError: a field has another shape, dtype or range.
    """

    approach: str
    image: np.ndarray
    mask: np.ndarray
    mask_probability: np.ndarray
    probabilities: Mapping[str, float]
    cam: np.ndarray
    cam_class: str
    cam_peak: float
    threshold: float
    agreement: Agreement
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    spacing: tuple[float, float] | None = None
    cam_method: str = "grad_cam"
    outline_key: str | None = None
    input_check: InputCheck = ACCEPTED
    frame: Box | None = None
    disagreement: np.ndarray | None = None
    aspect: float = 1.0
    min_area: float = 0.0

    def __post_init__(self) -> None:
        if self.image.ndim != 2 or self.image.dtype != np.uint8:
            raise ValueError(f"image must be uint8 (H, W), got {self.image.dtype} {self.image.shape}.")
        for name, dtype in (("mask", np.bool_), ("mask_probability", np.float32), ("cam", np.float32)):
            value = getattr(self, name)
            if value.shape != self.image.shape or value.dtype != dtype:
                raise ValueError(
                    f"{name} must be {np.dtype(dtype).name} {self.image.shape} like the image, "
                    f"got {value.dtype} {value.shape}."
                )
        for name in ("mask_probability", "cam"):
            value = getattr(self, name)
            if not (np.isfinite(value).all() and value.min() >= 0 and value.max() <= 1):
                raise ValueError(f"{name} must be finite and within [0, 1].")
        if tuple(self.probabilities) != CLASSES:
            raise ValueError(f"probabilities must have the keys {CLASSES}, got {tuple(self.probabilities)}.")
        values = np.array(list(self.probabilities.values()), dtype=np.float64)
        if not (np.isfinite(values).all() and values.min() >= 0 and abs(values.sum() - 1) < 1e-3):
            raise ValueError(
                f"probabilities must be finite, not negative and sum to 1, got {dict(self.probabilities)}."
            )
        if self.cam_class not in CLASSES:
            raise ValueError(f"cam_class must be one of {CLASSES}, got {self.cam_class!r}.")
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold must lie strictly between 0 and 1, got {self.threshold}.")
        if self.spacing is not None and not (
            len(self.spacing) == 2 and all(0 < side < np.inf for side in self.spacing)
        ):
            raise ValueError(f"spacing must be None or two finite numbers above 0, got {self.spacing}.")

    @property
    def pixel_sides(self) -> tuple[float, float]:
        """Height and width of a pixel: in millimetres if the spacing is known, else with a width of 1."""
        return self.spacing or (self.aspect, 1.0)

    @property
    def frame_box(self) -> Box:
        """`frame`, or the box of the whole image."""
        return self.frame or (0, 0, self.image.shape[1], self.image.shape[0])

    @property
    def uncertainty(self) -> np.ndarray:
        """The entropy of the mask probability of each pixel, float32 (H, W) in [0, 1] bits, computed on each access."""
        return binary_entropy(self.mask_probability)

    @property
    def predicted_class(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """Probability of `predicted_class`, in [0, 1]."""
        return self.probabilities[self.predicted_class]

    @property
    def lesion_area_fraction(self) -> float:
        """Share of the image's pixels inside the predicted mask, in [0, 1]."""
        return float(self.mask.mean())
