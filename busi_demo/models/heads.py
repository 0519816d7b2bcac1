"""Parts that several approaches share: classification head, mask-guided pooling and a light decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from busi_demo.types import CLASSES

# Keeps mask-guided pooling finite, and near zero, where the network finds no lesion: that is evidence, too.
_EMPTY_MASK_SHARE = 0.02


def conv_block(in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class ClassificationHead(nn.Sequential):
    """Global average pooling, dropout, one linear layer: (N, C, h, w) features -> (N, 3) class logits.

    Kept linear on purpose: Grad-CAM then has a closed form and every pixel's part in the logit can be shown.
    """

    def __init__(self, in_channels: int, dropout: float = 0.2) -> None:
        super().__init__(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(in_channels, len(CLASSES))
        )


def mask_guided(features: torch.Tensor, mask_logits: torch.Tensor) -> torch.Tensor:
    """Append to the feature maps their copies weighted by the predicted lesion mask.

    Average pooling of the result gives the mean over the image and the mean over the lesion. The mask is a constant
    here: the class loss may not bend it.

    Args:
        features: float (N, C, h, h).
        mask_logits: float (N, 1, S, S), S a multiple of h.
    Returns:
        float (N, 2C, h, h).
    """
    stride = int(mask_logits.shape[-1]) // int(features.shape[-1])  # a number: compilers know no adaptive pooling
    mask = F.avg_pool2d(mask_logits.detach().float().sigmoid(), stride)
    weight = mask / (mask.mean(dim=(2, 3), keepdim=True) + _EMPTY_MASK_SHARE)
    return torch.cat([features, features * weight.to(features.dtype)], dim=1)


def describe(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Mean and standard deviation of each channel of some feature maps: they tell pictures of other kinds apart better
    than the features of the class head, which keep what tells the classes apart (Sastry & Oore, Detecting
    Out-of-Distribution Examples with Gram Matrices, ICML 2020).

    Args:
        maps: float (N, C_i, h_i, w_i).
    Returns:
        float32 (N, 2 * sum of C_i), without a gradient.
    """
    statistics = [part for m in maps for part in (m.mean(dim=(2, 3)), m.std(dim=(2, 3)))]
    return torch.cat([part.detach().float() for part in statistics], dim=1)


class MultiScaleFeatures(nn.Module):
    """Resize feature maps of several depths to one grid and concatenate them: (N, C_i, h_i, w_i) -> (N, D*width, h, w).

    Args:
        in_channels: channels of each depth.
        width: channels that each depth is projected to.
    The grid is that of the first (finest) map.
    """

    def __init__(self, in_channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
            for c in in_channels
        )
        self.out_channels = width * len(in_channels)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        grid = features[0].shape[-2:]
        projected = [project(f) for project, f in zip(self.projections, features, strict=True)]
        return torch.cat([F.interpolate(p, size=grid, mode="nearest") for p in projected], dim=1)


class UpsampleDecoder(nn.Module):
    """Upsample -> conv, step by step, each step adding a 1 x 1 projection of the encoder map of that resolution
    (top-down pathway of Lin et al., Feature Pyramid Networks, CVPR 2017), then a mask at the input's size.

    Args:
        in_channels: channels of the encoder maps from fine to coarse, each half the resolution of the one before.
        width: channels inside the decoder.
    """

    def __init__(self, in_channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in in_channels)
        self.blocks = nn.ModuleList(conv_block(width, width) for _ in in_channels)
        self.mask = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, features: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Maps from fine to coarse, (N, C_i, h_i, w_i) -> mask logits (N, 1, *size)."""
        x: torch.Tensor | None = None
        for lateral, block, feature in reversed(list(zip(self.lateral, self.blocks, features, strict=True))):
            side = lateral(feature)
            x = side if x is None else F.interpolate(x, size=side.shape[-2:], mode="nearest") + side
            x = block(x)
        return F.interpolate(self.mask(x), size=tuple(size), mode="bilinear", align_corners=False)
