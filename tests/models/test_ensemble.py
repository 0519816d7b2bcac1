"""Ensembles: their common answer, and the member that was not trained on a fold."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from busi_demo.imaging.preprocess import Preprocess
from busi_demo.inference.cam import class_activation_map
from busi_demo.models import build_model, create_model
from busi_demo.models.ensemble import Ensemble
from busi_demo.types import CLASSES, InputError, ModelOutput
from busi_demo.weights.start import load_part
from busi_demo.weights.store import load_weights, reinitialised, save_weights

TINY = {"decoder_width": 8, "class_width": 8}


def network(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return create_model("multitask_cnn", **TINY).eval()


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return Ensemble([network(0), network(1), network(2)], folds=(4, 0, 2)).eval()


@torch.no_grad()
def test_it_answers_with_the_mean_of_its_members(ensemble, noise):
    outputs: list[ModelOutput] = [member(noise) for member in ensemble.members]
    together = ensemble(noise)
    for name in ("mask_logits", "class_logits"):
        mean = sum(getattr(output, name) for output in outputs) / 3
        torch.testing.assert_close(getattr(together, name), mean)
    torch.testing.assert_close(together.head(together.features), together.class_logits)
    assert together.features.shape[1] == 3 * outputs[0].features.shape[1]


def test_its_cam_is_the_mean_evidence_of_its_members(ensemble, noise):
    """By the closed form of Grad-CAM for pooled linear heads: class weights times features."""
    with torch.no_grad():
        together = ensemble(noise[:1])
        evidence = []
        for member in ensemble.members:
            weights = member.head[3].weight[CLASSES.index("malignant")]
            evidence.append((member(noise[:1]).features[0] * weights[:, None, None]).sum(0))
    expected = np.maximum((sum(evidence) / 3).numpy(), 0) / evidence[0].numel()
    found = class_activation_map(together, "malignant")
    assert expected.max() > 0
    np.testing.assert_allclose(found / found.max(), expected / expected.max(), atol=1e-4)


def test_the_member_without_a_fold(ensemble):
    assert ensemble.held_out(0) is ensemble.members[1]
    with pytest.raises(InputError, match=r"trained on fold 3: choose one of \(4, 0, 2\)"):
        ensemble.held_out(3)


@torch.no_grad()
def test_a_part_answers_like_an_ensemble_of_these_networks(ensemble, noise):
    part, members = ensemble.part((2, 4)), [ensemble.members[2], ensemble.members[0]]
    together, outputs = part(noise), [member(noise) for member in members]
    assert part.folds == (2, 4) and together.disagreement is not None
    torch.testing.assert_close(together.class_logits, sum(output.class_logits for output in outputs) / 2)
    torch.testing.assert_close(part.head.part((1,))(outputs[1].features), outputs[1].class_logits)
    assert ensemble.part(ensemble.folds) is ensemble
    with pytest.raises(InputError, match=r"needs one or more folds of \(4, 0, 2\), got none"):
        ensemble.part(())


@pytest.mark.parametrize("folds", [(0,), (1, 1)])
def test_it_needs_networks_of_different_folds(folds):
    with pytest.raises(InputError, match="two or more networks of different folds"):
        Ensemble([network(0) for _ in folds], folds)


def test_networks_that_crop_cannot_be_one(models):
    with pytest.raises(InputError, match="two_stage cannot be an ensemble"):
        Ensemble([models["two_stage"]] * 2, (0, 1))


def test_its_architecture_makes_it_again(ensemble):
    architecture = json.loads(json.dumps(ensemble.architecture))
    again = build_model("multitask_cnn", architecture)
    assert isinstance(again, Ensemble) and again.folds == (4, 0, 2) and again.architecture == ensemble.architecture
    shapes = {name: tensor.shape for name, tensor in ensemble.state_dict().items()}
    assert {name: tensor.shape for name, tensor in again.state_dict().items()} == shapes
    one = ensemble.members[0]
    assert one.folds == () and build_model("multitask_cnn", one.architecture).architecture == one.architecture


@pytest.fixture(scope="module")
def saved(ensemble, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    save_weights(folder / "multitask_cnn", ensemble, Preprocess(size=64), facts={"data": {"folds": 5}})
    return folder


@torch.no_grad()
def test_it_comes_back_from_its_file(ensemble, saved, noise):
    loaded = load_weights(saved / "multitask_cnn")
    assert loaded.config.folds == loaded.model.folds == (4, 0, 2)
    assert loaded.config.architecture == ensemble.architecture and loaded.model.config["class_width"] == 8
    assert loaded.model.parameter_count() == loaded.config.parameters == 3 * network(0).parameter_count()
    torch.testing.assert_close(loaded.model(noise).class_logits, ensemble(noise).class_logits, atol=2e-3, rtol=0.01)
    one = loaded.held_out(2).model
    torch.testing.assert_close(one(noise).class_logits, network(2)(noise).class_logits, atol=2e-3, rtol=0.01)
    other = reinitialised(loaded).model(noise)
    assert other.features.shape == ensemble(noise).features.shape
    assert not torch.allclose(other.class_logits, ensemble(noise).class_logits, atol=1e-3)


def test_weights_of_one_network_hold_out_the_fold_that_validated(saved, tmp_path):
    save_weights(tmp_path / "multitask_cnn", network(0), Preprocess(size=64), facts={"data": {"fold": 3}})
    weights = load_weights(tmp_path / "multitask_cnn")
    assert weights.held_out(3) is weights
    with pytest.raises(InputError, match="trained on fold 1: it held out fold 3"):
        weights.held_out(1)


def test_a_training_starts_from_the_member_that_does_not_know_its_fold(saved):
    started = network(9)
    load_part(saved / "multitask_cnn", "", started, fold=0)
    expected = network(1).state_dict()
    assert all(torch.allclose(t.float(), expected[name].float(), atol=2e-3) for name, t in started.state_dict().items())
    with pytest.raises(InputError, match="trained on fold 1"):
        load_part(saved / "multitask_cnn", "", started, fold=1)


def test_no_training_starts_from_weights_that_know_its_fold(tmp_path):
    save_weights(tmp_path / "multitask_cnn", network(0), Preprocess(size=64), facts={"data": {"fold": 3}})
    load_part(tmp_path / "multitask_cnn", "", network(9), fold=3)
    with pytest.raises(InputError, match="was trained on fold 0: start from it with --fold 3"):
        load_part(tmp_path / "multitask_cnn", "", network(9), fold=0)
