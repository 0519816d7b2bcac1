from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.results import ImageResult, probability_matrix
from busi_demo.imaging.masks import dice, iou
from busi_demo.types import CLASSES


def masks(*rows: str) -> list[np.ndarray]:
    """Rows of # and . as bool (1, W) masks."""
    return [np.array([[pixel == "#" for pixel in row]]) for row in rows]


def result(
    label: str, probabilities: tuple[float, float, float], mask_dice: float | None = None, fraction: float = 0.0
) -> ImageResult:
    """A result; its IoU follows from its Dice, D / (2 - D)."""
    overlap = None if mask_dice is None else mask_dice / (2 - mask_dice)
    return ImageResult("x", label, dict(zip(CLASSES, probabilities, strict=True)), mask_dice, overlap, fraction, 0.1)


def six() -> list[ImageResult]:
    """Two images per class; one benign is classified as malignant, one normal as benign."""
    return [
        result("benign", (0.7, 0.2, 0.1), 0.9, 0.1),
        result("benign", (0.3, 0.6, 0.1), 0.0, 0.0),  # missed
        result("malignant", (0.1, 0.8, 0.1), 0.6, 0.2),
        result("malignant", (0.2, 0.5, 0.3), None, 0.3),  # its mask is incomplete
        result("normal", (0.1, 0.1, 0.8), None, 0.0),
        result("normal", (0.5, 0.1, 0.4), None, 0.02),  # a lesion where none is
    ]


@pytest.mark.parametrize(("prediction", "truth", "expected_dice", "expected_iou"), [
    ("####....", "..####..", 4 / 8, 2 / 6),
    ("#.......", "########", 2 / 9, 1 / 8),
    ("##..", "##..", 1, 1),
    ("##..", "..##", 0, 0),
    ("....", "....", 1, 1),
    ("....", "..##", 0, 0),
    ("##..", "....", 0, 0),
])  # fmt: skip
def test_overlap_by_hand(prediction, truth, expected_dice, expected_iou):
    one, other = masks(prediction, truth)
    assert dice(one, other) == dice(other, one) == pytest.approx(expected_dice)
    assert iou(one, other) == iou(other, one) == pytest.approx(expected_iou)


@pytest.mark.parametrize("overlap", [dice, iou])
def test_masks_of_another_type_or_shape_are_refused(overlap):
    one, other = masks("##..", "####....")
    with pytest.raises(ValueError, match=r"one shape, got \(1, 4\) and \(1, 8\)"):
        overlap(one, other)
    with pytest.raises(ValueError, match="prediction must be a bool mask, got uint8"):
        overlap(one.astype(np.uint8), one)
    with pytest.raises(ValueError, match="truth must be a bool mask, got float64"):
        overlap(one, one.astype(np.float64))


def test_classes_by_hand():
    summary = summarise(six())
    assert summary["n"] == 6
    assert summary["accuracy"] == pytest.approx(4 / 6)
    assert summary["classes"] == ["benign", "malignant", "normal"]
    # rows the true class: one benign called malignant, one normal called benign
    assert summary["confusion_matrix"] == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    # precision and recall: benign 1/2 and 1/2, malignant 2/3 and 1, normal 1 and 1/2
    assert summary["macro_f1"] == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)
    assert summary["sensitivity_malignant"] == 1
    assert summary["specificity_malignant"] == pytest.approx(3 / 4)
    report = summary["classification_report"]
    malignant = {"precision": 2 / 3, "recall": 1, "f1-score": 4 / 5, "support": 2}
    assert report["malignant"] == pytest.approx(malignant)
    assert report["macro avg"]["f1-score"] == summary["macro_f1"] and report["macro avg"]["support"] == 6


def test_probabilities_by_hand():
    summary = summarise(six())
    # pairs of a true and an untrue image in the right order: 7 of 8, 7 of 8, all
    assert summary["auc"] == pytest.approx({"benign": 7 / 8, "malignant": 7 / 8, "normal": 1})
    assert summary["brier"] == pytest.approx((0.14 + 0.86 + 0.06 + 0.38 + 0.06 + 0.62) / 6)
    # bins of 1/15: 0.5 right and 0.5 wrong, 0.6 wrong, 0.7 right, 0.8 right twice
    assert summary["ece"] == pytest.approx((2 * 0 + 0.6 + 0.3 + 2 * 0.2) / 6)


def test_a_missed_lesion_counts_0_and_an_incomplete_mask_not_at_all():
    summary = summarise(six())
    assert summary["lesion_n"] == 3
    assert summary["lesion_dice"] == pytest.approx((0.9 + 0 + 0.6) / 3)
    assert summary["lesion_iou"] == pytest.approx((0.9 / 1.1 + 0 + 0.6 / 1.4) / 3)


