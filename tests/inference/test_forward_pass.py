from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import disc, picture

from busi_demo.imaging import GreyImage
from busi_demo.imaging.masks import lesion_mask
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.inference.cam_methods import CAM_METHODS
from busi_demo.inference.forward_pass import ForwardPass
from busi_demo.inference.predictor import Predictor
from busi_demo.models.heads import ClassificationHead
from busi_demo.types import CLASSES, InputError, ModelOutput
from busi_demo.weights.store import load_weights


def look_of(
    probability: np.ndarray, verdict: str = "benign", weights: tuple[float, ...] = (1.0, 0.5, -1.0)
) -> ForwardPass:
    """The forward pass of an image of 64 x 64 pixels with a given mask probability, and white features."""
    head = ClassificationHead(1).eval()
    with torch.no_grad():
        head[-1].weight.copy_(torch.tensor(weights)[:, None])
        features = torch.ones(1, 1, 8, 8)
        features[..., 4:] = 0
        output = ModelOutput(torch.logit(torch.from_numpy(probability))[None, None], head(features), features, head)
    shares = {name: 0.8 if name == verdict else 0.1 for name in CLASSES}
    grey = GreyImage(picture(1, 64, 64), spacing=(0.2, 0.2), notes=("as read",))
    return ForwardPass("multitask_cnn", grey, shares, output, Preprocess(size=64), 0.5, 0.001, 1.5)


def hill() -> np.ndarray:
    """Probability 0.9 in a disc, 0.4 in a ring around it, 0.01 elsewhere."""
    return np.where(disc(64, 64, 32, 32, 8), 0.9, np.where(disc(64, 64, 32, 32, 16), 0.4, 0.01)).astype(np.float32)


@pytest.mark.parametrize("method", CAM_METHODS)
def test_no_view_runs_the_network(weights_folder, approach, method):
    weights = load_weights(weights_folder / approach)
    look = Predictor(weights).forward_pass(picture(0))
    ran, in_head = [], set(weights.model.head.modules())
    for name, module in weights.model.named_modules():
        if module not in in_head:
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    views = [look.prediction(t, c, method) for t in (None, 0.3) for c in CLASSES]
    assert ran == [] and len(views) == 6


def test_the_default_view_equals_predict(predictors, approach):
    predictor, image = predictors[approach], picture(4)
    view, predicted = predictor.forward_pass(image).prediction(), predictor.predict(image)
    assert view.probabilities == predicted.probabilities and view.threshold == predicted.threshold
    assert (view.cam_class, view.cam_method) == (predicted.predicted_class, "grad_cam")
    for name in ("mask", "mask_probability", "cam"):
        assert np.array_equal(getattr(view, name), getattr(predicted, name)), name


def test_the_threshold_changes_the_outline():
    look = look_of(hill())
    wide, narrow = look.prediction(threshold=0.3), look.prediction(threshold=0.6)
    assert np.array_equal(wide.mask, disc(64, 64, 32, 32, 16)) and wide.threshold == 0.3
    assert np.array_equal(narrow.mask, disc(64, 64, 32, 32, 8)) and narrow.threshold == 0.6
    assert np.array_equal(look.prediction().mask, narrow.mask) and look.prediction().threshold == 0.5
    assert wide.warnings == ("as read",) and wide.spacing == (0.2, 0.2)


def test_the_mask_of_a_chosen_threshold_does_not_depend_on_the_class():
    normal = look_of(hill(), "normal", (0.0, 0.0, 1.0))
    assert not normal.prediction().mask.any() and "withdrawn" in normal.prediction().warnings[1]
    chosen = normal.prediction(threshold=0.5)
    assert np.array_equal(chosen.mask, disc(64, 64, 32, 32, 8))
    assert chosen.warnings[1].startswith("The class is normal, yet at 50.0% an outline covers")
    faint = look_of(hill() / 3)
    assert faint.prediction().mask.any() and "faint" in faint.prediction().warnings[1]
    assert not faint.prediction(threshold=0.5).mask.any()
    assert "the highest mask probability is 30.0%" in faint.prediction(threshold=0.5).warnings[1]


