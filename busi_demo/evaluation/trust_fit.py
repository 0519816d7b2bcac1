"""Fit trust in the answers of an approach to its errors on held-out images, and measure it by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from busi_demo.analysis.conformal import LEVELS, coverage, fit_thresholds, prediction_set
from busi_demo.analysis.outline import INTERVAL, outline_features
from busi_demo.analysis.trust import STRICTEST, Level, Trust, assess
from busi_demo.types import CLASSES, Prediction
from busi_demo.weights.trust_file import TrustFit

GREEN_RIGHT = 0.95
"""Wanted share of right answers among the green ones."""
RED = 0.5
"""Below this confidence the first class is more probably wrong than right."""
KEPT = (0.62, 0.8)
"""Shares of answers kept at which the accuracy is reported."""

_FEWEST_OUTLINES = 30
_PENALTY = 3.0
_STEPS = 50


@dataclass(frozen=True, eq=False)
class Case:
    """The answer to an image that the network was not trained on, and the truth.

    Attributes:
        prediction: at the threshold of the weights.
        label: true class.
        dice: of the outline; `None` where the truth is unknown.
        fold: cases of one fold are used together, to fit or to measure.
    """

    prediction: Prediction
    label: str
    dice: float | None
    fold: int

    @property
    def right(self) -> bool:
        return self.prediction.predicted_class == self.label


def fit_trust(cases: Sequence[Case], sha256: str, elsewhere: Mapping[str, Sequence[Case]] | None = None) -> TrustFit:
    """Fit to all cases; what is measured comes from fits to the other folds.

    Args:
        cases: of two or more folds, of every class.
        sha256: of `answers_sha256`.
        elsewhere: name of another data set -> answers to its images, by all that ships. Only measured.
    """
    fitted = _fit(cases, sha256)
    other = {
        name: _rates([(case, assess(case.prediction, fitted)) for case in others])
        for name, others in (elsewhere or {}).items()
    }
    return replace(fitted, measured=measure(cases) | {"elsewhere": other})


def measure(cases: Sequence[Case]) -> dict[str, Any]:
    """Measure trust on each fold, fitted to the others.

    Returns:
        The rates of `_rates`.
    """
    judged = []
    for fold in sorted({case.fold for case in cases}):
        fitted = _fit([case for case in cases if case.fold != fold], "")
        judged += [(case, assess(case.prediction, fitted)) for case in cases if case.fold == fold]
    return _rates(judged)


def _rates(judged: Sequence[tuple[Case, Trust]]) -> dict[str, Any]:
    """What trust was worth on some answers.

    Returns:
        levels: level -> n, right, missed (malignant images that are called otherwise); malignant: number of malignant
        images; sizes: number of classes left open at 95 % -> the same; sets: confidence level -> `conformal.coverage`;
        dice: n, correlation and share of true values within the interval, `None` without outlines; kept: see
        `risk_coverage`; kept_dice: mean Dice of lesions by the share of answers kept, in the same order.
    """
    levels = {level.name.lower(): {"n": 0, "right": 0, "missed": 0} for level in Level}
    sizes = {str(size): {"n": 0, "right": 0, "missed": 0} for size in range(1, len(CLASSES) + 1)}
    sets: dict[str, list[tuple[str, ...]]] = {level: [] for level in LEVELS}
    labels, expected, order, outlined = [], [], [], []
    for case, trust in judged:
        for row in (levels[trust.level.name.lower()], sizes[str(len(trust.prediction_set[STRICTEST]))]):
            row["n"] += 1
            row["right"] += case.right
            row["missed"] += case.label == "malignant" and not case.right
        for level in LEVELS:
            sets[level].append(trust.prediction_set[level])
        labels.append(case.label)
        order.append((case.prediction.confidence, case.right))
        if case.dice is not None and case.label != "normal":
            outlined.append((case.prediction.confidence, case.dice))
        if trust.expected_dice and case.dice is not None:
            expected.append((trust.expected_dice, case.dice))
    return {
        "levels": levels,
        "sizes": sizes,
        "malignant": labels.count("malignant"),
        "sets": {level: coverage(sets[level], labels) for level in LEVELS},
        "dice": _dice_rates(expected),
        "kept": risk_coverage(order),
        "kept_dice": kept_means(outlined),
    }


def kept_means(answers: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
    """The mean of a value over the answers that are kept, the surest first.

    Args:
        answers: confidence and value.
    Returns:
        share and mean: lists of points.
    """
    values = np.array([value for _, value in sorted(answers, key=lambda answer: -answer[0])], dtype=np.float64)
    means = np.cumsum(values) / np.arange(1, len(values) + 1)
    points = _points(len(values))
    return {
        "share": [round(float(k / len(values)), 4) for k in points],
        "mean": [round(float(means[k - 1]), 4) for k in points],
    }


def _points(count: int) -> np.ndarray:
    """Numbers of answers kept, from few to all of `count`."""
    return np.unique(np.ceil(np.linspace(1 / _STEPS, 1, _STEPS) * count).astype(int)) if count else np.array([], int)


def risk_coverage(answers: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Accuracy of the answers that are kept, the surest first (Geifman & El-Yaniv, Selective Classification for Deep
    Neural Networks, NIPS 2017).

    Args:
        answers: confidence and whether the class is right.
    Returns:
        share and accuracy: lists of points; area: mean share of wrong answers over all numbers of answers kept; ideal:
        that area if all wrong answers came last; at: share kept -> accuracy.
    """
    right = np.array([is_right for _, is_right in sorted(answers, key=lambda answer: -answer[0])], dtype=np.float64)
    n = np.arange(1, len(right) + 1)
    accuracy, best = np.cumsum(right) / n, np.cumsum(np.sort(right)[::-1]) / n
    points = _points(len(right))
    return {
        "share": [round(float(k / len(right)), 4) for k in points],
        "accuracy": [round(float(accuracy[k - 1]), 4) for k in points],
        "area": float((1 - accuracy).mean()),
        "ideal": float((1 - best).mean()),
        "at": {f"{share:.2f}": float(accuracy[max(1, math.floor(share * len(right))) - 1]) for share in KEPT},
    }


