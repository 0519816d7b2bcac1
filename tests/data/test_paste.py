from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import DiscSample

from busi_demo.data.paste import pasted, pasted_lesions
from busi_demo.data.reading import Reading, read_samples
from busi_demo.imaging.preprocess import Preprocess

PREPROCESS = Preprocess(size=96)


class Tissue(DiscSample):
    """Even grey tissue with a dark disc, if it is not normal."""

    def __init__(self, label: str, grey: int) -> None:
        super().__init__(label, name=f"{label} {grey}", findings={"birads": "4"} if label != "normal" else {})
        self.grey = grey

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        _, mask = super().read()
        return np.where(mask, self.grey // 2, self.grey).astype(np.uint8), mask


def read(*samples: DiscSample) -> list[Reading]:
    return read_samples(samples, PREPROCESS)


def test_a_pasted_lesion_has_the_class_and_mask_of_its_donor_and_the_brightness_of_its_new_place():
    normal, donor = read(Tissue("normal", 80), Tissue("benign", 120))
    made = pasted(normal, donor, np.random.default_rng(0))
    assert (made.sample.label, made.sample.findings) == ("benign", {"birads": "4"})
    assert made.sample.name == "normal 80 with benign 120"
    inside = made.image[made.mask > 0].float()
    assert inside.mean() == pytest.approx(40, abs=4)  # half of the tissue around, at the gain of 80 / 120
    outside = made.image[0, 12:84][made.mask[0, 12:84] == 0].float()
    assert (outside - 80).abs().mean() < 3
    assert 0.5 < made.mask.sum() / donor.mask.sum() < 1.7  # sides of 0.75 to 1.25
    assert torch.equal(normal.image[0, 12:84], torch.full((72, 96), 80, dtype=torch.uint8))  # the origin stays


def test_nothing_is_pasted_into_background_or_where_it_does_not_fit():
    dark, donor = read(Tissue("normal", 4), Tissue("malignant", 120))
    assert pasted(dark, donor, np.random.default_rng(0)) is None
    small, whole = read(Tissue("normal", 80), Tissue("benign", 120))
    whole.mask[0, 20:76, 10:86] = 1
    made = [pasted(small, whole, np.random.default_rng(seed)) for seed in range(20)]
    kept = [reading for reading in made if reading]
    assert 0 < len(kept) < 20  # resized to 0.75 to 1.25 of an image that it fills
    assert not any(reading.mask[0, :12].any() or reading.mask[0, 84:].any() for reading in kept)


def test_each_normal_image_receives_lesions_of_certain_class_and_complete_mask():
    uncertain = DiscSample("malignant", label_certain=False)
    incomplete = DiscSample("malignant", mask_complete=False)
    readings = read(Tissue("normal", 80), Tissue("normal", 90), Tissue("benign", 120), uncertain, incomplete)
    made = pasted_lesions(readings, each=4, seed=1)
    assert 4 <= len(made) <= 8 and {r.sample.label for r in made} == {"benign"}
    again = pasted_lesions(readings, each=4, seed=1)
    assert all(torch.equal(a.image, b.image) for a, b in zip(made, again, strict=True))
    assert pasted_lesions(readings[:2], each=4, seed=1) == []
