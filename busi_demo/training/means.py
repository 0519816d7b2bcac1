"""Weighted means of a batch that several processes share."""

from __future__ import annotations

import torch

from busi_demo.processes import total


def weighted_mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The summand of this process in the weighted mean over the images of all processes.

    Args:
        values, weights: float (N,).
    Returns:
        Scalar; 0 where all weights are 0.
    """
    return (values * weights).sum() / total(weights.sum()).clamp(min=1)
