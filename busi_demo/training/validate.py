"""Score a model on a dataset at the network's own resolution, between epochs."""

from __future__ import annotations

import numpy as np
import torch

from busi_demo.data.dataset import CanvasDataset
from busi_demo.evaluation.metrics import ImageResult, dice, iou
from busi_demo.models.base import ApproachModel
from busi_demo.preprocess import Preprocess
from busi_demo.training.precision import autocast
from busi_demo.types import CLASSES


@torch.no_grad()
def validate(
    model: ApproachModel, dataset: CanvasDataset, preprocess: Preprocess, precision: str, batch_size: int = 16
) -> tuple[list[ImageResult], torch.Tensor]:
    """Run the whole model over the dataset in evaluation mode.

    Returns:
        One result an image, in order, and the class logits, float32 (N, 3), for calibration. Images whose mask is
        incomplete carry no Dice; those whose class is uncertain must not stand in `dataset`.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    results, logits = [], []
    for start in range(0, len(dataset), batch_size):
        chunk = range(start, min(start + batch_size, len(dataset)))
        x = preprocess.normalise(dataset.images[chunk.start : chunk.stop].to(device))
        with autocast(device, precision):
            output = model(x)
        logits.append(output.class_logits.float().cpu())
        masks = (output.mask_logits.float() >= 0).cpu().numpy()[:, 0]
        for i, mask, probabilities in zip(chunk, masks, logits[-1].softmax(1).tolist(), strict=True):
            sample, truth = dataset.samples[i], dataset.masks[i, 0].numpy().astype(bool)
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
    model.train(was_training)
    return results, torch.cat(logits)
