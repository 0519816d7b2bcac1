"""A prediction by hand and a fit of trust by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from busi_demo.types import Agreement, Prediction
from busi_demo.weights.trust_file import TrustFit

SHAPE = (10, 10)
LESION = np.zeros(SHAPE, dtype=bool)
LESION[2:4, 1:6] = True

FIT = TrustFit(
    sha256="ab",
    sets={
        "0.90": {"benign": 0.3, "malignant": 0.5, "normal": 0.3},
        "0.95": {"benign": 0.5, "malignant": 0.7, "normal": 0.4},
    },
    dice={},
    dice_interval=(0.0, 0.0),
    green=0.8,
    red=0.5,
    measured={"levels": {"green": {"n": 200, "right": 190, "missed": 1}, "red": {"n": 0, "right": 0, "missed": 0}}},
)


def prediction(benign: float = 0.1, malignant: float = 0.85, **fields) -> Prediction:
    probabilities = {"benign": benign, "malignant": malignant, "normal": 1 - benign - malignant}
    made = Prediction(
        approach="multitask_cnn",
        image=np.arange(100, dtype=np.uint8).reshape(SHAPE),
        mask=LESION,
        mask_probability=LESION.astype(np.float32),
        probabilities=probabilities,
        cam=LESION.astype(np.float32),
        cam_class=max(probabilities, key=probabilities.__getitem__),
        cam_peak=1.0,
        threshold=0.5,
        agreement=Agreement.AGREES,
    )
    return replace(made, **fields)
