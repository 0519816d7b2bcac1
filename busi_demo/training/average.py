"""The mean of a trained network and of the one that it started from."""

from __future__ import annotations

import torch

from busi_demo.models.base import ApproachModel


@torch.no_grad()
def average_with_start(model: ApproachModel, start: ApproachModel, share: float) -> None:
    """Replace the weights of a network by a weighted mean of them and those that its training started from (Wortsman et
    al., Robust fine-tuning of zero-shot models, CVPR 2022).

    Args:
        model: changed in place; the statistics of its batch norms become means, too.
        start: of the same architecture.
        share: weight of `start`, in [0, 1].
    """
    before = start.state_dict()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(before[name].to(tensor), share)
