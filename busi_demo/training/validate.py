"""Score a model on a dataset at the network's own resolution, between epochs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from busi_demo.data.dataset import CanvasDataset
from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.results import ImageResult
from busi_demo.imaging.masks import MIN_AREA, THRESHOLD, agreeing_mask, dice, iou, lesion_mask
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.training.losses import Objective
from busi_demo.training.precision import autocast
from busi_demo.types import CLASSES
from busi_demo.weights.calibration import UNCALIBRATED, Calibration

_BATCH = 16


def validate(
    model: nn.Module,
    dataset: CanvasDataset,
    preprocess: Preprocess,
    precision: str,
    threshold: float = THRESHOLD,
    min_area: float = MIN_AREA,
    class_decides: bool = True,
    calibration: Calibration = UNCALIBRATED,
) -> tuple[list[ImageResult], torch.Tensor]:
    """Run the whole model over the dataset in evaluation mode.

    Args:
        model: an approach, on any device.
        threshold, min_area: of `masks.agreeing_mask`, which makes the masks as in inference.
        class_decides: False scores the masks at the threshold without regard to the class, for an untrained
            classification head.
        calibration: from logits to probabilities.
    Returns:
        One result per image, in order, and the class logits before calibration, float32 (N, 3). The padding of the
        square is not scored. Images with an incomplete mask have no Dice; `dataset` must not contain images with an
        uncertain class.
    """
    logits, maps = network_outputs(model, dataset, preprocess, precision)
    return score(dataset, logits, maps, threshold, min_area, class_decides, calibration), logits


@torch.no_grad()
def network_outputs(
    model: nn.Module, dataset: CanvasDataset, preprocess: Preprocess, precision: str
) -> tuple[torch.Tensor, list[np.ndarray]]:
    """Run the whole model over the dataset in evaluation mode.

    Returns:
        Class logits, float32 (N, 3), and the mask probabilities of each image, float32 (h, w), without the padding of
        the square.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    logits: list[torch.Tensor] = []
    inside: list[np.ndarray] = []
    for start in range(0, len(dataset), _BATCH):
        chunk = range(start, min(start + _BATCH, len(dataset)))
        x = preprocess.normalise(dataset.images[chunk.start : chunk.stop].to(device))
        with autocast(device, precision):
            output = model(x)
        logits.append(output.class_logits.float().cpu())
        maps = output.mask_logits.float().sigmoid().cpu().numpy()[:, 0]
        for i, mask_probability in zip(chunk, maps, strict=True):
            top, left, height, width = dataset.placements[i]
            inside.append(mask_probability[top : top + height, left : left + width].copy())
    model.train(was_training)
    return torch.cat(logits), inside


def score(
    dataset: CanvasDataset,
    logits: torch.Tensor,
    mask_probabilities: Sequence[np.ndarray],
    threshold: float = THRESHOLD,
    min_area: float = MIN_AREA,
    class_decides: bool = True,
    calibration: Calibration = UNCALIBRATED,
) -> list[ImageResult]:
    """Score what `network_outputs` returned, see `validate`."""
    results: list[ImageResult] = []
    for i, (mask_probability, probabilities) in enumerate(
        zip(mask_probabilities, calibration.apply(logits.numpy()).tolist(), strict=True)
    ):
        top, left, height, width = dataset.placements[i]
        inside = slice(top, top + height), slice(left, left + width)
        verdict = CLASSES[int(np.argmax(probabilities))]
        if class_decides:
            mask, *_ = agreeing_mask(mask_probability, verdict, threshold, min_area)
        else:
            mask = lesion_mask(mask_probability, threshold, min_area)
        sample, truth = dataset.samples[i], dataset.masks[i, 0].numpy().astype(bool)[inside]
        scored = sample.mask_complete and bool(truth.any())
        results.append(
            ImageResult(
                image=sample.name,
                label=sample.label,
                probabilities=dict(zip(CLASSES, probabilities, strict=True)),
                mask_dice=dice(mask, truth) if scored else None,
                mask_iou=iou(mask, truth) if scored else None,
                predicted_mask_fraction=float(np.mean(mask)),
                seconds=0.0,
            )
        )
    return results


def validation_row(
    model: nn.Module, dataset: CanvasDataset, preprocess: Preprocess, precision: str, objective: Objective
) -> dict[str, float]:
    """The validation columns of the history; None where no image can be scored."""
    results, logits = validate(model, dataset, preprocess, precision, class_decides=objective.trains_class)
    summary = summarise(results)
    return {
        "val_cross_entropy": float(nn.functional.cross_entropy(logits, dataset.labels)),
        "val_accuracy": summary["accuracy"],
        "val_macro_f1": summary["macro_f1"],
        "val_malignant_auc": summary["auc"]["malignant"],
        "val_lesion_dice": summary["lesion_dice"],
        "val_normal_false_mask_rate": summary["normal_false_mask_rate"],
        "val_score": objective.score(summary),
    }
