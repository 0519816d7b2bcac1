from __future__ import annotations

import pytest
import torch
from helpers import fill_weights
from torch.nn import functional as F

from busi_demo.models import APPROACHES, create_model


@pytest.fixture(scope="module", params=[key for key in APPROACHES if key != "two_stage"])
def pair(request):
    """The same weights, looking at one size and at two."""
    return [fill_weights(create_model(request.param, scales=scales)).eval() for scales in ((1.0,), (1.0, 0.5))]


@torch.no_grad()
def test_what_is_seen_at_several_sizes_is_averaged(pair):
    one, two = pair
    x = torch.randn(2, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    small = F.interpolate(x, (64, 64), mode="bilinear", align_corners=False, antialias=True)
    large, coarse, both = one(x), one(small), two(x)
    enlarged = F.interpolate(coarse.mask_logits, (128, 128), mode="bilinear", align_corners=False)
    torch.testing.assert_close(both.mask_logits, (large.mask_logits + enlarged) / 2)
    # Doubling a map by bilinear interpolation leaves its mean nearly as it is, and the head is linear in the mean.
    torch.testing.assert_close(both.class_logits, (large.class_logits + coarse.class_logits) / 2, rtol=0.1, atol=0.002)
    assert not torch.allclose(both.class_logits, large.class_logits, rtol=0.1, atol=0.002)
    assert both.features.shape == large.features.shape
    assert torch.equal(both.head(both.features), both.class_logits)


def test_training_looks_once(pair, noise):
    sizes, two = [], pair[1]
    hook = getattr(two, "unet", two).encoder.register_forward_hook(
        lambda module, inputs, output: sizes.append(inputs[0].shape[-1])
    )
    two.train()(noise)
    two.eval()(noise)
    hook.remove()
    assert sizes == [64, 64, 32]
