"""One kept forward pass: masks at other thresholds and other explanations are made from it without the network."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from busi_demo.imaging import GreyImage
from busi_demo.imaging.masks import agreeing_mask, chosen_mask
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.inference.cam import class_activation_map
from busi_demo.inference.cam_methods import DEFAULT_CAM_METHOD, find_cam_method
from busi_demo.types import CLASSES, InputError, ModelOutput, Prediction


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """The output of a network on one image. It is never changed, so threads can share it.

    Attributes:
        approach: key of the approach.
        grey: the image as read, with its spacing and notes.
        probabilities: class name -> calibrated probability in [0, 1], all of `CLASSES`, summing to 1.
        output: of the forward pass, a batch of one, detached and on the CPU; small beside the image, for all of its
            maps lie on the network's grid.
        preprocess: brings those maps back to the image's size.
        threshold: lowest mask probability of a lesion pixel, unless another threshold is given.
        min_area: share of the image's pixels below which a region is no lesion.
        seconds: wall time of the forward pass, and of reading where the image was not read yet, in seconds.
        outline_key: as in `Prediction`.
    """

    approach: str
    grey: GreyImage
    probabilities: Mapping[str, float]
    output: ModelOutput
    preprocess: Preprocess
    threshold: float
    min_area: float
    seconds: float
    outline_key: str | None = None

    @property
    def predicted_class(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def mask_probability(self) -> np.ndarray:
        """float32 (H, W) in [0, 1] at the image's size, computed on each access."""
        probability = self.output.mask_logits[0, 0].float().sigmoid()
        return self.preprocess.restore(probability, *self.grey.pixels.shape).clip(0, 1)

    def prediction(
        self, threshold: float | None = None, cam_class: str | None = None, cam_method: str = DEFAULT_CAM_METHOD
    ) -> Prediction:
        """The answer with a threshold and an explanation. The network does not run.

        Args:
            threshold: lowest mask probability of a lesion pixel, in (0, 1); the mask is then exactly what lies above
                it. `None`: the threshold of the weights, and a mask that agrees with the verdict, see
                `agreeing_mask`.
            cam_class: the class that the CAM explains, one of `CLASSES`; `None`: the predicted one.
            cam_method: key of `busi_demo.inference.cam_methods.CAM_METHODS`.
        Raises:
            InputError: an argument is outside of its range.
        """
        start = time.perf_counter()
        explained = self.predicted_class if cam_class is None else cam_class
        self._check(threshold, explained)
        probability, verdict = self.mask_probability, self.predicted_class
        if threshold is None:
            mask, agreement, mask_notes = agreeing_mask(probability, verdict, self.threshold, self.min_area)
        else:
            mask, agreement, mask_notes = chosen_mask(probability, verdict, threshold, self.min_area)
        cam, peak = self._cam(explained, cam_method)
        return Prediction(
            approach=self.approach,
            image=self.grey.pixels,
            mask=mask,
            mask_probability=probability,
            probabilities=self.probabilities,
            cam=cam,
            cam_class=explained,
            cam_peak=peak,
            threshold=self.threshold if threshold is None else threshold,
            agreement=agreement,
            warnings=self.grey.notes + mask_notes + (() if peak > 0 else (_nothing(cam_method, explained),)),
            seconds=self.seconds + time.perf_counter() - start,
            spacing=self.grey.spacing,
            cam_method=cam_method,
            outline_key=self.outline_key,
        )

    def _check(self, threshold: float | None, cam_class: str) -> None:
        if threshold is not None and not 0 < threshold < 1:
            raise InputError(f"The mask threshold must lie strictly between 0 and 1, got {threshold}.")
        if cam_class not in CLASSES:
            raise InputError(f"There is no class {cam_class!r} to explain: choose one of {', '.join(CLASSES)}.")

    def _cam(self, class_name: str, method: str) -> tuple[np.ndarray, float]:
        """The CAM at the image's size, divided by its peak, and the peak in the method's own units."""
        raw = torch.from_numpy(class_activation_map(self.output, class_name, method))
        canvas = _paste(raw, self.output.boxes, self.preprocess.size)
        cam = self.preprocess.restore(canvas, *self.grey.pixels.shape).clip(min=0)
        peak = float(cam.max())
        return (cam / peak, peak) if peak > 0 else (cam, 0.0)


def _nothing(method: str, class_name: str) -> str:
    """Why a CAM is empty."""
    chosen = find_cam_method(method)
    found = f"positive evidence for {class_name}" if chosen.of_class else "pattern"
    return f"{chosen.title} found no {found}: nothing to show."


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
