"""Learning rates, input size, weight averaging and mixup, by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from busi_demo.training.config import TrainConfig
from busi_demo.training.losses import CropObjective
from busi_demo.training.schedule import input_size, learning_rate
from busi_demo.training.step import _ema, _parameter_groups, mixed, restyled


def test_the_learning_rate_by_hand():
    config = TrainConfig(learning_rate=0.1, warmup=0.2)
    rates = [learning_rate(step, 10, config) for step in range(10)]
    assert rates[:3] == pytest.approx([0.05, 0.1, 0.1])
    # half way down the cosine of 8 steps: 0.01 + 0.99 / 2 of the peak
    assert rates[6] == pytest.approx(0.1 * 0.505)
    assert rates[9] == pytest.approx(0.1 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * 7 / 8))))
    assert all(a >= b for a, b in pairwise(rates[1:]))


def test_a_run_of_one_step_has_a_learning_rate():
    assert learning_rate(0, 1, TrainConfig(learning_rate=0.1)) == pytest.approx(0.1)


def sizes(epochs: int, **settings: int) -> list[int]:
    config = TrainConfig(epochs=epochs, **settings)
    return [input_size(epoch, config) for epoch in range(epochs)]


def test_the_input_grows_in_equal_shares():
    assert sizes(8, start_size=128, image_size=224) == [128, 128, 160, 160, 192, 192, 224, 224]
    assert sizes(6, start_size=160, image_size=224) == [160, 160, 192, 192, 224, 224]
    assert sizes(3, start_size=96, image_size=96) == [96, 96, 96]


def test_the_input_of_training_can_stay_below_that_of_inference():
    assert sizes(4, start_size=128, end_size=160, image_size=224) == [128, 128, 160, 160]
    assert sizes(3, start_size=128, end_size=128, image_size=192) == [128, 128, 128]


def test_a_run_ends_at_the_full_size_however_short():
    assert sizes(1, start_size=64, image_size=224) == [224]
    assert sizes(2, start_size=128, image_size=224) == [160, 224]
    for epochs in range(2, 12):
        found = sizes(epochs, start_size=128, image_size=224)
        assert found[-1] == 224 and found == sorted(found)


def averaged(decay: float, values: list[float]) -> list[float]:
    """The average after each of `values` has been the only weight of a network."""
    model = nn.Linear(1, 1, bias=False)
    mean = AveragedModel(model, multi_avg_fn=_ema(decay))
    found = []
    for value in values:
        with torch.no_grad():
            model.weight.fill_(value)
        mean.update_parameters(model)
        found.append(mean.module.weight.item())
    return found


def test_the_average_starts_at_the_first_weights_and_follows():
    # after n updates a new value weighs 1 - (1 + n) / (10 + n): 9/11 for the second, 9/12 for the third
    expected = [4.0, 4 + (8 - 4) * 9 / 11]
    expected.append(expected[1] + (0 - expected[1]) * 9 / 12)
    assert averaged(0.998, [4.0, 8.0, 0.0]) == pytest.approx(expected)


def test_the_decay_limits_the_weight_of_the_average():
    assert averaged(0.1, [4.0, 8.0, 0.0]) == pytest.approx([4.0, 7.6, 0.76])


def test_whole_numbers_are_copied():
    mean, count = torch.tensor(3), torch.tensor(8)
    _ema(0.9)([mean], [count], torch.tensor(5))
    assert mean == 8


def test_biases_and_norms_are_not_decayed():
    decayed, free = _parameter_groups(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2)), 0.05, 1.0)
    assert [p.ndim for p in decayed["params"]] == [4, 2] and decayed["weight_decay"] == 0.05
    assert [p.ndim for p in free["params"]] == [1, 1, 1, 1] and free["weight_decay"] == 0


def test_the_encoder_has_a_learning_rate_of_its_own():
    network = nn.ModuleDict({"encoder": nn.Linear(2, 3), "head": nn.Linear(3, 1)})
    groups = _parameter_groups(network, 0.05, 0.2)
    assert [(g["rate"], g["weight_decay"], [tuple(p.shape) for p in g["params"]]) for g in groups] == [
        (0.2, 0.05, [(3, 2)]), (0.2, 0.0, [(3,)]), (1.0, 0.05, [(1, 3)]), (1.0, 0.0, [(1,)])]  # fmt: skip


def test_the_encoder_of_the_second_stage_has_that_rate_too(models):
    stage = CropObjective().trained(models["two_stage"])
    rates = {id(p): group["rate"] for group in _parameter_groups(stage, 0.05, 0.2) for p in group["params"]}
    for name, parameter in models["two_stage"].named_parameters():
        expected = {"encoder": 0.2, "head": 1.0}.get(name.split(".")[0])
        assert rates.get(id(parameter)) == expected, name


def test_mixup_blends_images_and_all_their_targets_with_the_same_share():
    torch.manual_seed(0)
    batch = {
        "image": torch.tensor([0.0, 100.0])[:, None, None, None].expand(2, 1, 4, 4),
        "mask": torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 4, 4),
        "label": torch.tensor([2, 0]),
        "mask_known": torch.ones(2),
        "label_known": torch.tensor([1.0, 0.0]),
        "birads": torch.tensor([1, 3]),
        "histology": torch.tensor([2, 2]),
    }
    for _ in range(20):
        blended = mixed(batch, 0.4)
        share = float(blended["mask"][1, 0, 0, 0])
        assert 0.5 <= share <= 1 and blended["label"].shape == (2, 3)
        if share == 1:  # each with itself
            continue
        assert blended["image"][:, 0, 0, 0].tolist() == pytest.approx([100 * (1 - share), 100 * share])
        assert blended["label"][0].tolist() == pytest.approx([1 - share, 0, share])
        assert blended["mask_known"].tolist() == [1, 1] and blended["label_known"].tolist() == [0, 0]
        assert blended["birads"].tolist() == [-1, -1] and blended["histology"].tolist() == [2, 2]
        return
    raise AssertionError("no pair was blended")


def test_restyling_takes_coarse_contrast_of_another_image_and_keeps_fine_structure():
    torch.manual_seed(0)
    stripes = 10 * torch.tensor([1.0, -1.0]).repeat(32).expand(64, 64)  # half a cycle a pixel
    images = torch.stack([60 + stripes, 160 - stripes]).unsqueeze(1)
    assert torch.allclose(restyled(images, 0.0), images, atol=1e-3)
    means = torch.stack([restyled(images, 1.0).mean(dim=(1, 2, 3)) for _ in range(50)])
    assert (means >= 59.9).all() and (means <= 160.1).all() and means[:, 0].std() > 10  # between both, at random
    for _ in range(10):
        changed = restyled(images, 1.0)
        fine = changed - changed.mean(dim=(2, 3), keepdim=True)
        assert torch.allclose(fine, images - images.mean(dim=(2, 3), keepdim=True), atol=1e-2)
    alike = images[:1].expand(4, 1, 64, 64)
    assert torch.allclose(restyled(alike, 1.0), alike, atol=1e-3)
    assert ((restyled(255 * torch.rand(8, 1, 64, 64).round(), 1.0) - 127.5).abs() <= 127.5).all()
