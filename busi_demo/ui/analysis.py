"""What the page does with an image: functions from files to what is shown, without Gradio."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from busi_demo.evaluation.record import prediction_record
from busi_demo.figure import figure_image, five_panels
from busi_demo.imaging import read_mask
from busi_demo.predictor import load_predictor
from busi_demo.types import Prediction


@dataclass(frozen=True)
class Analysis:
    """One image, seen by one approach.

    Attributes:
        title: name of the approach.
        prediction: its answer.
        ground_truth: bool (H, W), True inside the true lesion; `None` where it is unknown.
        record: the numbers, as JSON values, see `prediction_record`.
    """

    title: str
    prediction: Prediction
    ground_truth: np.ndarray | None
    record: dict[str, Any]

    def figure(self, columns: int = 5) -> Image.Image:
        """The five panels as an RGB image, `columns` of them in a row."""
        return figure_image(five_panels(self.prediction, self.ground_truth, self.title, columns))


def analyse(image: str | Path, approach: str, mask: str | Path | None = None) -> Analysis:
    """Segment, classify and explain one image file.

    Args:
        image: path of the ultrasound.
        approach: a key of `busi_demo.models.APPROACHES`.
        mask: path of the true mask, if there is one.
    Raises:
        InputError: no such approach, its weights are missing, or a file cannot be used.
    """
    predictor = load_predictor(approach)
    prediction = predictor.predict(image)
    truth, notes = read_mask(mask, prediction.image.shape) if mask else (None, ())
    return Analysis(predictor.title, prediction, truth, prediction_record(prediction, truth, notes))
