from __future__ import annotations

import numpy as np
import pytest
from helpers import disc

from busi_demo.imaging.masks import agreeing_mask, chosen_mask, lesion_mask
from busi_demo.types import Agreement

LESION, SPECK = disc(50, 60, 20, 20, 8), disc(50, 60, 40, 50, 1)


def probability(peak: float, mask: np.ndarray = LESION) -> np.ndarray:
    return np.where(mask, peak, 0.01).astype(np.float32)


def test_the_threshold_is_inclusive():
    mask = lesion_mask(np.array([[0.49, 0.5, 0.51]], dtype=np.float32), 0.5, 0.0)
    assert mask.dtype == np.bool_ and mask.tolist() == [[False, True, True]]


def test_small_regions_are_dropped_and_large_ones_kept():
    both = probability(0.9, LESION | SPECK)
    assert np.array_equal(lesion_mask(both, 0.5, 0.003), LESION)  # 0.003 of 3000 pixels: 9; the speck has 5
    assert np.array_equal(lesion_mask(both, 0.5, 0.001), LESION | SPECK)


def test_a_region_of_exactly_the_minimum_area_is_kept():
    mask = np.zeros((10, 10), dtype=bool)
    mask[4, 4:7] = True
    assert lesion_mask(mask.astype(np.float32), 0.5, 0.03).sum() == 3
    assert lesion_mask(mask.astype(np.float32), 0.5, 0.031).sum() == 0


@pytest.mark.parametrize("verdict", ["benign", "malignant"])
def test_a_tumour_with_a_mask_gets_no_note(verdict):
    mask, agreement, notes = agreeing_mask(probability(0.9), verdict, 0.5, 0.003)
    assert np.array_equal(mask, LESION) and notes == () and agreement is Agreement.AGREES


def test_normal_withdraws_the_mask_and_says_how_large_it_was():
    mask, agreement, (note,) = agreeing_mask(probability(0.9), "normal", 0.5, 0.003)
    assert not mask.any() and agreement is Agreement.WITHDRAWN
    assert f"{LESION.mean():.1%}" in note and "withdrawn" in note


def test_normal_without_a_mask_gets_no_note():
    mask, agreement, notes = agreeing_mask(probability(0.3), "normal", 0.5, 0.003)
    assert not mask.any() and notes == () and agreement is Agreement.AGREES


def test_a_faint_mask_of_a_tumour_is_thresholded_at_half_its_peak():
    mask, agreement, (note,) = agreeing_mask(probability(0.3), "benign", 0.5, 0.003)
    assert np.array_equal(mask, LESION) and agreement is Agreement.FAINT
    assert "15.0%" in note and "50.0%" in note


def test_a_tumour_with_a_tiny_mask_is_thresholded_at_half_the_threshold():
    halo = np.where(SPECK, 0.9, probability(0.3)).astype(np.float32)
    mask, agreement, (note,) = agreeing_mask(halo, "benign", 0.5, 0.003)
    assert np.array_equal(mask, LESION)  # the speck stays too small
    assert "25.0%" in note and agreement is Agreement.FAINT


@pytest.mark.parametrize("faint", [probability(0.04), probability(0.3, SPECK)], ids=["below 5 %", "a speck"])
def test_a_tumour_without_a_mask_gets_a_note(faint):
    mask, agreement, notes = agreeing_mask(faint, "malignant", 0.5, 0.003)
    assert not mask.any() and agreement is Agreement.CONTRADICTS
    assert notes == ("The class is malignant, but no lesion was outlined: the two do not agree.",)


@pytest.mark.parametrize(("peak", "verdict", "expected"), [
    (0.9, "malignant", Agreement.AGREES), (0.3, "normal", Agreement.AGREES), (0.9, "normal", Agreement.WITHDRAWN),
    (0.3, "benign", Agreement.FAINT), (0.04, "benign", Agreement.CONTRADICTS),
])  # fmt: skip
def test_there_is_a_note_exactly_if_mask_and_class_disagree(peak, verdict, expected):
    _, agreement, notes = agreeing_mask(probability(peak), verdict, 0.5, 0.003)
    assert agreement is expected
    assert bool(notes) == (expected is not Agreement.AGREES)


@pytest.mark.parametrize(("peak", "verdict", "expected"), [
    (0.9, "malignant", Agreement.AGREES), (0.3, "normal", Agreement.AGREES), (0.9, "normal", Agreement.CONTRADICTS),
    (0.3, "benign", Agreement.CONTRADICTS),
])  # fmt: skip
def test_at_a_chosen_threshold_there_is_a_note_exactly_if_mask_and_class_disagree(peak, verdict, expected):
    mask, agreement, notes = chosen_mask(probability(peak), verdict, 0.5, 0.003)
    assert np.array_equal(mask, LESION & (peak > 0.5))
    assert agreement is expected and bool(notes) == (expected is Agreement.CONTRADICTS)


def test_a_share_below_one_is_not_written_as_100_percent():
    """One function writes every share: 0.9996 must not read 100.0 % in one place and >99.9 % in another."""
    almost = np.full((100, 100), 0.9, dtype=np.float32)
    almost[0, :4] = 0
    _, _, (note,) = agreeing_mask(almost, "normal", 0.5, 0.003)
    assert "over >99.9% of the image" in note and "100.0%" not in note
