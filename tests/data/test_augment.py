from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import disc, picture
from torchvision import tv_tensors

from busi_demo.data.augment import (
    AUGMENTATIONS,
    RandomAspect,
    RandomCalipers,
    RandomGainRamp,
    RandomGamma,
    RandomLowResolution,
    RandomScreen,
    RandomSpeckle,
    training_augmentation,
)
from busi_demo.data.screen import screen


@pytest.fixture
def pair() -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    """A grey image and a disc as its mask, uint8 (1, 64, 64)."""
    image, mask = torch.from_numpy(picture(1, 64, 64)), torch.from_numpy(disc(64, 64, 24, 36, 12))
    return tv_tensors.Image(image[None]), tv_tensors.Mask(mask[None].to(torch.uint8))


@pytest.mark.parametrize("transform", [RandomGamma, RandomSpeckle, RandomCalipers, RandomGainRamp, RandomLowResolution])
def test_grey_values_change_and_the_mask_does_not(pair, transform):
    torch.manual_seed(0)
    image, mask = transform()(*pair)
    assert torch.equal(mask, pair[1])
    assert image.shape == pair[0].shape and image.dtype == torch.uint8 and isinstance(image, tv_tensors.Image)
    assert not torch.equal(image, pair[0])


def test_gamma_by_hand():
    image = tv_tensors.Image(torch.tensor([[[0, 64, 255]]], dtype=torch.uint8))
    changed = RandomGamma(2.0, 2.0)(image)
    # (64 / 255) squared, times 255, is 16.06
    assert changed[0, 0, 0] == 0 and changed[0, 0, 2] == 255
    assert changed[0, 0, 1].item() == pytest.approx(16, abs=1)


def test_speckle_without_strength_changes_nothing_and_spares_black(pair):
    assert torch.equal(RandomSpeckle(0.0)(*pair)[0], pair[0])
    black = tv_tensors.Image(torch.zeros(1, 32, 32, dtype=torch.uint8))
    assert not RandomSpeckle(0.9)(black).any()


def test_calipers_are_few_bright_pixels():
    for seed in range(10):
        torch.manual_seed(seed)
        drawn = RandomCalipers()(tv_tensors.Image(torch.zeros(1, 64, 64, dtype=torch.uint8)))
        marked = drawn[drawn > 0]
        assert 8 <= len(marked) <= 60
        assert marked.min() >= 140 and len(marked.unique()) == 1


def test_a_gain_ramp_by_hand():
    torch.manual_seed(2)
    grey = tv_tensors.Image(torch.full((1, 33, 33), 100, dtype=torch.uint8))
    changed = RandomGainRamp(0.5)(grey)[0].float()
    assert changed[16, 16] == 100
    factors = changed / 100
    # exponential with depth: the factors above and below the middle are reciprocal
    assert factors[0, 16] * factors[32, 16] == pytest.approx(1, abs=0.03)
    assert abs(float(factors[0, 16]) - 1) > 0.05 and 0.6 < float(factors[0, 16]) < 1.65


@pytest.mark.parametrize("seed", range(6))
def test_pixels_that_are_not_square_squeeze_image_and_mask_alike(seed):
    torch.manual_seed(seed)
    square = torch.zeros(1, 64, 64, dtype=torch.uint8)
    square[:, 16:48, 16:48] = 1
    image, mask = RandomAspect(1.3)(tv_tensors.Image(square * 200), tv_tensors.Mask(square))
    assert image.shape == mask.shape == (1, 64, 64)
    rows, columns = (int(mask[0].any(dim=axis).sum()) for axis in (1, 0))
    assert sorted((rows, columns))[1] == 32 and 24 <= min(rows, columns) <= 32  # 32 / 1.3 is 24.6
    assert ((image >= 100) != (mask == 1)).sum() <= 2 * 32  # apart from the edge


def test_low_resolution_removes_fine_detail_and_keeps_the_mean():
    torch.manual_seed(0)
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 200
    image = RandomLowResolution(0.4)(tv_tensors.Image(board[None].to(torch.uint8)))
    assert image.shape == (1, 64, 64) and image.float().std() < 60 < board.float().std()
    assert image.float().mean() == pytest.approx(100, abs=3)


@pytest.mark.parametrize("seed", range(4))
def test_a_screen_surrounds_the_whole_picture_and_moves_the_mask_along(pair, seed):
    torch.manual_seed(seed)
    image, mask = RandomScreen(0.5, 0.5)(tv_tensors.Image(torch.full_like(pair[0], 255)), pair[1])
    assert image.shape == mask.shape == (1, 64, 64) and mask.max() == 1
    assert mask.sum() / pair[1].sum() == pytest.approx(0.25, abs=0.04)
    rows, columns = mask[0].any(dim=1).nonzero(), mask[0].any(dim=0).nonzero()
    assert (image[0, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == 255).all()
    assert (image < 255).any()


def test_screens_differ_and_are_reproducible():
    drawn = [screen(96, 128, (20, 30, 50, 70), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert drawn[0].shape == (96, 128) and drawn[0].dtype == np.uint8
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_keeps_types_and_the_mask_two_valued(pair, name):
    augment, results = AUGMENTATIONS[name](), set()
    smallest = {"standard": 0.4, "strong": 0.05}[name]
    for seed in range(20):
        torch.manual_seed(seed)
        image, mask = augment(*pair)
        assert image.shape == mask.shape == (1, 64, 64)
        assert image.dtype == mask.dtype == torch.uint8
        assert mask.max() <= 1 and smallest < mask.sum() / pair[1].sum() < 3.2  # scales up to 1.7, squared
        results.add(image.numpy().tobytes())
    assert len(results) == 20


def test_training_augmentation_moves_the_mask_with_the_image():
    mask = torch.from_numpy(disc(64, 64, 24, 36, 12))[None].to(torch.uint8)
    augment = training_augmentation()
    for seed in range(20):
        torch.manual_seed(seed)
        image, moved = augment(tv_tensors.Image(mask * 220), tv_tensors.Mask(mask))
        bright, inside = image > 100, moved.bool()
        assert 2 * (bright & inside).sum() / (bright.sum() + inside.sum()) > 0.8


def test_up_stays_up_and_left_may_become_right():
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    mask[:, 6:26, 6:26] = 1
    augment, lefts = training_augmentation(), []
    for seed in range(40):
        torch.manual_seed(seed)
        _, moved = augment(tv_tensors.Image(mask * 200), tv_tensors.Mask(mask))
        rows, columns = moved[0].nonzero().float().mean(0).tolist()
        assert rows < 32
        lefts.append(columns < 32)
    assert 10 < sum(lefts) < 30
