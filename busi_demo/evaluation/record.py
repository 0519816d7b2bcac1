"""What is reported of one image, the same on the command line, on the page and in its API; and in evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from busi_demo.evaluation.metrics import ImageResult, dice, iou
from busi_demo.types import Prediction


def prediction_record(
    prediction: Prediction, ground_truth: np.ndarray | None = None, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """A prediction as plain JSON values, without its maps.

    Args:
        ground_truth: bool (H, W), True inside the true lesion; `None` where it is unknown, as are then
            `dice` and `iou`.
        notes: sentences on how the ground truth was read; they go behind the prediction's own warnings.
    """
    return {
        "approach": prediction.approach,
        "predicted_class": prediction.predicted_class,
        "probabilities": dict(prediction.probabilities),
        "lesion_area_fraction": prediction.lesion_area_fraction,
        "dice": None if ground_truth is None else dice(prediction.mask, ground_truth),
        "iou": None if ground_truth is None else iou(prediction.mask, ground_truth),
        "warnings": [*prediction.warnings, *notes],
        "seconds": prediction.seconds,
    }


def judged(
    prediction: Prediction, image: str, label: str, ground_truth: np.ndarray, mask_complete: bool = True
) -> ImageResult:
    """How a prediction went.

    Args:
        image: its name.
        label: its true class.
        ground_truth: bool (H, W), True inside the true lesion; empty, or incomplete as `mask_complete` says, it gives
            neither Dice nor IoU.
    """
    scored = mask_complete and bool(ground_truth.any())
    return ImageResult(
        image=image,
        label=label,
        probabilities=prediction.probabilities,
        mask_dice=dice(prediction.mask, ground_truth) if scored else None,
        mask_iou=iou(prediction.mask, ground_truth) if scored else None,
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
        KeyError, TypeError, ValueError: it is no such row.
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
