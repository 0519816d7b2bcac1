from __future__ import annotations

import pytest
import torch

from busi_demo.models.two_stage import square_box

WHOLE = [0.0, 0.0, 64.0, 64.0]


@pytest.fixture
def boxes(models):
    """From the rows and columns of rectangles to the crop box of a 64 x 64 mask."""

    def find(*rectangles: tuple[slice, slice]) -> list[float]:
        mask = torch.zeros(1, 64, 64, dtype=torch.bool)
        for rows, columns in rectangles:
            mask[0, rows, columns] = True
        return models["two_stage"].boxes(mask)[0].tolist()

    return find


def test_no_lesion_takes_the_whole_image(boxes):
    assert boxes() == WHOLE


def test_a_speck_is_no_lesion(boxes):
    # min_area 0.002 of 64 x 64 pixels is 8.2 pixels
    assert boxes((slice(30, 32), slice(30, 34))) == WHOLE
    assert boxes((slice(30, 33), slice(30, 33))) != WHOLE


def test_a_quarter_of_the_longer_side_is_added_on_each_side(boxes):
    # 8 high, 16 wide: side 16 * 1.5 = 24 about the centre (row 24, column 28)
    assert boxes((slice(20, 28), slice(20, 36))) == [16.0, 12.0, 40.0, 36.0]


def test_at_the_border_the_box_moves_inwards_and_keeps_its_size(boxes):
    assert boxes((slice(0, 16), slice(48, 64))) == [40.0, 0.0, 64.0, 24.0]


def test_a_lesion_as_large_as_the_image_takes_the_whole_image(boxes):
    assert boxes((slice(0, 64), slice(4, 60))) == WHOLE


def test_the_largest_region_counts(boxes):
    large, above, below = (slice(20, 28), slice(20, 36)), (slice(4, 10), slice(4, 10)), (slice(50, 60), slice(50, 60))
    assert boxes(above, large, below) == boxes(large)


def test_each_image_of_a_batch_has_its_own_box(models):
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[1, 20:28, 20:36] = True
    assert models["two_stage"].boxes(masks).tolist() == [WHOLE, [16.0, 12.0, 40.0, 36.0]]


def test_the_classifier_sees_the_crop_alone(models):
    model = models["two_stage"]
    x = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    elsewhere = x.clone()
    elsewhere[..., :10, :10] = 5.0
    inside = x.clone()
    inside[..., 30:34, 30:34] = 5.0
    box, mask_logits = torch.tensor([[24.0, 24.0, 48.0, 48.0]]), torch.zeros(1, 1, 64, 64)
    with torch.no_grad():
        logits = [model.classify(image, box, mask_logits).class_logits for image in (x, elsewhere, inside)]
    assert torch.equal(logits[0], logits[1])
    assert not torch.allclose(logits[0], logits[2], rtol=1e-3)


def test_a_whole_image_box_is_the_image_itself(models):
    model = models["two_stage"]
    x = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = model.classify(x, torch.tensor([WHOLE]), torch.zeros(1, 1, 64, 64)).features
        torch.testing.assert_close(features, model.encoder(x)[-1], rtol=1e-4, atol=1e-4)


def test_square_box_by_hand():
    assert square_box(10, 20, 30, 30, 0.1, 100) == pytest.approx((8, 13, 32, 37))
    assert square_box(0, 0, 100, 10, 0.5, 100) == (0, 0, 100, 100)
