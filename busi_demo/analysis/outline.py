"""The Dice that the outline of an answer is expected to have, from how sure the network is of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from busi_demo.types import Prediction
from busi_demo.weights.trust_file import TrustFit

INTERVAL = 0.9
"""Share of the true values that lie in the interval of an expected Dice."""


@dataclass(frozen=True)
class ExpectedDice:
    """The expected Dice and the interval of `INTERVAL`, all in [0, 1]."""

    value: float
    low: float
    high: float


def outline_features(prediction: Prediction) -> dict[str, float]:
    """What tells good from bad outlines, within the frame that the network saw; computed from one forward pass, of one
    network or of an ensemble alike (of an ensemble, whose mean is less extreme, somewhat lower values are to be
    expected).

    Args:
        prediction: with a mask that is not empty.
    """
    x0, y0, x1, y1 = prediction.frame_box
    probability, mask = prediction.mask_probability[y0:y1, x0:x1].astype(np.float64), prediction.mask[y0:y1, x0:x1]
    total = float(probability.sum() + mask.sum())
    soft_dice = 2 * float(probability[mask].sum()) / total
    inside, area = float(probability[mask].mean()), float(mask.mean())
    p = probability.clip(1e-6, 1 - 1e-6)
    entropy = float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).sum()) / (float(mask.sum()) + 1e-3 * mask.size)
    return {
        "soft_dice": soft_dice,
        "soft_dice_squared": soft_dice**2,
        "inside": inside,
        "inside_squared": inside**2,
        "entropy": entropy,
        "highest": float(probability.max()),
        "log_area": float(np.log(area + 1e-4)),
        "side": area**0.5,
        "tumour": 1 - prediction.probabilities["normal"],
        "confidence": prediction.confidence,
    }


def expected_dice(prediction: Prediction, fit: TrustFit | None) -> ExpectedDice | None:
    """The expected Dice of the outline; `None` for an empty one, and where nothing was fitted.

    Raises:
        KeyError: the fit is of other features.
    """
    if fit is None or not fit.dice or not prediction.mask.any():
        return None
    features: Mapping[str, float] = {"constant": 1.0, **outline_features(prediction)}
    value = sum(fit.dice[name] * number for name, number in features.items())
    low, high = (float(np.clip(value + deviation, 0, 1)) for deviation in fit.dice_interval)
    return ExpectedDice(float(np.clip(value, 0, 1)), low, high)
