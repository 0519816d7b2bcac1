"""Objectives: each computes named losses of a batch, and the validation score that selects the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from busi_demo.data.dataset import Batch
from busi_demo.models.base import ApproachModel
from busi_demo.models.two_stage import TwoStage, square_box
from busi_demo.training.findings import FindingsHead
from busi_demo.training.means import weighted_mean
from busi_demo.types import CLASSES

_DICE_SMOOTHING = 0.005  # share of the image's pixels


class Objective(Protocol):
    """What the training loop needs to know of one way to train a model."""

    @property
    def trains_class(self) -> bool:
        """False if the classifier is not fully trained yet, so that its class must not withdraw masks in validation."""
        ...

    @property
    def auxiliary(self) -> nn.Module:
        """A module of its own that is trained beside the model and is no part of the result; it may be empty."""
        ...

    def trained(self, model: Any) -> nn.Module:
        """The part of the model that this objective trains."""
        ...

    def losses(self, model: Any, x: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Scalar losses by name; `loss` is the one to minimise. `x` is float32 (N, 1, S, S), normalised; the
        batch's masks have the same S. With several processes, each returns a summand of the loss of the whole batch."""
        ...

    def score(self, summary: Mapping[str, Any]) -> float:
        """The validation score, higher is better, from `evaluation.metrics.summarise`."""
        ...


