"""The result of one image in an evaluation, and its row in the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from busi_demo.analysis.answer import Answer
from busi_demo.data.busi import Sample
from busi_demo.types import CLASSES


def image_result(answer: Answer, sample: Sample) -> ImageResult:
    """Compare an answer with the truth.

    Args:
        sample: the image that was answered. Without a complete mask that has a lesion, Dice and IoU are `None`.
    """
    prediction, truth = answer.prediction, answer.ground_truth.mask
    scored = sample.mask_complete and truth is not None and bool(truth.any())
    return ImageResult(
        image=sample.name,
        label=sample.label,
        probabilities=prediction.probabilities,
        mask_dice=answer.dice if scored else None,
        mask_iou=answer.iou if scored else None,
        predicted_mask_fraction=prediction.lesion_area_fraction,
        seconds=prediction.seconds,
    )


def result_row(result: ImageResult) -> dict[str, Any]:
    """One row of `per_image` in the report of train/evaluate.py, in plain JSON values."""
    return {
        "image": result.image,
        "class": result.label,
        "probabilities": dict(result.probabilities),
        "dice": result.mask_dice,
        "iou": result.mask_iou,
        "lesion_area_fraction": result.predicted_mask_fraction,
    }


def result_of_row(row: Mapping[str, Any]) -> ImageResult:
    """Undo `result_row`; the seconds, which are not in it, become 0.

    Raises:
        KeyError, TypeError, ValueError: the row has another form.
    """
    return ImageResult(
        image=row["image"],
        label=row["class"],
        probabilities=row["probabilities"],
        mask_dice=row["dice"],
        mask_iou=row["iou"],
        predicted_mask_fraction=row["lesion_area_fraction"],
        seconds=0.0,
    )


@dataclass(frozen=True)
class ImageResult:
    """The result of one image.

    Attributes:
        image: name of the image.
        label: its true class, one of `CLASSES`.
        probabilities: class name -> probability in [0, 1], all of `CLASSES` in their order, summing to 1.
        mask_dice: Dice of the predicted mask in [0, 1]; `None` if the true mask is empty, as for normal images, or
            incomplete.
        mask_iou: IoU of the predicted mask in [0, 1]; `None` exactly if `mask_dice` is.
        predicted_mask_fraction: share of the image's pixels inside the predicted mask, in [0, 1].
        seconds: wall time of the prediction, in seconds.
    Raises:
        ValueError: a field has another range or other keys.
    """

    image: str
    label: str
    probabilities: Mapping[str, float]
    mask_dice: float | None
    mask_iou: float | None
    predicted_mask_fraction: float
    seconds: float

    def __post_init__(self) -> None:
        if self.label not in CLASSES:
            raise ValueError(f"{self.image}: label must be one of {CLASSES}, got {self.label!r}.")
        if tuple(self.probabilities) != CLASSES:
            raise ValueError(f"{self.image}: probabilities must have the keys {CLASSES}, got {self.probabilities}.")
        if not abs(sum(self.probabilities.values()) - 1) < 1e-3 or min(self.probabilities.values()) < 0:
            raise ValueError(f"{self.image}: probabilities must be >= 0 and sum to 1, got {self.probabilities}.")
        if (self.mask_dice is None) != (self.mask_iou is None):
            raise ValueError(f"{self.image}: mask_dice and mask_iou must both be given or both be None.")
        if self.label == "normal" and self.mask_dice is not None:
            raise ValueError(f"{self.image}: a normal image has no lesion, so mask_dice must be None.")
        for name in ("mask_dice", "mask_iou", "predicted_mask_fraction"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{self.image}: {name} must lie in [0, 1], got {value}.")

    @property
    def predicted_class(self) -> str:
        """The most probable class; ties go to the first in `CLASSES`."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """Probability of `predicted_class`, in [0, 1]."""
        return min(self.probabilities[self.predicted_class], 1.0)

    @property
    def correct(self) -> bool:
        """Whether `predicted_class` is the true one."""
        return self.predicted_class == self.label


def probability_matrix(results: Sequence[ImageResult]) -> np.ndarray:
    """Class probabilities of N results as float64 (N, 3), columns in the order of `CLASSES`."""
    return np.array([list(r.probabilities.values()) for r in results], dtype=np.float64).reshape(-1, len(CLASSES))
