"""The base of the multi-task approaches: one view of the whole input, or the mean of several."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from busi_demo.models.base import ApproachModel, Pass, Plan
from busi_demo.models.heads import ClassificationHead, describe
from busi_demo.types import ModelOutput

VIEWS = {"scales": False, "mirrored": True}
"""Setting that lists sizes of the image -> whether its mirror image is seen at these."""

_STRIDE = 32  # inputs are multiples of it
_DESCRIBED = slice(2, 5)  # the encoder's maps at strides 4, 8 and 16


class MultitaskModel(ApproachModel):
    """A network that segments and classifies from one set of features.

    In evaluation mode it runs on each image at the sizes of `scales` in its config, as shares of the input size, and on
    its mirror image at those of `mirrored`, and averages the results (multi-scale testing, He et al., CVPR 2016,
    section 3.4). Training uses the image at its full size alone.
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
        views = [_View(x.shape[-1], False)] if self.training else self._views(x.shape[-1])

        def join(seen: Sequence[tuple[torch.Tensor, ...]]) -> ModelOutput:
            upright = [[view.mirror(maps) for maps in tensors[:2]] for view, tensors in zip(views, seen, strict=True)]
            mask_logits = _mean([mask for mask, _ in upright], x.shape[-1])
            features = _mean([maps for _, maps in upright], max(maps.shape[-1] for _, maps in upright))
            descriptor = None if self.training else seen[0][2]
            return ModelOutput(mask_logits, self.head(features), features, self.head, descriptor=descriptor)

        return Plan([Pass(self, view.of(x)) for view in views], join)

    def _views(self, side: int) -> list[_View]:
        return [_View(_size(side, scale), mirrored) for name, mirrored in VIEWS.items() for scale in self.config[name]]

    def tensors(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Mask logits, input of the classification head and, in evaluation mode, the descriptor of one view."""
        maps = self.encode(x)
        mask_logits, features = self.decode(maps, x.shape[-1])
        return (mask_logits, features) if self.training else (mask_logits, features, describe(maps[_DESCRIBED]))

    def descriptor(self, x: torch.Tensor) -> torch.Tensor:
        return describe(self.encode(self._views(x.shape[-1])[0].of(x))[_DESCRIBED])


class _View(NamedTuple):
    """How a network sees an image once: the side of its input in pixels, and whether left and right change places."""

    size: int
    mirrored: bool

    def of(self, x: torch.Tensor) -> torch.Tensor:
        return self.mirror(_resized(x, self.size))

    def mirror(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.flip(-1) if self.mirrored else maps


def _size(side: int, scale: float) -> int:
    """The side of an input at a scale, a multiple of the stride."""
    return max(_STRIDE, round(scale * side / _STRIDE) * _STRIDE)


def _resized(maps: torch.Tensor, size: int) -> torch.Tensor:
    if maps.shape[-1] == size:
        return maps
    shrinks = size < maps.shape[-1]
    return F.interpolate(maps.float(), (size, size), mode="bilinear", align_corners=False, antialias=shrinks)


def _mean(maps: Sequence[torch.Tensor], size: int) -> torch.Tensor:
    return torch.stack([_resized(m, size) for m in maps]).mean(0) if len(maps) > 1 else maps[0]
