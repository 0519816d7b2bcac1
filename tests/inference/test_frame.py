"""What surrounds the ultrasound does not change the answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import picture

from busi_demo.analysis.answer import Answer
from busi_demo.data.phantom import make_phantom
from busi_demo.imaging import GreyImage
from busi_demo.imaging.masks import dice
from busi_demo.inference.consensus import consensus
from busi_demo.types import CLASSES

TOP, LEFT, BOTTOM, RIGHT = 40, 70, 110, 30


def on_page(scan: np.ndarray, level: int) -> np.ndarray:
    return np.pad(scan, ((TOP, BOTTOM), (LEFT, RIGHT)), constant_values=level)


@pytest.mark.parametrize("level", [255, 180, 76])
def test_a_margin_changes_neither_class_nor_mask(predictors, approach, level):
    for label in CLASSES:
        scan = make_phantom(label, 3, 120, 160).image
        alone, within = (predictors[approach].forward_pass(image) for image in (scan, on_page(scan, level)))
        one, other = (look.prediction(threshold=0.5) for look in (alone, within))
        assert other.frame == (LEFT, TOP, LEFT + 160, TOP + 120) and one.frame is None
        assert other.predicted_class == one.predicted_class
        assert dict(other.probabilities) == pytest.approx(dict(one.probabilities))
        for name in ("mask", "mask_probability", "cam"):
            map_ = getattr(other, name)
            assert map_.shape == other.image.shape
            assert not map_[:TOP].any() and not map_[:, :LEFT].any()
        assert dice(other.mask, np.pad(one.mask, ((TOP, BOTTOM), (LEFT, RIGHT)))) >= 0.95
        assert any("Only the ultrasound was used" in warning for warning in other.warnings)


def test_coloured_pages_are_pages_too(predictors):
    scan = make_phantom("malignant", 3, 120, 160).image
    page = np.repeat(on_page(scan, 0)[..., None], 3, axis=2)
    page[on_page(np.ones_like(scan), 0) == 0] = (40, 120, 200)
    predictor = predictors["multitask_unet"]
    one, other = predictor.predict(scan), predictor.predict(page)
    assert other.frame == (LEFT, TOP, LEFT + 160, TOP + 120)
    assert dict(other.probabilities) == pytest.approx(dict(one.probabilities))


def test_a_chosen_frame_is_what_the_network_sees(predictors, approach):
    pixels = picture(1, 100, 140)
    chosen = predictors[approach].predict(GreyImage(pixels).cropped((20, 10, 116, 82)))
    alone = predictors[approach].predict(np.ascontiguousarray(pixels[10:82, 20:116]))
    assert dict(chosen.probabilities) == pytest.approx(dict(alone.probabilities))
    assert np.array_equal(chosen.mask[10:82, 20:116], alone.mask) and chosen.mask.sum() == alone.mask.sum()


def test_pixels_that_are_not_square_give_the_answer_of_square_ones(predictors, approach):
    square = make_phantom("benign", 4, 128, 192).image
    narrow = GreyImage(np.ascontiguousarray(square[:, ::2]), spacing=(0.1, 0.2))
    wide = GreyImage(np.array(narrow.framed), spacing=(0.1, 0.1))
    one, other = predictors[approach].predict(wide), predictors[approach].predict(narrow)
    assert dict(other.probabilities) == pytest.approx(dict(one.probabilities), abs=1e-6)
    assert other.mask.shape == (128, 96) and other.mask.mean() == pytest.approx(one.mask.mean(), abs=0.02)


def test_answers_know_the_shape_of_the_pixels(predictors):
    narrow = GreyImage(make_phantom("benign", 4, 128, 96).image, aspect=0.5)
    members = [predictors[key].predict(narrow) for key in ("multitask_unet", "multitask_cnn")]
    for prediction in (*members, consensus(members).prediction):
        assert prediction.spacing is None and prediction.pixel_sides == (0.5, 1.0)


def test_record_and_consensus_have_the_frame(predictors):
    page = on_page(make_phantom("benign", 3, 120, 160).image, 255)
    members = [predictors[key].predict(page) for key in ("multitask_unet", "multitask_cnn")]
    box = (LEFT, TOP, LEFT + 160, TOP + 120)
    assert consensus(members).prediction.frame == box
    assert Answer(members[0]).record()["input_check"] == {"verdict": "accepted", "reasons": [], "frame": list(box)}
    whole = Answer(replace(members[0], frame=None)).record()["input_check"]["frame"]
    assert whole == [0, 0, page.shape[1], page.shape[0]]
    with pytest.raises(ValueError, match="frames"):
        consensus([members[0], replace(members[1], frame=None)])
