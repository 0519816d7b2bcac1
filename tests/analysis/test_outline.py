from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from trusted import FIT, LESION, prediction

from busi_demo.analysis.outline import expected_dice, outline_features


def test_features_of_an_even_outline():
    one = prediction(mask_probability=np.where(LESION, 0.8, 0.0).astype(np.float32))
    found = outline_features(one)
    assert found["inside"] == pytest.approx(0.8) and found["highest"] == pytest.approx(0.8)
    assert found["soft_dice"] == pytest.approx(2 * 8 / (8 + 10))  # ten pixels of 0.8
    entropy = -(0.8 * np.log(0.8) + 0.2 * np.log(0.2))
    assert found["entropy"] == pytest.approx(10 * entropy / (10 + 0.1), rel=1e-3)
    assert found["side"] == pytest.approx(0.1**0.5) and found["confidence"] == pytest.approx(0.85)


def test_features_do_not_depend_on_the_page_around_the_frame():
    one = prediction(mask_probability=np.where(LESION, 0.8, 0.1).astype(np.float32))
    on_a_page = {
        name: np.pad(getattr(one, name), ((4, 6), (3, 7))) for name in ("image", "mask", "mask_probability", "cam")
    }
    found = outline_features(replace(one, **on_a_page, frame=(3, 4, 13, 14)))
    assert found == outline_features(one)


def test_the_expected_dice_is_linear_in_the_features_and_stays_a_dice():
    one = prediction(mask_probability=np.where(LESION, 0.8, 0.0).astype(np.float32))
    names = dict.fromkeys(outline_features(one), 0.0)
    fit = replace(FIT, dice=names | {"inside": 0.5, "constant": 0.3}, dice_interval=(-0.4, 0.4))
    found = expected_dice(one, fit)
    assert (found.value, found.low, found.high) == pytest.approx((0.7, 0.3, 1.0))


def test_there_is_none_without_an_outline_or_a_fit():
    assert expected_dice(prediction(mask=np.zeros_like(LESION)), replace(FIT, dice={"constant": 1.0})) is None
    assert expected_dice(prediction(), None) is None and expected_dice(prediction(), FIT) is None
