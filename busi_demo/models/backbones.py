"""Building blocks from segmentation_models_pytorch and timm. Both are imported when a network is built, because their
import would delay the first page, which needs only the names of the approaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from busi_demo.models.pretrained import LITE, load_efficientnet_lite

if TYPE_CHECKING:
    from segmentation_models_pytorch.encoders.resnet import ResNetEncoder
    from segmentation_models_pytorch.encoders.timm_universal import TimmUniversalEncoder

# The decoder ends at half the input resolution: the last doubling took a third of the time on a CPU and was not better
# than bilinear interpolation.
DECODER_CHANNELS = (128, 64, 48, 32)
LITE0 = "tu-tf_efficientnet_lite0"


class UNet(nn.Module):
    """U-Net (Ronneberger et al., MICCAI 2015) on one grey channel with one mask logit a pixel.

    Args:
        encoder_name: any encoder of segmentation_models_pytorch; names that begin with `tu-` are timm's.
        decoder_channels: of each doubling of the resolution, from coarse to fine; at most 5. Where there are fewer, the
            logits are interpolated to the size of the input.
        attention: `"scse"` puts spatial and channel squeeze-and-excitation (Roy et al., MICCAI 2018) into the decoder.
        encoder_weights: `"imagenet"` starts the encoder from pretrained weights, `None` from scratch.

    Attributes:
        out_channels: channels of the encoder's maps at strides 1, 2, 4, 8, 16 and 32.
    """

    def __init__(
        self,
        encoder_name: str,
        decoder_channels: Sequence[int] = DECODER_CHANNELS,
        attention: str | None = None,
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__()
        from segmentation_models_pytorch.base import SegmentationHead, initialization
        from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

        self.encoder = _encoder(encoder_name, encoder_weights)
        self.out_channels = self.encoder.out_channels
        channels = tuple(decoder_channels)
        self.decoder = UnetDecoder(self.out_channels, channels, n_blocks=len(channels), attention_type=attention)
        self.segmentation_head = SegmentationHead(channels[-1], 1, kernel_size=3)
        initialization.initialize_decoder(self.decoder)
        initialization.initialize_head(self.segmentation_head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float (N, 1, S, S) -> mask logits (N, 1, S, S)."""
        return self.decode(self.encoder(x), x.shape[-2:])

    def decode(self, maps: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """The encoder's maps, from fine to coarse, -> mask logits (N, 1, *size)."""
        logits = self.segmentation_head(self.decoder(list(maps)))
        if logits.shape[-2:] == tuple(size):
            return logits
        return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


def resnet50_encoder(encoder_weights: str | None = None) -> ResNetEncoder:
    """ResNet50 (He et al., CVPR 2016) on one grey channel: float (N, 1, S, S) -> feature maps at strides 1, 2, 4, 8, 16
    and 32; their channels are its `out_channels`."""
    return _encoder("resnet50", encoder_weights)


def lite_encoder(encoder_weights: str | None = None) -> TimmUniversalEncoder:
    """EfficientNet-Lite0 (Tan & Le, EfficientNet, ICML 2019, without squeeze-and-excitation) on one grey channel:
    float (N, 1, S, S) -> feature maps at strides 1, 2, 4, 8, 16 and 32; their channels are its `out_channels`."""
    return _encoder(LITE0, encoder_weights)


def _encoder(name: str, weights: str | None) -> Any:
    from segmentation_models_pytorch.encoders import get_encoder

    if name not in LITE or weights is None:
        return get_encoder(name, in_channels=1, depth=5, weights=weights)
    encoder = get_encoder(name, in_channels=1, depth=5, weights=None)
    load_efficientnet_lite(encoder.model, name)
    return encoder
