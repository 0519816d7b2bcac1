from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch

from busi_demo.models import create_model
from busi_demo.training.losses import (
    CropObjective,
    DetectionObjective,
    JointObjective,
    classification_loss,
    segmentation_loss,
)

LN2 = math.log(2)


def batch_of(n: int, size: int = 64, **flags: float) -> dict[str, torch.Tensor]:
    """n images, the last one normal, with `mask_known` and `label_known` as given (1 otherwise)."""
    masks = torch.zeros(n, 1, size, size)
    masks[:-1, :, 20:36, 24:40] = 1
    labels = torch.tensor([*([0, 1] * n)[: n - 1], 2])
    known = {name: torch.full((n,), flags.get(name, 1.0)) for name in ("mask_known", "label_known")}
    return {"mask": masks, "label": labels, **known}


@pytest.fixture(scope="module")
def cnn():
    torch.manual_seed(0)
    return create_model("multitask_cnn", decoder_width=8, class_width=8)


def half_mask() -> torch.Tensor:
    """(1, 1, 20, 20), one quarter of the 400 pixels lesion: the smoothing term is 0.005 * 400 = 2."""
    mask = torch.zeros(1, 1, 20, 20)
    mask[..., :10, :10] = 1
    return mask


def test_segmentation_loss_by_hand():
    undecided = segmentation_loss(torch.zeros(1, 1, 20, 20), half_mask(), torch.ones(1))
    # overlap 100 * 0.5, sizes 200 + 100: Dice (2 * 50 + 2) / (300 + 2)
    assert undecided.item() == pytest.approx(LN2 + 1 - 102 / 302, rel=1e-5)
    certain = segmentation_loss((half_mask() - 0.5) * 60, half_mask(), torch.ones(1))
    assert certain.item() == pytest.approx(0, abs=1e-5)
    opposite = segmentation_loss((0.5 - half_mask()) * 60, half_mask(), torch.ones(1))
    # every pixel wrong by 30 logits; no overlap, sizes 300 + 100
    assert opposite.item() == pytest.approx(30 + 1 - 2 / 402, rel=1e-5)


def test_segmentation_loss_of_an_image_without_a_lesion_pulls_false_pixels_down():
    logits = torch.zeros(1, 1, 20, 20, requires_grad=True)
    loss = segmentation_loss(logits, torch.zeros(1, 1, 20, 20), torch.ones(1))
    assert loss.item() == pytest.approx(LN2 + 1 - 2 / 202, rel=1e-5)
    loss.backward()
    assert (logits.grad > 0.5 / 400).all()  # more than cross-entropy alone gives


def test_segmentation_loss_is_a_mean_over_known_masks():
    masks = torch.cat([half_mask(), torch.zeros(1, 1, 20, 20)])
    logits = torch.randn(2, 1, 20, 20)
    each = [segmentation_loss(logits[i : i + 1], masks[i : i + 1], torch.ones(1)) for i in (0, 1)]
    assert segmentation_loss(logits, masks, torch.ones(2)).item() == pytest.approx(sum(each).item() / 2, rel=1e-5)
    assert segmentation_loss(logits, masks, torch.tensor([1.0, 0.0])).item() == pytest.approx(each[0].item(), rel=1e-5)
    assert segmentation_loss(logits, masks, torch.zeros(2)).item() == 0


def test_classification_loss_by_hand():
    logits, labels = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), torch.tensor([0, 1])
    total = math.log(math.exp(2) + 2)
    first = (1 - 0.3 + 0.1) * (total - 2) + 2 * 0.1 * total  # smoothing 0.3 gives each class 0.1
    both = classification_loss(logits, labels, torch.ones(2), 0.3)
    assert both.item() == pytest.approx((first + math.log(3)) / 2, rel=1e-5)
    assert classification_loss(logits, labels, torch.tensor([0.0, 1.0]), 0.3).item() == pytest.approx(math.log(3))
    assert classification_loss(logits, labels, torch.zeros(2), 0.3).item() == 0


def test_the_joint_loss_is_the_weighted_sum(cnn):
    x, batch = torch.randn(3, 1, 64, 64), batch_of(3)
    cnn.eval()
    losses = JointObjective(w_seg=2.0, w_cls=0.5).losses(cnn, x, batch)
    expected = 2 * losses["segmentation"] + 0.5 * losses["classification"]
    assert losses["loss"].item() == pytest.approx(expected.item())


@pytest.mark.parametrize("mixed", [False, True])
@torch.no_grad()
def test_the_weight_of_normal_images_in_the_mask_loss(cnn, mixed):
    """By hand from the loss of each image alone; a label that is a mixture counts by its share of normal."""
    model, x, batch = deepcopy(cnn).eval(), torch.randn(3, 1, 64, 64), batch_of(3)  # the last one is normal
    if mixed:
        batch["label"] = torch.nn.functional.one_hot(batch["label"], 3).float()
    logits = model(x).mask_logits
    one, two, normal = (segmentation_loss(logits, batch["mask"], known).item() for known in torch.eye(3))
    for weight in (1.0, 0.25, 0.0):
        found = JointObjective(normal_masks=weight).losses(model, x, batch)["segmentation"].item()
        assert found == pytest.approx((one + two + weight * normal) / (2 + weight), rel=1e-5)


