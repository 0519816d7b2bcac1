from __future__ import annotations

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import disc, picture, save_grey
from PIL import Image

from busi_demo.imaging import GreyImage
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.inference.predictor import Predictor, SharedPasses, load_predictor
from busi_demo.models import APPROACHES
from busi_demo.models.base import ApproachModel
from busi_demo.models.heads import ClassificationHead
from busi_demo.types import CLASSES, InputError, ModelOutput, Prediction
from busi_demo.weights.calibration import Calibration
from busi_demo.weights.store import Weights, load_weights


class Stub(ApproachModel):
    """Segments bright pixels; `evidence` (3,) is the logit of each class for a white image, from all pixels equally."""

    key, title, summary = "stub", "Stub", "Says what it is told."

    def __init__(self, evidence: tuple[float, float, float], mask_gain: float = 20.0) -> None:
        super().__init__()
        self.config = {}
        self.mask_gain = mask_gain
        self.head = ClassificationHead(1)
        with torch.no_grad():
            self.head[-1].weight.copy_(torch.tensor(evidence)[:, None])
            self.head[-1].bias.zero_()

    def forward(self, x: torch.Tensor) -> ModelOutput:
        features = torch.nn.functional.avg_pool2d(x, 8)
        return ModelOutput((x - 0.5) * self.mask_gain, self.head(features), features, self.head)


def stub_predictor(evidence: tuple[float, float, float], temperature: float = 1.0, **settings) -> Predictor:
    model = Stub(evidence, **settings).eval()
    return Predictor(Weights(model, Preprocess(size=64, mean=0.0, std=1.0), 0.5, 0.001, Calibration(temperature)))


def spot(height: int = 64, width: int = 64) -> np.ndarray:
    """A white disc of radius 12 in the upper left of a black image."""
    return disc(height, width, 20, 20, 12).astype(np.uint8) * 255


@pytest.mark.parametrize("shape", [(64, 64), (72, 96), (40, 300), (233, 101)])
def test_every_map_has_the_images_own_size(predictors, approach, shape):
    image = picture(3, *shape)
    prediction = predictors[approach].predict(image)
    assert np.array_equal(prediction.image, image)
    assert prediction.mask.shape == prediction.mask_probability.shape == prediction.cam.shape == shape
    assert prediction.approach == approach
    assert prediction.cam_class == prediction.predicted_class
    assert prediction.seconds > 0


def test_class_and_probabilities_are_those_of_the_model(predictors, weights_folder, approach):
    image = picture(5, 64, 64)
    weights = load_weights(weights_folder / approach)
    with torch.no_grad():
        output = weights.model(weights.preprocess(image))
    prediction = predictors[approach].predict(image)
    expected = output.class_logits[0].softmax(0).tolist()
    assert list(prediction.probabilities) == list(CLASSES)
    assert list(prediction.probabilities.values()) == pytest.approx(expected, abs=1e-5)
    assert prediction.predicted_class == CLASSES[int(output.class_logits.argmax())]
    np.testing.assert_allclose(prediction.mask_probability, output.mask_logits[0, 0].sigmoid().numpy(), atol=1e-5)


def test_the_prediction_has_the_spacing_of_the_file(monkeypatch):
    read = GreyImage(spot(), spacing=(0.2, 0.1))
    monkeypatch.setattr("busi_demo.inference.predictor.read_image", lambda _: read)
    assert stub_predictor((1.0, 0.0, 0.0)).predict("scan.dcm").spacing == (0.2, 0.1)


def test_a_prediction_needs_one_forward_pass(weights_folder, approach):
    """A prediction runs each layer outside the class head as often as one forward pass does."""
    weights = load_weights(weights_folder / approach)
    calls, in_head = Counter(), set(weights.model.head.modules())
    for name, module in weights.model.named_modules():
        if module not in in_head and not list(module.children()):
            module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    with torch.no_grad():
        weights.model(weights.preprocess(picture(0)))
    plain = Counter(calls)
    calls.clear()
    Predictor(weights).predict(picture(0))
    assert calls == plain and plain