def test_false_masks_are_counted_among_the_normals_alone():
    summary = summarise(six())
    assert (summary["normal_n"], summary["normal_false_mask_rate"]) == (2, 0.5)
    # what a normal image is called does not matter, nor does what a lesion's mask covers
    assert summarise(six()[4:5])["normal_false_mask_rate"] == 0
    assert summarise(six()[5:])["normal_false_mask_rate"] == 1


def test_one_class_missing():
    summary = summarise(six()[:4])
    assert summary["auc"] == {"benign": 1, "malignant": 3 / 4, "normal": None}
    assert summary["normal_n"] == 0 and summary["normal_false_mask_rate"] is None
    # benign: precision 1, recall 1/2; malignant: 2/3 and 1; normal does not occur
    assert summary["macro_f1"] == summary["classification_report"]["macro avg"]["f1-score"]
    assert summary["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert summary["confusion_matrix"][2] == [0, 0, 0]


def test_one_class_alone():
    malignant = summarise(six()[2:4])
    assert malignant["auc"] == dict.fromkeys(CLASSES)
    assert malignant["sensitivity_malignant"] == 1 and malignant["specificity_malignant"] is None
    normal = summarise(six()[4:])
    assert normal["sensitivity_malignant"] is None and normal["specificity_malignant"] == 1
    assert normal["lesion_dice"] is None and normal["lesion_iou"] is None and normal["lesion_n"] == 0


def test_equal_probabilities():
    tied = [result("malignant", (0.4, 0.4, 0.2)), result("benign", (0.4, 0.4, 0.2)), result("normal", (0.2, 0.3, 0.5))]
    assert [r.predicted_class for r in tied] == ["benign", "benign", "normal"]
    # of the two pairs one is tied, which counts a half, and one is in order
    assert summarise(tied)["auc"]["malignant"] == pytest.approx(3 / 4)
    uniform = [result(name, (1 / 3, 1 / 3, 1 / 3)) for name in CLASSES]
    assert summarise(uniform)["auc"] == dict.fromkeys(CLASSES, 0.5)
    assert summarise(uniform)["confusion_matrix"] == [[1, 0, 0]] * 3


@pytest.mark.parametrize("results", [six(), six()[:4], six()[4:], six()[:1]])
def test_a_summary_is_plain_json(results):
    summary = summarise(results)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert all(type(count) is int for row in summary["confusion_matrix"] for count in row)
    assert type(summary["classification_report"]["benign"]["support"]) is int


def test_nothing_to_summarise():
    with pytest.raises(ValueError, match="nothing to summarise"):
        summarise([])


def test_probability_matrix():
    matrix = probability_matrix(six()[:2])
    assert matrix.dtype == np.float64 and matrix.tolist() == [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]]
    assert probability_matrix([]).shape == (0, 3)


def test_answers_of_one_result():
    wrong, sure = six()[1], result("benign", (1.0000004, 0.0, 0.0))
    assert (wrong.predicted_class, wrong.confidence, wrong.correct) == ("malignant", 0.6, False)
    assert (sure.predicted_class, sure.confidence, sure.correct) == ("benign", 1.0, True)


@pytest.mark.parametrize(("change", "message"), [
    ({"label": "cyst"}, "label must be one of .* got 'cyst'"),
    ({"probabilities": {"benign": 0.5, "malignant": 0.5}}, "must have the keys"),
    ({"probabilities": {"normal": 0.1, "malignant": 0.2, "benign": 0.7}}, "must have the keys"),
    ({"probabilities": dict.fromkeys(CLASSES, 0.5)}, "sum to 1"),
    ({"probabilities": dict.fromkeys(CLASSES, float("nan"))}, "sum to 1"),
    ({"probabilities": {"benign": 1.2, "malignant": -0.2, "normal": 0.0}}, ">= 0"),
    ({"mask_dice": None}, "both be given or both be None"),
    ({"mask_iou": None}, "both be given or both be None"),
    ({"label": "normal"}, "a normal image has no lesion"),
    ({"mask_dice": 1.1}, r"mask_dice must lie in \[0, 1\], got 1.1"),
    ({"mask_iou": float("nan")}, r"mask_iou must lie in \[0, 1\]"),
    ({"predicted_mask_fraction": -0.1}, r"predicted_mask_fraction must lie in \[0, 1\], got -0.1"),
])  # fmt: skip
def test_a_wrong_result_is_refused(change, message):
    with pytest.raises(ValueError, match=f"x: .*{message}"):
        replace(six()[0], **change)
