"""Answers to images that were used to make the weights say so."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import picture
from trusted import prediction

from busi_demo.analysis.analysis import analyse_image
from busi_demo.analysis.trusted import known_image, trusted_answer, with_known
from busi_demo.imaging import UNKNOWN_TRUTH, read_image
from busi_demo.inference.predictor import SharedPasses
from busi_demo.types import InputCheck, Verdict

KEY = "multitask_cnn"


def test_an_image_is_recognised_as_a_whole_and_in_its_frame(put_on_list):
    known = put_on_list(picture(1))
    page = np.pad(picture(1), ((40, 110), (70, 30)), constant_values=255)
    assert known_image(read_image(picture(1))) == known_image(read_image(page).cropped((70, 40, 166, 112))) == known
    assert known_image(read_image(picture(2))) is None


@pytest.mark.usefixtures("stand_in_weights")
def test_trust_and_warnings_of_an_answer_know_what_image_it_is(put_on_list, predictors):
    known, grey = put_on_list(picture(1)), read_image(picture(1))
    answer = trusted_answer(predictors[KEY], grey, UNKNOWN_TRUTH, known, SharedPasses(), False)
    assert answer.trust.known == known and answer.warnings[-1] == known.sentence
    analysed = analyse_image(grey, KEY)  # the page and the report tell it apart from the warnings
    assert analysed.facts.trust.known == analysed.facts.known_image == known
    assert known.sentence not in analysed.analysis().answer.warnings


def test_a_withheld_answer_has_no_warnings_but_the_reasons(put_on_list):
    refused = prediction(input_check=InputCheck(Verdict.REFUSED, ("No scan.",)), warnings=("No scan.",))
    assert with_known(refused, put_on_list(picture(1))) is refused
