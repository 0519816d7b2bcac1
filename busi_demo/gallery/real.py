"""Real example images, held out by every approach, in a folder that git ignores."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from busi_demo.data.busi import FileSample, index_folder
from busi_demo.data.duplicates import fingerprint, matches_hash
from busi_demo.data.published import locked_test
from busi_demo.models import APPROACHES
from busi_demo.project import ROOT
from busi_demo.types import CLASSES, InputError
from busi_demo.weights.split_file import has_split, held_out_folds, read_split

REAL_FOLDER = "real"
"""Below the folder of the gallery; git ignores it."""


def held_out(root: Path, weights: Path, per_class: int) -> list[FileSample]:
    """Choose images of a data set that no approach with a known split was trained on. For an ensemble this means at
    least one of its networks; the page says that the others were trained on the image.

    Near-duplicates of training images are never chosen, because a split keeps them on one side. Locked test images
    (recognised by perceptual hash) and images with an incomplete mask or uncertain class are left out.

    Args:
        root: the data set, in BUSI layout.
        weights: folder of all approaches, each with its split.csv.
        per_class: largest number of images of each class; equal calls choose equal images.
    Raises:
        InputError: no split is known, or the data set has no such image.
    """
    wanted = _validated_by_all(root.name, weights)
    candidates = [s for s in index_folder(root) if (s.label, s.name) in wanted and s.mask_complete and s.label_certain]
    hashes = [row["phash"] for row in locked_test().values()]
    chosen: list[FileSample] = []
    for label in CLASSES:
        own = [s for s in candidates if s.label == label]
        for position in np.random.RandomState(0).permutation(len(own)):
            if sum(s.label == label for s in chosen) == per_class:
                break
            if not matches_hash([fingerprint(own[position].read()[0])], hashes)[0]:
                chosen.append(own[position])
    if not chosen:
        raise InputError(
            f"{root} has none of the {len(wanted)} images that validated the weights here: give the data set that they "
            "were trained on with --data."
        )
    return chosen


def write_real_examples(samples: Sequence[FileSample], gallery: Path = ROOT / "examples") -> Path:
    """Replace `gallery/real` by these images and masks, written as grey pixels only; return the folder.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = gallery / REAL_FOLDER
    try:
        with tempfile.TemporaryDirectory(dir=gallery, prefix=".real-") as made:
            rows = [_write(sample, number, Path(made)) for number, sample in enumerate(samples, 1)]
            (Path(made) / "examples.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
            remove_real_examples(gallery)
            shutil.copytree(made, folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error}): run this where the project may be changed.") from error
    return folder


def remove_real_examples(gallery: Path = ROOT / "examples") -> bool:
    """Delete `gallery/real`; return whether it existed."""
    folder = gallery / REAL_FOLDER
    if not folder.is_dir():
        return False
    shutil.rmtree(folder)
    return True


def _validated_by_all(source: str, weights: Path) -> set[tuple[str, str]]:
    """Class and name of each image that all approaches held out; images of two classes may share a name."""
    folders = [folder for key in APPROACHES if has_split(folder := weights / key)]
    validated = [set(held_out_folds(read_split(folder), source)) for folder in folders]
    if not any(validated):
        raise InputError(
            f"Nothing is known of {source} in {weights}: no split.csv there names an image of it, so none can be shown "
            "as held out. Expected the folder of the data set that the weights were trained on."
        )
    return set.intersection(*validated)


def _write(sample: FileSample, number: int, folder: Path) -> dict[str, str]:
    image, mask = sample.read()
    names = {"image": f"{sample.label}_{number}.png", "mask": f"{sample.label}_{number}_mask.png"}
    for name, pixels in ((names["image"], image), (names["mask"], mask.astype(np.uint8) * 255)):
        Image.fromarray(pixels).save(folder / name)
    return {"id": sample.name, **names, "label": sample.label, "description": f"Held-out image {sample.name}"}
