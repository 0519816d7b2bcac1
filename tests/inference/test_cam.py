from __future__ import annotations

import numpy as np
import pytest
import torch

from busi_demo.inference.cam import class_activation_map
from busi_demo.inference.cam_methods import CAM_METHODS
from busi_demo.models.heads import ClassificationHead
from busi_demo.types import CLASSES, InputError, ModelOutput


def output_of(features: torch.Tensor, weights: list[list[float]]) -> ModelOutput:
    """The output of a model with a pooled head of these class weights (3, C)."""
    head = ClassificationHead(features.shape[1]).eval()
    with torch.no_grad():
        head[-1].weight.copy_(torch.tensor(weights))
        return ModelOutput(torch.zeros(1, 1, 8, 8), head(features), features, head)


@pytest.mark.parametrize("class_name", CLASSES)
def test_grad_cam_equals_the_closed_form_of_a_pooled_linear_head(models, approach, noise, class_name):
    with torch.no_grad():
        output = models[approach](noise[:1])
    if (approach, class_name) == ("two_stage", "normal"):
        assert not class_activation_map(output, class_name).any()  # its classifier has no say in that
        return
    weights = getattr(output.head, "head", output.head)[-1].weight[CLASSES.index(class_name)].detach()
    evidence = torch.einsum("c,chw->hw", weights, output.features[0]) / output.features[0, 0].numel()
    cam = class_activation_map(output, class_name)
    assert cam.dtype == np.float32 and cam.shape == output.features.shape[-2:]
    np.testing.assert_allclose(cam, evidence.relu().numpy(), rtol=1e-3, atol=1e-6)


def test_grad_cam_by_hand_in_logit_units():
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[4.0, 0.0], [0.0, 1.0]]]])
    output = output_of(features, [[0.4, 0.8], [0.4, -0.8], [-0.4, -0.8]])
    np.testing.assert_allclose(class_activation_map(output, "benign"), [[0.9, 0.2], [0.3, 0.6]], rtol=1e-6)
    np.testing.assert_allclose(
        class_activation_map(output, "malignant"), [[0.0, 0.2], [0.3, 0.2]], rtol=1e-6, atol=1e-8
    )


def test_a_map_without_positive_evidence_is_zero():
    features = torch.rand(1, 2, 3, 3) + 0.1
    cam = class_activation_map(output_of(features, [[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0]]), "normal")
    assert cam.shape == (3, 3) and not cam.any()


def test_the_map_sums_to_the_class_logit():
    features = torch.rand(1, 4, 5, 5)
    output = output_of(features, [[0.1, 0.2, 0.3, 0.4]] * 3)
    bias = output.head[-1].bias[0].item()
    assert class_activation_map(output, "benign").sum() + bias == pytest.approx(
        output.class_logits[0, 0].item(), rel=1e-4
    )


@pytest.mark.parametrize("method", CAM_METHODS)
def test_the_output_is_not_changed(models, approach, noise, method):
    with torch.no_grad():
        output = models[approach](noise[:1])
    before = output.features.clone()
    parameters = list(output.head.parameters())
    class_activation_map(output, "malignant", method)
    assert torch.equal(output.features, before) and not output.features.requires_grad
    assert not any(module._forward_hooks for module in output.head.modules())
    assert len(parameters) == len(list(output.head.parameters()))


def test_an_unknown_class_is_refused():
    with pytest.raises(ValueError):
        class_activation_map(output_of(torch.rand(1, 2, 3, 3), [[1.0, 1.0]] * 3), "cyst")


# ---- relatives of Grad-CAM: two channels on a 2 x 2 grid, means 2.5 and 1.25


FEATURES = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[4.0, 0.0], [0.0, 1.0]]]])
WEIGHTS = [[0.4, 0.8], [0.4, -0.8], [-0.4, -0.8]]


def by(method: str, class_name: str) -> np.ndarray:
    return class_activation_map(output_of(FEATURES, WEIGHTS), class_name, method)


@pytest.mark.parametrize("method", ["hires_cam", "xgrad_cam"])
def test_methods_that_equal_grad_cam_for_a_linear_head(method):
    np.testing.assert_allclose(by(method, "benign"), [[0.9, 0.2], [0.3, 0.6]], rtol=1e-5)
    np.testing.assert_allclose(by(method, "malignant"), [[0.0, 0.2], [0.3, 0.2]], rtol=1e-5, atol=1e-7)


def test_layer_cam_leaves_out_negative_evidence():
    np.testing.assert_allclose(by("layer_cam", "benign"), [[0.9, 0.2], [0.3, 0.6]], rtol=1e-6)
    np.testing.assert_allclose(by("layer_cam", "malignant"), [[0.1, 0.2], [0.3, 0.4]], rtol=1e-6)  # 0.4 / 4 * first


def test_grad_cam_plus_plus_in_closed_form():
    """Gradients w / 4 in every cell give each channel max(w, 0) / (2 + w * mean) in the cells' mean, eq. 19."""
    first, second = 0.4 / (2 + 0.4 * 2.5), 0.8 / (2 + 0.8 * 1.25)
    expected = first * FEATURES[0, 0] + second * FEATURES[0, 1]
    np.testing.assert_allclose(by("grad_cam_plus_plus", "benign"), expected, rtol=1e-3)
    np.testing.assert_allclose(by("grad_cam_plus_plus", "malignant"), first * FEATURES[0, 0], rtol=1e-3)


def test_eigen_cam_is_the_first_principal_component_for_every_class():
    features = torch.rand(1, 40, 3, 5, generator=torch.Generator().manual_seed(3))
    output = output_of(features, [[1.0] * 40, [-1.0] * 40, [0.5] * 40])
    rows = features[0].flatten(1).T.numpy() / 15
    rows = rows - rows.mean(axis=0)
    _, vectors = np.linalg.eigh(rows.T @ rows)
    expected = rows @ vectors[:, -1]
    expected *= 1 if expected.max() >= -expected.min() else -1
    for class_name in CLASSES:
        found = class_activation_map(output, class_name, "eigen_cam")
        np.testing.assert_allclose(found, np.maximum(expected, 0).reshape(3, 5), rtol=1e-3, atol=1e-6)
    inverted = class_activation_map(output_of(1 - features, [[1.0] * 40] * 3), "benign", "eigen_cam")
    np.testing.assert_allclose(inverted, found, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", CAM_METHODS)
def test_every_method_makes_a_map_for_every_approach(models, approach, noise, method):
    with torch.no_grad():
        output = models[approach](noise[:1])
    cam = class_activation_map(output, "malignant", method)
    assert cam.dtype == np.float32 and cam.shape == output.features.shape[-2:]
    assert np.isfinite(cam).all() and cam.min() >= 0
    assert np.array_equal(cam, class_activation_map(output, "malignant", method))


@pytest.mark.parametrize("method", ["score_cam", "mean_grad_cam"])
def test_the_error_for_an_unknown_method_lists_the_methods(method):
    with pytest.raises(InputError, match=f"no CAM method '{method}': choose one of {', '.join(CAM_METHODS)}"):
        by(method, "benign")
