"""What the multi-task approaches share: they look at the whole input, once or at several sizes, and average."""

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
    """A network that draws and classifies from one set of features.

    In evaluation mode it looks at each image at the sizes that `scales` of its config names, as shares of the input's,
    and averages what it sees (multi-scale testing, He et al., CVPR 2016, section 3.4). Training looks once, at full
    size.
    """

    head: ClassificationHead

    @abstractmethod
    def view(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Look once.

        Args:
            x: float (N, 1, S, S).
        Returns:
            Mask logits, float (N, 1, S, S), and the features that the head classifies, float (N, C, h, w).
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
