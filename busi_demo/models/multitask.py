"""The base of the multi-task approaches: one view of the whole input, or the mean of views at several sizes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from busi_demo.models.base import ApproachModel, Pass, Plan
from busi_demo.models.heads import ClassificationHead, describe
from busi_demo.types import ModelOutput

_STRIDE = 32  # inputs are multiples of it
_DESCRIBED = slice(2, 5)  # the encoder's maps at strides 4, 8 and 16


class MultitaskModel(ApproachModel):
    """A network that segments and classifies from one set of features.

    In evaluation mode it runs on each image at the sizes of `scales` in its config, as shares of the input size, and
    averages the results (multi-scale testing, He et al., CVPR 2016, section 3.4). Training uses the full size alone.
    """

    head: ClassificationHead

    @abstractmethod
    def encode(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        """float (N, 1, S, S) -> the maps of the encoder from fine to coarse, float (N, C_i, S_i, S_i), at strides 1, 2,
        4, ..."""

    @abstractmethod
    def decode(self, maps: Sequence[torch.Tensor], size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Mask and class evidence from the maps of the encoder.

        Args:
            maps: from `encode`.
            size: S, the side of its input.
        Returns:
            Mask logits, float (N, 1, S, S), and the input of the classification head, float (N, C, h, w).
        """

    def forward(self, x: torch.Tensor) -> ModelOutput:
        return self.plan(x).run()

    def plan(self, x: torch.Tensor, detected: ModelOutput | None = None) -> Plan:
        sizes = [x.shape[-1]] if self.training else [_size(x, scale) for scale in self.config["scales"]]

        def join(views: Sequence[tuple[torch.Tensor, ...]]) -> ModelOutput:
            mask_logits = _mean([view[0] for view in views], x.shape[-1])
            features = _mean([view[1] for view in views], max(view[1].shape[-1] for view in views))
            descriptor = None if self.training else views[0][2]
            return ModelOutput(mask_logits, self.head(features), features, self.head, descriptor=descriptor)

        return Plan([Pass(self, _resized(x, size)) for size in sizes], join)

    def tensors(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Mask logits, input of the classification head and, in evaluation mode, the descriptor of one view."""
        maps = self.encode(x)
        mask_logits, features = self.decode(maps, x.shape[-1])
        return (mask_logits, features) if self.training else (mask_logits, features, describe(maps[_DESCRIBED]))

    def descriptor(self, x: torch.Tensor) -> torch.Tensor:
        return describe(self.encode(_resized(x, _size(x, self.config["scales"][0])))[_DESCRIBED])


def _size(x: torch.Tensor, scale: float) -> int:
    """The side of an input at a scale, a multiple of the stride."""
    return max(_STRIDE, round(scale * x.shape[-1] / _STRIDE) * _STRIDE)


def _resized(maps: torch.Tensor, size: int) -> torch.Tensor:
    if maps.shape[-1] == size:
        return maps
    shrinks = size < maps.shape[-1]
    return F.interpolate(maps.float(), (size, size), mode="bilinear", align_corners=False, antialias=shrinks)


def _mean(maps: Sequence[torch.Tensor], size: int) -> torch.Tensor:
    return torch.stack([_resized(m, size) for m in maps]).mean(0) if len(maps) > 1 else maps[0]
