"""Confidence intervals of metrics, and tests for the difference of two approaches, by a cluster bootstrap.

Groups of near-duplicates are drawn with replacement, not single images: results on copies of one picture are not
independent, and treating them as such would make the intervals too narrow (cluster bootstrap: Field & Welsh,
Bootstrapping clustered data, JRSS B 2007). Intervals and p values are those of the percentile method (Efron &
Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 15).

A metric is undefined in a resample without any image of a class, or without a lesion mask. Such a resample does not
count for that metric. If this concerns more than 5 % of the resamples, there are too few images and the interval is
`None`.

Resampling adds noise to each bin and so increases the expected calibration error: its interval lies too high and may
even exclude the value itself. Use it for comparisons only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from busi_demo.evaluation.calibration import BINS
from busi_demo.evaluation.results import ImageResult, probability_matrix
from busi_demo.types import CLASSES

RESAMPLES, LEVEL = 2000, 0.95
MIN_GROUPS = 4
"""Fewer groups allow no interval. From 4 on, what rests on one or two of them is lost in over 5 % of resamples."""
MIN_DEFINED = 0.95


def draw_resamples(groups: Sequence[Any] | np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Draw as many groups as there are, with replacement, `resamples` times.

    Args:
        groups: N group names or numbers, equal for images that belong together.
        resamples: R, number of resamples; the same seed gives the same resamples.
    Returns:
        float64 (R, N) of whole numbers: how often each image occurs in each resample. With fewer than 4 groups it is
        (0, N), and there are no intervals.
    """
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < MIN_GROUPS:
        return np.zeros((0, len(member)))
    times = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return times[:, member].astype(np.float64)


def metric_values(results: Sequence[ImageResult], weights: np.ndarray) -> dict[str, Any]:
    """Every metric of `metrics.summarise` in each of R resamples at once.

    Args:
        results: N results, at least 1.
        weights: float (R, N) from `draw_resamples`, or a choice of its columns.
    Returns:
        The keys and nesting of `summarise`, without its counts and, of the classification report, without the
        averages; each leaf is float64 (R,), NaN where undefined. Unlike there, precision, recall and F1 of a class are
        not 0 but undefined where it was not predicted or not drawn, and so is macro F1 where one of the classes in
        `results` was not drawn: a resample without a class says nothing about it.
    Raises:
        ValueError: `weights` has not one column a result, or there is no result.
    """
    if weights.ndim != 2 or weights.shape[1] != len(results) or not results:
        raise ValueError(f"weights must be (R, {len(results)}), one column a result, at least 1, got {weights.shape}.")
    probabilities = probability_matrix(results)
    truth = np.array([r.label for r in results])[:, None] == np.array(CLASSES)
    called = np.array([r.predicted_class for r in results])[:, None] == np.array(CLASSES)
    confidence, correct = np.array([r.confidence for r in results]), np.array([r.correct for r in results], dtype=float)
    bins = np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1], right=True)[:, None] == np.arange(BINS)
    gaps = np.abs(weights @ (bins * (correct - confidence)[:, None])).sum(axis=1)

    actual, predicted, hits = weights @ truth, weights @ called, weights @ (truth & called)  # (R, 3) each
    precision, recall = _ratio(hits, predicted), _ratio(hits, actual)
    f1 = np.where(actual > 0, _ratio(2 * hits, actual + predicted), np.nan)
    present = truth.any(axis=0)
    complete = (actual[:, present] > 0).all(axis=1)
    malignant = CLASSES.index("malignant")
    false_mask = [float(r.predicted_mask_fraction > 0) if r.label == "normal" else None for r in results]
    return {
        "accuracy": weighted_mean(correct, weights),
        "macro_f1": np.where(complete, np.nan_to_num(f1[:, present]).mean(axis=1), np.nan),
        "auc": {name: _auc(truth[:, i], probabilities[:, i], weights) for i, name in enumerate(CLASSES)},
        "lesion_dice": weighted_mean([r.mask_dice for r in results], weights),
        "lesion_iou": weighted_mean([r.mask_iou for r in results], weights),
        "normal_false_mask_rate": weighted_mean(false_mask, weights),
        "ece": _ratio(gaps, weights.sum(axis=1)),
        "brier": weighted_mean(((probabilities - truth) ** 2).sum(axis=1), weights),
        "classification_report": {
            name: {"precision": precision[:, i], "recall": recall[:, i], "f1-score": f1[:, i]}
            for i, name in enumerate(CLASSES)
        },
        "sensitivity_malignant": recall[:, malignant],
        "specificity_malignant": weighted_mean(
            np.where(truth[:, malignant], np.nan, ~called[:, malignant]), weights
        ),
    }  # fmt: skip


