"""Several networks of one approach, each trained without another fold of the data, that answer together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from busi_demo.models.base import ApproachModel
from busi_demo.types import InputError, ModelOutput


class FoldEnsemble(ApproachModel):
    """The mean of cross-validated networks (Krogh & Vedelsby, Neural Network Ensembles, Cross Validation, and Active
    Learning, NIPS 1994): together they learnt from every image, and of each image one of them knows nothing.

    Mask and class logits are means over the members. Their features stand side by side, and the head is the mean of
    the members' heads, so that one CAM explains what they say together.

    Args:
        members: two or more networks of one approach and architecture, whose features cover the whole input.
        folds: the fold that each was not trained on.
    Raises:
        InputError: fewer than two members, or they crop their inputs, each in another place.
    """

    def __init__(self, members: Sequence[ApproachModel], folds: Sequence[int]) -> None:
        super().__init__()
        if len(members) < 2 or len(set(folds)) != len(members):
            raise InputError(f"An ensemble needs two or more networks of different folds, got folds {list(folds)}.")
        first = members[0]
        if not first.covers_input:
            raise InputError(f"{first.key} cannot be an ensemble: each of its networks would look at another crop.")
        self.key, self.title, self.summary = first.key, first.title, first.summary  # type: ignore[misc]
        self.config, self.folds = first.config, tuple(folds)
        self.members = nn.ModuleList(members)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        outputs: list[ModelOutput] = [member(x) for member in self.members]
        features = torch.cat([output.features for output in outputs], dim=1)
        mask_logits = torch.stack([output.mask_logits for output in outputs]).mean(0)
        head = _MeanHead([output.head for output in outputs])  # no part of the state: it belongs to the members
        return ModelOutput(mask_logits, head(features), features, head)

    def held_out(self, fold: int) -> ApproachModel:
        """The member that was not trained on a fold.

        Raises:
            InputError: all were.
        """
        if fold not in self.folds:
            raise InputError(f"All networks of {self.key} were trained on fold {fold}: choose one of {self.folds}.")
        return self.members[self.folds.index(fold)]  # type: ignore[return-value]


def one_or_several(make: Callable[[], ApproachModel], folds: Sequence[int]) -> ApproachModel:
    """What `make` makes; where there are folds, as many of it as one, each to be trained without another of them."""
    return FoldEnsemble([make() for _ in folds], folds) if folds else make()


class _MeanHead(nn.Module):
    """(N, M*C, h, w) features of M members -> (N, 3): the mean of what their heads make of their own share."""

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        shares = features.chunk(len(self.heads), dim=1)
        return torch.stack([head(share) for head, share in zip(self.heads, shares, strict=True)]).mean(0)
