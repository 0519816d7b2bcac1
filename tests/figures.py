"""Predictions to draw."""

from __future__ import annotations

import numpy as np
from helpers import picture

from busi_demo.types import CLASSES, Agreement, Prediction

SHAPES = [(60, 800), (800, 60), (20, 20), (300, 440), (440, 300)]
TITLES = {
    "short": "Two-stage (U-Net, then ResNet50)",
    "long": "Multi-task U-Net, " + "WWW" * 40 + " (malignant) $x_{$.png",
}


def box(shape: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[rows, columns] = True
    return mask


def answer(shape: tuple[int, int] = (30, 40), mask: np.ndarray | None = None, evidence: bool = True) -> Prediction:
    """Malignant at 71.2 %; a lesion of 10 x 10 pixels where no mask is given, and a CAM that rises to the right."""
    mask = box(shape, slice(5, 15), slice(6, 16)) if mask is None else mask
    cam = np.tile(np.linspace(0, evidence, shape[1], dtype=np.float32), (shape[0], 1))
    return Prediction(
        approach="multitask_cnn",
        image=picture(1, *shape),
        mask=mask,
        mask_probability=mask.astype(np.float32),
        probabilities=dict(zip(CLASSES, (0.2, 0.712, 0.088), strict=True)),
        cam=cam,
        cam_class="malignant",
        cam_peak=3.14159 * evidence,
        threshold=0.5,
        agreement=Agreement.AGREES,
    )
