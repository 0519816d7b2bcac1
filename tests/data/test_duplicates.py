from __future__ import annotations

import io

import imagehash
import numpy as np
import pytest
from helpers import picture
from PIL import Image

from busi_demo.data.duplicates import fingerprint, group_near_duplicates, matches_hash


def recompressed(image: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=40)
    return np.array(Image.open(stream))


def resized(image: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(image).resize((150, 110)))


CHANGES = {
    "the same": lambda image: image,
    "mirrored": lambda image: image[:, ::-1],
    "resized": resized,
    "recompressed": recompressed,
    "brighter": lambda image: np.clip(image * 0.8 + 40, 0, 255).astype(np.uint8),
    "all at once": lambda image: resized(recompressed(image[:, ::-1])),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("seed", range(4))
def test_copies_are_found(change, seed):
    prints = [fingerprint(image) for image in (picture(seed), change(picture(seed)), picture(seed + 10))]
    groups = group_near_duplicates(prints)
    assert groups[0] == groups[1] != groups[2]


def test_different_images_are_in_different_groups():
    groups = group_near_duplicates([fingerprint(picture(seed)) for seed in range(40)])
    assert len(set(groups)) == 40


def test_upside_down_is_another_image():
    groups = group_near_duplicates([fingerprint(picture(0)), fingerprint(picture(0)[::-1])])
    assert groups[0] != groups[1]


def test_known_groups_are_joined_to_those_of_near_duplicates():
    # a and b look alike, b and c are one patient: all three belong together
    prints = [fingerprint(image) for image in (picture(0), picture(0)[:, ::-1], picture(1), picture(2))]
    groups = group_near_duplicates(prints, ["a", "b", "b", "d"])
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_no_image_has_no_group():
    assert group_near_duplicates([]).shape == (0,)


def test_a_fingerprint():
    made = fingerprint(picture(0))
    assert made.hashes.shape == (2, 64) and made.hashes.dtype == np.bool_
    assert made.thumbnails.shape == (2, 1024) and made.thumbnails.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(made.thumbnails, axis=1), 1, rtol=1e-5)
    assert np.isfinite(fingerprint(np.zeros((50, 50), dtype=np.uint8)).thumbnails).all()


def test_hashes_of_a_list_are_recognised_mirrored_or_not():
    wanted = str(imagehash.phash(Image.fromarray(picture(3))))
    prints = [fingerprint(image) for image in (picture(3), resized(picture(3)[:, ::-1]), picture(4))]
    assert matches_hash(prints, [wanted]).tolist() == [True, True, False]
    assert matches_hash(prints, []).tolist() == [False, False, False]
    assert matches_hash([], [wanted]).shape == (0,)
