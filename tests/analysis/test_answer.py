from __future__ import annotations

import numpy as np
import pytest
from helpers import answer, picture

from busi_demo.analysis import analysis
from busi_demo.analysis.analysis import analyse_image
from busi_demo.analysis.answer import Answer, consensus_record
from busi_demo.imaging import GroundTruth
from busi_demo.inference.consensus import consensus
from busi_demo.inference.predictor import Predictor
from busi_demo.types import InputError

WRONG = [
    (
        np.zeros((3, 3), dtype=bool),
        r"must be bool \(72, 96\) like the image, got bool \(3, 3\): read it with read_mask",
    ),
    (np.zeros((72, 96), dtype=np.uint8), r"must be bool \(72, 96\) like the image, got uint8 \(72, 96\)"),
]


@pytest.mark.parametrize(("mask", "message"), WRONG)
def test_an_answer_with_the_ground_truth_of_another_image_is_refused(mask, message):
    prediction = answer(np.zeros((72, 96), dtype=bool))
    with pytest.raises(InputError, match=message):
        Answer(prediction, GroundTruth(mask))
    with pytest.raises(InputError, match=message):
        consensus_record(consensus([prediction, prediction]), GroundTruth(mask))


@pytest.mark.parametrize(("mask", "message"), WRONG)
def test_the_ground_truth_of_another_image_is_refused_before_the_network_runs(mask, message, predictors, monkeypatch):
    ran = []
    monkeypatch.setattr(analysis, "load_predictor", predictors.__getitem__)
    monkeypatch.setattr(Predictor, "forward_pass", lambda *_: ran.append(True))
    with pytest.raises(InputError, match=message):
        analyse_image(picture(1, 72, 96), "multitask_cnn", GroundTruth(mask))
    assert ran == []
