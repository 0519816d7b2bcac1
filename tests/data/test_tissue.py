from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import picture

from busi_demo.data.reading import Reading, read_samples
from busi_demo.data.tissue import TissueSample, tissue_beside
from busi_demo.imaging.preprocess import Preprocess

PREPROCESS = Preprocess(size=96)


class Lesion:
    """An image of 60 x 120 pixels whose lesion lies at the left, between the columns 10 and 40."""

    name, label, group, mask_complete, label_certain = "one.png", "malignant", "patient 1", True, True

    def __init__(self, columns: tuple[int, int] = (10, 40), grey: int | None = None) -> None:
        self.findings: dict[str, str] = {}
        self.image = picture(3, 60, 120) if grey is None else np.full((60, 120), grey, dtype=np.uint8)
        self.mask = np.zeros((60, 120), dtype=bool)
        self.mask[20:40, slice(*columns)] = True

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        return self.image, self.mask


def read(sample: Lesion) -> Reading:
    (reading,) = read_samples([sample], PREPROCESS)
    return reading


def test_the_wider_side_becomes_a_normal_image_of_the_same_aspect_ratio():
    lesion = Lesion()
    tissue = tissue_beside(read(lesion), PREPROCESS)
    sample = tissue.sample
    assert isinstance(sample, TissueSample)
    assert (sample.label, sample.name, sample.group) == ("normal", "one.png", "patient 1")
    # the square shows 96 columns: the lesion ends at 32, 6 % of 96 stay free
    assert (sample.left, sample.right) == (38 / 96, 1.0)
    image, mask = sample.read()
    assert image.shape == (36, 72) and not mask.any()  # 0.6 of 60 x 120 pixels
    assert np.array_equal(image, lesion.image[:36, 48:])
    assert tissue.image.shape == tissue.mask.shape == (1, 96, 96) and not tissue.mask.any()
    assert tissue.placement[2:] == (48, 96)
    shown = tissue.image[0, tissue.placement[0] : tissue.placement[0] + 48].float()
    again = PREPROCESS.canvas(image)[0, tissue.placement[0] : tissue.placement[0] + 48].float()
    assert (shown - again).abs().mean() < 12  # resampled twice, but the same part


@pytest.mark.parametrize("sample", [Lesion((40, 80)), Lesion((0, 120)), Lesion(grey=5)], ids=["middle", "all", "dark"])
def test_what_is_narrow_or_dark_is_no_example(sample):
    assert tissue_beside(read(sample), PREPROCESS) is None


def test_an_image_without_a_complete_mask_is_no_origin():
    reading = read(Lesion())
    assert tissue_beside(replace(reading, mask=torch.zeros_like(reading.mask)), PREPROCESS) is None
    incomplete = Lesion()
    incomplete.mask_complete = False
    assert tissue_beside(read(incomplete), PREPROCESS) is None
