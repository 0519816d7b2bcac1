"""A prediction beside what is known of the truth: its record and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from busi_demo.imaging.masks import dice, iou
from busi_demo.inference.consensus import Consensus
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


def consensus_record(
    found: Consensus, ground_truth: np.ndarray | None = None, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """A comparison as plain JSON values, without its maps.

    Args:
        ground_truth, notes: as for `prediction_record`.
    Returns:
        consensus: its `prediction_record`.
        approaches: that of each member.
        classes_agree, median_dice, disagree: as of `Consensus`.
        overlap: key -> key -> Dice of the two masks.
    """
    keys = [member.approach for member in found.members]
    overlap = [dict(zip(keys, row, strict=True)) for row in found.overlap.tolist()]
    return {
        "consensus": prediction_record(found.prediction, ground_truth, notes),
        "approaches": [prediction_record(member, ground_truth, notes) for member in found.members],
        "classes_agree": found.classes_agree,
        "median_dice": found.median_dice,
        "disagree": found.disagree,
        "overlap": dict(zip(keys, overlap, strict=True)),
    }
