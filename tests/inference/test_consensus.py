from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import answer

from busi_demo.analysis.answer import consensus_record
from busi_demo.imaging import GroundTruth
from busi_demo.inference.cam_methods import find_cam_method
from busi_demo.inference.consensus import (
    DISAGREEMENT,
    consensus,
    distinct_outlines,
    joined_check,
    majority_mask,
    overlap_matrix,
)
from busi_demo.models import CONSENSUS
from busi_demo.types import CLASSES, Agreement, InputCheck, Prediction, Verdict

SHAPE = (2, 4)


def mask(*columns: int) -> np.ndarray:
    """bool (2, 4), True in these columns of the first row."""
    made = np.zeros(SHAPE, dtype=bool)
    made[0, list(columns)] = True
    return made


def member(
    shares: tuple[float, float, float], lesion: np.ndarray, probability: float = 0.9, cam: float = 1.0, **fields
) -> Prediction:
    """An answer with mask probability `probability` and evidence `cam` inside the lesion, and 0.1 outside."""
    named = CLASSES[int(np.argmax(shares))]
    return Prediction(
        approach="a",
        image=np.full(SHAPE, 7, dtype=np.uint8),
        mask=lesion,
        mask_probability=np.where(lesion, probability, 0.1).astype(np.float32),
        probabilities=dict(zip(CLASSES, shares, strict=True)),
        cam=lesion.astype(np.float32),
        cam_class=named,
        cam_peak=cam,
        **{"threshold": 0.5, "agreement": Agreement.AGREES, "seconds": 0.25, **fields},
    )


BENIGN, MALIGNANT, NORMAL = (0.7, 0.2, 0.1), (0.3, 0.6, 0.1), (0.1, 0.1, 0.8)


def test_probabilities_threshold_and_time():
    found = consensus([member(BENIGN, mask(0), threshold=0.4), member(MALIGNANT, mask(0), threshold=0.6)]).prediction
    assert found.approach == CONSENSUS and found.predicted_class == "benign"
    assert list(found.probabilities.values()) == pytest.approx([0.5, 0.4, 0.1])
    assert found.threshold == pytest.approx(0.5) and found.seconds == 0.5


def test_an_outline_that_two_members_share_counts_once():
    """Two of four members share a network. If one of these withdraws its outline, its mask counts as another vote."""
    shared, other, third = mask(0, 1, 2), mask(2, 3), mask(3)
    drawn = ((shared, 0.9, "a"), (shared, 0.9, "a"), (other, 0.8, "b"), (third, 0.7, "c"))
    four = [member(BENIGN, lesion, p, outline_key=key) for lesion, p, key in drawn]
    found, without = consensus(four), consensus(four[1:])
    np.testing.assert_array_equal(found.prediction.mask, mask(2, 3))  # two of three votes each
    np.testing.assert_array_equal(found.prediction.mask, without.prediction.mask)
    np.testing.assert_array_equal(found.prediction.mask_probability, without.prediction.mask_probability)
    assert found.median_dice == without.median_dice == pytest.approx(0.4)  # of 0.4, 0 and 2 / 3
    assert found.overlap.shape == (4, 4)
    withdrawn = replace(four[0], mask=mask(), probabilities=dict(zip(CLASSES, NORMAL, strict=True)))
    assert distinct_outlines([withdrawn, *four[1:]]) == [0, 1, 2, 3] and distinct_outlines(four) == [0, 2, 3]


def test_more_than_half_of_three_masks():
    masks = [mask(0, 1), mask(1, 2), mask(1, 2, 3)]
    np.testing.assert_array_equal(majority_mask(masks, np.ones(SHAPE, dtype=bool)), mask(1, 2))


def test_the_casting_vote_decides_ties_alone():
    masks = [mask(0, 1, 2), mask(0, 1, 2), mask(0, 1), mask(0)]  # votes 4, 3, 2, 0
    np.testing.assert_array_equal(majority_mask(masks, mask(2, 3)), mask(0, 1, 2))
    np.testing.assert_array_equal(majority_mask(masks, mask(3)), mask(0, 1))


@pytest.mark.parametrize(("probability", "expected"), [(0.95, mask(0, 1)), (0.85, mask(0))])
def test_the_mean_mask_probability_breaks_ties(probability, expected):
    """Column 1: (p + 0.1) / 2 against the threshold 0.5."""
    found = consensus([member(BENIGN, mask(0, 1), probability), member(BENIGN, mask(0), 0.9)])
    np.testing.assert_array_equal(found.prediction.mask, expected)
    assert found.prediction.mask_probability[0, 1] == pytest.approx((probability + 0.1) / 2)


