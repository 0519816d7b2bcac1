"""Two-stage: a U-Net segments the lesion, the lesion is cropped with a margin, a ResNet50 classifies the crop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from busi_demo.models.backbones import resnet50_encoder
from busi_demo.models.base import ApproachModel, Pass, Plan
from busi_demo.models.ensemble import MeanHead, build
from busi_demo.models.heads import ClassificationHead
from busi_demo.models.multitask_unet import MultitaskUNet
from busi_demo.types import CLASSES, InputError, ModelOutput

_NORMAL = CLASSES.index("normal")  # the last one
_TUMOUR = slice(0, _NORMAL)


class TwoStage(ApproachModel):
    """Detection first, then classification of the crop; without a lesion the whole image is classified.

    The detector is a `MultitaskUNet`. Its mask gives the crop, and its class logits, which depend on the whole image,
    give the probability of normal. Benign and malignant come from the classifier, or from the classifier and the
    detector together; the classifier's own logit of normal is ignored, because a crop does not show the rest of the
    image.

    Args:
        detector: architecture of the `MultitaskUNet`, one network or an ensemble, see `ApproachModel.architecture`; or
            the network itself, which then is shared.
        detector_head: whether the class logits of the detector come from a head of this network instead of the
            detector's own: a copy of that head that was calibrated, so that a shared detector does not change.
        detector_share: weight of the detector's log-odds of malignant against benign, in [0, 1); the rest is that of
            the classifier's.
        crop_size: side to which the crop is brought, pixels.
        margin: added on each side of the lesion's box, as a share of the box's longer side.
        min_area: share of the input's pixels below which a region is not a lesion.
        threshold: mask probability from which on a pixel belongs to the lesion that is cropped.
        dropout: before the fully connected layer of the classifier.
        encoder_weights: `"imagenet"` starts both encoders from pretrained weights, `None` from scratch.
    """

    key = "two_stage"
    title = "Two-stage (U-Net, then ResNet50)"
    summary = (
        "A U-Net looks for a lesion first; what it draws is cut out with a margin, and a ResNet50 looks at that crop. "
        "Whether there is a lesion is the U-Net's answer, benign or malignant that of both. Where no lesion is drawn, "
        "the whole image is classified."
    )
    takes_encoder_weights = True
    encoder_part = "encoder"
    covers_input = False

    def __init__(
        self,
        detector: Mapping[str, Any] | ApproachModel | None = None,
        detector_head: bool = False,
        detector_share: float = 0.0,
        crop_size: int = 128,
        margin: float = 0.25,
        min_area: float = 0.002,
        threshold: float = 0.5,
        dropout: float = 0.3,
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(detector, ApproachModel):
            detector = build(partial(MultitaskUNet, encoder_weights=encoder_weights), detector or {})
        self.detector, self.folds = detector, detector.folds
        self.config = {
            "detector": detector.architecture,
            "detector_head": detector_head,
            "crop_size": crop_size,
            "margin": margin,
            "min_area": min_area,
            "threshold": threshold,
            "dropout": dropout,
        }
        self.detector_share = detector_share
        self.encoder = resnet50_encoder(encoder_weights)
        self.head = ClassificationHead(self.encoder.out_channels[-1], dropout)
        self.register_module("detector_head", deepcopy(detector.head) if detector_head else None)  # type: ignore[arg-type]

    @property
    def detector_share(self) -> float:
        """Weight of the detector in the log-odds of malignant against benign.

        Raises:
            InputError: it is set to something else than a number in [0, 1).
        """
        share: float = self.config["detector_share"]
        return share

    @detector_share.setter
    def detector_share(self, share: float) -> None:
        if not (isinstance(share, (int, float)) and 0 <= share < 1):
            raise InputError(f"detector_share must be at least 0 and less than 1, got {share!r}.")
        self.config["detector_share"] = share

    @property
    def outline_network(self) -> ApproachModel:
        return self.detector

    def descriptor(self, x: torch.Tensor) -> torch.Tensor | None:
        return self.detector.descriptor(x)

    def forward(self, x: torch.Tensor, detected: ModelOutput | None = None) -> ModelOutput:
        """As `ApproachModel.forward`.

        Args:
            x: float32 (N, 1, S, S).
            detected: output of `outline_network` on `x`; `None` runs it.
        """
        return self.plan(x, detected).run()

    def plan(self, x: torch.Tensor, detected: ModelOutput | None = None) -> Plan:
        found: ModelOutput = self.detector(x) if detected is None else detected
        masks = found.mask_logits.detach().float().sigmoid()[:, 0] >= self.config["threshold"]
        boxes = self.boxes(masks)

        def join(views: Sequence[tuple[torch.Tensor, ...]]) -> ModelOutput:
            ((features,),) = views
            detector_head = self._modules["detector_head"]
            class_logits = detector_head(found.features) if detector_head else found.class_logits
            head = _GivenALesion(self.head, class_logits, self.detector_share)
            return ModelOutput(
                found.mask_logits, head(features), features, head, boxes, found.descriptor, found.disagreement
            )

        return Plan([Pass(self, self._crops(x, boxes))], join)

    def tensors(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The features of crops, float (N, 1, C, C)."""
        return (self.encoder(x)[-1],)

    def classify(self, x: torch.Tensor, boxes: torch.Tensor, mask_logits: torch.Tensor) -> ModelOutput:
        """Classify the part of each input inside its box with the classifier alone.

        Args:
            x: float (N, 1, S, S).
            boxes: float (N, 4) as x0, y0, x1, y1 in input pixels.
            mask_logits: float (N, 1, S, S), returned in the output.
        """
        (features,) = self.tensors(self._crops(x, boxes))
        return ModelOutput(mask_logits, self.head(features), features, self.head, boxes)

    def _crops(self, x: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Cut boxes, float (N, 4), from float (N, 1, S, S) and bring them to the size of the classifier's input."""
        from torchvision.ops import roi_align  # loaded here, as in `backbones`

        # float32: roi_align has no bfloat16 kernel on every machine
        size = (self.config["crop_size"],) * 2
        return roi_align(x.float(), list(boxes.float().split(1)), size, sampling_ratio=2, aligned=True)

    def boxes(self, masks: torch.Tensor) -> torch.Tensor:
        """Square boxes with a margin around the largest region of each mask; the whole input where there is none.

        Args:
            masks: bool (N, S, S).
        Returns:
            float32 (N, 4) as x0, y0, x1, y1 in pixels, inside the input.
        """
        boxes = [self._box(mask) for mask in masks.cpu().numpy()]
        return torch.tensor(boxes, dtype=torch.float32, device=masks.device)

    def part(self, folds: Sequence[int]) -> TwoStage:
        """The same classifier behind the detectors of some folds, see `ApproachModel.part`; itself where there is one
        detector."""
        detector = self.detector.part(folds)
        if detector is self.detector:
            return self
        head = self._modules["detector_head"]
        positions = [self.folds.index(fold) for fold in folds]
        return self.behind(detector, head.part(positions) if isinstance(head, MeanHead) else None)

    def behind(
        self, detector: ApproachModel, head: nn.Module | None = None, detector_share: float | None = None
    ) -> TwoStage:
        """The same classifier, its weights shared, behind another detector.

        Args:
            detector: a `MultitaskUNet` or an ensemble of them.
            head: classification head for the features of the detector, instead of its own head.
            detector_share: `None` keeps it.
        """
        other = copy(self)
        # A copy has the modules of the original until it gets a dictionary of its own.
        other._modules = {**self._modules, "detector": detector, "detector_head": head}
        other.folds = detector.folds
        other.config = {**self.config, "detector": detector.architecture, "detector_head": head is not None}
        if detector_share is not None:
            other.detector_share = detector_share
        return other

    def _box(self, mask: np.ndarray) -> tuple[float, float, float, float]:
        side = float(mask.shape[-1])
        regions, count = ndimage.label(mask)
        areas = np.bincount(regions.ravel(), minlength=count + 1)[1:]
        if not count or areas.max() < self.config["min_area"] * mask.size:
            return 0.0, 0.0, side, side
        rows, columns = ndimage.find_objects(regions)[int(areas.argmax())]
        return square_box(columns.start, rows.start, columns.stop, rows.stop, self.config["margin"], side)


class _GivenALesion(nn.Module):
    """A classification head whose probability of normal is given, and whose log-odds of malignant are a weighted mean
    of its own and of given ones. What is given does not depend on its features, so a CAM for normal is empty, and the
    others show the evidence of this head alone.

    Args:
        head: (N, C, h, w) -> (N, 3); its logit of normal is ignored.
        given: class logits, float (N, 3).
        share: weight of the given ones in the log-odds of malignant, in [0, 1).
    """

    def __init__(self, head: nn.Module, given: torch.Tensor, share: float) -> None:
        super().__init__()
        self.head, self.share = head, share
        self.given = given.detach().float()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        tumour = torch.lerp(self.head(features)[:, _TUMOUR].float(), self.given[:, _TUMOUR], self.share)
        # the shift is detached: a CAM does not see it
        tumour = tumour - tumour.detach().logsumexp(1, keepdim=True)
        return torch.cat([tumour, normal_log_odds(self.given)[:, None]], dim=1)


def normal_log_odds(class_logits: torch.Tensor) -> torch.Tensor:
    """The log-odds of normal against the other classes together: float (N, 3) -> float (N,)."""
    return class_logits[:, _NORMAL] - class_logits[:, _TUMOUR].logsumexp(1)


def square_box(
    x0: float, y0: float, x1: float, y1: float, margin: float, side: float
) -> tuple[float, float, float, float]:
    """Widen a box to a square with a margin (share of its longer side, each side), moved to lie inside the input."""
    length = min(max(x1 - x0, y1 - y0) * (1 + 2 * margin), side)
    left = min(max((x0 + x1 - length) / 2, 0.0), side - length)
    top = min(max((y0 + y1 - length) / 2, 0.0), side - length)
    return left, top, left + length, top + length
