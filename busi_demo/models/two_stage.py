"""Two-stage: a U-Net finds the lesion, the lesion is cropped with a margin, a ResNet50 names the class of the crop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage

from busi_demo.models.backbones import DECODER_CHANNELS, UNet, resnet50_encoder
from busi_demo.models.base import ApproachModel
from busi_demo.models.heads import ClassificationHead
from busi_demo.types import ModelOutput


class TwoStage(ApproachModel):
    """Segmentation first, classification of the crop second. Where no lesion is found the whole image is classified.

    Args:
        encoder_name, decoder_channels: of the U-Net, see `backbones.UNet`.
        margin: what is added on each side of the lesion's box, as a share of the box's longer side.
        min_area: share of the input's pixels below which a found region does not count as a lesion.
        threshold: mask probability from which a pixel counts as lesion when the crop is chosen.
        dropout: before the fully connected layer of the classifier.
        encoder_weights: `"imagenet"` starts both encoders from pretrained weights, `None` from scratch.
    """

    key = "two_stage"
    title = "Two-stage (U-Net, then ResNet50)"
    summary = (
        "A U-Net draws the lesion first; the lesion is cut out with a margin and a ResNet50 names the class of that "
        "crop. Where no lesion is found, the whole image is classified."
    )
    covers_input = False

    def __init__(
        self,
        encoder_name: str = "tu-tf_efficientnet_lite0",
        decoder_channels: Sequence[int] = DECODER_CHANNELS,
        margin: float = 0.25,
        min_area: float = 0.002,
        threshold: float = 0.5,
        dropout: float = 0.3,
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__()
        self.config = {
            "encoder_name": encoder_name,
            "decoder_channels": list(decoder_channels),
            "margin": margin,
            "min_area": min_area,
            "threshold": threshold,
            "dropout": dropout,
        }
        self.segmenter = UNet(encoder_name, decoder_channels, encoder_weights=encoder_weights)
        self.encoder = resnet50_encoder(encoder_weights)
        self.head = ClassificationHead(self.encoder.out_channels[-1], dropout)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        mask_logits = self.segmenter(x)
        masks = mask_logits.detach().float().sigmoid()[:, 0] >= self.config["threshold"]
        return self.classify(x, self.boxes(masks), mask_logits)

    def classify(self, x: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor) -> ModelOutput:
        """Classify the part of each input inside its box.

        Args:
            x: float (N, 1, S, S).
            boxes: float (N, 4) as x0, y0, x1, y1 in input pixels.
            mask_logits: float (N, 1, S, S), handed on.
        """
        from torchvision.ops import roi_align  # loaded here, as in `backbones`

        # float32: roi_align has no bfloat16 kernel on every machine
        crops = roi_align(x.float(), list(boxes.float().split(1)), x.shape[-2:], sampling_ratio=1, aligned=True)
        features = self.encoder(crops)[-1]
        return ModelOutput(mask_logits, self.head(features), features, self.head, boxes)

    def boxes(self, masks: torch.Tensor) -> torch.Tensor:
        """Square boxes with a margin around the largest region of each mask; the whole input where there is none.

        Args:
            masks: bool (N, S, S).
        Returns:
            float32 (N, 4) as x0, y0, x1, y1 in pixels, inside the input.
        """
        found = [self._box(mask) for mask in masks.cpu().numpy()]
        return torch.tensor(found, dtype=torch.float32, device=masks.device)

    def _box(self, mask: np.ndarray) -> tuple[float, float, float, float]:
        side = float(mask.shape[-1])
        regions, count = ndimage.label(mask)
        areas = np.bincount(regions.ravel(), minlength=count + 1)[1:]
        if not count or areas.max() < self.config["min_area"] * mask.size:
            return 0.0, 0.0, side, side
        rows, columns = ndimage.find_objects(regions)[int(areas.argmax())]
        return square_box(columns.start, rows.start, columns.stop, rows.stop, self.config["margin"], side)


def square_box(
    x0: float, y0: float, x1: float, y1: float, margin: float, side: float
) -> tuple[float, float, float, float]:
    """Widen a box to a square with a margin (share of its longer side, each side), moved to lie inside the input."""
    length = min(max(x1 - x0, y1 - y0) * (1 + 2 * margin), side)
    left = min(max((x0 + x1 - length) / 2, 0.0), side - length)
    top = min(max((y0 + y1 - length) / 2, 0.0), side - length)
    return left, top, left + length, top + length
