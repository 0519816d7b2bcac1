"""Batch normalisation over the batch of all processes, on CPUs too, where torch.nn.SyncBatchNorm does not run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from busi_demo.training.processes import total


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


def normalise_whole_batches(module: nn.Module) -> None:
    """Make every `BatchNorm2d` in a module a `WholeBatchNorm`, in place: same parameters, buffers and names."""
    for part in module.modules():
        if type(part) is nn.BatchNorm2d:
            part.__class__ = WholeBatchNorm


class _Total(torch.autograd.Function):
    """`total` through which gradients flow: each process's loss depends on the sum, so theirs are summed as well."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return total(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return total(gradient)
