"""Find near-duplicate images, so that a split keeps them on one side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MAX_HASH_DISTANCE = 6
MIN_CORRELATION = 0.95
_THUMBNAIL = 32


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Hashes and thumbnails of an image, for comparison with others.

    Attributes:
        hashes: bool (2, 64), the perceptual hash (DCT, Zauner 2010) of the image and of its mirror image.
        thumbnails: float32 (2, 1024), 32 x 32 thumbnails of both, of zero mean and unit length.
    """

    hashes: np.ndarray
    thumbnails: np.ndarray


def fingerprint(image: np.ndarray) -> Fingerprint:
    """Compute the fingerprint of a grey image, uint8 (H, W)."""
    hashes, thumbnails = [], []
    for view in (image, image[:, ::-1]):
        picture = Image.fromarray(np.ascontiguousarray(view))
        hashes.append(imagehash.phash(picture).hash.ravel())
        small = np.asarray(picture.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX), dtype=np.float32).ravel()
        small -= small.mean()
        thumbnails.append(small / max(float(np.linalg.norm(small)), 1e-6))
    return Fingerprint(np.stack(hashes), np.stack(thumbnails))


def near_duplicates(prints: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> np.ndarray:
    """Whether each image is a near-duplicate of each other one: bool (N, M).

    Two images are near-duplicates if their hashes differ in at most 6 of 64 bits or their thumbnails correlate by
    at least 0.95, the mirror image included. On BUSI, the resulting groups contain every group known from published
    audits and join at most one unrelated pair.
    """
    linked = np.zeros((len(prints), len(others)), dtype=bool)
    if not linked.size:
        return linked
    one = np.stack([p.hashes[0] for p in prints]).astype(np.float32)
    pictures = np.stack([p.thumbnails[0] for p in prints])
    for view in (0, 1):
        other = np.stack([p.hashes[view] for p in others]).astype(np.float32)
        linked |= one @ (1 - other).T + (1 - one) @ other.T <= MAX_HASH_DISTANCE
        linked |= pictures @ np.stack([p.thumbnails[view] for p in others]).T >= MIN_CORRELATION
    return linked


def group_near_duplicates(prints: Sequence[Fingerprint], *known: Sequence[str]) -> np.ndarray:
    """Number the groups of images that are near-duplicates of each other, directly or through others.

    Args:
        prints: one fingerprint per image.
        known: names of known groups, one per image; several sequences where they come from several sources (patients,
            published audits), each with its own names. Images of a known group are joined too.
    Returns:
        int (N,): equal numbers for images of one group.
    """
    if not prints:
        return np.zeros(0, dtype=int)
    linked = near_duplicates(prints, prints)
    for names in map(np.asarray, known):
        linked |= names[:, None] == names[None, :]
    return connected_components(coo_array(linked), directed=False)[1]


def matches_hash(prints: Sequence[Fingerprint], hex_hashes: Sequence[str]) -> np.ndarray:
    """Whether each image or its mirror image matches one of some 64-bit perceptual hashes (hexadecimal): bool (N,)."""
    if not prints or not hex_hashes:
        return np.zeros(len(prints), dtype=bool)
    wanted = np.stack([imagehash.hex_to_hash(h).hash.ravel() for h in hex_hashes])
    hashes = np.stack([p.hashes for p in prints])
    distance = (hashes[:, :, None, :] != wanted[None, None]).sum(-1)
    return (distance <= MAX_HASH_DISTANCE).any(axis=(1, 2))
