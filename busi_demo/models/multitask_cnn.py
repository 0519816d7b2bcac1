"""Multi-task CNN: a compact joint network whose class evidence lies on a fine grid, made to be explained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from busi_demo.models.base import ApproachModel
from busi_demo.models.heads import ClassificationHead, MultiScaleFeatures, UpsampleDecoder, conv_block, mask_guided
from busi_demo.types import ModelOutput


class _Residual(nn.Module):
    """Basic residual block (He et al., CVPR 2016): (N, C, h, w) -> the same shape."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = conv_block(channels, channels, dilation=dilation)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.second(self.first(x)))


class MultitaskCNN(ApproachModel):
    """Four residual stages down to stride 16, the last one dilated (Yu & Koltun, ICLR 2016) instead of shrunk further,
    a segmentation branch from stride 4 and a classification branch on the stride 8 grid: a CAM of 28 x 28 at 224.

    Args:
        widths: channels at strides 2, 4, 8 and 16.
        decoder_width: channels of the segmentation branch.
        class_width: channels that each of the two coarse scales gives to the class head.
        dropout: before the linear layer.
        encoder_weights: must be None; no pretrained weights exist for this network.
    """

    key = "multitask_cnn"
    title = "Multi-task CNN with Grad-CAM"
    summary = (
        "A compact network with a segmentation and a classification branch; its class evidence lies on a 28 x 28 grid, "
        "so the Grad-CAM is sharp. The smallest and fastest of the four."
    )

    def __init__(
        self,
        widths: Sequence[int] = (24, 48, 96, 160),
        decoder_width: int = 64,
        class_width: int = 96,
        dropout: float = 0.2,
        encoder_weights: None = None,
    ) -> None:
        super().__init__()
        self.config = {
            "widths": list(widths),
            "decoder_width": decoder_width,
            "class_width": class_width,
            "dropout": dropout,
        }
        w2, w4, w8, w16 = widths
        self.stem = conv_block(1, w2, stride=2)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(conv_block(w2, w4, stride=2), _Residual(w4)),
                nn.Sequential(conv_block(w4, w8, stride=2), _Residual(w8), _Residual(w8)),
                nn.Sequential(
                    conv_block(w8, w16, stride=2), _Residual(w16), _Residual(w16, 2), _Residual(w16, 4), _Residual(w16)
                ),
            ]
        )
        self.decoder = UpsampleDecoder((w4, w8, w16), decoder_width)
        self.scales = MultiScaleFeatures((w8, w16), class_width)
        self.head = ClassificationHead(2 * self.scales.out_channels, dropout)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        mask_logits = self.decoder(maps[1:], x.shape[-2:])
        features = mask_guided(self.scales(maps[2:]), mask_logits)
        return ModelOutput(mask_logits, self.head(features), features, self.head)
