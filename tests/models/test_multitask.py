from __future__ import annotations

import pytest
import torch
from helpers import fill_weights
from torch.nn import functional as F

from busi_demo.models import APPROACHES, create_model

MULTITASK = [key for key in APPROACHES if key != "two_stage"]


@pytest.fixture(scope="module", params=MULTITASK)
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


@pytest.mark.parametrize("key", MULTITASK)
@torch.no_grad()
def test_the_mirror_image_is_seen_as_well_and_turned_back(key):
    one, both = (fill_weights(create_model(key, mirrored=mirrored)).eval() for mirrored in ((), (1.0,)))
    x = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    plain, mirror, seen = one(x), one(x.flip(-1)), both(x)
    torch.testing.assert_close(seen.mask_logits, (plain.mask_logits + mirror.mask_logits.flip(-1)) / 2)
    torch.testing.assert_close(seen.features, (plain.features + mirror.features.flip(-1)) / 2)
    assert torch.equal(seen.head(seen.features), seen.class_logits)
    assert torch.equal(seen.descriptor, plain.descriptor) and torch.equal(both.descriptor(x), plain.descriptor)
    assert not torch.allclose(mirror.mask_logits.flip(-1), plain.mask_logits)


@torch.no_grad()
def test_an_image_and_its_mirror_image_get_the_same_answer():
    model = fill_weights(create_model("multitask_cnn", mirrored=(1.0,))).eval()
    x = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    one, other = model(x), model(x.flip(-1))
    torch.testing.assert_close(one.class_logits, other.class_logits)
    torch.testing.assert_close(one.mask_logits, other.mask_logits.flip(-1))


@torch.no_grad()
def test_the_mirror_image_has_sizes_of_its_own(noise):
    model, sizes = fill_weights(create_model("multitask_unet", scales=(1.0, 0.5), mirrored=(0.5,))).eval(), []
    hook = model.unet.encoder.register_forward_hook(lambda module, inputs, output: sizes.append(inputs[0]))
    model(noise)
    hook.remove()
    assert [x.shape[-1] for x in sizes] == [64, 32, 32]
    assert torch.equal(sizes[2], sizes[1].flip(-1))


@pytest.mark.parametrize("key", MULTITASK)
def test_training_looks_once(key, noise):
    sizes, two = [], fill_weights(create_model(key, scales=(1.0, 0.5), mirrored=(1.0,)))
    hook = getattr(two, "unet", two).encoder.register_forward_hook(
        lambda module, inputs, output: sizes.append(inputs[0].shape[-1])
    )
    two.train()(noise)
    two.eval()(noise)
    hook.remove()
    assert sizes == [64, 64, 32, 64]
