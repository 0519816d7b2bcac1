"""Multi-task U-Net: encoder, bottleneck, decoder, and a classification head over several scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from busi_demo.models.backbones import DECODER_CHANNELS, UNet
from busi_demo.models.base import ApproachModel
from busi_demo.models.heads import ClassificationHead, MultiScaleFeatures, mask_guided
from busi_demo.types import InputError, ModelOutput

_STRIDE = 32  # of the encoder's coarsest map; inputs are multiples of it


class MultitaskUNet(ApproachModel):
    """U-Net (Ronneberger et al., MICCAI 2015) whose class head pools the encoder at strides 8, 16 and 32.

    Args:
        encoder_name, decoder_channels, attention: of the U-Net, see `backbones.UNet`.
        width: channels that each scale gives to the class head.
        dropout: before the linear layer.
        scales: sizes at which an image is looked at in evaluation mode, as shares of the input's; what is seen is
            averaged (multi-scale testing, He et al., CVPR 2016, section 3.4). Training looks once, at full size.
        encoder_weights: `"imagenet"` starts the encoder from pretrained weights, `None` from scratch.
    Raises:
        InputError: attention is neither None nor "scse".
    """

    key = "multitask_unet"
    title = "Multi-task U-Net"
    summary = (
        "A U-Net draws the lesion while a multi-scale head reads its encoder at three depths, over the whole image and "
        "inside the drawn lesion, to name the class."
    )

    def __init__(
        self,
        encoder_name: str = "tu-tf_efficientnet_lite0",
        decoder_channels: Sequence[int] = DECODER_CHANNELS,
        attention: str | None = None,
        width: int = 128,
        dropout: float = 0.3,
        scales: Sequence[float] = (1.0,),
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__()
        if attention not in (None, "scse"):
            raise InputError(f"attention must be 'scse' or left out, got {attention!r}.")
        self.config = {
            "encoder_name": encoder_name,
            "decoder_channels": list(decoder_channels),
            "attention": attention,
            "width": width,
            "dropout": dropout,
            "scales": list(scales),
        }
        self.unet = UNet(encoder_name, decoder_channels, attention, encoder_weights)
        self.scales = MultiScaleFeatures(self.unet.out_channels[3:], width)
        self.head = ClassificationHead(2 * self.scales.out_channels, dropout)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        sizes = [x.shape[-1]]
        if not self.training:
            sizes = [max(_STRIDE, round(scale * sizes[0] / _STRIDE) * _STRIDE) for scale in self.config["scales"]]
        views = [self._view(_resized(x, size)) for size in sizes]
        mask_logits = _mean([mask for mask, _ in views], x.shape[-1])
        features = _mean([evidence for _, evidence in views], max(evidence.shape[-1] for _, evidence in views))
        return ModelOutput(mask_logits, self.head(features), features, self.head)

    def _view(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mask logits and features of one size, (N, 1, s, s) and (N, C, s / 8, s / 8)."""
        maps = self.unet.encoder(x)
        mask_logits = self.unet.decode(maps, x.shape[-2:])
        return mask_logits, mask_guided(self.scales(maps[3:]), mask_logits)


def _resized(maps: torch.Tensor, size: int) -> torch.Tensor:
    if maps.shape[-1] == size:
        return maps
    shrinks = size < maps.shape[-1]
    return F.interpolate(maps.float(), (size, size), mode="bilinear", align_corners=False, antialias=shrinks)


def _mean(maps: Sequence[torch.Tensor], size: int) -> torch.Tensor:
    return torch.stack([_resized(m, size) for m in maps]).mean(0) if len(maps) > 1 else maps[0]
