from __future__ import annotations

from dataclasses import replace

import pytest
from trusted import FIT, prediction

from busi_demo.analysis.trust import Level, assess, check_class, check_picture
from busi_demo.imaging.text import percent
from busi_demo.types import InputCheck, Verdict
from busi_demo.weights.known_images import KnownImage


@pytest.mark.parametrize(
    ("benign", "malignant", "level", "left_open"),
    [
        (0.1, 0.85, Level.GREEN, ("malignant",)),  # no other class is within its threshold of 0.5 and 0.4
        (0.79, 0.2, Level.AMBER, ("benign",)),  # alone, but not sure enough
        (0.65, 0.3, Level.AMBER, ("benign", "malignant")),  # 0.65 is within 0.7
        (0.45, 0.35, Level.RED, ("benign", "malignant")),  # more probably wrong than right
    ],
)
def test_the_level_follows_from_the_classes_left_open_and_the_confidence(benign, malignant, level, left_open):
    trust = assess(prediction(benign, malignant), FIT)
    assert trust.level is level and trust.prediction_set["0.95"] == left_open
    assert trust.refer is (level is Level.RED or len(left_open) > 1)
    sentence = trust.checks[-1].sentence
    assert percent(max(benign, malignant)) in sentence
    assert ("no other class" in sentence) is (len(left_open) == 1)


def test_sets_of_a_lower_level_are_not_larger():
    trust = assess(prediction(0.6, 0.35), FIT)
    assert trust.prediction_set == {"0.90": ("benign",), "0.95": ("benign", "malignant")}


@pytest.mark.parametrize(
    ("check", "level"),
    [
        (InputCheck(), Level.GREEN),
        (InputCheck(compared=False), Level.AMBER),
        (InputCheck(Verdict.DOUBTFUL, ("Odd.",)), Level.AMBER),
        (InputCheck(Verdict.REFUSED, ("No scan.",), overridden=True), Level.RED),
    ],
)
def test_a_doubtful_picture_is_never_green(check, level):
    one = prediction(input_check=check)
    assert check_picture(one).level is level and assess(one, FIT).level is level
    assert all(reason in check_picture(one).sentence for reason in check.reasons)


def test_without_a_fit_no_answer_is_green_and_no_numbers_are_told():
    assert [assess(prediction(0.0, p), None).level for p in (0.99, 0.5)] == [Level.AMBER, Level.AMBER]
    assert "was not measured for these weights" in assess(prediction(), None).checks[-1].sentence
    assert assess(prediction(0.45, 0.3), None).level is Level.RED
    trust = assess(prediction(), None)
    assert trust.prediction_set == {} and trust.expected_dice is None and trust.rate() is None
    assert check_class(prediction(), None, None).value == pytest.approx(0.85)


def test_the_rate_of_a_level_is_what_was_measured():
    assert assess(prediction(), FIT).rate() == (
        "Of 100 green answers on images that the networks did not know, 95 were right."
    )
    assert assess(prediction(0.45, 0.35), FIT).rate() is None  # none was measured
    odd = prediction(input_check=InputCheck(Verdict.DOUBTFUL, ("Odd.",)))
    rates = {"levels": {"amber": {"n": 10, "right": 9, "missed": 0}}}
    assert assess(odd, replace(FIT, measured=rates)).rate() is None  # not measured on such pictures


@pytest.mark.parametrize(
    ("own", "other", "told"),
    [
        ((2, 2), (12, 10), "Of 2 red answers on images that the networks did not know, 2 were right; "
                           "on another data set (Far), 10 of 12."),
        ((99, 50), (0, 0), "Of 99 red answers on images that the networks did not know, 50 were right."),
        ((400, 50), (337, 247), "Of 100 red answers on images that the networks did not know, 12 were right; "
                                "on another data set (Far), 73 of 100."),
    ],
)  # fmt: skip
def test_the_rate_names_few_answers_as_they_were_counted_and_those_of_another_data_set(own, other, told):
    levels, elsewhere = ({"red": {"n": n, "right": right, "missed": 0}} for n, right in (own, other))
    fitted = replace(FIT, measured={"levels": levels, "elsewhere": {"Far": {"levels": elsewhere}}})
    assert assess(prediction(0.45, 0.35), fitted).rate() == told


@pytest.mark.parametrize(("split", "told"), [("train", False), ("validation", False), ("locked", True)])
def test_no_rate_is_told_of_an_image_that_was_trained_or_chosen_on(split, told):
    known = KnownImage("benign (1).png", "BUSI", "benign", split, "0" * 16)
    trust = assess(prediction(), FIT, known)
    assert trust.level is Level.GREEN and bool(trust.rate()) is told


def test_another_threshold_than_the_one_that_was_looked_at_is_told():
    trust = assess(prediction(), FIT)
    assert trust.reservation(0.5) is None
    assert trust.reservation(0.9) == "Checked at the approach's own threshold of 0.5, not at the chosen 0.9."
