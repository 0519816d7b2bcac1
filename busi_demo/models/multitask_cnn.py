"""Multi-task CNN: a light decoder and a fine feature grid, for sharp class activation maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from busi_demo.models.backbones import lite_encoder
from busi_demo.models.heads import ClassificationHead, MultiScaleFeatures, UpsampleDecoder, mask_guided
from busi_demo.models.multitask import MultitaskModel


class MultitaskCNN(MultitaskModel):
    """EfficientNet-Lite0 (Tan & Le, ICML 2019) as encoder, a segmentation branch from stride 4 with a fifth of the
    parameters of a U-Net's decoder, and a classification branch on the stride 8 grid: a CAM of 28 x 28 at 224.

    Args:
        decoder_width: channels of the segmentation branch.
        class_width: channels that each of the strides 8, 16 and 32 gives to the class head.
        dropout: before the linear layer.
        scales, mirrored: sizes of the image and of its mirror image in evaluation mode, as shares of the input size,
            see `MultitaskModel`.
        encoder_weights: `"imagenet"` starts the encoder from pretrained weights, `None` from scratch.
    """

    key = "multitask_cnn"
    title = "Multi-task CNN with Grad-CAM"
    summary = (
        "One encoder feeds a light segmentation branch and a classification branch; its class evidence lies on a fine "
        "grid, so the Grad-CAM is sharp."
    )
    takes_encoder_weights = True
    encoder_part = "encoder"

    def __init__(
        self,
        decoder_width: int = 64,
        class_width: int = 96,
        dropout: float = 0.2,
        scales: Sequence[float] = (1.0,),
        mirrored: Sequence[float] = (),
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__()
        self.config = {
            "decoder_width": decoder_width,
            "class_width": class_width,
            "dropout": dropout,
            "scales": list(scales),
            "mirrored": list(mirrored),
        }
        self.encoder = lite_encoder(encoder_weights)
        channels = self.encoder.out_channels
        self.decoder = UpsampleDecoder(channels[2:], decoder_width)
        self.scales = MultiScaleFeatures(channels[3:], class_width)
        self.head = ClassificationHead(2 * self.scales.out_channels, dropout)

    def encode(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        return self.encoder(x)

    def decode(self, maps: Sequence[torch.Tensor], size: int) -> tuple[torch.Tensor, torch.Tensor]:
        mask_logits = self.decoder(maps[2:], (size, size))
        return mask_logits, mask_guided(self.scales(maps[3:]), mask_logits)
