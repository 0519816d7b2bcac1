from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import answer

from busi_demo.analysis.answer import Answer
from busi_demo.evaluation.results import ImageResult, result_of_row, result_row
from busi_demo.imaging import GroundTruth
from busi_demo.types import Prediction

RESULT = ImageResult("a.png", "malignant", {"benign": 0.1, "malignant": 0.7, "normal": 0.2}, 0.5, 1 / 3, 0.04, 0.0)


def test_a_row_has_all_values_except_the_time():
    assert result_row(RESULT) == {
        "image": "a.png", "class": "malignant", "probabilities": {"benign": 0.1, "malignant": 0.7, "normal": 0.2},
        "dice": 0.5, "iou": 1 / 3, "lesion_area_fraction": 0.04}  # fmt: skip


def test_a_row_is_restored_from_json():
    assert result_of_row(json.loads(json.dumps(result_row(RESULT)))) == RESULT


@pytest.mark.parametrize("change", [{"dice": 2}, {"class": "cyst"}, {"probabilities": {"benign": 1}}])
def test_an_invalid_row_is_refused(change):
    with pytest.raises(ValueError):
        result_of_row(result_row(RESULT) | change)


def test_a_missing_field_is_refused():
    with pytest.raises(KeyError):
        result_of_row({"image": "a.png"})


def prediction() -> Prediction:
    """A lesion of 2 x 3 pixels in an image of 4 x 5."""
    mask = np.zeros((4, 5), dtype=bool)
    mask[1:3, 1:4] = True
    return answer(mask, approach="two_stage", warnings=("dark",), seconds=0.25)


def test_an_answer_is_recorded_as_json_values():
    truth = np.zeros((4, 5), dtype=bool)
    truth[1:3, 3:5] = True  # 4 pixels, 2 of them predicted: Dice 4 / 10, IoU 2 / 8
    record = Answer(prediction(), GroundTruth(truth, ("resized",))).record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record == {
        "approach": "two_stage", "predicted_class": "malignant",
        "probabilities": {"benign": 0.2, "malignant": 0.7, "normal": 0.1}, "lesion_area_fraction": 0.3,
        "dice": 0.4, "iou": 0.25, "warnings": ["dark", "resized"], "seconds": 0.25,
        "input_check": {"verdict": "accepted", "reasons": [], "frame": [0, 0, 5, 4]},
        "trust": None, "prediction_set": None, "expected_dice": None}  # fmt: skip


def test_without_a_ground_truth_no_overlap_is_recorded():
    record = Answer(prediction()).record()
    assert record["dice"] is None and record["iou"] is None
    assert record["warnings"] == ["dark"]