@pytest.mark.parametrize(("flag", "silent", "heard"), [
    ("mask_known", "decoder.mask.weight", "head.3.weight"),
    ("label_known", "head.3.weight", "decoder.mask.weight"),
])  # fmt: skip
def test_unknown_masks_and_classes_give_no_gradient(cnn, flag, silent, heard):
    model = deepcopy(cnn).train()
    losses = JointObjective().losses(model, torch.randn(4, 1, 64, 64), batch_of(4, **{flag: 0.0}))
    losses["loss"].backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert not gradients[silent].any()
    assert gradients[heard].any()


def test_each_stage_of_two_stage_trains_only_its_part(models):
    x, batch = torch.randn(2, 1, 64, 64), batch_of(2)
    for objective, idle in ((DetectionObjective(), "encoder"), (CropObjective(), "detector")):
        model = deepcopy(models["two_stage"]).eval()
        objective.losses(model, x, batch)["loss"].backward()
        trained = {id(parameter) for parameter in objective.trained(model).parameters()}
        for name, parameter in model.named_parameters():
            assert (parameter.grad is None) == (id(parameter) not in trained), name
            assert parameter.grad is None or not name.startswith(idle)


def test_the_label_of_a_mixture_says_which_crop_an_image_gets(models, monkeypatch):
    told = []
    objective = CropObjective()
    monkeypatch.setattr(objective, "boxes", lambda model, masks, normal: told.append(normal) or model.boxes(masks))
    labels = torch.tensor([[0.0, 0.4, 0.6], [0.6, 0.0, 0.4]])
    objective.losses(models["two_stage"], torch.randn(2, 1, 64, 64), batch_of(2) | {"label": labels})
    assert told[0].tolist() == [True, False]


def test_the_detection_stage_uses_its_own_objective(models):
    model, x, batch = deepcopy(models["two_stage"]).eval(), torch.randn(2, 1, 64, 64), batch_of(2)
    joint = JointObjective(smoothing=0.1, normal_masks=0.0)
    assert DetectionObjective(joint).losses(model, x, batch) == joint.losses(model.detector, x, batch)


class TestCropBoxes:
    """Training crops of the second stage; the lesion of `batch_of` gives the box (20, 16, 44, 40)."""

    def boxes(
        self, models, masks: torch.Tensor, share: float = 0.0, seed: int = 0, normal: torch.Tensor | None = None
    ) -> torch.Tensor:
        torch.manual_seed(seed)
        normal = ~masks.flatten(1).any(1) if normal is None else normal
        return CropObjective(whole_image_share=share).boxes(models["two_stage"], masks, normal)

    def test_boxes_are_around_the_lesion_and_inside_the_image(self, models):
        masks = batch_of(2)["mask"][:, 0] > 0.5
        found = torch.cat([self.boxes(models, masks, seed=seed)[:1] for seed in range(50)])
        side = found[:, 2] - found[:, 0]
        assert found.min() >= 0 and found.max() <= 64
        torch.testing.assert_close(found[:, 3] - found[:, 1], side)
        assert side.min() >= 24 * 0.6 - 0.01 and side.max() <= 24 * 1.4 + 0.01
        centre = (found[:, :2] + found[:, 2:]) / 2
        assert (centre - torch.tensor([32.0, 28.0])).abs().max() <= 0.12 * 24 + 0.01
        assert len(side.unique()) > 40

    def test_a_normal_image_is_cropped_where_another_has_its_lesion(self, models):
        box = self.boxes(models, batch_of(2)["mask"][:, 0] > 0.5)[1]
        assert 14 < box[2] - box[0] < 34

    def test_a_tumour_without_a_mask_is_the_whole_image(self, models):
        """Its class is not taught at the place of another image's lesion."""
        masks = batch_of(2)["mask"][:, 0] > 0.5
        found = [self.boxes(models, masks, seed=seed, normal=torch.tensor([False, False]))[1] for seed in range(10)]
        assert torch.stack(found).unique(dim=0).tolist() == [[0, 0, 64, 64]]

    def test_without_any_lesion_the_whole_image_is_taken(self, models):
        found = self.boxes(models, torch.zeros(3, 64, 64, dtype=torch.bool))
        assert found.tolist() == [[0, 0, 64, 64]] * 3

    def test_a_lesion_that_fills_the_image_is_not_treated_as_normal(self, models):
        masks = torch.stack([torch.ones(64, 64, dtype=torch.bool), batch_of(2)["mask"][0, 0] > 0.5])
        for seed in range(10):
            left, _, right, _ = self.boxes(models, masks, seed=seed)[0].tolist()
            assert right - left > 38  # 64 less at most 20 % a side; the other lesion's box is at most 34 wide

    def test_one_in_five_is_the_whole_image(self, models):
        masks = (batch_of(2)["mask"][:1, 0] > 0.5).expand(400, -1, -1)
        found = self.boxes(models, masks, share=0.2)
        share = (found[:, 2] - found[:, 0] == 64).float().mean().item()
        assert share == pytest.approx(0.2, abs=0.06)


def summary(**values):
    return {"macro_f1": 0.6, "lesion_dice": 0.5, "auc": {"benign": 0.7, "malignant": 0.9, "normal": None}} | values


def test_scores_by_hand():
    assert CropObjective().score(summary()) == pytest.approx((0.6 + 0.8) / 2)
    assert JointObjective().score(summary()) == pytest.approx((0.7 + 0.5) / 2)
    assert DetectionObjective().score(summary()) == 0.5
    assert CropObjective().score(summary(auc=dict.fromkeys(("benign", "malignant", "normal")))) == 0.6
    assert JointObjective().score(summary(lesion_dice=None)) == pytest.approx(0.7 / 2)
    assert DetectionObjective().score(summary(lesion_dice=None)) == 0.0
