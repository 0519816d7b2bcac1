from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models import approach_class
from busi_demo.models.ensemble import Ensemble
from busi_demo.training.config import TrainConfig
from busi_demo.training.distill import Distilled, with_teacher
from busi_demo.training.findings import findings_head
from busi_demo.training.hints import Hints, encoder_of, hints_for, outputs_of
from busi_demo.training.losses import JointObjective
from busi_demo.training.precision import autocast
from busi_demo.types import InputError
from busi_demo.weights.store import Weights, save_weights

CHANNELS = (1, 1, 1, 2, 2, 2)


def maps(values: torch.Tensor) -> list[torch.Tensor]:
    """The maps of six depths; the last three hold two values an image, one in each channel."""
    return [torch.zeros(2, 1, 1, 1)] * 3 + [values[:, :, None, None]] * 3


def test_the_loss_is_one_for_predictions_of_zero_and_zero_for_exact_ones():
    hints = Hints(CHANNELS, CHANNELS)
    teacher = maps(torch.tensor([[10.0, -3.0], [30.0, -1.0]]))  # standardised: -1 and 1 in both channels
    for project in hints:
        nn.init.zeros_(project.weight)
        nn.init.zeros_(project.bias)
    assert hints.loss(maps(torch.ones(2, 2)), teacher).item() == pytest.approx(1, rel=1e-4)
    for project in hints:
        project.weight.data = torch.eye(2)[:, :, None, None]
    exact = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    assert hints.loss(maps(exact), teacher).item() == pytest.approx(0, abs=1e-4)
    # of four errors one is 2 and three are 0: their squares have a mean of 1
    one_wrong = torch.tensor([[-1.0, -1.0], [1.0, -1.0]])
    assert hints.loss(maps(one_wrong), teacher).item() == pytest.approx(1, rel=1e-4)


def test_maps_finer_than_stride_8_do_not_change_the_loss():
    hints = Hints(CHANNELS, CHANNELS)
    coarse = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    other = [torch.full((2, 1, 1, 1), 9.0)] * 3 + maps(coarse)[3:]
    assert torch.equal(hints.loss(maps(coarse), maps(coarse)), hints.loss(other, other))


def batch(size: int = 64) -> dict[str, torch.Tensor]:
    n = 2
    return {
        "mask": torch.zeros(n, 1, size, size), "label": torch.tensor([0, 1]),
        "mask_known": torch.ones(n), "label_known": torch.ones(n),
    }  # fmt: skip


def test_student_and_its_projections_learn_from_the_maps_of_the_same_images_and_the_teacher_does_not():
    student, teacher = approach_class("multitask_cnn").fresh().train(), approach_class("multitask_unet").fresh().eval()
    hints, again = hints_for(student, teacher, seed=3), hints_for(student, teacher, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(hints.state_dict().values(), again.state_dict().values(), strict=True))
    objective = Distilled(JointObjective(), Weights(teacher, Preprocess(size=64)), 0.5, hints, w_hints=0.25)
    x = torch.randn(2, 1, 64, 64)
    losses = objective.losses(student, x, batch())
    joint = losses["segmentation"] + losses["classification"]
    assert losses["loss"].item() == pytest.approx((joint + 0.25 * losses["hints"]).item())
    with torch.no_grad():  # in training, batch norms use the means of the batch
        expected = hints.loss(encoder_of(student)(x), encoder_of(teacher)(x))
    assert losses["hints"].item() == pytest.approx(expected.item(), rel=1e-4)
    losses["hints"].backward()
    projections = list(objective.auxiliary.parameters())
    assert len(projections) == 6 and all(p.grad is not None and p.grad.abs().sum() > 0 for p in projections)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder_of(student).parameters())
    assert all(p.grad is None for p in teacher.parameters())


def test_maps_are_collected_within_the_block_alone():
    encoder = nn.Identity()
    with outputs_of(encoder) as seen:
        encoder(1)
        with pytest.raises(ZeroDivisionError), outputs_of(encoder):
            _ = 1 / 0
        encoder(2)
    encoder(3)
    assert seen == [1, 2]