def test_the_smallest_area_is_a_share_of_the_frame():
    probability = np.full((64, 64), 0.01, dtype=np.float32)
    probability[8:12, 20:24] = 0.9  # 0.39 % of the frame, 0.1 % of the image
    grey = GreyImage(picture(1, 128, 128), frame=(32, 40, 96, 104))
    kept, removed = (
        replace(look_of(probability), grey=grey, min_area=share).prediction(threshold=0.5) for share in (0.003, 0.005)
    )
    assert kept.mask.sum() == 16 and kept.mask[48:52, 52:56].all() and kept.frame == grey.frame
    assert not removed.mask.any() and (kept.min_area, removed.min_area) == (0.003 / 4, 0.005 / 4)  # of the image


def test_each_class_can_be_explained():
    look = look_of(hill())
    benign, malignant, normal = (look.prediction(cam_class=name) for name in CLASSES)
    assert [view.cam_class for view in (benign, malignant, normal)] == list(CLASSES)
    assert benign.cam[:, :28].min() > 0.9 and not benign.cam[:, 40:].any()
    assert (benign.cam_peak, malignant.cam_peak) == pytest.approx((1 / 64, 0.5 / 64))  # one cell of 8 x 8
    assert not normal.cam.any() and normal.cam_peak == 0
    assert normal.warnings[-1] == "Grad-CAM found no positive evidence for normal: nothing to show."


def test_each_method_can_be_chosen():
    look = look_of(hill())
    assert {key: look.prediction(cam_method=key).cam_method for key in CAM_METHODS} == {key: key for key in CAM_METHODS}
    plain = look_of(hill())
    plain.output.features.fill_(1)
    assert plain.prediction(cam_method="eigen_cam").warnings[-1] == "Eigen-CAM found no pattern: nothing to show."


def test_a_forward_pass_needs_little_memory(predictors, approach):
    """Sessions store a forward pass for an hour: its maps have the size of the network's grid, and no graph."""
    look = predictors[approach].forward_pass(picture(1, 1000, 1500))
    maps = [look.output.mask_logits, look.output.class_logits, look.output.features]
    assert all(not map_.requires_grad and map_.device.type == "cpu" for map_ in maps)
    assert look.output.mask_logits.shape == (1, 1, 64, 64)
    assert look.mask_probability.shape == (1000, 1500) and look.mask_probability.dtype == np.float32


@pytest.mark.parametrize("spread", [0, 2, 3])
def test_where_nothing_is_to_be_seen_nothing_is_outlined(spread):
    grey = np.full((64, 64), 127, dtype=np.uint8)
    grey[::2] += spread
    look = replace(look_of(hill()), grey=GreyImage(grey))
    disagreement = torch.from_numpy(hill())[None, None]
    view = replace(look, output=replace(look.output, disagreement=disagreement)).prediction()
    assert view.mask.any() == view.mask_probability.any() == view.disagreement.any() == (spread > 2)


def test_an_even_frame_in_a_picture_has_no_outline():
    screen = np.full((64, 64), 200, dtype=np.uint8)
    screen[16:48, 16:48] = 30
    whole, framed = (
        replace(look_of(hill()), grey=GreyImage(screen, frame=frame)).prediction() for frame in (None, (16, 16, 48, 48))
    )
    assert whole.mask.any() and not framed.mask.any()


def test_threads_share_a_forward_pass(predictors, approach):
    look = predictors[approach].forward_pass(picture(2))
    views = [(t, c, m) for t in (0.3, 0.6) for c in CLASSES for m in CAM_METHODS]
    alone = [look.prediction(*view) for view in views]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda view: look.prediction(*view), views))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one.mask, other.mask) and np.array_equal(one.cam, other.cam)


@pytest.mark.parametrize(("view", "message"), [
    ({"threshold": 0.0}, "strictly between 0 and 1, got 0.0"),
    ({"threshold": float("nan")}, "strictly between 0 and 1, got nan"),
    ({"cam_class": "cyst"}, "no class 'cyst' to explain: choose one of benign, malignant, normal"),
    ({"cam_method": "magic"}, "no CAM method 'magic': choose one of grad_cam"),
])  # fmt: skip
def test_a_setting_out_of_range_is_refused(view, message):
    with pytest.raises(InputError, match=message):
        look_of(hill()).prediction(**view)


def test_small_regions_are_removed_at_a_chosen_threshold():
    probability = np.full((64, 64), 0.01, dtype=np.float32)
    probability[0, 0] = 0.9
    assert not look_of(probability).prediction(threshold=0.5).mask.any()
    assert lesion_mask(probability, 0.5, 0).any()
