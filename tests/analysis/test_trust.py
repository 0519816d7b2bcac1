from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from busi_demo.analysis.trust import Check, Level, Trust, assess, check_agreement, check_cam, check_flip, check_margin
from busi_demo.imaging import GreyImage
from busi_demo.imaging.masks import agreeing_mask, chosen_mask
from busi_demo.imaging.text import percent
from busi_demo.types import Agreement, Prediction

SHAPE = (10, 10)


def box(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[rows, columns] = True
    return mask


LESION = box(slice(2, 4), slice(1, 6))  # a tenth of the image, on its left


def prediction(mask: np.ndarray = LESION, benign: float = 0.1, malignant: float = 0.8, **fields) -> Prediction:
    probabilities = {"benign": benign, "malignant": malignant, "normal": 1 - benign - malignant}
    made = Prediction(
        approach="multitask_cnn",
        image=np.arange(100, dtype=np.uint8).reshape(SHAPE),
        mask=mask,
        mask_probability=mask.astype(np.float32),
        probabilities=probabilities,
        cam=mask.astype(np.float32),
        cam_class=max(probabilities, key=probabilities.__getitem__),
        cam_peak=1.0,
        threshold=0.5,
        agreement=Agreement.AGREES,
    )
    return replace(made, **fields)


def mirror(one: Prediction, **fields) -> Prediction:
    """The answer of a network that is invariant to mirroring."""
    flipped = {name: getattr(one, name)[:, ::-1] for name in ("image", "mask", "mask_probability", "cam")}
    return replace(one, **{**flipped, **fields})


def cam(inside: float) -> np.ndarray:
    """A map with that share of its energy evenly inside `LESION` and the rest evenly outside."""
    evidence = np.where(LESION, inside / 10, (1 - inside) / 90)
    return (evidence / evidence.max()).astype(np.float32)


def test_what_surrounds_the_frame_does_not_change_the_focus():
    alone = prediction(cam=cam(0.5))
    around = {name: np.pad(getattr(alone, name), 10) for name in ("image", "mask", "mask_probability", "cam")}
    within = check_cam(replace(alone, **around, frame=(10, 10, 20, 20)))
    assert within.value == pytest.approx(check_cam(alone).value) and "of the part used" in within.sentence


@pytest.mark.parametrize(("inside", "level"), [
    (1.0, Level.GREEN), (0.31, Level.GREEN), (0.29, Level.AMBER), (0.16, Level.AMBER), (0.14, Level.RED),
    (0.0, Level.RED),
])  # fmt: skip
def test_evidence_is_compared_with_the_area(inside, level):
    check = check_cam(prediction(cam=cam(inside)))
    assert check.level is level
    assert check.value == pytest.approx(inside * 10, abs=1e-4)
    assert f"{percent(inside)} of it on 10.0%" in check.sentence


def test_evidence_inside_a_lesion_that_fills_the_image_is_green():
    large = box(slice(0, 10), slice(0, 5))
    assert check_cam(prediction(large)).level is Level.GREEN  # a focus of 2, but all of it inside
    assert check_cam(prediction(large, cam=np.where(large, 1, 0.2).astype(np.float32))).level is Level.AMBER


def test_a_map_without_evidence_is_red():
    assert check_cam(prediction(cam=np.zeros(SHAPE, dtype=np.float32), cam_peak=0.0)).level is Level.RED


@pytest.mark.parametrize("one", [
    prediction(mask=np.zeros(SHAPE, dtype=bool)),
    prediction(mask=np.zeros(SHAPE, dtype=bool), malignant=0.1),
    prediction(cam_class="benign"),
], ids=["no outline", "normal", "another class"])  # fmt: skip
def test_the_check_does_not_apply_without_a_lesion_or_with_a_map_of_another_class(one):
    check = check_cam(one)
    assert check.level is None and check.sentence.startswith("Does not apply")


def test_a_mirror_image_with_the_mirrored_answer_is_stable():
    check = check_flip(prediction(), mirror(prediction()))
    assert check.level is Level.GREEN and check.value == 1.0


@pytest.mark.parametrize(("columns", "level", "overlap"), [
    (slice(2, 7), Level.GREEN, 0.8), (slice(3, 8), Level.AMBER, 0.6), (slice(4, 9), Level.RED, 0.4),
])  # fmt: skip
def test_a_shifted_outline_is_less_stable(columns, level, overlap):
    shifted = mirror(prediction(mask=box(slice(2, 4), columns)))
    check = check_flip(prediction(), shifted)
    assert (check.level, check.value) == (level, pytest.approx(overlap))


def test_another_class_of_the_mirror_image_is_red():
    check = check_flip(
        prediction(), mirror(prediction(), probabilities={"benign": 0.7, "malignant": 0.2, "normal": 0.1})
    )
    assert check.level is Level.RED and "benign, not malignant" in check.sentence


def test_two_answers_without_an_outline_are_stable():
    normal = prediction(mask=np.zeros(SHAPE, dtype=bool), malignant=0.1)
    assert check_flip(normal, mirror(normal)).level is Level.GREEN


@pytest.mark.parametrize(("peak", "malignant", "min_area", "level"), [
    (0.9, 0.8, 0.003, Level.GREEN), (0.3, 0.8, 0.003, Level.AMBER), (0.04, 0.8, 0.003, Level.RED),
    (0.9, 0.1, 0.003, Level.RED), (0.3, 0.1, 0.003, Level.GREEN), (0.9, 0.1, 0.2, Level.GREEN),
])  # fmt: skip
def test_outline_and_class(peak, malignant, min_area, level):
    """The last lesion is below the minimum area and is not outlined."""
    probability = np.where(LESION, peak, 0).astype(np.float32)
    predicted = prediction(malignant=malignant).predicted_class
    mask, agreement, _ = agreeing_mask(probability, predicted, 0.5, min_area)
    one = prediction(mask, mask_probability=probability, malignant=malignant, agreement=agreement)
    assert check_agreement(one).level is level


def test_a_chosen_threshold_that_outlines_a_lesion_in_a_normal_image_is_a_contradiction():
    mask, agreement, _ = chosen_mask(LESION.astype(np.float32), "normal", 0.5, 0.003)
    check = check_agreement(prediction(mask, malignant=0.1, agreement=agreement))
    assert (check.level, check.sentence) == (Level.RED, "The class is normal, but a lesion is outlined.")


@pytest.mark.parametrize(("malignant", "benign", "level"), [
    (0.71, 0.29, Level.GREEN), (0.68, 0.3, Level.AMBER), (0.56, 0.44, Level.AMBER), (0.52, 0.44, Level.RED),
])  # fmt: skip
def test_the_margin_between_the_first_two_classes(malignant, benign, level):
    check = check_margin(prediction(malignant=malignant, benign=benign))
    assert (check.level, check.value) == (level, pytest.approx(malignant - benign))


def test_the_overall_level_is_the_worst_of_the_checks():
    def trust(*levels: Level | None) -> Trust:
        return Trust(tuple(Check("", level, "") for level in levels), 0.5)

    assert trust(Level.GREEN, None).level is Level.GREEN
    assert trust(Level.GREEN, Level.RED, Level.AMBER).level is Level.RED


def test_checks_at_another_threshold_have_a_reservation():
    trust = assess(prediction(), lambda _: mirror(prediction()))
    assert trust.reservation(prediction().threshold) is None
    assert trust.reservation(0.9) == "Checked at the approach's own threshold of 0.5, not at the chosen 0.9."


def test_the_network_runs_once_on_the_mirror_image():
    one, asked = prediction(), []

    def predict(image: GreyImage) -> Prediction:
        asked.append(image)
        return mirror(one)

    trust = assess(one, predict)
    assert len(asked) == 1 and np.array_equal(asked[0].pixels, one.image[:, ::-1]) and asked[0].frame is None
    assert [check.level for check in trust.checks] == [Level.GREEN] * 5 and trust.level is Level.GREEN


def test_the_mirror_image_has_the_mirrored_frame_and_the_same_spacing():
    one, asked = replace(prediction(), frame=(1, 2, 5, 9), spacing=(0.1, 0.2)), []
    assess(one, lambda image: asked.append(image) or mirror(one))
    width = SHAPE[1]
    assert asked[0].frame == (width - 5, 2, width - 1, 9) and asked[0].spacing == (0.1, 0.2)
