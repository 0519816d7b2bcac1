"""Multi-task ResNet50: one shared backbone, an upsample-conv segmentation head and a fully connected class head."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from busi_demo.models.backbones import resnet50_encoder
from busi_demo.models.heads import ClassificationHead, UpsampleDecoder, mask_guided
from busi_demo.models.multitask import MultitaskModel


class MultitaskResNet50(MultitaskModel):
    """Shared ResNet50 (He et al., CVPR 2016) with two heads, trained end to end.

    Args:
        decoder_width: channels of the segmentation head.
        dropout: before the fully connected layer.
        scales, mirrored: sizes of the image and of its mirror image in evaluation mode, as shares of the input size,
            see `MultitaskModel`.
        encoder_weights: `"imagenet"` downloads pretrained weights of the backbone; `None` starts from scratch.
    """

    key = "multitask_resnet50"
    title = "Multi-task ResNet50"
    summary = (
        "One ResNet50 backbone feeds two heads at once: upsampling convolutions draw the lesion, a fully connected "
        "layer names the class."
    )
    takes_encoder_weights = True
    encoder_part = "encoder"

    def __init__(
        self,
        decoder_width: int = 96,
        dropout: float = 0.3,
        scales: Sequence[float] = (1.0,),
        mirrored: Sequence[float] = (),
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__()
        self.config = {
            "decoder_width": decoder_width,
            "dropout": dropout,
            "scales": list(scales),
            "mirrored": list(mirrored),
        }
        self.encoder = resnet50_encoder(encoder_weights)
        channels = self.encoder.out_channels
        self.decoder = UpsampleDecoder(channels[2:], decoder_width)
        self.head = ClassificationHead(2 * channels[-1], dropout)

    def encode(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        return self.encoder(x)

    def decode(self, maps: Sequence[torch.Tensor], size: int) -> tuple[torch.Tensor, torch.Tensor]:
        mask_logits = self.decoder(maps[2:], (size, size))
        return mask_logits, mask_guided(maps[-1], mask_logits)
