"""A stored forward pass, from which masks at other thresholds and other CAMs are computed without the network."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from busi_demo.imaging import GreyImage
from busi_demo.imaging.masks import agreeing_mask, chosen_mask
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.inference.cam import class_activation_map
from busi_demo.inference.cam_methods import DEFAULT_CAM_METHOD, find_cam_method
from busi_demo.types import ACCEPTED, CLASSES, InputCheck, InputError, ModelOutput, Prediction

_EVEN = 2  # grey levels of 0 to 255 between the darkest and the brightest pixel; a JPEG of one grey has two or three


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """The output of a network on one image. It is never changed, so threads can share it.

    Attributes:
        approach: key of the approach.
        grey: the image as read, with its spacing and notes.
        probabilities: class name -> calibrated probability in [0, 1], all of `CLASSES`, summing to 1.
        output: of the forward pass, a batch of one, detached and on the CPU. Its maps have the size of the network's
            grid, to save memory.
        preprocess: resizes those maps to the size of the frame.
        threshold: default of the lowest mask probability of a lesion pixel.
        min_area: share of the frame's pixels; smaller regions are removed from the mask.
        seconds: wall time of the forward pass and of reading the image, in seconds.
        outline_key, input_check: as in `Prediction`.
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
    input_check: InputCheck = ACCEPTED

    @property
    def predicted_class(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def mask_probability(self) -> np.ndarray:
        """float32 (H, W) in [0, 1] at the image's size, computed on each access; 0 outside of the frame, and everywhere
        where the frame is of one grey."""
        return self._of_outline(self.output.mask_logits[0, 0].float().sigmoid())

    def prediction(
        self, threshold: float | None = None, cam_class: str | None = None, cam_method: str = DEFAULT_CAM_METHOD
    ) -> Prediction:
        """The prediction with a threshold and a CAM. The network does not run.

        Args:
            threshold: lowest mask probability of a lesion pixel, in (0, 1); see `chosen_mask`. `None`: the threshold
                of the weights, and a mask that agrees with the predicted class, see `agreeing_mask`.
            cam_class: the class that the CAM explains, one of `CLASSES`; `None`: the predicted one.
            cam_method: key of `busi_demo.inference.cam_methods.CAM_METHODS`.
        Raises:
            InputError: an argument is out of range.
        """
        start = time.perf_counter()
        explained = self.predicted_class if cam_class is None else cam_class
        self._check(threshold, explained)
        probability, verdict = self.mask_probability, self.predicted_class
        min_area = self.min_area * self.grey.frame_share  # of the image
        if threshold is None:
            mask, agreement, mask_notes = agreeing_mask(probability, verdict, self.threshold, min_area)
        else:
            mask, agreement, mask_notes = chosen_mask(probability, verdict, threshold, min_area)
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
            warnings=self.input_check.reasons
            if self.input_check.withheld
            else (
                *self.input_check.reasons,
                *self.grey.warnings,
                *mask_notes,
                *(() if peak > 0 else (_empty_cam_note(cam_method, explained),)),
            ),
            seconds=self.seconds + time.perf_counter() - start,
            spacing=self.grey.spacing,
            aspect=self.grey.aspect,
            cam_method=cam_method,
            outline_key=self.outline_key,
            frame=self.grey.frame,
            input_check=self.input_check,
            disagreement=self._disagreement,
            min_area=min_area,
        )

    @cached_property
    def _even(self) -> bool:
        return int(np.ptp(self.grey.framed)) <= _EVEN

    @property
    def _disagreement(self) -> np.ndarray | None:
        """float32 (H, W) in [0, 1] at the image's size; `None` from one network alone."""
        return None if self.output.disagreement is None else self._of_outline(self.output.disagreement[0, 0])

    def _of_outline(self, canvas: torch.Tensor) -> np.ndarray:
        """A map of the outline in the network's input, float (size, size) in [0, 1] -> float32 (H, W) in the image."""
        if self._even:  # there is nothing to outline, whatever a network makes of such an input
            return np.zeros(self.grey.pixels.shape, dtype=np.float32)
        return self._restored(canvas).clip(0, 1)

    def _check(self, threshold: float | None, cam_class: str) -> None:
        if threshold is not None and not 0 < threshold < 1:
            raise InputError(f"The mask threshold must lie strictly between 0 and 1, got {threshold}.")
        if cam_class not in CLASSES:
            raise InputError(f"There is no class {cam_class!r} to explain: choose one of {', '.join(CLASSES)}.")

    def _cam(self, class_name: str, method: str) -> tuple[np.ndarray, float]:
        """The CAM at the image's size, divided by its peak, and the peak in the method's own units."""
        raw = torch.from_numpy(class_activation_map(self.output, class_name, method))
        canvas = _paste(raw, self.output.boxes, self.preprocess.size)
        cam = self._restored(canvas).clip(min=0)
        peak = float(cam.max())
        return (cam / peak, peak) if peak > 0 else (cam, 0.0)

    def _restored(self, canvas: torch.Tensor) -> np.ndarray:
        """A map of the network's input, float (size, size) -> float32 (H, W) in the image, 0 outside of the frame."""
        return self.grey.placed(self.preprocess.restore(canvas, *self.grey.framed.shape))


def _empty_cam_note(method: str, class_name: str) -> str:
    """The note on a CAM without evidence."""
    chosen = find_cam_method(method)
    missing = f"positive evidence for {class_name}" if chosen.of_class else "pattern"
    return f"{chosen.title} found no {missing}: nothing to show."


def _paste(cam: torch.Tensor, boxes: torch.Tensor | None, size: int) -> torch.Tensor:
    """Resize a (h, w) map to the (size, size) input, or to the box of the crop with zeros around it."""
    x0, y0, x1, y1 = (0, 0, size, size) if boxes is None else boxes[0].round().int().tolist()
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    resized = torch.nn.functional.interpolate(
        cam[None, None], (y1 - y0, x1 - x0), mode="bilinear", align_corners=False
    )[0, 0]
    canvas = torch.zeros(size, size)
    canvas[y0:y1, x0:x1] = resized
    return canvas
