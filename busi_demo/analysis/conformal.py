"""Prediction sets: the classes that an answer leaves open at a confidence level.

Adaptive prediction sets (Romano, Sesia & Candès, Classification with Valid and Adaptive Coverage, NeurIPS 2020),
without their randomisation and with a threshold of its own for each class (Mondrian conformal prediction, Vovk et al.,
2005). The coverage holds for images like those that the thresholds come from; another hospital or machine breaks it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from busi_demo.types import CLASSES

LEVELS = ("0.90", "0.95")
"""Confidence levels of the sets, as the keys of records."""

Thresholds = Mapping[str, float]
"""Class -> largest score with which it belongs to the set."""


def scores(probabilities: np.ndarray) -> np.ndarray:
    """The score of each class: the probability of all classes that are more probable. With the class itself in it, as
    in the paper without randomisation, sets were much larger and covered more than was asked for.

    Args:
        probabilities: float (N, 3), rows summing to 1.
    Returns:
        float64 (N, 3) in [0, 1]; 0 for the most probable class.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    return (p[:, None, :] * (p[:, None, :] > p[:, :, None])).sum(axis=2)


def fit_thresholds(probabilities: np.ndarray, labels: np.ndarray, level: float) -> dict[str, float]:
    """The threshold of each class, from images that the network was not trained on.

    Args:
        probabilities: float (N, 3), calibrated.
        labels: int (N,), positions in `CLASSES`.
        level: wanted share of true classes in their sets, in (0, 1).
    Returns:
        class -> the ceil((n + 1) * level)-th smallest score of its n images; 1 where n is too small for that.
    """
    own = scores(probabilities)[np.arange(len(labels)), labels]
    return {name: _quantile(np.sort(own[labels == i]), level) for i, name in enumerate(CLASSES)}


def prediction_set(probabilities: Mapping[str, float], thresholds: Thresholds) -> tuple[str, ...]:
    """The classes whose score does not exceed their threshold, the most probable first. The most probable class always
    belongs to it, so that no set is empty."""
    order = sorted(probabilities, key=probabilities.__getitem__, reverse=True)
    by_class = scores(np.array([[probabilities[name] for name in CLASSES]]))[0]
    return tuple(
        name for name in order if name == order[0] or by_class[CLASSES.index(name)] <= thresholds[name] + 1e-12
    )


def coverage(sets: Sequence[Sequence[str]], labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """How often sets hold the true class, and how large they are.

    Returns:
        class, and "all" -> n, covered (count), mean_size.
    """
    result = {}
    for name in ("all", *CLASSES):
        own = [(s, label) for s, label in zip(sets, labels, strict=True) if name in ("all", label)]
        if own:
            covered, sizes = sum(label in s for s, label in own), [len(s) for s, _ in own]
            result[name] = {"n": len(own), "covered": covered, "mean_size": float(np.mean(sizes))}
    return result


def _quantile(ordered: np.ndarray, level: float) -> float:
    rank = int(np.ceil((len(ordered) + 1) * level))
    return float(ordered[rank - 1]) if rank <= len(ordered) else 1.0
