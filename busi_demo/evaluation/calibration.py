"""Reliability curve and expected calibration error: does confidence match accuracy?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BINS = 15
"""Number of equal-width confidence bins, as in Guo et al. 2017."""


class ReliabilityCurve(NamedTuple):
    """What happens in each confidence bin ((b - 1) / bins, b / bins], b = 1 .. bins; 0 belongs to the first bin.

    Attributes:
        confidence: float64 (bins,), mean confidence in [0, 1]; NaN in an empty bin.
        accuracy: float64 (bins,), share of correct answers in [0, 1]; NaN in an empty bin.
        count: int64 (bins,), number of answers.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray  # type: ignore[assignment]  # tuple.count is not needed here


def reliability_curve(confidences: np.ndarray, correct: np.ndarray, bins: int = BINS) -> ReliabilityCurve:
    """Sort answers into equal-width confidence bins and compare confidence with accuracy in each.

    Args:
        confidences: float (N,) in [0, 1], the probability of the class that was answered.
        correct: bool (N,), whether that class was the true one.
        bins: number of bins, at least 1.
    Raises:
        ValueError: nothing was given, the lengths differ, or a confidence lies outside [0, 1].
    """
    confidences, correct = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if confidences.ndim != 1 or confidences.shape != correct.shape or confidences.size == 0:
        raise ValueError(
            "confidences and correct must be two vectors of one length, at least 1, "
            f"got {confidences.shape} and {correct.shape}."
        )
    if not (confidences.min() >= 0 and confidences.max() <= 1):
        raise ValueError(f"confidences must lie in [0, 1], got {confidences.min()} to {confidences.max()}.")
    which = np.digitize(confidences, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin is the NaN we promise
        confidence = np.bincount(which, confidences, bins) / count
        accuracy = np.bincount(which, correct, bins) / count
    return ReliabilityCurve(confidence, accuracy, count)


def ece(confidences: np.ndarray, correct: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error in [0, 1]: the mean gap between confidence and accuracy, weighted by bin count.

    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, ICML 2017, equation 3. Arguments and errors
    are those of `reliability_curve`.
    """
    curve = reliability_curve(confidences, correct, bins)
    gaps = np.abs(curve.accuracy - curve.confidence)
    return float(np.nansum(gaps * curve.count) / curve.count.sum())
