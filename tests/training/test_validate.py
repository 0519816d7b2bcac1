from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from helpers import DiscSample

from busi_demo.data.dataset import CanvasDataset
from busi_demo.data.reading import read_samples
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models.base import ApproachModel
from busi_demo.models.heads import ClassificationHead
from busi_demo.training.distill import Distilled
from busi_demo.training.losses import CropObjective, DetectionObjective
from busi_demo.training.validate import validate, validation_row
from busi_demo.types import ModelOutput


class BrightPixels(ApproachModel):
    """Outlines the bright pixels; the class logits are (area, 0, 1) with the area as a share of the input in tenths."""

    key = title = summary = "bright"

    def __init__(self) -> None:
        super().__init__()
        self.head = ClassificationHead(1)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        area = 10 * (x > 0.5).float().mean(dim=(1, 2, 3))
        logits = torch.stack([area, torch.zeros_like(area), torch.ones_like(area)], dim=1)
        return ModelOutput((x - 0.5) * 20, logits, x, self.head)


PREPROCESS = Preprocess(size=64, mean=0.0, std=1.0)


def results_of(*samples: DiscSample):
    return validate(BrightPixels(), CanvasDataset(read_samples(samples, PREPROCESS)), PREPROCESS, "fp32")


def test_results_and_logits_in_order():
    samples = [DiscSample("benign", name=f"{i}") if i % 3 else DiscSample("normal", name=f"{i}") for i in range(40)]
    results, logits = results_of(*samples)
    assert [result.image for result in results] == [f"{i}" for i in range(40)]
    assert [result.predicted_class for result in results] == [sample.label for sample in samples]
    assert logits.shape == (40, 3) and logits.dtype == torch.float32
    for result, row in zip(results, logits, strict=True):
        assert list(result.probabilities.values()) == pytest.approx(row.softmax(0).tolist(), abs=1e-6)


def test_masks_are_scored_where_they_are_known_and_not_empty():
    results, _ = results_of(DiscSample("benign"), DiscSample("benign", mask_complete=False), DiscSample("normal"))
    assert results[0].mask_dice == pytest.approx(1, abs=0.02)
    assert results[0].predicted_mask_fraction == pytest.approx(math.pi * 16**2 / (60 * 80), abs=0.005)
    assert results[1].mask_dice is None and results[2].mask_dice is None
    assert results[2].predicted_mask_fraction == 0


def test_a_normal_verdict_withdraws_the_mask_as_at_inference():
    # 10 px in radius: 5 % of the input, logits (0.5, 0, 1): called normal although bright
    results, _ = results_of(DiscSample("malignant"))
    assert results[0].predicted_class == "normal"
    assert results[0].predicted_mask_fraction == 0 and results[0].mask_dice == 0


class Everywhere(BrightPixels):
    """Outlines the whole square, padding too."""

    def forward(self, x: torch.Tensor) -> ModelOutput:
        return ModelOutput(torch.full_like(x, 20.0), super().forward(x).class_logits, x, self.head)


@dataclass
class WideSample(DiscSample):
    """64 x 32 pixels, padded by 16 above and below; the lesion is the block of the first rows and columns."""

    rows: int = 8
    columns: int = 8

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        mask = np.zeros((32, 64), dtype=bool)
        mask[: self.rows, : self.columns] = True
        return mask.astype(np.uint8) * 255, mask


def test_the_padding_of_the_square_does_not_count():
    """8 x 8 pixels are 3.1 % of the image, more than a smallest area of 2 %, but 1.6 % of the square."""
    dataset = CanvasDataset(read_samples([WideSample("benign")], PREPROCESS))
    (found,), _ = validate(BrightPixels(), dataset, PREPROCESS, "fp32", min_area=0.02, class_decides=False)
    assert (found.predicted_mask_fraction, found.mask_dice) == (64 / 2048, 1)
    dataset = CanvasDataset(read_samples([WideSample("benign", rows=32, columns=64)], PREPROCESS))
    (found,), _ = validate(Everywhere(), dataset, PREPROCESS, "fp32", class_decides=False)
    assert (found.predicted_mask_fraction, found.mask_dice) == (1, 1)


def test_an_untrained_class_does_not_withdraw_the_masks_of_a_detection_stage():
    """The malignant disc is classified as normal: a missed lesion if the class decides, a detected one otherwise."""
    dataset = CanvasDataset(read_samples([DiscSample("malignant"), DiscSample("normal")], PREPROCESS))

    def row(objective):
        return validation_row(BrightPixels(), dataset, PREPROCESS, "fp32", objective)

    assert row(CropObjective())["val_lesion_dice"] == 0
    for objective in (DetectionObjective(), Distilled(DetectionObjective(), teacher=None)):
        found = row(objective)
        assert found["val_score"] == found["val_lesion_dice"] == pytest.approx(1, abs=0.02)
        assert found["val_normal_false_mask_rate"] == 0


def test_the_mode_of_the_model_is_left_as_it_was():
    model = BrightPixels().train()
    validate(model, CanvasDataset(read_samples([DiscSample("benign")], PREPROCESS)), PREPROCESS, "fp32")
    assert model.training
