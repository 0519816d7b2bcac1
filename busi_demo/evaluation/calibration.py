"""Whether a probability means what it says, and the one number that mends it (Guo et al., ICML 2017)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

BINS = 15
"""Number of equal-width confidence bins, as in Guo et al. 2017."""

TEMPERATURE_BOUNDS = (0.1, 10.0)
"""Where `fit_temperature` searches. The lower end keeps faultless logits from being sharpened without limit."""


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


def apply_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Calibrated probabilities softmax(logits / temperature): float (N, 3) -> float64 (N, 3), rows summing to 1."""
    return softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=1)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T that minimises the negative log-likelihood of softmax(logits / T) (Guo et al. 2017, 4.2).

    It changes no predicted class, only the confidence. Fit it on images the network was not trained on. The search is
    over log T, in which the likelihood has a single optimum, within `TEMPERATURE_BOUNDS`.

    Args:
        logits: float (N, 3), finite.
        labels: int (N,) in 0..2, the true classes.
    Returns:
        T > 0; above 1 where the network was over-confident.
    Raises:
        ValueError: nothing was given, the shapes do not match, a logit is not finite or a label is no class.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or labels.size == 0:
        raise ValueError(f"logits must be (N, classes) and labels (N,), N >= 1, got {logits.shape} and {labels.shape}.")
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite.")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"labels must be integers from 0 to {logits.shape[1] - 1}.")
    rows = np.arange(len(labels))

    def negative_log_likelihood(log_temperature: float) -> float:
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels].mean()

    best = minimize_scalar(negative_log_likelihood, bounds=np.log(TEMPERATURE_BOUNDS), method="bounded")
    return float(np.exp(best.x))
