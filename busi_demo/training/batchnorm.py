"""Batch normalisation over the batch of all processes, on CPUs too, where torch.nn.SyncBatchNorm does not run."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from busi_demo.processes import total


class Centred(NamedTuple):
    """Feature maps around their mean over the images of all processes.

    Attributes:
        maps: float32 (N, C, h, w), the share of this process.
        mean, variance: float32 (C,), of the whole batch; the variance is the biased one.
        pixels: scalar, of each channel in the whole batch.
    """

    maps: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor
    pixels: torch.Tensor


def centred_over_whole_batch(x: torch.Tensor) -> Centred:
    """Subtract from each channel its mean over the images of all processes; gradients flow through the sums.

    It needs two sums over the processes, first for the mean, then for the variance around it: a difference of two large
    sums would lose precision.

    Args:
        x: float (N, C, h, w); N may differ between processes.
    """
    wide, dims = x.float(), (0, 2, 3)
    pixels = wide.new_tensor([wide.numel() / wide.shape[1]])
    sums = _Total.apply(torch.cat([wide.sum(dims), pixels]))
    count, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
    centred = wide - mean[:, None, None]
    return Centred(centred, mean, _Total.apply(centred.square().sum(dims)) / count, count)


class WholeBatchNorm(nn.BatchNorm2d):
    """`BatchNorm2d` that computes mean and variance in training over the images of all processes (as in Peng et al.,
    MegDet, CVPR 2018). Results and running statistics do not depend on the number of processes.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float (N, C, h, w) -> the same shape and type; N may differ between processes."""
        if not self.training:
            return super().forward(x)
        centred, mean, variance, count = centred_over_whole_batch(x)
        self._remember(mean, variance * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        steps, means, variances = self.num_batches_tracked, self.running_mean, self.running_var
        if steps is None or means is None or variances is None or self.momentum is None:
            raise NotImplementedError("expected a batch norm with running statistics and a momentum")
        steps.add_(1)
        means.lerp_(mean, self.momentum)
        variances.lerp_(variance, self.momentum)


class WholeBatchNormAct(WholeBatchNorm):
    """The same for timm's `BatchNormAct2d`, which applies dropout and activation after the norm."""

    drop: nn.Module
    act: nn.Module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float (N, C, h, w) -> the same shape and type; N may differ between processes."""
        return self.act(self.drop(super().forward(x)))


def normalise_whole_batches(module: nn.Module) -> None:
    """Replace, in place, every batch norm in a module by one over all processes with the same parameters and names.

    Raises:
        NotImplementedError: a batch norm is neither torch's nor timm's.
    """
    from timm.layers import BatchNormAct2d

    substitutes = {nn.BatchNorm2d: WholeBatchNorm, BatchNormAct2d: WholeBatchNormAct}
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            if type(part) not in substitutes:
                raise NotImplementedError(f"no batch norm over all processes is known for {type(part).__name__}")
            part.__class__ = substitutes[type(part)]


class _Total(torch.autograd.Function):
    """`total` with gradients: the loss of each process depends on the sum, so the gradients are summed as well."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return total(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return total(gradient)
