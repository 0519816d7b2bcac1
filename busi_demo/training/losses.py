"""What is minimised: an objective turns a batch into named losses and says which numbers choose the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from busi_demo.data.dataset import Batch
from busi_demo.models.base import ApproachModel
from busi_demo.models.two_stage import TwoStage, square_box
from busi_demo.processes import total
from busi_demo.types import CLASSES

_DICE_SMOOTHING = 0.005  # share of the image's pixels


class Objective(Protocol):
    """One way to train a model in the common loop."""

    @property
    def trains_class(self) -> bool:
        """False where what makes the class logits is not all trained yet: a verdict of theirs may decide nothing."""
        ...

    def trained(self, model: Any) -> nn.Module:
        """The part of the model whose weights this objective changes."""
        ...

    def losses(self, model: Any, x: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Scalar losses by name; `loss` is the one to minimise. `x` is float32 (N, 1, S, S), normalised; the
        batch's masks have the same S. With several processes: summands, whose sum is the whole batch's loss."""
        ...

    def score(self, summary: Mapping[str, Any]) -> float:
        """The validation score, higher is better, from `evaluation.metrics.summarise`."""
        ...


def segmentation_loss(mask_logits: torch.Tensor, masks: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus soft Dice loss (Milletari et al., V-Net, 3DV 2016), both averaged over images.

    Dice counts a small lesion as much as a large one. Its smoothing term, half a per cent of the image, leaves lesions
    alone but gives images without one a loss that falls as their false pixels vanish: with the usual term of one pixel
    they would have no gradient, and normals keep false masks.

    Args:
        mask_logits: float (N, 1, S, S).
        masks: float (N, 1, S, S) of 0 to 1.
        known: float (N,), the weight of each image; 0 where the mask must not be learnt from.
    Returns:
        Scalar.
    """
    logits, dims = mask_logits.float(), (1, 2, 3)
    bce = F.binary_cross_entropy_with_logits(logits, masks, reduction="none").mean(dim=dims)
    probability = logits.sigmoid()
    smooth = _DICE_SMOOTHING * masks[0].numel()
    overlap, size = (probability * masks).sum(dim=dims), (probability + masks).sum(dim=dims)
    dice = 1 - (2 * overlap + smooth) / (size + smooth)
    return _mean(bce + dice, known)


def classification_loss(
    logits: torch.Tensor, labels: torch.Tensor, known: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """Cross-entropy with label smoothing over the images whose class is certain. logits float (N, 3); labels int64
    (N,), or float (N, 3) where a target is a mixture of classes."""
    return _mean(F.cross_entropy(logits.float(), labels, reduction="none", label_smoothing=smoothing), known)


def _mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The weighted mean over the images of all processes; of it, this process's summand."""
    return (values * weights).sum() / total(weights.sum()).clamp(min=1)


def _normal_share(labels: torch.Tensor) -> torch.Tensor:
    """How much of each label is normal, float (N,): labels are int64 (N,), or float (N, 3) where they are mixtures."""
    normal = CLASSES.index("normal")
    return (labels == normal).float() if labels.ndim == 1 else labels[:, normal].float()


class JointObjective:
    """`w_seg * (BCE + Dice) + w_cls * CrossEntropy` on one forward pass; both weights 1 is the starting point.

    Args:
        normal_masks: weight of normal images in the segmentation loss. With 1 they teach that a mask may be empty, and
            faint lesions lose theirs; with 0 the mask says where a lesion would be, and the class alone whether there
            is one (see `postprocess.agreeing_mask`).
    """

    trains_class = True

    def __init__(
        self, w_seg: float = 1.0, w_cls: float = 1.0, smoothing: float = 0.05, normal_masks: float = 1.0
    ) -> None:
        self.w_seg, self.w_cls, self.smoothing, self.normal_masks = w_seg, w_cls, smoothing, normal_masks

    def trained(self, model: ApproachModel) -> nn.Module:
        return model

    def losses(self, model: ApproachModel, x: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        output = model(x)
        weights = batch["mask_known"] * (1 - (1 - self.normal_masks) * _normal_share(batch["label"]))
        segmentation = segmentation_loss(output.mask_logits, batch["mask"], weights)
        classification = classification_loss(output.class_logits, batch["label"], batch["label_known"], self.smoothing)
        total = self.w_seg * segmentation + self.w_cls * classification
        return {"loss": total, "segmentation": segmentation, "classification": classification}

    def score(self, summary: Mapping[str, Any]) -> float:
        return (_class_score(summary) + _mask_score(summary)) / 2


class DetectionObjective:
    """First stage of `TwoStage`: its detector alone, the classifier left as it is. The class columns of the validation
    are those of the whole, whose classifier knows nothing yet; what chooses an epoch is the mask alone.

    Args:
        joint: what the detector learns, mask and class of the whole image.
    """

    trains_class = False

    def __init__(self, joint: JointObjective | None = None) -> None:
        self.joint = joint or JointObjective()

    def trained(self, model: TwoStage) -> nn.Module:
        return model.detector

    def losses(self, model: TwoStage, x: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        return self.joint.losses(model.detector, x, batch)

    def score(self, summary: Mapping[str, Any]) -> float:
        return _mask_score(summary)


class CropObjective:
    """Second stage of `TwoStage`: its ResNet50 on crops, the detector left as it is.

    Crops come from the true masks, shifted and scaled at random as a segmentation would err; one in five is the whole
    image, as at inference where nothing is found. An image without a lesion is cropped where another image of the
    batch has its lesion, for a false find must still be called normal.
    """

    trains_class = True

    def __init__(self, smoothing: float = 0.05, whole_image_share: float = 0.2) -> None:
        self.smoothing, self.whole_image_share = smoothing, whole_image_share

    def trained(self, model: TwoStage) -> nn.Module:
        return nn.ModuleList([model.encoder, model.head])

    def losses(self, model: TwoStage, x: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        output = model.classify(x, self.boxes(model, batch["mask"][:, 0] > 0.5), batch["mask"])
        loss = classification_loss(output.class_logits, batch["label"], batch["label_known"], self.smoothing)
        return {"loss": loss, "classification": loss}

    def boxes(self, model: TwoStage, masks: torch.Tensor) -> torch.Tensor:
        """Jittered crop boxes for true masks, bool (N, S, S): float32 (N, 4) as x0, y0, x1, y1 in pixels."""
        side = float(masks.shape[-1])
        boxes = model.boxes(masks).tolist()
        has_lesion = masks.flatten(1).any(1).tolist()
        lesions = [box for box, lesion in zip(boxes, has_lesion, strict=True) if lesion]
        drawn = []
        for box, lesion in zip(boxes, has_lesion, strict=True):
            if not lesion and lesions:
                box = lesions[int(torch.randint(len(lesions), ()))]
            if not lesions or float(torch.rand(())) < self.whole_image_share:
                drawn.append([0.0, 0.0, side, side])
                continue
            shift_x, shift_y, scale = (torch.rand(3) * 2 - 1).tolist()
            x0, y0, x1, y1 = box
            length = x1 - x0
            dx, dy, grow = 0.12 * length * shift_x, 0.12 * length * shift_y, 0.2 * scale
            drawn.append(list(square_box(x0 + dx, y0 + dy, x1 + dx, y1 + dy, grow, side)))
        return torch.tensor(drawn, device=masks.device)

    def score(self, summary: Mapping[str, Any]) -> float:
        return _class_score(summary)


def _class_score(summary: Mapping[str, Any]) -> float:
    areas = [value for value in summary["auc"].values() if value is not None]
    return (summary["macro_f1"] + sum(areas) / len(areas)) / 2 if areas else float(summary["macro_f1"])


def _mask_score(summary: Mapping[str, Any]) -> float:
    return summary["lesion_dice"] or 0.0  # None where no validation image has a lesion mask: the same for every epoch
