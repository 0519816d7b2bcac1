"""Multi-task U-Net: encoder, bottleneck, decoder, and a classification head over several scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from busi_demo.models.backbones import DECODER_CHANNELS, LITE0, UNet
from busi_demo.models.heads import ClassificationHead, MultiScaleFeatures, mask_guided
from busi_demo.models.multitask import MultitaskModel
from busi_demo.types import InputError


class MultitaskUNet(MultitaskModel):
    """U-Net (Ronneberger et al., MICCAI 2015) whose class head pools the encoder at strides 8, 16 and 32.

    Args:
        encoder_name, decoder_channels, attention: of the U-Net, see `backbones.UNet`.
        width: channels that each scale gives to the class head.
        dropout: before the linear layer.
        scales, mirrored: sizes of the image and of its mirror image in evaluation mode, as shares of the input size,
            see `MultitaskModel`.
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
    takes_encoder_weights = True
    encoder_part = "unet.encoder"

    def __init__(
        self,
        encoder_name: str = LITE0,
        decoder_channels: Sequence[int] = DECODER_CHANNELS,
        attention: str | None = None,
        width: int = 128,
        dropout: float = 0.3,
        scales: Sequence[float] = (1.0,),
        mirrored: Sequence[float] = (),
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
            "mirrored": list(mirrored),
        }
        self.unet = UNet(encoder_name, decoder_channels, attention, encoder_weights)
        self.scales = MultiScaleFeatures(self.unet.out_channels[3:], width)
        self.head = ClassificationHead(2 * self.scales.out_channels, dropout)

    def encode(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        return self.unet.encoder(x)

    def decode(self, maps: Sequence[torch.Tensor], size: int) -> tuple[torch.Tensor, torch.Tensor]:
        mask_logits = self.unet.decode(maps, (size, size))
        return mask_logits, mask_guided(self.scales(maps[3:]), mask_logits)