def segmentation_loss(mask_logits: torch.Tensor, masks: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus soft Dice loss (Milletari et al., V-Net, 3DV 2016), both averaged over images.

    Dice gives small and large lesions the same weight. Its smoothing term, half a per cent of the image, hardly changes
    the loss on lesions, but on images without a lesion it makes the loss fall as false pixels disappear. With the usual
    term of one pixel these images have no gradient, and normal images keep false masks.

    Args:
        mask_logits: float (N, 1, S, S).
        masks: float (N, 1, S, S) of 0 to 1.
        known: float (N,), the weight of each image; 0 where the mask must not be used.
    Returns:
        Scalar.
    """
    logits, dims = mask_logits.float(), (1, 2, 3)
    bce = F.binary_cross_entropy_with_logits(logits, masks, reduction="none").mean(dim=dims)
    probability = logits.sigmoid()
    smooth = _DICE_SMOOTHING * masks[0].numel()
    overlap, size = (probability * masks).sum(dim=dims), (probability + masks).sum(dim=dims)
    dice = 1 - (2 * overlap + smooth) / (size + smooth)
    return weighted_mean(bce + dice, known)


def classification_loss(
    logits: torch.Tensor, labels: torch.Tensor, known: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """Cross-entropy with label smoothing over the images of certain class.

    Args:
        logits: float (N, 3).
        labels: int64 (N,), or float (N, 3) where a target is a mixture of classes.
        known: float (N,), 0 where the class is uncertain.
        smoothing: label smoothing, 0 to 1.
    Returns:
        Scalar.
    """
    return weighted_mean(F.cross_entropy(logits.float(), labels, reduction="none", label_smoothing=smoothing), known)


def class_shares(labels: torch.Tensor) -> torch.Tensor:
    """The share of each class in each label, float (N, 3): labels are int64 (N,), or float (N, 3) where they are
    mixtures already."""
    return labels.float() if labels.ndim == 2 else F.one_hot(labels, len(CLASSES)).float()


def normal_shares(batch: Batch) -> torch.Tensor:
    """The share of the class normal in each image, float (N,): that of the truth, also where a teacher has blended its
    answers into the labels, see `Distilled.blended`."""
    shares = batch.get("normal_share")
    return class_shares(batch["label"])[:, CLASSES.index("normal")] if shares is None else shares


class JointObjective:
    """`w_seg * (BCE + Dice) + w_cls * CrossEntropy` on one forward pass; both weights 1 is the starting point.

    Args:
        normal_masks: weight of normal images in the segmentation loss. With 1 the network learns empty masks,
            and misses more faint lesions; with 0 the mask shows where a lesion would be, and only the class says
            whether there is one (see `masks.agreeing_mask`).
        findings: an auxiliary head for the features of the model.
        w_findings: weight of its loss.
    """

    trains_class = True

    def __init__(
        self,
        w_seg: float = 1.0,
        w_cls: float = 1.0,
        smoothing: float = 0.05,
        normal_masks: float = 1.0,
        findings: FindingsHead | None = None,
        w_findings: float = 0.0,
    ) -> None:
        self.w_seg, self.w_cls, self.smoothing, self.normal_masks = w_seg, w_cls, smoothing, normal_masks
        self.findings, self.w_findings = findings, w_findings

    @property
    def auxiliary(self) -> nn.Module:
        return self.findings or nn.Module()

    def trained(self, model: ApproachModel) -> nn.Module:
        return model

    def losses(self, model: ApproachModel, x: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        output = model(x)
        weights = batch["mask_known"] * (1 - (1 - self.normal_masks) * normal_shares(batch))
        segmentation = segmentation_loss(output.mask_logits, batch["mask"], weights)
        classification = classification_loss(output.class_logits, batch["label"], batch["label_known"], self.smoothing)
        losses = {"segmentation": segmentation, "classification": classification}
        total = self.w_seg * segmentation + self.w_cls * classification
        if self.findings is not None:
            losses["findings"] = self.findings.loss(output.features, batch)
            total = total + self.w_findings * losses["findings"]
        return {"loss": total, **losses}

    def score(self, summary: Mapping[str, Any]) -> float:
        return (_class_score(summary) + _mask_score(summary)) / 2


class DetectionObjective:
    """First stage of `TwoStage`: trains the detector; the classifier does not change. The class columns of the
    validation come from the untrained classifier, so only the mask selects the best epoch.

    Args:
        joint: objective of the detector, for mask and class of the whole image.
    """

    trains_class = False

    def __init__(self, joint: JointObjective | None = None) -> None:
        self.joint = joint or JointObjective()

    @property
    def auxiliary(self) -> nn.Module:
        return self.joint.auxiliary

    def trained(self, model: TwoStage) -> nn.Module:
        return model.detector

    def losses(self, model: TwoStage, x: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        return self.joint.losses(model.detector, x, batch)

    def score(self, summary: Mapping[str, Any]) -> float:
        return _mask_score(summary)


class CropObjective:
    """Second stage of `TwoStage`: trains the ResNet50 on crops; the detector does not change.

    Crops are made from the true masks, shifted and scaled at random to imitate the errors of a segmentation. One in
    five is the whole image, as at inference when no lesion is detected. A normal image is cropped at the lesion of
    another image of the batch, because the crop of a false detection must be classified as normal. A tumour without a
    mask, which was not drawn or which the augmentation moved out of the picture, is the whole image as well.
    """

    trains_class = True

    def __init__(self, smoothing: float = 0.05, whole_image_share: float = 0.2) -> None:
        self.smoothing, self.whole_image_share = smoothing, whole_image_share

    @property
    def auxiliary(self) -> nn.Module:
        return nn.Module()

    def trained(self, model: TwoStage) -> nn.Module:
        return nn.ModuleDict({"encoder": model.encoder, "head": model.head})  # `encoder` has its own learning rate

    def losses(self, model: TwoStage, x: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        boxes = self.boxes(model, batch["mask"][:, 0] > 0.5, normal_shares(batch) >= 0.5)
        output = model.classify(x, boxes, batch["mask"])
        loss = classification_loss(output.class_logits, batch["label"], batch["label_known"], self.smoothing)
        return {"loss": loss, "classification": loss}

    def boxes(self, model: TwoStage, masks: torch.Tensor, normal: torch.Tensor) -> torch.Tensor:
        """Jittered crop boxes.

        Args:
            masks: the true ones, bool (N, S, S).
            normal: whether an image is normal, bool (N,).
        Returns:
            float32 (N, 4) as x0, y0, x1, y1 in pixels.
        """
        side = float(masks.shape[-1])
        boxes = model.boxes(masks).tolist()
        has_lesion = masks.flatten(1).any(1).tolist()
        lesions = [box for box, lesion in zip(boxes, has_lesion, strict=True) if lesion]
        crops = []
        for box, lesion, is_normal in zip(boxes, has_lesion, normal.tolist(), strict=True):
            elsewhere = not lesion and is_normal and bool(lesions)
            if elsewhere:
                box = lesions[int(torch.randint(len(lesions), ()))]
            if not (lesion or elsewhere) or float(torch.rand(())) < self.whole_image_share:
                crops.append([0.0, 0.0, side, side])
                continue
            shift_x, shift_y, scale = (torch.rand(3) * 2 - 1).tolist()
            x0, y0, x1, y1 = box
            length = x1 - x0
            dx, dy, grow = 0.12 * length * shift_x, 0.12 * length * shift_y, 0.2 * scale
            crops.append(list(square_box(x0 + dx, y0 + dy, x1 + dx, y1 + dy, grow, side)))
        return torch.tensor(crops, device=masks.device)

    def score(self, summary: Mapping[str, Any]) -> float:
        return _class_score(summary)


def _class_score(summary: Mapping[str, Any]) -> float:
    areas = [value for value in summary["auc"].values() if value is not None]
    return (summary["macro_f1"] + sum(areas) / len(areas)) / 2 if areas else float(summary["macro_f1"])


def _mask_score(summary: Mapping[str, Any]) -> float:
    return summary["lesion_dice"] or 0.0  # None if no validation image has a lesion mask
