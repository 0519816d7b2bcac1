"""Batch normalisation over the batch of all processes, on CPUs too, where torch.nn.SyncBatchNorm does not run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from busi_demo.processes import total


class WholeBatchNorm(nn.BatchNorm2d):
    """`BatchNorm2d` whose mean and variance in training are those of the images of all processes (as in Peng et al.,
    MegDet, CVPR 2018): results and running statistics do not depend on how many processes share a batch.

    Two sums over the processes a pass, mean first: the difference of two large sums would lose the variance.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float (N, C, h, w) -> the same shape and type; N may differ between processes."""
        if not self.training:
            return super().forward(x)
        wide, dims = x.float(), (0, 2, 3)
        pixels = wide.new_tensor([wide.numel() / wide.shape[1]])
        sums = _Total.apply(torch.cat([wide.sum(dims), pixels]))
        count, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
        centred = wide - mean[:, None, None]
        variance = _Total.apply(centred.square().sum(dims)) / count
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
    """The same for timm's `BatchNormAct2d`, which drops and activates what it has normalised."""

    drop: nn.Module
    act: nn.Module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float (N, C, h, w) -> the same shape and type; N may differ between processes."""
        return self.act(self.drop(super().forward(x)))


def normalise_whole_batches(module: nn.Module) -> None:
    """Make every batch norm in a module one over all processes, in place: same parameters, buffers and names.

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
    """`total` through which gradients flow: each process's loss depends on the sum, so theirs are summed as well."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return total(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return total(gradient)
