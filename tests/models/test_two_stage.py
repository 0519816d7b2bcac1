from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from busi_demo.inference.cam import class_activation_map
from busi_demo.models.two_stage import TwoStage, normal_log_odds, square_box
from busi_demo.types import CLASSES, InputError

WHOLE = [0.0, 0.0, 64.0, 64.0]


@pytest.fixture
def boxes(models):
    """From the rows and columns of rectangles to the crop box of a 64 x 64 mask."""

    def find(*rectangles: tuple[slice, slice]) -> list[float]:
        mask = torch.zeros(1, 64, 64, dtype=torch.bool)
        for rows, columns in rectangles:
            mask[0, rows, columns] = True
        return models["two_stage"].boxes(mask)[0].tolist()

    return find


def test_no_lesion_takes_the_whole_image(boxes):
    assert boxes() == WHOLE


def test_a_speck_is_no_lesion(boxes):
    # min_area 0.002 of 64 x 64 pixels is 8.2 pixels
    assert boxes((slice(30, 32), slice(30, 34))) == WHOLE
    assert boxes((slice(30, 33), slice(30, 33))) != WHOLE


def test_a_quarter_of_the_longer_side_is_added_on_each_side(boxes):
    # 8 high, 16 wide: side 16 * 1.5 = 24 about the centre (row 24, column 28)
    assert boxes((slice(20, 28), slice(20, 36))) == [16.0, 12.0, 40.0, 36.0]


def test_at_the_border_the_box_moves_inwards_and_keeps_its_size(boxes):
    assert boxes((slice(0, 16), slice(48, 64))) == [40.0, 0.0, 64.0, 24.0]


def test_a_lesion_as_large_as_the_image_takes_the_whole_image(boxes):
    assert boxes((slice(0, 64), slice(4, 60))) == WHOLE


def test_the_largest_region_counts(boxes):
    large, above, below = (slice(20, 28), slice(20, 36)), (slice(4, 10), slice(4, 10)), (slice(50, 60), slice(50, 60))
    assert boxes(above, large, below) == boxes(large)


def test_each_image_of_a_batch_has_its_own_box(models):
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[1, 20:28, 20:36] = True
    assert models["two_stage"].boxes(masks).tolist() == [WHOLE, [16.0, 12.0, 40.0, 36.0]]


def test_the_classifier_sees_the_crop_alone(models):
    model = models["two_stage"]
    x = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    elsewhere = x.clone()
    elsewhere[..., :10, :10] = 5.0
    inside = x.clone()
    inside[..., 30:34, 30:34] = 5.0
    box, mask_logits = torch.tensor([[24.0, 24.0, 48.0, 48.0]]), torch.zeros(1, 1, 64, 64)
    with torch.no_grad():
        logits = [model.classify(image, box, mask_logits).class_logits for image in (x, elsewhere, inside)]
    assert torch.equal(logits[0], logits[1])
    assert not torch.allclose(logits[0], logits[2], rtol=1e-3)


@pytest.mark.parametrize(("box", "first", "step"), [
    (WHOLE, 0.5, 2.0),  # 32 cells of 2 pixels; the centre of the first is that of the first two pixels, 0 and 1
    ([16.0, 0.0, 32.0, 16.0], 15.75, 0.5),
])  # fmt: skip
def test_the_crop_is_brought_to_its_size(models, monkeypatch, box, first, step):
    """On a ramp, whose value is the column, linear interpolation is exact."""
    model, seen = models["two_stage"], []
    monkeypatch.setitem(model.config, "crop_size", 32)
    monkeypatch.setattr(model.encoder, "forward", lambda crop: seen.append(crop) or [torch.zeros(1, 2048, 1, 1)])
    ramp = torch.arange(64.0).expand(1, 1, 64, 64)
    with torch.no_grad():
        model.classify(ramp, torch.tensor([box]), torch.zeros(1, 1, 64, 64))
    expected = (first + step * torch.arange(32)).expand(32, 32)
    torch.testing.assert_close(seen[0][0, 0], expected)


def test_log_odds_by_hand():
    logits = torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.3, 0.6]]).clamp(min=1e-9)
    logits[1] = logits[1].log()  # probabilities 0.1, 0.3 and 0.6: odds of normal 0.6 to 0.4
    assert normal_log_odds(logits).tolist() == pytest.approx([math.log(0.5), math.log(1.5)], abs=1e-6)


def test_the_detector_says_whether_there_is_a_lesion_and_the_classifier_which(models, noise):
    model = models["two_stage"]
    with torch.no_grad():
        whole, found = model(noise), model.detector(noise)
        crop = model.classify(noise, whole.boxes, found.mask_logits).class_logits
    probabilities, detected, named = (logits.softmax(1) for logits in (whole.class_logits, found.class_logits, crop))
    torch.testing.assert_close(probabilities[:, 2], detected[:, 2])
    given_a_lesion = named[:, :2] / named[:, :2].sum(1, keepdim=True)
    torch.testing.assert_close(probabilities[:, :2], given_a_lesion * (1 - detected[:, 2:]))
    assert torch.equal(whole.mask_logits, found.mask_logits)


