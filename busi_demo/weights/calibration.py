"""Calibrated class probabilities from logits, and the fit of the calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from busi_demo.types import CLASSES

TEMPERATURE_BOUNDS = (0.1, 10.0)
"""Range of the fitted temperature. The lower end keeps faultless logits from being sharpened without limit."""


_LARGEST_BIAS = 10.0
_BIAS_PRIOR = 0.2
"""Standard deviation of the prior of the bias, logit units: a compromise, whose cross-entropy on images that were not
fitted to is within 0.001 of the best for three approaches and 0.004 for the fourth, from about 120 images as from 480
(train/RESULTS.md, 'The prior of the class bias')."""


@dataclass(frozen=True)
class Calibration:
    """The map from class logits to probabilities: softmax(logits / temperature + class_bias).

    Temperature alone (Guo et al. 2017, 4.2) changes the confidence and no answer. The bias also moves the borders
    between the classes: a network trained on other class frequencies than it is used on errs towards some classes
    (bias-corrected temperature scaling: Alexandari, Kundaje & Shrikumar, ICML 2020).

    Attributes:
        temperature: above 0; above 1 where the network was over-confident.
        class_bias: one number a class, in the order of `CLASSES`, in logit units.
    Raises:
        ValueError: the temperature is not positive and finite, or there are not three finite biases.
    """

    temperature: float = 1.0
    class_bias: tuple[float, ...] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be positive and finite, got {self.temperature}.")
        if len(self.class_bias) != len(CLASSES) or not np.isfinite(self.class_bias).all():
            raise ValueError(f"class_bias must be {len(CLASSES)} finite numbers, got {self.class_bias}.")

    @overload
    def apply(self, logits: torch.Tensor) -> torch.Tensor: ...
    @overload
    def apply(self, logits: np.ndarray) -> np.ndarray: ...
    def apply(self, logits: torch.Tensor | np.ndarray) -> torch.Tensor | np.ndarray:
        """Calibrated probabilities, rows summing to 1.

        Args:
            logits: float (N, 3).
        Returns:
            (N, 3) in [0, 1]: a tensor of the same dtype and device for a tensor, float64 for an array.
        """
        if isinstance(logits, np.ndarray):
            return self.apply(torch.from_numpy(logits.astype(np.float64))).numpy()
        return (logits / self.temperature + logits.new_tensor(self.class_bias)).softmax(1)


UNCALIBRATED = Calibration()


def fit_calibration(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """The calibration that minimises the negative log-likelihood, fitted on images the network was not trained on.

    The prior of the bias is a normal distribution around 0 with a standard deviation of 0.2, so that a few images
    change it little and a class without images does not drive it away. The temperature stays within
    `TEMPERATURE_BOUNDS`.

    Args:
        logits: float (N, 3), finite.
        labels: int (N,) in 0..2, the true classes.
    Raises:
        ValueError: there are no logits, the shapes do not match, a logit is not finite or a label is no class.
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
        return float(bias @ bias / (2 * _BIAS_PRIOR**2) - likelihood) / len(labels)

    bounds = [tuple(np.log(TEMPERATURE_BOUNDS)), *[(-_LARGEST_BIAS, _LARGEST_BIAS)] * classes]
    best = minimize(loss, np.zeros(1 + classes), bounds=bounds, method="L-BFGS-B")
    return Calibration(float(np.exp(best.x[0])), tuple(best.x[1:].tolist()))
