"""What makes calibrated probabilities of class logits, and how it is fitted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

TEMPERATURE_BOUNDS = (0.1, 10.0)
"""Where `fit_calibration` searches. The lower end keeps faultless logits from being sharpened without limit."""


_LARGEST_BIAS = 10.0


class Calibration(NamedTuple):
    """What makes probabilities of class logits: softmax(logits / temperature + class_bias).

    Temperature alone (Guo et al. 2017, 4.2) changes the confidence and no answer. The bias moves the borders between
    the classes too: a network drawn from other shares of the classes than it meets errs towards some of them
    (bias-corrected temperature scaling: Alexandari, Kundaje & Shrikumar, ICML 2020).

    Attributes:
        temperature: above 0; above 1 where the network was over-confident.
        class_bias: one number a class, in the order of `CLASSES`, in logit units.
    """

    temperature: float = 1.0
    class_bias: tuple[float, ...] = (0.0, 0.0, 0.0)

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities: float (N, 3) -> float64 (N, 3), rows summing to 1."""
        return softmax(np.asarray(logits, dtype=np.float64) / self.temperature + np.array(self.class_bias), axis=1)


UNCALIBRATED = Calibration()


def fit_calibration(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """The calibration that minimises the negative log-likelihood, fitted on images the network was not trained on.

    Of the bias a normal distribution around 0 with a standard deviation of 1 is expected beforehand, so that few
    images move it little and a class without images cannot drive it away. The temperature is looked for within
    `TEMPERATURE_BOUNDS`.

    Args:
        logits: float (N, 3), finite.
        labels: int (N,) in 0..2, the true classes.
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
    rows, classes = np.arange(len(labels)), logits.shape[1]

    def loss(parameters: np.ndarray) -> float:
        log_temperature, bias = parameters[0], parameters[1:]
        likelihood = log_softmax(logits / np.exp(log_temperature) + bias, axis=1)[rows, labels].sum()
        return float(bias @ bias / 2 - likelihood) / len(labels)

    bounds = [tuple(np.log(TEMPERATURE_BOUNDS)), *[(-_LARGEST_BIAS, _LARGEST_BIAS)] * classes]
    best = minimize(loss, np.zeros(1 + classes), bounds=bounds, method="L-BFGS-B")
    return Calibration(float(np.exp(best.x[0])), tuple(best.x[1:].tolist()))