@torch.no_grad()
def test_classifier_and_detector_say_together_which_lesion(models, noise):
    model = models["two_stage"]
    both = model.behind(model.detector, detector_share=0.25)
    whole, found = both(noise), model.detector(noise)
    crop = model.classify(noise, whole.boxes, found.mask_logits)
    mine, theirs = (logits[:, 1] - logits[:, 0] for logits in (crop.class_logits, found.class_logits))
    together = whole.class_logits[:, 1] - whole.class_logits[:, 0]
    torch.testing.assert_close(together, 0.75 * mine + 0.25 * theirs)
    probabilities, detected = (logits.softmax(1) for logits in (whole.class_logits, found.class_logits))
    torch.testing.assert_close(probabilities[:, 2], detected[:, 2])
    assert both.config["detector_share"] == 0.25 and model.config["detector_share"] == 0
    assert both.behind(model.detector).config["detector_share"] == 0.25
    for wrong in (1, -0.1, float("nan"), "0.5", None):
        with pytest.raises(InputError, match="at least 0 and less than 1, got"):
            model.detector_share = wrong
    maps = [class_activation_map(answer, "malignant") for answer in (both(noise[:1]), model(noise[:1]))]
    np.testing.assert_allclose(*(found / found.max() for found in maps), atol=1e-4)  # the evidence of the crop alone


def test_a_cam_shows_the_classifier_s_evidence_and_none_for_normal(models, noise):
    """By the closed form of Grad-CAM for a pooled linear head, for the classes that the crop decides."""
    model = models["two_stage"]
    with torch.no_grad():
        output = model(noise[:1])
    weights = model.head[-1].weight.detach()[CLASSES.index("malignant")]
    expected = (output.features[0] * weights[:, None, None]).sum(0).clamp(min=0).numpy() / output.features[0, 0].numel()
    found = class_activation_map(output, "malignant")
    assert expected.max() > 0
    np.testing.assert_allclose(found / found.max(), expected / expected.max(), atol=1e-4)
    assert not class_activation_map(output, "normal").any()


@pytest.fixture(scope="module")
def several() -> TwoStage:
    """Two detectors before one classifier."""
    torch.manual_seed(0)
    return TwoStage(detector={"ensemble_of": {"width": 8}, "folds": [3, 1]}).eval()


@torch.no_grad()
def test_several_detectors_answer_with_their_mean(several, noise):
    masks = [detector(noise).mask_logits for detector in several.detector.members]
    torch.testing.assert_close(several(noise).mask_logits, sum(masks) / 2)


@torch.no_grad()
def test_the_detector_that_does_not_know_a_fold_stands_before_the_same_classifier(several, noise):
    one = several.held_out(1)
    assert one.detector is several.detector.members[1] and one.encoder is several.encoder and one.head is several.head
    assert (one.folds, several.folds) == ((), (3, 1))
    assert one.config["detector"] == several.config["detector"]["ensemble_of"] and one.config["detector"]["width"] == 8
    assert torch.equal(one(noise).mask_logits, several.detector.members[1](noise).mask_logits)
    assert one.held_out(1) is one and several.detector is not one.detector
    with pytest.raises(InputError, match="trained on fold 0"):
        several.held_out(0)
    assert TwoStage(**several.config).state_dict().keys() == several.state_dict().keys()


@torch.no_grad()
def test_a_head_of_its_own_replaces_that_of_a_shared_detector(several, noise):
    model = TwoStage(detector=several.detector, detector_head=True).eval()
    assert model.detector is several.detector and model.outline_network is several.detector
    for position, head in enumerate(model.detector_head.heads):
        head[-1].bias[2] += position + 1  # twice as much for the second
    detected = several.detector(noise)
    raised = detected.class_logits + torch.tensor([0.0, 0.0, 1.5])
    torch.testing.assert_close(model(noise).class_logits[:, 2], normal_log_odds(raised))
    assert torch.equal(model(noise, detected).class_logits, model(noise).class_logits)
    one = model.held_out(1)
    raised = several.detector.members[1](noise).class_logits + torch.tensor([0.0, 0.0, 2.0])
    torch.testing.assert_close(one(noise).class_logits[:, 2], normal_log_odds(raised))
    assert one.config["detector_head"] and TwoStage(**model.config).state_dict().keys() == model.state_dict().keys()


def test_square_box_by_hand():
    assert square_box(10, 20, 30, 30, 0.1, 100) == pytest.approx((8, 13, 32, 37))
    assert square_box(0, 0, 100, 10, 0.5, 100) == (0, 0, 100, 100)
