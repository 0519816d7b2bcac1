"""The door to segmentation_models_pytorch. It is opened when a network is built, not when this project is imported:
the library takes longer to load than the first page may, which needs no more than the names of the approaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segmentation_models_pytorch import Unet
    from segmentation_models_pytorch.encoders.resnet import ResNetEncoder


def unet(encoder_name: str, encoder_weights: str | None = None, attention: str | None = None) -> Unet:
    """U-Net (Ronneberger et al., MICCAI 2015) on one grey channel with one mask logit a pixel.

    Args:
        encoder_name: any ResNet of segmentation_models_pytorch.
        encoder_weights: `"imagenet"` downloads pretrained weights of the encoder; `None` starts from scratch.
        attention: `"scse"` or `None`.
    """
    import segmentation_models_pytorch as smp

    return smp.Unet(
        encoder_name, encoder_weights=encoder_weights, decoder_attention_type=attention, in_channels=1, classes=1
    )


def resnet50_encoder(encoder_weights: str | None = None) -> ResNetEncoder:
    """ResNet50 (He et al., CVPR 2016) on one grey channel: float (N, 1, S, S) -> feature maps at strides 1, 2, 4, 8, 16
    and 32; their channels are its `out_channels`."""
    from segmentation_models_pytorch.encoders import get_encoder

    return get_encoder("resnet50", in_channels=1, depth=5, weights=encoder_weights)
