from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from busi_demo.evaluation.calibration import BINS, ece, reliability_curve
from busi_demo.weights.calibration import TEMPERATURE_BOUNDS, Calibration, fit_calibration


def sampled(
    temperature: float, n: int = 20_000, bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 3) and labels that follow softmax(logits / temperature + bias)."""
    rng = np.random.RandomState(0)
    logits = rng.standard_normal((n, 3)) * 3
    thresholds = softmax(logits / temperature + np.array(bias), axis=1).cumsum(axis=1)
    return logits, (rng.random_sample((n, 1)) > thresholds[:, :2]).sum(axis=1)


def test_bins_are_closed_above():
    confidences = np.array([0.0, 0.25, 0.2500001, 0.5, 1.0])
    curve = reliability_curve(confidences, np.array([False, True, True, False, True]), bins=4)
    assert curve.count.tolist() == [2, 2, 0, 1]
    np.testing.assert_allclose(curve.confidence, [0.125, 0.37500005, np.nan, 1.0])
    np.testing.assert_allclose(curve.accuracy, [0.5, 0.5, np.nan, 1.0])


@pytest.mark.parametrize("number", range(1, BINS + 1))
def test_an_edge_belongs_to_the_bin_below(number):
    assert reliability_curve(np.array([number / BINS]), np.array([True])).count.argmax() == number - 1
    if number < BINS:
        above = np.nextafter(number / BINS, 1)
        assert reliability_curve(np.array([above]), np.array([True])).count.argmax() == number


def test_the_default_is_fifteen_bins():
    assert BINS == 15
    assert [len(part) for part in reliability_curve(np.array([0.9]), np.array([True]))] == [15, 15, 15]


def test_ece_by_hand():
    # (0.5, 1]: mean 0.8, 2 of 4 right, gap 0.3; (0, 0.5]: 0.4, right, gap 0.6
    confidences = np.array([0.6, 0.7, 0.9, 1.0, 0.4])
    correct = np.array([True, False, False, True, True])
    assert ece(confidences, correct, bins=2) == pytest.approx((4 * 0.3 + 1 * 0.6) / 5)
    # one bin: mean 0.72, 3 of 5 right
    assert ece(confidences, correct, bins=1) == pytest.approx(0.12)


@pytest.mark.parametrize(("confidence", "correct", "expected"), [
    (1.0, True, 0), (1.0, False, 1), (0.0, False, 0), (0.0, True, 1), (0.8, True, 0.2), (0.8, False, 0.8),
])  # fmt: skip
def test_ece_of_one_answer(confidence, correct, expected):
    assert ece(np.array([confidence]), np.array([correct])) == pytest.approx(expected)


def test_calibrated_answers_have_no_calibration_error():
    assert ece(np.full(10, 0.7), np.arange(10) < 7) == pytest.approx(0)


@pytest.mark.parametrize(("confidences", "correct", "message"), [
    ([], [], "at least 1"),
    ([0.5, 0.5], [True], r"got \(2,\) and \(1,\)"),
    ([[0.5]], [[True]], "two vectors"),
    ([0.5, 1.01], [True, True], r"\[0, 1\], got 0.5 to 1.01"),
    ([-0.01], [True], r"\[0, 1\]"),
    ([math.nan], [True], r"\[0, 1\]"),
])  # fmt: skip
@pytest.mark.parametrize("measure", [reliability_curve, ece])
def test_wrong_answers_are_refused(measure, confidences, correct, message):
    with pytest.raises(ValueError, match=message):
        measure(np.array(confidences), np.array(correct, dtype=bool))


def test_a_calibration_by_hand():
    logits = np.log([[0.25, 0.25, 0.5], [1, 4, 4]]).astype(np.float32)
    found = Calibration(0.5).apply(logits)  # squares the odds
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[1 / 6, 1 / 6, 4 / 6], [1 / 33, 16 / 33, 16 / 33]], rtol=1e-6)
    np.testing.assert_allclose(Calibration().apply(logits)[0], [0.25, 0.25, 0.5], rtol=1e-6)
    biased = Calibration(1.0, (np.log(2), 0.0, -np.log(2))).apply(logits)  # doubles the first odds, halves the last
    np.testing.assert_allclose(biased, [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]], rtol=1e-6)
    np.testing.assert_array_equal(Calibration(1.7, (0.1, 0.2, -0.3)).apply(torch.from_numpy(logits).double()).numpy(),
                                  Calibration(1.7, (0.1, 0.2, -0.3)).apply(logits))  # fmt: skip
    assert np.isfinite(Calibration(0.1).apply(np.array([[1e4, 0, -1e4]]))).all()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 6.0])
@pytest.mark.parametrize("bias", [(0.0, 0.0, 0.0), (0.6, 0.3, -0.9)])
def test_the_calibration_that_made_the_labels_is_found(temperature, bias):
    logits, labels = sampled(temperature, bias=bias)
    found = fit_calibration(logits, labels)
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert np.array(found.class_bias) - np.mean(found.class_bias) == pytest.approx(np.array(bias), abs=0.1)
    probabilities = found.apply(logits)
    assert ece(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels) < 0.015


def test_the_calibration_is_the_optimum():
    logits, labels = sampled(2.5, 60)

    def loss(temperature: float, bias: np.ndarray) -> float:
        likelihood = log_softmax(logits / temperature + bias, axis=1)[np.arange(60), labels].sum()
        return bias @ bias / (2 * 0.2**2) - likelihood

    fitted = fit_calibration(logits, labels)
    found, bias = fitted.temperature, fitted.class_bias
    best = loss(found, np.array(bias))
    assert best < min(loss(found * 1.02, np.array(bias)), loss(found / 1.02, np.array(bias)), loss(1.0, np.zeros(3)))
    for step in (*np.eye(3) * 0.03, *np.eye(3) * -0.03):
        assert best < loss(found, np.array(bias) + step)


def test_few_images_move_the_bias_little_and_a_missing_class_does_not_drive_it_away():
    one, thirty = (fit_calibration(np.zeros((n, 3)), np.zeros(n, dtype=int)).class_bias for n in (1, 30))
    # At the optimum b[0] = 0.04 n (1 - p[0]) and b[1] = b[2] = -b[0] / 2, where p = softmax(b).
    assert one == pytest.approx((0.0263, -0.0132, -0.0132), abs=1e-3)
    assert thirty == pytest.approx((0.557, -0.279, -0.279), abs=2e-3)


def test_faultless_and_hopeless_logits_stay_within_the_bounds():
    logits = np.eye(3) / 2
    assert fit_calibration(logits, np.array([0, 1, 2])).temperature == pytest.approx(TEMPERATURE_BOUNDS[0], rel=0.01)
    assert fit_calibration(logits, np.array([1, 2, 0])).temperature == pytest.approx(TEMPERATURE_BOUNDS[1], rel=0.01)


@pytest.mark.parametrize(("logits", "labels", "message"), [
    (np.zeros((0, 3)), np.zeros(0, dtype=int), "N >= 1"),
    (np.zeros((2, 3)), np.zeros(3, dtype=int), r"got \(2, 3\) and \(3,\)"),
    (np.zeros(3), np.zeros(3, dtype=int), r"got \(3,\) and \(3,\)"),
    (np.array([[0, np.inf, 0]]), np.array([0]), "finite"),
    (np.array([[0, np.nan, 0]]), np.array([0]), "finite"),
    (np.zeros((1, 3)), np.array([3]), "integers from 0 to 2"),
    (np.zeros((1, 3)), np.array([-1]), "integers from 0 to 2"),
    (np.zeros((1, 3)), np.array([0.5]), "integers from 0 to 2"),
])  # fmt: skip
def test_wrong_logits_are_refused(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        fit_calibration(logits, labels)


@pytest.mark.parametrize("values", [(0.0,), (-1.0,), (float("nan"),), (float("inf"),), (1.0, (0.0, 0.0)),
                                    (1.0, (0.0, 0.0, float("nan")))])  # fmt: skip
def test_a_calibration_that_makes_no_probabilities_is_refused(values):
    with pytest.raises(ValueError, match=r"(temperature|class_bias) must be"):
        Calibration(*values)
