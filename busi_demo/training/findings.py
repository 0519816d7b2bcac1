"""An auxiliary head that learns BI-RADS and histology from the features of the class head (multi-task learning,
Caruana, Machine Learning 1997). It belongs to the training alone and is dropped with the run."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from busi_demo.data.dataset import Batch
from busi_demo.data.findings import FINDINGS
from busi_demo.models.base import ApproachModel
from busi_demo.training.means import weighted_mean


class FindingsHead(nn.ModuleDict):
    """One linear layer for each of `FINDINGS` on the pooled features.

    Args:
        in_channels: of the features.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__({name: nn.Linear(in_channels, len(values)) for name, values in FINDINGS.items()})

    def loss(self, features: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The mean over `FINDINGS` of the cross-entropy on the images whose value is known.

        Args:
            features: float (N, C, h, w), of `ModelOutput`.
            batch: holds int64 (N,) for each of `FINDINGS`, negative where it is unknown.
        Returns:
            Scalar, 0 where nothing is known.
        """
        pooled = features.float().mean(dim=(2, 3))
        losses = []
        for name, layer in self.items():
            targets = batch[name]
            values = F.cross_entropy(layer(pooled), targets.clamp(min=0), reduction="none")
            losses.append(weighted_mean(values, (targets >= 0).float()))
        return torch.stack(losses).mean()


def findings_head(model: ApproachModel, seed: int) -> FindingsHead:
    """A head for the features of a model, with initial weights that depend on the seed alone."""
    was_training = model.training
    with torch.no_grad():
        channels = model.eval()(torch.zeros(1, 1, 64, 64)).features.shape[1]
    model.train(was_training)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FindingsHead(channels)
