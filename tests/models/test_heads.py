from __future__ import annotations

import pytest
import torch

from busi_demo.models.heads import ClassificationHead, MultiScaleFeatures, UpsampleDecoder, mask_guided

CERTAIN = 50.0  # a logit whose sigmoid is 1 in float32


def quarter_mask() -> torch.Tensor:
    """Mask logits (1, 1, 4, 4): surely lesion in the upper left quarter, surely not elsewhere."""
    logits = torch.full((1, 1, 4, 4), -CERTAIN)
    logits[..., :2, :2] = CERTAIN
    return logits


def test_mask_guided_by_hand():
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    guided = mask_guided(features, quarter_mask())
    # the mask on the 2 x 2 grid is [[1, 0], [0, 0]], its mean 0.25; 1 / (0.25 + 0.02) = 3.7037
    assert guided.shape == (1, 2, 2, 2)
    assert torch.equal(guided[0, 0], features[0, 0])
    torch.testing.assert_close(guided[0, 1], torch.tensor([[1 / 0.27, 0.0], [0.0, 0.0]]))


def test_mask_guided_pools_to_about_the_mean_inside_the_lesion():
    features = torch.rand(1, 3, 4, 4)
    guided = mask_guided(features, quarter_mask())
    inside = features[..., :2, :2].mean(dim=(2, 3))
    torch.testing.assert_close(guided[:, 3:].mean(dim=(2, 3)), inside * 0.25 / 0.27)


def test_mask_guided_of_an_empty_mask_is_zero():
    guided = mask_guided(torch.rand(1, 2, 4, 4), torch.full((1, 1, 4, 4), -CERTAIN))
    torch.testing.assert_close(guided[:, 2:], torch.zeros(1, 2, 4, 4))


def test_the_class_loss_cannot_bend_the_mask():
    mask_logits, features = torch.zeros(1, 1, 4, 4, requires_grad=True), torch.rand(1, 2, 4, 4, requires_grad=True)
    mask_guided(features, mask_logits).sum().backward()
    assert mask_logits.grad is None
    assert features.grad.abs().sum() > 0


def test_the_head_is_linear_in_the_pooled_features():
    head, features = ClassificationHead(2).eval(), torch.rand(1, 2, 3, 3)
    linear = head[-1]
    torch.testing.assert_close(head(features), features.mean(dim=(2, 3)) @ linear.weight.T + linear.bias)


def test_multi_scale_features_lie_on_the_finest_grid():
    scales = MultiScaleFeatures((4, 8), width=3).eval()
    stacked = scales([torch.rand(2, 4, 8, 8), torch.rand(2, 8, 4, 4)])
    assert stacked.shape == (2, scales.out_channels, 8, 8) == (2, 6, 8, 8)
    blocks = stacked[:, 3:].reshape(2, 3, 4, 2, 4, 2)
    assert torch.equal(blocks, blocks[:, :, :, :1, :, :1].expand_as(blocks))


def test_multi_scale_features_need_one_map_a_depth():
    with pytest.raises(ValueError):
        MultiScaleFeatures((4, 8), width=3)([torch.rand(1, 4, 8, 8)])


def test_the_decoder_returns_a_mask_of_the_size_asked_for():
    decoder = UpsampleDecoder((4, 8), width=5).eval()
    assert decoder([torch.rand(2, 4, 8, 8), torch.rand(2, 8, 4, 4)], (32, 32)).shape == (2, 1, 32, 32)