def test_overlap_of_pairs():
    empty = mask()
    found = overlap_matrix([mask(0, 1), mask(1, 2, 3), empty, empty])
    expected = [[1, 0.4, 0, 0], [0.4, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]  # 2 * 1 / (2 + 3)
    np.testing.assert_allclose(found, expected)


def test_members_with_equal_answers_agree():
    found = consensus([member(BENIGN, mask(0, 1)), member(BENIGN, mask(0, 1, 2)), member(BENIGN, mask(0, 1))])
    assert found.classes_agree and found.median_dice == pytest.approx(0.8)  # of 0.8, 1 and 0.8
    assert not found.disagree and found.prediction.warnings == ()


def test_members_without_a_lesion_agree():
    found = consensus([member(NORMAL, mask()), member(NORMAL, mask())])
    assert found.median_dice == 1 and not found.disagree


@pytest.mark.parametrize("members", [
    [member(BENIGN, mask(0)), member(MALIGNANT, mask(0))],  # on the class
    [member(BENIGN, mask(0, 1)), member(BENIGN, mask(1, 2, 3))],  # on the place: Dice 0.4
])  # fmt: skip
def test_members_disagree(members):
    found = consensus(members)
    assert found.disagree and found.prediction.warnings[0] == DISAGREEMENT


def test_a_median_dice_of_one_half_is_agreement():
    found = consensus([member(BENIGN, mask(0, 1)), member(BENIGN, mask(1, 2))])
    assert found.median_dice == 0.5 and not found.disagree


def test_the_class_normal_withdraws_the_outline():
    found = consensus([member(NORMAL, mask()), member((0.4, 0.3, 0.3), mask(0)),
                       member((0.4, 0.3, 0.3), mask(0), probability=0.8)])  # fmt: skip
    assert found.prediction.predicted_class == "normal" and not found.prediction.mask.any()
    assert "12.5%" in found.prediction.warnings[1] and "withdrawn" in found.prediction.warnings[1]


def test_a_tumour_without_a_majority_mask_gets_a_warning():
    found = consensus([member(BENIGN, mask(0)), member(BENIGN, mask(2))])
    assert not found.prediction.mask.any() and "no majority outlines a lesion" in found.prediction.warnings[1]


@pytest.mark.parametrize(("wide", "outlined"), [(5, False), (40, True)])
def test_a_region_of_the_majority_that_is_too_small_for_every_approach_is_no_lesion(wide, outlined):
    """Two of three outlines touch in a strip; the smallest lesion of the members is 0.0015 of 100 x 100 pixels."""
    first, second, third = (np.zeros((100, 100), dtype=bool) for _ in range(3))
    first[10:21, 10 : 10 + wide], second[20:31, 10 : 10 + wide], third[70:90, 70:90] = True, True, True
    drawn = zip((first, second, third), (0.0015, 0.002, 0.003), strict=True)
    found = consensus([answer(one, min_area=share) for one, share in drawn]).prediction
    np.testing.assert_array_equal(found.mask, first & second & outlined)
    assert (found.agreement is Agreement.AGREES) is outlined
    assert any("no majority outlines a lesion" in warning for warning in found.warnings) is not outlined


@pytest.mark.parametrize("peak", [4.0, 400.0])
def test_each_member_has_the_same_weight_in_the_cam(peak):
    """The first map has all in column 0, the second one half in each of columns 0 and 1, whatever its unit. Column 0:
    (1 + 1/2) / 2 = 3/4, column 1: 1/4. The third explains another class, the fourth nothing."""
    others = member(MALIGNANT, mask(3), cam=9), member(BENIGN, mask(), cam=0)
    found = consensus([member(BENIGN, mask(0), cam=2), member(BENIGN, mask(0, 1), cam=peak), *others]).prediction
    assert (found.cam_class, found.cam_peak) == ("benign", pytest.approx(3 / 4))
    np.testing.assert_allclose(found.cam[0], [1, 1 / 3, 0, 0], rtol=1e-6)
    assert find_cam_method(found.cam_method).title == "Mean Grad-CAM"


def test_the_cam_is_zero_if_no_member_predicts_the_class():
    found = consensus([member((0.0, 0.55, 0.45), mask(0)), member((0.55, 0.0, 0.45), mask(0))]).prediction
    assert found.cam_class == "normal" and found.cam_peak == 0 and not found.cam.any()


def test_shared_warnings_are_kept_once():
    ours = [member(BENIGN, mask(0), warnings=("dark", own)) for own in ("first", "second")]
    assert consensus(ours).prediction.warnings == ("dark",)


def test_warnings_that_all_share_who_answer_are_kept():
    refused = member(BENIGN, mask(0), warnings=("No.",), input_check=InputCheck(Verdict.REFUSED, ("No.",)))
    ours = [refused, *(member(BENIGN, mask(0), warnings=("dark", own)) for own in ("first", "second"))]
    assert consensus(ours).prediction.warnings == ("dark",)


def test_a_consensus_record_has_json_values():
    ours = [member(BENIGN, mask(0, 1)), member(MALIGNANT, mask(1, 2, 3))]
    ours = [Prediction(**{**vars(m), "approach": key}) for m, key in zip(ours, "ab", strict=True)]
    found = consensus(ours)
    record = consensus_record(found, GroundTruth(mask(0, 1), ("resized",)))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["overlap"] == {"a": {"a": 1, "b": 0.4}, "b": {"a": 0.4, "b": 1}}
    assert (record["classes_agree"], record["median_dice"], record["disagree"]) == (False, 0.4, True)
    assert [(r["approach"], r["dice"]) for r in record["approaches"]] == [("a", 1), ("b", 0.4)]
    assert record["consensus"]["approach"] == CONSENSUS and record["consensus"]["warnings"] == [DISAGREEMENT, "resized"]


def test_invalid_members_are_refused():
    with pytest.raises(ValueError, match="at least two predictions, got 1"):
        consensus([member(BENIGN, mask(0))])
    lighter = np.full(SHAPE, 8, dtype=np.uint8)
    fields = {**vars(member(BENIGN, mask(0))), "image": lighter}
    with pytest.raises(ValueError, match="different images"):
        consensus([member(BENIGN, mask(0)), Prediction(**fields)])


def test_the_input_check_of_the_middle_counts():
    accepted, doubtful, refused = (
        InputCheck(), InputCheck(Verdict.DOUBTFUL, ("Odd.",)), InputCheck(Verdict.REFUSED, ("No.",))
    )  # fmt: skip
    assert joined_check([refused, accepted, doubtful]) == doubtful
    assert joined_check([accepted, accepted, accepted, refused]) == accepted
    assert joined_check([accepted, doubtful]) == doubtful  # the stricter of two in the middle
    assert joined_check([refused, refused, accepted, accepted]) == refused
    assert not joined_check([accepted, accepted, InputCheck(compared=False)]).compared
