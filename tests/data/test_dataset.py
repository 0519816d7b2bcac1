from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import DiscSample, disc, picture, write_busi
from torchvision.transforms import v2

from busi_demo.data.augment import training_augmentation
from busi_demo.data.busi import FileSample, index_folder
from busi_demo.data.dataset import CanvasDataset, WeightedEpochSampler, sampling_weights
from busi_demo.data.reading import read_samples
from busi_demo.imaging.preprocess import Preprocess


def test_an_item(tmp_path):
    samples = index_folder(write_busi(tmp_path, {"benign": 1, "normal": 1}))
    preprocess = Preprocess(size=64)
    dataset = CanvasDataset(read_samples(samples, preprocess))
    assert len(dataset) == 2
    item, mask = dataset[0], disc(72, 96, 36, 48, 72 / 5)
    assert torch.equal(item["image"], preprocess.canvas(picture(1))) and item["image"].dtype == torch.uint8
    assert torch.equal(item["mask"], preprocess.mask_canvas(mask)) and item["mask"].dtype == torch.uint8
    assert (item["label"].item(), item["label"].dtype) == (0, torch.int64)
    assert (item["mask_known"].item(), item["label_known"].item()) == (1.0, 1.0)
    assert dataset[1]["label"] == 2 and not dataset[1]["mask"].any()


def test_unknown_masks_and_classes_are_flagged():
    samples = [DiscSample("malignant", mask_complete=False), DiscSample("malignant", label_certain=False)]
    dataset = CanvasDataset(read_samples(samples, Preprocess(size=32)))
    assert [dataset[i]["mask_known"].item() for i in (0, 1)] == [0.0, 1.0]
    assert [dataset[i]["label_known"].item() for i in (0, 1)] == [1.0, 0.0]


def test_files_are_read_once():
    sample = DiscSample("malignant")
    dataset = CanvasDataset(read_samples([sample], Preprocess(size=32)), training_augmentation())
    for seed in range(5):
        dataset[0, seed]
    assert sample.reads == 1


def test_an_index_and_a_seed_give_the_same_item_again():
    samples = [DiscSample("malignant"), DiscSample("benign")]
    first, second = (
        CanvasDataset(read_samples(samples, Preprocess(size=64)), training_augmentation()) for _ in range(2)
    )
    expected = [first[0, seed] for seed in (1, 2, 3)]
    torch.manual_seed(99)  # neither the global generator nor the order may matter
    found = [second[0, seed] for seed in (3, 2, 1)][::-1]
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one["image"], other["image"]) and torch.equal(one["mask"], other["mask"])
    assert not torch.equal(expected[0]["image"], expected[1]["image"])


def test_drawing_an_item_leaves_the_global_generator_alone():
    dataset = CanvasDataset(read_samples([DiscSample("malignant")], Preprocess(size=32)), training_augmentation())
    state = torch.random.get_rng_state()
    dataset[0, 5]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_without_a_seed_nothing_is_augmented():
    dataset = CanvasDataset(read_samples([DiscSample("malignant")], Preprocess(size=32)), training_augmentation())
    assert torch.equal(dataset[0]["image"], dataset.images[0])


def test_image_and_mask_move_together():
    geometry = v2.Compose([v2.RandomHorizontalFlip(0.5), v2.RandomAffine(degrees=20, translate=(0.2, 0.2))])
    dataset = CanvasDataset(read_samples([DiscSample("malignant")], Preprocess(size=64)), geometry)
    still = dataset[0]["mask"]
    moved = 0
    for seed in range(8):
        item = dataset[0, seed]
        assert set(item["mask"].unique().tolist()) == {0, 1}
        image, mask = item["image"] > 127, item["mask"].bool()
        assert 2 * (image & mask).sum() / (image.sum() + mask.sum()) > 0.9
        moved += not torch.equal(item["mask"], still)
    assert moved >= 7


def draws(sampler: WeightedEpochSampler, epoch: int, skip: int = 0) -> list[tuple[int, int]]:
    sampler.start(epoch, skip)
    return list(sampler)


def test_the_draws_depend_only_on_seed_and_epoch():
    one, other = (WeightedEpochSampler(torch.ones(50), 20, seed=3) for _ in range(2))
    draws(other, 7)
    torch.manual_seed(1)
    assert draws(one, 4) == draws(other, 4)
    assert draws(one, 4) != draws(one, 5)
    assert draws(one, 4) != draws(WeightedEpochSampler(torch.ones(50), 20, seed=4), 4)


def test_skipping_continues_an_epoch():
    sampler = WeightedEpochSampler(torch.ones(50), 20, seed=0)
    assert len(draws(sampler, 2)) == len(sampler) == 20
    assert draws(sampler, 2, skip=8) == draws(sampler, 2)[8:]


def test_weights_decide_how_often_a_position_is_drawn():
    positions = [position for position, _ in draws(WeightedEpochSampler(torch.tensor([0.0, 1.0, 3.0]), 4000, 0), 0)]
    shares = np.bincount(positions, minlength=3) / 4000
    assert shares[0] == 0
    np.testing.assert_allclose(shares[1:], [0.25, 0.75], atol=0.03)


def test_every_draw_has_its_own_augmentation():
    seeds = [seed for _, seed in draws(WeightedEpochSampler(torch.ones(1), 100, 0), 0)]
    assert len(set(seeds)) == 100


def of_class(label: str) -> FileSample:
    return FileSample("a", label, "a", None, ())


def test_shares_by_hand():
    samples = [of_class(label) for label in ("benign", "benign", "benign", "benign", "normal", "malignant")]
    sources = ["busi"] * 5 + ["phantoms"]
    weights = sampling_weights(samples, sources, {"busi": 0.9, "phantoms": 0.1})
    # busi: classes in proportion to sqrt(4) : sqrt(1), so benign gets 0.9 * 2/3 over 4 images, normal 0.9 * 1/3
    assert weights.tolist() == pytest.approx([0.15] * 4 + [0.3, 0.1])


def test_a_source_without_images_is_ignored():
    weights = sampling_weights([of_class("benign"), of_class("normal")], ["a", "a"], {"a": 0.4, "b": 0.6})
    assert weights.tolist() == pytest.approx([0.5, 0.5])