def _fit(cases: Sequence[Case], sha256: str) -> TrustFit:
    probabilities = np.array([[case.prediction.probabilities[name] for name in CLASSES] for case in cases])
    labels = np.array([CLASSES.index(case.label) for case in cases])
    sets = {level: fit_thresholds(probabilities, labels, float(level)) for level in LEVELS}
    dice, interval = _fit_dice(cases)
    return TrustFit(sha256, sets, dice, interval, _green(cases, sets[STRICTEST]), RED)


def _green(cases: Sequence[Case], thresholds: dict[str, float]) -> float:
    """The lowest confidence from which on answers with one class alone in their set are right often enough."""
    alone = [case for case in cases if len(prediction_set(case.prediction.probabilities, thresholds)) == 1]
    surest = sorted(((case.prediction.confidence, case.right) for case in alone), reverse=True)
    best, right = 1.0, 0
    for n, (confidence, is_right) in enumerate(surest, 1):
        right += is_right
        if right >= GREEN_RIGHT * n:
            best = confidence
    return max(best, RED)


def _fit_dice(cases: Sequence[Case]) -> tuple[dict[str, float], tuple[float, float]]:
    """Coefficients of the expected Dice, and the interval from residuals of cases left out."""
    outlined = [case for case in cases if case.dice is not None and case.prediction.mask.any()]
    if len(outlined) < _FEWEST_OUTLINES:
        return {}, (0.0, 0.0)
    names = list(outline_features(outlined[0].prediction))
    rows = np.array([list(outline_features(case.prediction).values()) for case in outlined])
    truth, folds = np.array([case.dice for case in outlined]), np.array([case.fold for case in outlined])
    residuals = np.concatenate([
        truth[folds == fold] - rows[folds == fold] @ weights - constant
        for fold in sorted(set(folds.tolist())) if (folds != fold).any()
        for weights, constant in [_ridge(rows[folds != fold], truth[folds != fold])]
    ])  # fmt: skip
    weights, constant = _ridge(rows, truth)
    low, high = np.quantile(residuals, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return dict(zip(names, weights.tolist(), strict=True)) | {"constant": constant}, (float(low), float(high))


def _ridge(rows: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    mean, deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    model = Ridge(alpha=_PENALTY).fit((rows - mean) / deviation, truth)
    weights = model.coef_ / deviation
    return weights, float(model.intercept_ - mean @ weights)


def _dice_rates(expected: Sequence[tuple[Any, float]]) -> dict[str, Any] | None:
    if len(expected) < 2:
        return None
    values, truth = np.array([e.value for e, _ in expected]), np.array([t for _, t in expected])
    within = sum(e.low <= t <= e.high for e, t in expected)
    return {"n": len(expected), "correlation": float(np.corrcoef(values, truth)[0, 1]), "within": within}
