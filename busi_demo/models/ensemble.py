"""Several networks of one approach, each trained without another fold of the data, that answer together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from busi_demo.models.base import ApproachModel, Plan
from busi_demo.types import InputError, ModelOutput

_MEMBERS, _FOLDS = "ensemble_of", "folds"


class Ensemble(ApproachModel):
    """The mean of cross-validated networks (Krogh & Vedelsby, Neural Network Ensembles, Cross Validation, and Active
    Learning, NIPS 1994). Together they are trained on every image, and each image is unknown to one of them.

    Mask and class logits are means over the members. The features of the members are concatenated, and the head is the
    mean of the members' heads, so that one CAM explains the common answer. The descriptor is that of the first member.

    Args:
        members: two or more networks of one approach and architecture, whose features cover the whole input.
        folds: the fold that each was not trained on.
    Raises:
        InputError: there are fewer than two members, two have the same fold, or the members crop their inputs.
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

    @property
    def architecture(self) -> dict[str, Any]:
        return {_MEMBERS: self.config, _FOLDS: list(self.folds)}

    @property
    def head(self) -> MeanHead:
        """The module from the concatenated features to the class logits; its parameters are those of the members."""
        return MeanHead([member.head for member in self.members])  # type: ignore[misc]

    def forward(self, x: torch.Tensor) -> ModelOutput:
        return self.plan(x).run()

    def plan(self, x: torch.Tensor, detected: ModelOutput | None = None) -> Plan:
        plans: list[Plan] = [member.plan(x) for member in self.members]  # type: ignore[operator]
        ends = list(accumulate(len(plan.passes) for plan in plans))

        def join(views: Sequence[tuple[torch.Tensor, ...]]) -> ModelOutput:
            parts = (views[end - len(plan.passes) : end] for plan, end in zip(plans, ends, strict=True))
            return self._mean([plan.join(part) for plan, part in zip(plans, parts, strict=True)])

        return Plan([one for plan in plans for one in plan.passes], join)

    def _mean(self, outputs: Sequence[ModelOutput]) -> ModelOutput:
        features = torch.cat([output.features for output in outputs], dim=1)
        masks = torch.stack([output.mask_logits for output in outputs])
        mask_logits = masks.mean(0)
        disagreement = None if self.training else _disagreement(masks.detach().float().sigmoid())
        head = MeanHead([output.head for output in outputs])
        return ModelOutput(
            mask_logits, head(features), features, head, descriptor=outputs[0].descriptor, disagreement=disagreement
        )

    def descriptor(self, x: torch.Tensor) -> torch.Tensor | None:
        return self.members[0].descriptor(x)  # type: ignore[operator]

    def part(self, folds: Sequence[int]) -> ApproachModel:
        """As `ApproachModel.part`: one member, or an ensemble of several."""
        if not folds:
            raise InputError(f"A part of {self.key} needs one or more folds of {self.folds}, got none.")
        if missing := [fold for fold in folds if fold not in self.folds]:
            raise InputError(
                f"All networks of {self.key} were trained on fold {missing[0]}: choose one of {self.folds}."
            )
        members: list[ApproachModel] = [self.members[self.folds.index(fold)] for fold in folds]  # type: ignore[misc]
        if len(members) == 1:
            return members[0]
        return self if tuple(folds) == self.folds else Ensemble(members, folds).train(self.training)


def _disagreement(probabilities: torch.Tensor) -> torch.Tensor:
    """Entropy of the mean less the mean entropy (Depeweg et al., Decomposition of Uncertainty in Bayesian Deep
    Learning, ICML 2018): float (M, N, 1, S, S) of M members -> float (N, 1, S, S) in [0, 1], bits."""
    return (_entropy(probabilities.mean(0)) - _entropy(probabilities).mean(0)).clamp(0, 1)


def _entropy(p: torch.Tensor) -> torch.Tensor:
    p = p.clamp(1e-7, 1 - 1e-7)
    return -(p * p.log2() + (1 - p) * (1 - p).log2())


class MeanHead(nn.Module):
    """(N, M*C, h, w) features of M members -> (N, 3): each head takes the features of its member; the mean of their
    class logits."""

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def part(self, positions: Sequence[int]) -> nn.Module:
        """The heads of some members."""
        heads = [self.heads[position] for position in positions]
        return MeanHead(heads) if len(heads) > 1 else heads[0]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        shares = features.chunk(len(self.heads), dim=1)
        return torch.stack([head(share) for head, share in zip(self.heads, shares, strict=True)]).mean(0)


def build(make: Callable[..., ApproachModel], architecture: Mapping[str, Any]) -> ApproachModel:
    """Build one network or an `Ensemble`, with random weights.

    Args:
        make: takes the keywords of one network.
        architecture: `ApproachModel.architecture`: the keywords of one network, or of each member and the folds.
    Raises:
        TypeError: `make` does not know a keyword, or there are others beside the members and the folds.
    """
    if _MEMBERS not in architecture:
        return make(**architecture)
    if unknown := sorted(architecture.keys() - {_MEMBERS, _FOLDS}):
        raise TypeError(f"an ensemble has no setting {unknown[0]!r}")
    folds = architecture[_FOLDS]
    return Ensemble([make(**architecture[_MEMBERS]) for _ in folds], folds)


def settings_of(architecture: Mapping[str, Any]) -> Mapping[str, Any]:
    """The keywords of one network, or of each member of an ensemble."""
    return architecture.get(_MEMBERS, architecture)


def folds_of(architecture: Mapping[str, Any]) -> tuple[int, ...]:
    """The folds of an ensemble; empty for one network."""
    return tuple(architecture.get(_FOLDS, ()))


def with_settings(architecture: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The same architecture with other keywords of `settings_of`."""
    settings = {**settings_of(architecture), **changes}
    return {**architecture, _MEMBERS: settings} if _MEMBERS in architecture else settings
