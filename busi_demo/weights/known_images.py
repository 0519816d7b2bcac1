"""Known images: whether an image, or a near-duplicate of it, was used to train, validate or test the weights.

`weights/seen.json` holds a perceptual hash of 64 bits (DCT, Zauner 2010) of every image of the training, the validation
and the locked test set. An image cannot be restored from its hash, and a look-up does not use the network.

`python train/seen.py --data DIR --extra OTHER_DIR ...` writes the file and prints its error rates. With BUSI, BUS-BRA
and BUS-UCLM: all altered copies (resized, also with other proportions, as JPEG of quality 30 to 75, mirrored or upside
down) are recognised; 2 of 623 BUSI images (0.3 %) match an image that published audits put into another group; no image
matches an image of another data set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from busi_demo.data.duplicates import MAX_HASH_DISTANCE
from busi_demo.project import save_whole
from busi_demo.types import InputError, reason_of
from busi_demo.weights import store

SEEN_FILE = "seen.json"

VIEWS = (lambda a: a, lambda a: a[:, ::-1], lambda a: a[::-1], lambda a: a[::-1, ::-1])
"""An image as it is, mirrored, upside down, and rotated by 180 degrees."""

_VERSION = 1
_COLUMNS = ("image", "source", "class", "split", "hash")
_SENTENCES = {
    "train": "This image, or a near-duplicate, was used in training; expect a flattering answer.",
    "validation": "This image, or a near-duplicate, was used to choose among the trained networks, not to train them; "
    "expect a slightly flattering answer.",
    "locked": "This image, or a near-duplicate, belongs to the locked test set: nothing was trained or chosen on it.",
}
SPLITS = tuple(_SENTENCES)


@dataclass(frozen=True)
class KnownImage:
    """One image of the list.

    Attributes:
        image: its file name.
        source: name of its data set.
        label: its class there.
        split: one of `SPLITS`.
        hash: its perceptual hash, 16 hexadecimal digits.
    """

    image: str
    source: str
    label: str
    split: str
    hash: str

    @property
    def sentence(self) -> str:
        """The sentence for a person whose image matches this one."""
        return _SENTENCES[self.split]


@dataclass(frozen=True, eq=False)
class KnownImages:
    """All images of the list."""

    images: tuple[KnownImage, ...]

    def matches(self, hashes: np.ndarray) -> list[KnownImage]:
        """The known images that an image is a near-duplicate of, the closest first; at equal distance, training images
        come first.

        Args:
            hashes: bool (N, 64), of the image and of its views, see `image_hashes`.
        """
        if not self.images:
            return []
        distance = (hashes[:, None] != self._hashes).sum(-1).min(axis=0)
        near = np.flatnonzero(distance <= MAX_HASH_DISTANCE)
        order = sorted(near, key=lambda i: (distance[i], SPLITS.index(self.images[i].split)))
        return [self.images[i] for i in order]

    @cached_property
    def _hashes(self) -> np.ndarray:
        """bool (N, 64)"""
        return np.stack([imagehash.hex_to_hash(known.hash).hash.ravel() for known in self.images])


def image_hashes(image: np.ndarray) -> np.ndarray:
    """Perceptual hashes of a grey image, uint8 (H, W), in each of `VIEWS`: bool (4, 64)."""
    pictures = (Image.fromarray(np.ascontiguousarray(view(image))) for view in VIEWS)
    return np.stack([imagehash.phash(picture).hash.ravel() for picture in pictures])


def hash_text(bits: np.ndarray) -> str:
    """One hash, bool (64,), as 16 hexadecimal digits."""
    return np.packbits(bits).tobytes().hex()


def seen_before(image: np.ndarray, weights_folder: Path | None = None) -> KnownImage | None:
    """Look up an image. Resized, recompressed, mirrored and upside-down copies are recognised, crops are not.

    Args:
        image: grey, uint8 (H, W), as read.
        weights_folder: holds the list; by default the project's `weights`.
    Returns:
        The closest near-duplicate; `None` where there is none, or no list, see `known_images_available`.
    Raises:
        InputError: the list is damaged.
    """
    matches = load_known(weights_folder or store.WEIGHTS_FOLDER).matches(image_hashes(image))
    return matches[0] if matches else None


def known_images_available(weights_folder: Path | None = None) -> bool:
    """Whether there is a list of known images; without one, `seen_before` says nothing about an image.

    Args:
        weights_folder: holds the list; by default the project's `weights`.
    """
    return ((weights_folder or store.WEIGHTS_FOLDER) / SEEN_FILE).is_file()


@cache
def load_known(folder: Path) -> KnownImages:
    """Read the list of a weights folder once and keep it; it is empty where there is no file.

    Raises:
        InputError: the file is damaged or has another version.
    """
    try:
        content = json.loads((folder / SEEN_FILE).read_text(encoding="utf-8"))
        if (content["version"], tuple(content["columns"])) != (_VERSION, _COLUMNS):
            raise ValueError("it is of another version")
        known = KnownImages(tuple(KnownImage(*row) for row in content["images"]))
        if not all(k.split in SPLITS and len(k.hash) == 16 and int(k.hash, 16) >= 0 for k in known.images):
            raise ValueError("a row is wrong")
    except FileNotFoundError:
        return KnownImages(())
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{SEEN_FILE} cannot be used ({reason_of(error)}): fetch it again, or run train/seen.py."
        raise InputError(message) from error
    return known


def save_known(images: Iterable[KnownImage], folder: Path) -> Path:
    """Write the list into a weights folder, whole or not at all, one image a line; returns its path."""
    rows = ",\n".join(json.dumps([k.image, k.source, k.label, k.split, k.hash]) for k in images)
    text = f'{{"version": {_VERSION}, "columns": {json.dumps(_COLUMNS)}, "images": [\n{rows}\n]}}\n'
    return save_whole(folder / SEEN_FILE, text.encode())