def test_hints_come_from_the_teacher_of_the_settings(tmp_path, models):
    save_weights(tmp_path / "multitask_unet", models["multitask_unet"], Preprocess(size=64), facts={})
    config = TrainConfig(teacher=str(tmp_path / "multitask_unet"), hints=2.0)
    objective = with_teacher(JointObjective(), config, models["multitask_resnet50"])
    assert isinstance(objective, Distilled) and objective.w_hints == 2.0
    channels = [(project.in_channels, project.out_channels) for project in objective.hints]
    assert channels == [(512, 40), (1024, 112), (2048, 320)]
    assert with_teacher(JointObjective(), replace(config, hints=0.0), models["multitask_resnet50"]).hints is None
    with pytest.raises(ValueError, match="Hints need the network that gets them"):
        with_teacher(JointObjective(), config)


def test_an_ensemble_hints_by_the_network_that_did_not_learn_from_the_fold(tmp_path):
    members = [approach_class("multitask_cnn").fresh() for _ in range(2)]
    save_weights(tmp_path / "multitask_cnn", Ensemble(members, folds=(0, 1)), Preprocess(size=64), facts={})
    config = TrainConfig(teacher=str(tmp_path / "multitask_cnn"), hints=1.0, fold=1)
    objective = with_teacher(JointObjective(), config, members[0])
    weight = next(encoder_of(objective.teacher.model).parameters())
    torch.testing.assert_close(weight, next(encoder_of(members[1]).parameters()), atol=1e-3, rtol=1e-3)
    assert not torch.allclose(weight, next(encoder_of(members[0]).parameters()), atol=1e-3)


def test_a_teacher_that_looks_at_several_sizes_hints_at_that_of_the_student():
    student = approach_class("multitask_cnn").fresh().train()
    teacher = approach_class("multitask_cnn")(scales=[0.5, 1.0]).eval()
    hints = hints_for(student, teacher, 0)
    objective = Distilled(JointObjective(), Weights(teacher, Preprocess(size=64)), 0.5, hints, w_hints=1.0)
    x = torch.randn(2, 1, 64, 64)
    losses = objective.losses(student, x, batch())
    with torch.no_grad():
        expected = hints.loss(encoder_of(student)(x), encoder_of(teacher)(x))
    assert losses["hints"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_findings_and_hints_learn_together_and_in_bf16():
    student, teacher = approach_class("multitask_cnn").fresh().train(), approach_class("multitask_cnn").fresh().eval()
    joint = JointObjective(findings=findings_head(student, 0), w_findings=0.5)
    weights = Weights(teacher, Preprocess(size=64))
    objective = Distilled(joint, weights, 0.5, hints_for(student, teacher, 0), w_hints=1.0)
    targets = {"birads": torch.tensor([1, 2]), "histology": torch.tensor([0, 0])}
    with autocast(torch.device("cpu"), "bf16"):
        losses = objective.losses(student, torch.randn(2, 1, 64, 64), batch() | targets)
    assert losses["hints"].dtype == torch.float32 and losses["hints"].isfinite()
    losses["loss"].backward()
    trained = list(objective.auxiliary.parameters())
    assert len(trained) == 6 + len(list(joint.auxiliary.parameters()))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained)


def test_networks_whose_encoder_does_not_see_the_whole_image_are_refused(models):
    ensemble = Ensemble([models["multitask_unet"]] * 2, folds=(0, 1))
    for teacher, key in ((ensemble, "multitask_unet"), (models["two_stage"], "two_stage")):
        with pytest.raises(InputError, match=f"whose encoder sees the whole image, which is not so for {key} here"):
            hints_for(models["multitask_cnn"], teacher, 0)
    with pytest.raises(InputError, match=r"--hints 1\.0 needs a network to take them from: add --teacher DIR"):
        TrainConfig(hints=1.0)
