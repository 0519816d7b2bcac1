from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers import disc, picture

from busi_demo.imaging.preprocess import Preprocess


def test_a_wide_image_lies_in_the_middle_between_black_bars():
    preprocess = Preprocess(size=64)
    assert preprocess.placement(100, 200) == (16, 0, 32, 64)
    canvas = preprocess.canvas(np.full((100, 200), 200, dtype=np.uint8))
    assert canvas.dtype == torch.uint8 and canvas.shape == (1, 64, 64)
    assert (canvas[0, 16:48] == 200).all()
    assert (canvas[0, :16] == 0).all() and (canvas[0, 48:] == 0).all()


def test_a_tall_image_lies_in_the_middle_between_black_bars():
    preprocess = Preprocess(size=64)
    assert preprocess.placement(200, 100) == (0, 16, 64, 32)
    canvas = preprocess.canvas(np.full((200, 100), 200, dtype=np.uint8))
    assert (canvas[0, :, 16:48] == 200).all()
    assert (canvas[0, :, :16] == 0).all() and (canvas[0, :, 48:] == 0).all()


def test_a_square_of_the_right_size_is_unchanged():
    image = picture(0, 64, 64)
    assert np.array_equal(Preprocess(size=64).canvas(image)[0].numpy(), image)


def test_normalise_by_hand():
    preprocess = Preprocess(size=32, mean=0.2, std=0.5)
    values = preprocess.normalise(torch.tensor([[0, 51, 255]], dtype=torch.uint8))
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, torch.tensor([[-0.4, 0.0, 1.6]]))


def test_call_gives_the_input_of_a_network():
    preprocess, image = Preprocess(size=64), picture(0)
    x = preprocess(image)
    assert x.shape == (1, 1, 64, 64) and x.dtype == torch.float32
    torch.testing.assert_close(x[0], (preprocess.canvas(image).float() / 255 - preprocess.mean) / preprocess.std)


@pytest.mark.parametrize("shape", [(72, 96), (300, 200), (64, 64), (500, 471)])
def test_restore_brings_a_mask_back_to_where_it_was(shape):
    preprocess = Preprocess(size=128)
    mask = disc(*shape, 0.4 * shape[0], 0.6 * shape[1], min(shape) / 5)
    canvas = preprocess.mask_canvas(mask)
    assert canvas.dtype == torch.uint8 and set(canvas.unique().tolist()) == {0, 1}
    back = preprocess.restore(canvas[0].float(), *shape)
    assert back.shape == shape and back.dtype == np.float32
    overlap = 2 * ((back >= 0.5) & mask).sum() / ((back >= 0.5).sum() + mask.sum())
    assert overlap > 0.95


def test_restore_by_hand():
    # 32 x 64 pixels lie in rows 8 to 23 of a 32 px square at half size
    square = torch.full((32, 32), 9.0)
    square[8:24] = 1.0
    square[8:24, 16:] = 3.0
    back = Preprocess(size=32).restore(square, 32, 64)
    assert (back[:, :31] == 1).all() and (back[:, 33:] == 3).all()


@pytest.mark.parametrize(("shape", "placement"), [((40, 900), (30, 0, 3, 64)), ((900, 40), (0, 30, 64, 3)),
                                                  ((1, 5000), (31, 0, 1, 64))])  # fmt: skip
def test_extreme_aspect_ratios(shape, placement):
    preprocess = Preprocess(size=64)
    assert preprocess.placement(*shape) == placement
    assert preprocess(np.full(shape, 128, dtype=np.uint8)).shape == (1, 1, 64, 64)
    assert preprocess.mask_canvas(np.ones(shape, dtype=bool)).sum() == placement[2] * placement[3]
    back = preprocess.restore(torch.ones(64, 64), *shape)
    assert back.shape == shape and (back == 1).all()


def test_a_mask_keeps_its_area_and_position():
    mask = np.zeros((100, 100), dtype=bool)
    mask[:50, 50:] = True
    canvas = Preprocess(size=64).mask_canvas(mask)[0]
    assert canvas[:32, 32:].all() and canvas.sum() == 32 * 32


def test_it_is_restored_from_json():
    preprocess = Preprocess(size=96, mean=0.3, std=0.2)
    assert Preprocess(**json.loads(json.dumps(preprocess.to_dict()))) == preprocess


@pytest.mark.parametrize(("arguments", "message"), [
    ({"size": 100}, "multiple of 32, got 100"), ({"size": 0}, "multiple of 32, got 0"),
    ({"size": -32}, "multiple of 32, got -32"), ({"std": 0.0}, "std must be finite and positive, got 0.0"),
    ({"std": float("nan")}, "std must be finite and positive, got nan"),
])  # fmt: skip
def test_invalid_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Preprocess(**arguments)
