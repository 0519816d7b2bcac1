"""From an image to a `Prediction`: the only door to the models for the app, the command line and the evaluation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch

from busi_demo.explain import grad_cam
from busi_demo.imaging import Source, read_image
from busi_demo.postprocess import agreeing_mask
from busi_demo.types import CLASSES, ModelOutput, Prediction
from busi_demo.weights import Weights, load_weights, reinitialised

_BATCH = 16


class Predictor:
    """One trained approach, ready to answer. Safe to share between threads.

    Args:
        weights: from `load_weights`.
    """

    def __init__(self, weights: Weights) -> None:
        self.key, self.title = weights.model.key, weights.model.title
        weights.model.requires_grad_(False)  # Grad-CAM then writes no gradient that requests would share
        self._weights = weights

    def predict(self, image: Source) -> Prediction:
        """Segment, classify and explain one image in one forward pass.

        Args:
            image: whatever `read_image` takes: a path, bytes, a Pillow image, or uint8 (H, W).
        Returns:
            Every map at the image's own size; the CAM explains the predicted class.
        Raises:
            InputError: the image cannot be used.
        """
        start = time.perf_counter()
        grey = read_image(image)
        pixels, preprocess = grey.pixels, self._weights.preprocess
        with torch.no_grad():
            output = self._weights.model(preprocess(pixels))
        by_class = dict(zip(CLASSES, self._calibrated(output)[0].tolist(), strict=True))
        predicted = max(by_class, key=by_class.__getitem__)
        mask_probability = preprocess.restore(output.mask_logits[0, 0].sigmoid(), *pixels.shape).clip(0, 1)
        mask, mask_notes = agreeing_mask(mask_probability, predicted, self._weights.threshold, self._weights.min_area)
        cam, peak = self._cam(output, predicted, pixels.shape)
        cam_notes = () if peak > 0 else (f"Grad-CAM found no positive evidence for {predicted}: nothing to show.",)
        return Prediction(
            approach=self.key,
            image=pixels,
            mask=mask,
            mask_probability=mask_probability,
            probabilities=by_class,
            cam=cam,
            cam_class=predicted,
            cam_peak=peak,
            threshold=self._weights.threshold,
            warnings=grey.notes + mask_notes + cam_notes,
            seconds=time.perf_counter() - start,
            spacing=grey.spacing,
        )

    @torch.no_grad()
    def probabilities(self, images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Classify many images in batches, as `predict` does one by one, without its maps.

        Args:
            images: N grey images, uint8 (H, W) each.
        Returns:
            float64 (N, 3) in [0, 1], calibrated, columns in the order of `CLASSES`, rows summing to 1.
        """
        rows = [np.zeros((0, len(CLASSES)))]
        for start in range(0, len(images), _BATCH):
            batch = torch.cat([self._weights.preprocess(image) for image in images[start : start + _BATCH]])
            rows.append(self._calibrated(self._weights.model(batch)).numpy())
        return np.concatenate(rows)

    def randomised(self, seed: int = 0) -> Predictor:
        """The same approach with random weights, to tell what its explanations owe to the training."""
        return Predictor(reinitialised(self._weights, seed))

    def _calibrated(self, output: ModelOutput) -> torch.Tensor:
        return (output.class_logits.double() / self._weights.temperature).softmax(1)

    def _cam(self, output: ModelOutput, class_name: str, shape: tuple[int, int]) -> tuple[np.ndarray, float]:
        """Grad-CAM at the image's size, divided by its peak, and the peak in logit units."""
        size = self._weights.preprocess.size
        canvas = _paste(torch.from_numpy(grad_cam(output, class_name)), output.boxes, size)
        cam = self._weights.preprocess.restore(canvas, *shape).clip(min=0)
        peak = float(cam.max())
        return (cam / peak, peak) if peak > 0 else (cam, 0.0)


@cache
def load_predictor(key: str, weights_folder: Path | None = None) -> Predictor:
    """Load an approach once and keep it.

    Args:
        key: one of `busi_demo.models.APPROACHES`.
        weights_folder: holds one folder an approach; by default the project's `weights`.
    Raises:
        InputError: no such approach, or its weights are missing or damaged.
    """
    return Predictor(load_weights(key, weights_folder))


def _paste(cam: torch.Tensor, boxes: torch.Tensor | None, size: int) -> torch.Tensor:
    """Lay a (h, w) map on the (size, size) input: over all of it, or where the crop was taken, zero around it."""
    x0, y0, x1, y1 = (0, 0, size, size) if boxes is None else boxes[0].round().int().tolist()
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    resized = torch.nn.functional.interpolate(
        cam[None, None], (y1 - y0, x1 - x0), mode="bilinear", align_corners=False
    )[0, 0]
    canvas = torch.zeros(size, size)
    canvas[y0:y1, x0:x1] = resized
    return canvas
