"""Hints: a student's feature maps are drawn towards those of its teacher, so that an encoder without pretrained weights
learns from one that has them. They belong to the training alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from busi_demo.models.base import ApproachModel
from busi_demo.training.batchnorm import centred_over_whole_batch
from busi_demo.training.means import weighted_mean
from busi_demo.types import InputError

_FROM = 3  # maps at strides 8, 16 and 32: finer ones are edges, which any encoder learns soon
_EPSILON = 1e-5  # as in batch norms


class Hints(nn.ModuleList):
    """A 1 x 1 convolution for each depth that predicts the teacher's feature maps from the student's (Romero et al.,
    FitNets: Hints for Thin Deep Nets, ICLR 2015).

    Args:
        student_channels, teacher_channels: of the encoders' maps at strides 1, 2, 4, 8, 16 and 32.
    """

    def __init__(self, student_channels: Sequence[int], teacher_channels: Sequence[int]) -> None:
        pairs = zip(student_channels[_FROM:], teacher_channels[_FROM:], strict=True)
        super().__init__(nn.Conv2d(student, teacher, 1) for student, teacher in pairs)

    def loss(self, student: Sequence[torch.Tensor], teacher: Sequence[torch.Tensor]) -> torch.Tensor:
        """The mean over the depths of the squared error against the teacher's maps, each channel of which is brought to
        mean 0 and variance 1 over the batch: a prediction of 0 everywhere has a loss of about 1.

        Args:
            student, teacher: the encoders' maps at strides 1 to 32, float (N, C_i, h_i, w_i).
        Returns:
            Scalar, a summand of the loss of the whole batch.
        """
        losses = []
        for project, of_student, of_teacher in zip(self, student[_FROM:], teacher[_FROM:], strict=True):
            target = _standardised(of_teacher)
            error = F.mse_loss(project(of_student).float(), target, reduction="none").mean(dim=(1, 2, 3))
            losses.append(weighted_mean(error, torch.ones_like(error)))
        return torch.stack(losses).mean()


@torch.no_grad()
def _standardised(maps: torch.Tensor) -> torch.Tensor:
    """Each channel of feature maps at mean 0 and variance 1 over the whole batch, which several processes may share:
    float (N, C, h, w) -> float32 (N, C, h, w)."""
    centred = centred_over_whole_batch(maps)
    return centred.maps * (centred.variance[:, None, None] + _EPSILON).rsqrt()


def encoder_of(model: ApproachModel) -> Any:
    """The encoder of a network, whose maps the hints compare, with its `out_channels`.

    Raises:
        InputError: the network has no encoder of its own that sees the whole image.
    """
    if model.encoder_part is None or not model.covers_input:
        raise InputError(
            f"--hints needs single networks whose encoder sees the whole image, which is not so for {model.key} here: "
            "give another --teacher, or leave --hints out."
        )
    return model.get_submodule(model.encoder_part)


def hints_for(student: ApproachModel, teacher: ApproachModel, seed: int) -> Hints:
    """Hints between two networks, with initial weights that depend on the seed alone.

    Raises:
        InputError: one of the two has no encoder that sees the whole image.
    """
    channels = [encoder_of(model).out_channels for model in (student, teacher)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Hints(*channels)


@contextmanager
def outputs_of(encoder: nn.Module) -> Iterator[list[Sequence[torch.Tensor]]]:
    """Within the block, collect what each forward pass of an encoder returns."""
    seen: list[Sequence[torch.Tensor]] = []
    handle = encoder.register_forward_hook(lambda _module, _inputs, maps: seen.append(maps))
    try:
        yield seen
    finally:
        handle.remove()
