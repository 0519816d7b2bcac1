"""The checks that every approach must pass, to be run on any of them."""

from __future__ import annotations

import json
import socket
from copy import deepcopy

import numpy as np
import pytest
import torch

from busi_demo.models import approach_class, create_model
from busi_demo.models.two_stage import TwoStage
from busi_demo.training.losses import CropObjective, DetectionObjective, JointObjective
from busi_demo.types import CLASSES, InputError

# Class logits and (mean, one corner) of the mask logits for `fill_weights` and the input of `golden_input`.
GOLDEN = {
    "two_stage": [-0.9224, -0.5068, -0.6862, -0.0490, 0.0635],
    "multitask_resnet50": [2.7200, 0.0221, 0.9899, 1.2550, -0.5124],
    "multitask_cnn": [-0.0160, 0.0377, -0.0466, -0.1121, 0.0533],
    "multitask_unet": [-0.1106, -0.0928, 0.1789, 0.0636, 0.0774],
}


def golden_input() -> torch.Tensor:
    values = np.random.RandomState(0).random_sample((1, 1, 64, 64)) * 4 - 2
    return torch.from_numpy(values.astype(np.float32))


class Contract:
    """Subclass it as `Test...`. The fixture `approach` gives the key of an approach, `models` a dict that has its model
    with the weights of `fill_weights`, in evaluation mode."""

    @pytest.mark.parametrize("size", [64, 96])
    def test_output_shapes_and_dtypes(self, models, approach, size):
        with torch.no_grad():
            output = models[approach](torch.randn(2, 1, size, size))
        assert output.mask_logits.shape == (2, 1, size, size)
        assert output.class_logits.shape == (2, len(CLASSES))
        assert output.features.ndim == 4 and len(output.features) == 2
        for tensor in (output.mask_logits, output.class_logits, output.features):
            assert tensor.dtype == torch.float32 and torch.isfinite(tensor).all()

    def test_boxes_lie_inside_the_input(self, models, approach, noise):
        with torch.no_grad():
            boxes = models[approach](noise).boxes
        if boxes is None:
            return
        assert boxes.shape == (3, 4) and boxes.min() >= 0 and boxes.max() <= 64
        assert (boxes[:, 2:] > boxes[:, :2]).all()

    def test_head_makes_the_class_logits_from_the_features(self, models, approach, noise):
        with torch.no_grad():
            output = models[approach](noise)
            assert torch.equal(output.head(output.features), output.class_logits)

    def test_an_image_is_answered_alike_alone_and_in_a_batch(self, models, approach, noise):
        with torch.no_grad():
            together = models[approach](noise)
            for i in range(len(noise)):
                alone = models[approach](noise[i : i + 1])
                torch.testing.assert_close(alone.class_logits[0], together.class_logits[i], rtol=1e-3, atol=1e-4)
                torch.testing.assert_close(alone.mask_logits[0], together.mask_logits[i], rtol=1e-3, atol=1e-4)

    def test_different_images_get_different_answers(self, models, approach, noise):
        with torch.no_grad():
            output = models[approach](noise)
        assert not torch.allclose(output.class_logits[0], output.class_logits[1], rtol=1e-3)
        assert not torch.allclose(output.mask_logits[0], output.mask_logits[1], rtol=1e-3)

    def test_config_is_json_and_makes_the_same_architecture(self, models, approach):
        model = models[approach]
        again = create_model(approach, **json.loads(json.dumps(model.config)))
        shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        assert {name: tensor.shape for name, tensor in again.state_dict().items()} == shapes
        assert again.config == model.config
        assert model.config.get("encoder_weights") is None

    def test_nothing_is_fetched_to_build_or_run(self, approach, noise, monkeypatch):
        def refuse(*_):
            raise AssertionError("the network was asked for something")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        with torch.no_grad():
            create_model(approach).eval()(noise)

    def test_every_parameter_is_trained(self, models, approach, noise):
        model = deepcopy(models[approach]).train()
        masks = torch.zeros(3, 1, 64, 64)
        masks[:2, :, 20:44, 16:40] = 1
        batch = {
            "mask": masks,
            "label": torch.tensor([0, 1, 2]),
            "mask_known": torch.ones(3),
            "label_known": torch.ones(3),
        }
        staged = isinstance(model, TwoStage)
        objectives = [DetectionObjective(), CropObjective()] if staged else [JointObjective()]
        for objective in objectives:
            objective.losses(model, noise, batch)["loss"].backward()
        untrained = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert untrained == []

    def test_golden_output(self, models, approach):
        with torch.no_grad():
            output = models[approach](golden_input())
        mask = output.mask_logits[0, 0]
        found = [*output.class_logits[0].tolist(), mask.mean().item(), mask[0, 0].item()]
        if approach not in GOLDEN:
            pytest.fail(f"{approach} has no golden value: check these and add them to GOLDEN in {__file__}: {found}")
        assert found == pytest.approx(GOLDEN[approach], rel=2e-3, abs=2e-3)

    def test_bfloat16_autocast_agrees_with_float32(self, models, approach, noise):
        with torch.no_grad():
            exact = models[approach](noise).mask_logits.sigmoid()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                output = models[approach](noise)
        assert torch.isfinite(output.class_logits).all()
        assert (output.mask_logits.float().sigmoid() - exact).abs().max() < 0.05

    def test_a_training_starts_from_the_default_architecture(self, approach):
        assert approach_class(approach).fresh().config == create_model(approach).config

    def test_pretrained_weights_are_passed_to_the_approaches_that_take_them(self, approach, monkeypatch):
        model, taken = approach_class(approach), []
        monkeypatch.setattr(model, "__init__", lambda self, encoder_weights=None: taken.append(encoder_weights))
        if model.takes_encoder_weights:
            model.fresh("imagenet")
            assert taken == ["imagenet"]
        else:
            with pytest.raises(InputError, match="has no encoder with pretrained weights"):
                model.fresh("imagenet")

    def test_pretrained_weights_are_refused_by_an_approach_without_them(self, approach, monkeypatch):
        monkeypatch.setattr(approach_class(approach), "takes_encoder_weights", False)
        with pytest.raises(InputError, match=rf"^{approach} has no encoder with pretrained weights, got .*'imagenet'"):
            approach_class(approach).fresh("imagenet")

    def test_it_can_be_shown_to_a_person(self, approach):
        model = approach_class(approach)
        assert model.key == approach
        assert model.title and model.summary.endswith(".")