def weighted_mean(values: Sequence[float | None] | np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of N values, `None` or NaN where there is none, in each resample: float (R, N) -> float64 (R,) or NaN."""
    column = np.array(values, dtype=np.float64)
    known = np.isfinite(column)
    return _ratio(weights[:, known] @ column[known], weights[:, known].sum(axis=1))


def interval(samples: np.ndarray) -> list[float] | None:
    """The 95 % percentile interval [low, high] of a metric's values in the resamples, float (R,), NaN undefined.

    `None` where there is no resample or more than 5 % of them are undefined. A metric that is the same in all resamples
    (every answer right) has an interval of width 0: the bootstrap only knows errors that occur in the sample.
    """
    defined = samples[np.isfinite(samples)]
    if not len(samples) or len(defined) < MIN_DEFINED * len(samples):
        return None
    return np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()


def intervals(results: Sequence[ImageResult], weights: np.ndarray) -> dict[str, Any]:
    """The `interval` of every metric, nested as in `metric_values`; arguments and errors are those of
    `metric_values`."""
    return _map(interval, metric_values(results, weights))


def paired_differences(one: Sequence[ImageResult], other: Sequence[ImageResult], weights: np.ndarray) -> dict[str, Any]:
    """What `one` approach has over the `other` on the same images, each resample drawn for both.

    Args:
        one, other: N results each, of the same images in the same order.
        weights: float (R, N) from `draw_resamples`.
    Returns:
        Nested as in `metric_values`; each leaf is {difference: one minus other; interval: of the difference;
        p: two-sided, twice the smaller share of resamples on either side of 0, in (0, 1]}, `None` where undefined.
    Raises:
        ValueError: the images or their true classes differ.
    """
    if [(r.image, r.label) for r in one] != [(r.image, r.label) for r in other]:
        raise ValueError("A paired comparison needs the same images, of the same classes, in the same order.")
    everything = np.ones((1, len(one)))
    return _map(
        _difference,
        metric_values(one, everything),
        metric_values(other, everything),
        metric_values(one, weights),
        metric_values(other, weights),
    )


def _difference(one: np.ndarray, other: np.ndarray, ones: np.ndarray, others: np.ndarray) -> dict[str, Any]:
    value, samples = float(one[0] - other[0]), ones - others
    bounds, p = interval(samples), None
    if bounds is not None:
        defined = samples[np.isfinite(samples)]
        # one is added to either side: no finite number of resamples shows a p value of 0
        tail = min(int((defined <= 0).sum()), int((defined >= 0).sum())) + 1
        p = min(1.0, 2 * tail / (len(defined) + 1))
    return {"difference": value if np.isfinite(value) else None, "interval": bounds, "p": p}


def _auc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the drawn (positive, negative) pairs in the right order, ties half: the area under the ROC curve."""
    difference = score[positive][:, None] - score[~positive]
    ordered = (difference > 0) + 0.5 * (difference == 0)
    positives, negatives = weights[:, positive], weights[:, ~positive]
    return _ratio(((positives @ ordered) * negatives).sum(axis=1), positives.sum(axis=1) * negatives.sum(axis=1))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)


def _map(function: Callable[..., Any], *trees: dict[str, Any]) -> dict[str, Any]:
    """Apply a function to the leaves of dictionaries of one shape."""
    return {
        key: _map(function, *(tree[key] for tree in trees))
        if isinstance(leaf, dict)
        else function(*(tree[key] for tree in trees))
        for key, leaf in trees[0].items()
    }