def test_four_threads_get_the_same_predictions_as_one(predictors, approach):
    images = [picture(seed) for seed in range(4)] * 2
    alone = [predictors[approach].predict(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(predictors[approach].predict, images))
    for one, other in zip(alone, together, strict=True):
        assert one.probabilities == other.probabilities
        assert one.cam_peak == other.cam_peak
        for name in ("mask", "mask_probability", "cam"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_the_cam_of_a_crop_has_the_position_of_the_crop(weights_folder, monkeypatch):
    weights = load_weights(weights_folder / "two_stage")
    monkeypatch.setattr(weights.model, "boxes", lambda masks: torch.tensor([[16.0, 8.0, 40.0, 32.0]]))
    prediction = Predictor(weights).predict(picture(1, 64, 64))
    inside = np.zeros((64, 64), dtype=bool)
    inside[8:32, 16:40] = True
    assert prediction.cam_peak > 0 and prediction.cam[inside].max() == 1
    assert not prediction.cam[~inside].any()


def test_the_cam_lies_over_the_evidence():
    prediction = stub_predictor((0.0, 9.0, 0.0)).predict(spot())
    assert prediction.predicted_class == "malignant"
    assert prediction.cam.max() == 1
    assert prediction.cam[12:29, 12:29].min() > 0.3
    assert not prediction.cam[40:, 40:].any()
    # 9 logits for white spread over 8 x 8 cells: a wholly white cell is worth 9 / 64
    assert prediction.cam_peak == pytest.approx(9 / 64, rel=0.01)


def test_the_mask_lies_over_the_lesion_in_a_picture_of_another_shape():
    prediction = stub_predictor((0.0, 9.0, 0.0)).predict(spot(128, 96))
    truth = spot(128, 96) > 0
    overlap = 2 * (prediction.mask & truth).sum() / (prediction.mask.sum() + truth.sum())
    assert overlap > 0.9


def test_the_temperature_is_applied_to_the_probabilities():
    sharp = stub_predictor((0.0, 9.0, 0.0)).predict(spot())
    soft = stub_predictor((0.0, 9.0, 0.0), temperature=3.0).predict(spot())
    ratios = [np.log(p.probabilities["malignant"] / p.probabilities["benign"]) for p in (sharp, soft)]
    assert ratios[0] == pytest.approx(3 * ratios[1])


def further_warnings(prediction: Prediction) -> tuple[str, ...]:
    """Those that are not on the picture, which is a drawing here."""
    return prediction.warnings[len(prediction.input_check.reasons) :]


def test_there_is_no_warning_if_mask_and_class_agree():
    assert further_warnings(stub_predictor((0.0, 9.0, 0.0)).predict(spot())) == ()


def test_the_outline_of_a_normal_image_is_withdrawn_with_a_warning():
    prediction = stub_predictor((0.0, 0.0, 9.0)).predict(spot(), analyse_anyway=True)
    assert prediction.predicted_class == "normal" and not prediction.mask.any()
    assert prediction.mask_probability.max() > 0.9
    (warning,) = further_warnings(prediction)
    assert "withdrawn" in warning and "normal" in warning


def test_a_tumour_without_an_outline_gets_a_warning():
    prediction = stub_predictor((9.0, 0.0, 0.0), mask_gain=-2000.0).predict(
        np.maximum(spot(), 200), analyse_anyway=True
    )
    assert prediction.predicted_class == "benign" and not prediction.mask.any()
    assert further_warnings(prediction) == ("The class is benign, but no lesion was outlined: the two do not agree.",)


def test_a_cam_without_positive_evidence_is_zero_with_a_warning():
    prediction = stub_predictor((-2.0, -1.0, -3.0)).predict(np.maximum(spot(), 200), analyse_anyway=True)
    assert prediction.predicted_class == "malignant"
    assert prediction.cam_peak == 0 and not prediction.cam.any()
    assert any("no positive evidence for malignant" in warning for warning in prediction.warnings)


def test_notes_of_the_reader_are_among_the_warnings():
    prediction = stub_predictor((0.0, 9.0, 0.0)).predict(np.zeros((64, 64), dtype=np.uint8), analyse_anyway=True)
    assert any("same grey value" in warning for warning in prediction.warnings)


def test_files_bytes_and_arrays_give_the_same_prediction(tmp_path):
    predictor, image = stub_predictor((0.0, 9.0, 0.0)), picture(2)
    path = save_grey(tmp_path / "image.png", image)
    answers = [predictor.predict(source) for source in (image, path, path.read_bytes(), Image.fromarray(image))]
    assert all(answer.probabilities == answers[0].probabilities for answer in answers)


def test_a_bad_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.png"):
        stub_predictor((0.0, 0.0, 0.0)).predict(tmp_path / "nothing.png")


def test_load_predictor_loads_once(weights_folder):
    first = load_predictor("multitask_cnn", weights_folder)
    assert first is load_predictor("multitask_cnn", weights_folder)
    assert (first.key, first.title) == ("multitask_cnn", APPROACHES["multitask_cnn"].title)


def test_all_spellings_of_the_default_folder_share_a_cache_entry(stand_in_weights, weights_folder, monkeypatch):
    first = load_predictor("multitask_cnn")
    assert load_predictor("multitask_cnn", None) is first
    assert load_predictor("multitask_cnn", weights_folder) is first
    monkeypatch.chdir(weights_folder.parent)
    assert load_predictor("multitask_cnn", Path(weights_folder.name)) is first
    load_predictor.cache_clear()
    assert load_predictor("multitask_cnn") is not first


def test_a_folder_with_the_weights_of_another_approach_is_refused(weights_folder, tmp_path):
    shutil.copytree(weights_folder / "multitask_cnn", tmp_path / "multitask_unet")
    with pytest.raises(InputError, match="folder of multitask_unet holds weights of multitask_cnn"):
        load_predictor("multitask_unet", tmp_path)


class CountingNetwork(Stub):
    """Counts how often it runs."""

    runs = 0

    def forward(self, x: torch.Tensor) -> ModelOutput:
        self.runs += 1
        return super().forward(x)


class Behind(Stub):
    """Combines the mask of a detector with its own class logits."""

    def __init__(self, detector: ApproachModel) -> None:
        super().__init__((0.0, 3.0, 0.0))
        self.detector = detector

    @property
    def outline_network(self) -> ApproachModel:
        return self.detector

    def forward(self, x: torch.Tensor, detected: ModelOutput | None = None) -> ModelOutput:
        detected = self.detector(x) if detected is None else detected
        own = super().forward(x)
        return ModelOutput(detected.mask_logits, own.class_logits, own.features, own.head)


def test_a_shared_network_runs_once_for_an_image():
    network = CountingNetwork((9.0, 0.0, 0.0)).eval()
    settings = Preprocess(size=64, mean=0.0, std=1.0)
    members = [Predictor(Weights(model, settings)) for model in (network, Behind(network).eval())]
    alone = [member.predict(spot()) for member in members]
    assert network.runs == 2
    for order in (members, members[::-1]):
        network.runs, shared = 0, SharedPasses()
        together = [member.predict(spot(), shared) for member in order]
        assert network.runs == 1
        for one, other in zip(together, alone if order is members else alone[::-1], strict=True):
            assert one.probabilities == other.probabilities and one.cam_peak == other.cam_peak
            for name in ("mask", "mask_probability", "cam"):
                assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_a_shared_pass_is_not_used_for_another_input():
    network, shared = CountingNetwork((9.0, 0.0, 0.0)).eval(), SharedPasses()
    predictor = Predictor(Weights(network, Preprocess(size=64, mean=0.0, std=1.0)))
    other = Predictor(Weights(network, Preprocess(size=96, mean=0.0, std=1.0)))
    predictor.predict(spot(), shared)
    assert np.array_equal(predictor.predict(255 - spot(), shared).mask, predictor.predict(255 - spot()).mask)
    other.predict(spot(), shared)
    assert network.runs == 4


def test_load_predictor_of_missing_weights(tmp_path):
    with pytest.raises(InputError, match="weights of multitask_cnn are missing"):
        load_predictor("multitask_cnn", tmp_path)


def test_probabilities_of_a_batch_equal_those_of_each_image(predictors, approach):
    images = [picture(seed, 70 + seed, 90) for seed in range(18)]  # more than one batch, of unlike sizes
    found = predictors[approach].probabilities(images)
    assert found.shape == (18, 3) and found.dtype == np.float64
    for i in (0, 15, 16, 17):
        alone = predictors[approach].predict(images[i]).probabilities
        assert found[i].tolist() == pytest.approx(list(alone.values()), abs=1e-4)
    assert predictors[approach].probabilities([]).shape == (0, 3)


def test_probabilities_of_a_batch_are_calibrated():
    image = np.full((64, 64), 255, dtype=np.uint8)
    (row,) = stub_predictor((2.0, 0.0, 0.0), temperature=2.0).probabilities(image[None])
    assert row.tolist() == pytest.approx((np.exp([1, 0, 0]) / np.exp([1, 0, 0]).sum()).tolist())


def test_random_weights_change_the_answer_and_not_the_trained_weights(predictors):
    trained, image = predictors["multitask_cnn"], picture(0)
    before = trained.predict(image)
    one, same, other = (trained.randomised(seed).predict(image) for seed in (0, 0, 1))
    assert one.probabilities == same.probabilities
    assert len({tuple(p.probabilities.values()) for p in (before, one, other)}) == 3
    assert trained.predict(image).probabilities == before.probabilities
