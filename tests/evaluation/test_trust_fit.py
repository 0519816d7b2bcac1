from __future__ import annotations

import runpy
from dataclasses import replace

import numpy as np
import pytest
from helpers import ROOT, disc, picture, save_grey

from busi_demo.evaluation.trust_fit import Case, fit_trust, kept_means, risk_coverage
from busi_demo.types import CLASSES, Agreement, Prediction
from busi_demo.weights.split_file import SplitRow, write_split


def case(rng: np.random.Generator, index: int) -> Case:
    """An answer whose confidence is right on average, and whose Dice is the probability inside its outline."""
    confidence = rng.uniform(0.4, 1.0)
    others = (1 - confidence) / 2
    label = CLASSES[index % 3]
    named = label if rng.random() < confidence else CLASSES[(index + 1) % 3]
    mask, sure = disc(40, 40, 20, 20, 8), rng.uniform(0.55, 0.95)
    prediction = Prediction(
        approach="multitask_cnn", image=np.zeros((40, 40), dtype=np.uint8), mask=mask,
        mask_probability=np.where(mask, sure, 0.01).astype(np.float32),
        probabilities={name: confidence if name == named else others for name in CLASSES},
        cam=np.zeros((40, 40), dtype=np.float32), cam_class=named, cam_peak=0.0, threshold=0.5,
        agreement=Agreement.AGREES,
    )  # fmt: skip
    return Case(prediction, label, float(np.clip(sure + rng.normal(0, 0.03), 0, 1)), index % 5)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    return fit_trust([case(rng, i) for i in range(600)], "abc")


def test_green_answers_are_right_as_often_as_wanted_and_red_ones_seldom(fitted):
    levels = fitted.measured["levels"]
    green, red = levels["green"], levels["red"]
    assert sum(row["n"] for row in levels.values()) == 600
    assert green["n"] > 50 and green["right"] / green["n"] > 0.92
    assert red["n"] > 20 and red["right"] / red["n"] < 0.6
    assert fitted.red == 0.5 and 0.8 < fitted.green < 1


def test_sets_cover_each_class_as_often_as_promised(fitted):
    for level, wanted in (("0.90", 0.9), ("0.95", 0.95)):
        for name in CLASSES:
            row = fitted.measured["sets"][level][name]
            assert row["n"] == 200 and abs(row["covered"] / row["n"] - wanted) < 0.05


def test_the_expected_dice_follows_the_true_one(fitted):
    dice = fitted.measured["dice"]
    assert dice["correlation"] > 0.9 and 0.85 < dice["within"] / dice["n"] < 0.95


def test_answers_that_leave_fewer_classes_open_are_right_more_often(fitted):
    rates = [row["right"] / row["n"] for row in fitted.measured["sizes"].values() if row["n"] > 20]
    assert rates == sorted(rates, reverse=True) and len(rates) > 1


def test_other_data_sets_are_measured_and_change_nothing(fitted):
    rng = np.random.default_rng(0)
    cases = [case(rng, i) for i in range(600)]
    wrong = [replace(c, label="malignant") for c in cases if c.prediction.predicted_class != "malignant"]
    with_other = fit_trust(cases, "abc", {"OTHER": wrong})
    assert (with_other.sets, with_other.green, with_other.dice) == (fitted.sets, fitted.green, fitted.dice)
    rates = with_other.measured["elsewhere"]["OTHER"]
    assert sum(row["n"] for row in rates["levels"].values()) == rates["malignant"] == len(wrong)
    assert all(row["right"] == 0 and row["missed"] == row["n"] for row in rates["levels"].values())
    assert rates["sets"]["0.95"]["malignant"]["covered"] < 0.9 * len(wrong)


def test_means_of_the_answers_kept_by_hand():
    found = kept_means([(0.9, 1.0), (0.5, 0.0), (0.7, 0.5)])
    assert found == {"share": [0.3333, 0.6667, 1.0], "mean": [1.0, 0.75, 0.5]}
    assert kept_means([]) == {"share": [], "mean": []}


def test_risk_and_coverage_by_hand():
    found = risk_coverage([(0.9, True), (0.8, False), (0.7, True), (0.6, True)])
    assert found["accuracy"][-1] == 0.75 and found["share"][-1] == 1.0
    assert found["area"] == pytest.approx(np.mean([0, 1 / 2, 1 / 3, 1 / 4]))
    assert found["ideal"] == pytest.approx(np.mean([0, 0, 0, 1 / 4]))
    assert found["at"] == pytest.approx({"0.62": 0.5, "0.80": 2 / 3}, abs=1e-3)


@pytest.fixture
def script(monkeypatch, busi, weights_folder):
    """The functions of train/fit_trust.py, and a split of one network in which two images are near-duplicates."""
    images = [(path.parent.name, path.name) for path in sorted(busi.glob("*/*).png"))]
    rows = [SplitRow(name, label, "busi", "pair" if "(1)" in name else name, "validation") for label, name in images]
    path = write_split(weights_folder / "multitask_cnn", [*rows, SplitRow("far.png", "benign", "far", "far", "train")])
    monkeypatch.syspath_prepend(ROOT / "train")
    yield runpy.run_path(str(ROOT / "train" / "fit_trust.py"), run_name="fit_trust")
    path.unlink()


def test_near_duplicates_are_fitted_or_measured_together(script, busi, weights_folder):
    cases = script["cases_of"]("multitask_cnn", busi, [weights_folder])
    names = [f"{path.parent.name}/{path.name}" for path in sorted(busi.glob("*/*).png"))]
    folds = {case.fold for case, name in zip(cases, names, strict=True) if "(1)" in name}
    assert len(folds) == 1 and len({case.fold for case in cases}) > 1


def test_a_lesion_whose_mask_was_not_drawn_has_no_dice(script, busi, weights_folder):
    save_grey(busi / "benign" / "benign case (2)_mask.png", np.zeros((72, 96), bool))
    cases = script["cases_of"]("multitask_cnn", busi, [weights_folder])
    assert [case.dice is None for case in cases] == [False, True] + 7 * [False]


def test_images_that_a_network_knows_are_not_from_elsewhere(script, busi, weights_folder, run_script, tmp_path):
    far = save_grey(tmp_path / "far" / "benign" / "far.png", picture(1)).parent.parent
    save_grey(far / "benign" / "far_mask.png", disc(72, 96, 36, 48, 12))
    status, _, err = run_script("train/fit_trust.py", "--data", busi, "--weights", weights_folder, "--approach",
                                "multitask_cnn", "--elsewhere", far)  # fmt: skip
    assert status == 2 and "1 of the 1 images of far (from --elsewhere) were trained on: give a data set" in err
