from __future__ import annotations

import pytest
import torch
from helpers import disc, picture
from torchvision import tv_tensors

from busi_demo.data.augment import RandomCalipers, RandomGamma, RandomSpeckle, training_augmentation


@pytest.fixture
def pair() -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    """A grey image and a disc as its mask, uint8 (1, 64, 64)."""
    image, mask = torch.from_numpy(picture(1, 64, 64)), torch.from_numpy(disc(64, 64, 24, 36, 12))
    return tv_tensors.Image(image[None]), tv_tensors.Mask(mask[None].to(torch.uint8))


@pytest.mark.parametrize("transform", [RandomGamma, RandomSpeckle, RandomCalipers])
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


def test_training_augmentation_keeps_types_and_the_mask_two_valued(pair):
    augment, results = training_augmentation(), set()
    for seed in range(20):
        torch.manual_seed(seed)
        image, mask = augment(*pair)
        assert image.shape == mask.shape == (1, 64, 64)
        assert image.dtype == mask.dtype == torch.uint8
        assert mask.max() <= 1 and 0.4 < mask.sum() / pair[1].sum() < 2.8  # scales 0.75 to 1.6, squared
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
