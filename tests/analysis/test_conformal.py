from __future__ import annotations

import numpy as np
import pytest

from busi_demo.analysis.conformal import coverage, fit_thresholds, prediction_set, scores
from busi_demo.types import CLASSES


def test_a_score_is_the_probability_of_all_classes_that_are_more_probable():
    found = scores(np.array([[0.7, 0.1, 0.2], [0.25, 0.5, 0.25]]))
    assert found == pytest.approx(np.array([[0.0, 0.9, 0.7], [0.5, 0.0, 0.5]]))


def test_thresholds_are_order_statistics_of_each_class():
    p = np.array([[x, 1 - x, 0.0] for x in (0.45, 0.4, 0.2, 0.1, 0.9)] + [[0.1, 0.9, 0.0]])
    found = fit_thresholds(p, np.array([0, 0, 0, 0, 0, 1]), 0.6)
    # scores of benign 0, 0.55, 0.6, 0.8, 0.9: the ceil(6 * 0.6) = fourth; one malignant image is too few for 60 %
    assert found == pytest.approx({"benign": 0.8, "malignant": 1.0, "normal": 1.0})


def test_a_set_has_the_most_probable_class_and_those_within_their_thresholds():
    p = {"benign": 0.6, "malignant": 0.3, "normal": 0.1}
    assert prediction_set(p, {"benign": 0.0, "malignant": 0.59, "normal": 0.89}) == ("benign",)
    assert prediction_set(p, {"benign": 0.0, "malignant": 0.6, "normal": 0.89}) == ("benign", "malignant")
    assert prediction_set(p, {"benign": 0.0, "malignant": 0.5, "normal": 0.9}) == ("benign", "normal")


def test_sets_of_new_images_hold_the_true_class_as_often_as_promised():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 6000)
    logits = rng.normal(0, 1, (6000, 3))
    logits[np.arange(6000), labels] += 1.5
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    thresholds = fit_thresholds(p[:3000], labels[:3000], 0.9)
    sets = [prediction_set(dict(zip(CLASSES, row, strict=True)), thresholds) for row in p[3000:]]
    found = coverage(sets, [CLASSES[i] for i in labels[3000:]])
    for name in CLASSES:
        assert 0.87 <= found[name]["covered"] / found[name]["n"] <= 0.97
    assert 1 < found["all"]["mean_size"] < 2.5
