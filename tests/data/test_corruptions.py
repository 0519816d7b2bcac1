from __future__ import annotations

import numpy as np
import pytest
from helpers import disc

from busi_demo.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt

IMAGE = np.random.default_rng(0).integers(40, 200, (120, 160), dtype=np.uint8)
MASK = disc(120, 160, 50, 70, 20)


def corrupted(name: str, severity: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return corrupt(name, IMAGE, MASK, severity, np.random.default_rng(seed))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_severity_gives_an_image_with_its_mask_and_leaves_the_original(name):
    before = IMAGE.copy(), MASK.copy()
    for severity in SEVERITIES:
        image, mask = corrupted(name, severity)
        assert (image.dtype, mask.dtype) == (np.uint8, np.bool_) and image.shape == mask.shape and mask.any()
        again, _ = corrupted(name, severity)
        assert image.flags.writeable and mask.flags.writeable
        assert np.array_equal(image, again)
    assert np.array_equal(IMAGE, before[0]) and np.array_equal(MASK, before[1])


@pytest.mark.parametrize("name", ["speckle", "blur", "gain", "text", "JPEG"])
def test_a_higher_severity_changes_more_and_the_mask_stays(name):
    changes = []
    for severity in (1, 3, 5):
        image, mask = corrupted(name, severity)
        assert np.array_equal(mask, MASK)
        changes.append(np.abs(image.astype(float) - IMAGE).mean())
    assert 0 < changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("name", ["black margin", "screen"])
def test_what_surrounds_an_image_moves_the_mask_along(name):
    for severity in (1, 5):
        image, mask = corrupted(name, severity)
        rows, columns = np.argwhere(mask).min(axis=0) - np.argwhere(MASK).min(axis=0)
        assert rows > 0 and columns > 0 and mask.sum() == MASK.sum()
        assert np.array_equal(image[rows : rows + 120, columns : columns + 160], IMAGE)
        assert image.shape == (120 + 2 * rows, 160 + 2 * columns)
    if name == "black margin":
        assert not image[:rows].any() and not image[:, :columns].any()


def test_a_second_view_repeats_the_lesion():
    image, mask = corrupted("two views", 5)
    assert image.shape == (120, 160 + 3 + 160) and mask.sum() == 2 * MASK.sum()
    assert np.array_equal(image[:, 163:], IMAGE[:, ::-1]) and np.array_equal(mask[:, :160], MASK)
    assert corrupted("two views", 1)[0].shape == (120, 160 + 3 + 32)


def test_low_resolution_by_hand():
    image, mask = corrupted("low resolution", 5)
    assert image.shape == (48, 64)  # 64 pixels on the longer side
    assert mask.mean() == pytest.approx(MASK.mean(), rel=0.1)
    assert corrupt("low resolution", IMAGE[:, :60], MASK[:, :60], 5, np.random.default_rng(0))[0].shape == (96, 48)
    small = np.zeros_like(MASK)
    small[50, 70] = True
    assert corrupt("low resolution", IMAGE, small, 5, np.random.default_rng(0))[1].any()  # a lesion does not vanish


def test_wrong_arguments():
    with pytest.raises(ValueError, match="severity must be one of"):
        corrupted("blur", 6)
    with pytest.raises(KeyError):
        corrupted("rain", 1)
