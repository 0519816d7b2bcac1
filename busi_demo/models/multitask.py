"""The base of the multi-task approaches: one view of the whole input, or the mean of views at several sizes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from busi_demo.models.base import ApproachModel
from busi_demo.models.heads import ClassificationHead
from busi_demo.types import ModelOutput

_STRIDE = 32  # inputs are multiples of it


class MultitaskModel(ApproachModel):
    """A network that segments and classifies from one set of features.

    In evaluation mode it runs on each image at the sizes of `scales` in its config, as shares of the input size, and
    averages the results (multi-scale testing, He et al., CVPR 2016, section 3.4). Training uses the full size alone.
    """

    head: ClassificationHead

    @abstractmethod
    def view(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run at one size.

        Args:
            x: float (N, 1, S, S).
        Returns:
            Mask logits, float (N, 1, S, S), and the input of the classification head, float (N, C, h, w).
        """

    def forward(self, x: torch.Tensor) -> ModelOutput:
        sizes = [x.shape[-1]]
        if not self.training:
            sizes = [max(_STRIDE, round(scale * sizes[0] / _STRIDE) * _STRIDE) for scale in self.config["scales"]]
        views = [self.view(_resized(x, size)) for size in sizes]
        mask_logits = _mean([mask for mask, _ in views], x.shape[-1])
        features = _mean([evidence for _, evidence in views], max(evidence.shape[-1] for _, evidence in views))
        return ModelOutput(mask_logits, self.head(features), features, self.head)


def _resized(maps: torch.Tensor, size: int) -> torch.Tensor:
    if maps.shape[-1] == size:
        return maps
    shrinks = size < maps.shape[-1]
    return F.interpolate(maps.float(), (size, size), mode="bilinear", align_corners=False, antialias=shrinks)


def _mean(maps: Sequence[torch.Tensor], size: int) -> torch.Tensor:
    return torch.stack([_resized(m, size) for m in maps]).mean(0) if len(maps) > 1 else maps[0]
