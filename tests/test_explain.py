from __future__ import annotations

import numpy as np
import pytest
import torch

from busi_demo.explain import grad_cam
from busi_demo.models.heads import ClassificationHead
from busi_demo.types import CLASSES, ModelOutput


def output_of(features: torch.Tensor, weights: list[list[float]]) -> ModelOutput:
    """What a model would return whose pooled head has these class weights (3, C)."""
    head = ClassificationHead(features.shape[1]).eval()
    with torch.no_grad():
        head[-1].weight.copy_(torch.tensor(weights))
        return ModelOutput(torch.zeros(1, 1, 8, 8), head(features), features, head)


@pytest.mark.parametrize("class_name", CLASSES)
def test_it_equals_the_closed_form_of_a_pooled_linear_head(models, approach, noise, class_name):
    with torch.no_grad():
        output = models[approach](noise[:1])
    weights = output.head[-1].weight[CLASSES.index(class_name)].detach()
    evidence = torch.einsum("c,chw->hw", weights, output.features[0]) / output.features[0, 0].numel()
    cam = grad_cam(output, class_name)
    assert cam.dtype == np.float32 and cam.shape == output.features.shape[-2:]
    np.testing.assert_allclose(cam, evidence.relu().numpy(), rtol=1e-3, atol=1e-6)


def test_by_hand_in_logit_units():
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[4.0, 0.0], [0.0, 1.0]]]])
    output = output_of(features, [[0.4, 0.8], [0.4, -0.8], [-0.4, -0.8]])
    np.testing.assert_allclose(grad_cam(output, "benign"), [[0.9, 0.2], [0.3, 0.6]], rtol=1e-6)
    np.testing.assert_allclose(grad_cam(output, "malignant"), [[0.0, 0.2], [0.3, 0.2]], rtol=1e-6, atol=1e-8)


def test_no_positive_evidence_is_all_zero():
    features = torch.rand(1, 2, 3, 3) + 0.1
    cam = grad_cam(output_of(features, [[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0]]), "normal")
    assert cam.shape == (3, 3) and not cam.any()


def test_the_class_logits_are_those_that_the_map_sums_to():
    features = torch.rand(1, 4, 5, 5)
    output = output_of(features, [[0.1, 0.2, 0.3, 0.4]] * 3)
    bias = output.head[-1].bias[0].item()
    assert grad_cam(output, "benign").sum() + bias == pytest.approx(output.class_logits[0, 0].item(), rel=1e-4)


def test_it_leaves_the_output_as_it_was(models, approach, noise):
    with torch.no_grad():
        output = models[approach](noise[:1])
    before = output.features.clone()
    parameters = list(output.head.parameters())
    grad_cam(output, "malignant")
    assert torch.equal(output.features, before) and not output.features.requires_grad
    assert not any(module._forward_hooks for module in output.head.modules())
    assert len(parameters) == len(list(output.head.parameters()))


def test_an_unknown_class_is_refused():
    with pytest.raises(ValueError):
        grad_cam(output_of(torch.rand(1, 2, 3, 3), [[1.0, 1.0]] * 3), "cyst")
