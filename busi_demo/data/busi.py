"""Index a folder in BUSI layout: its images, their masks, and notes from published audits.

Layout of the published data set (Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 2020):
`{benign,malignant,normal}/NAME.png` with `NAME_mask.png` and, where several lesions were drawn, `NAME_mask_1.png`, ...
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from busi_demo.data.facts import with_facts_by_name
from busi_demo.imaging import read_image, read_mask
from busi_demo.imaging.masks import is_inverted
from busi_demo.imaging.picture import size_of
from busi_demo.imaging.text import percent
from busi_demo.project import read_table
from busi_demo.types import CLASSES, InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
FINDING_COLUMNS = ("birads", "histology")
"""Columns of cases.csv, which may be missing, that tell more of a lesion than its class."""
MASK_STEM = re.compile(r"^(?P<name>.+)_mask(_\d+)?$")
"""Name of a mask without its suffix; the group `name` is that of its image."""


class Sample(Protocol):
    """One labelled image: a file of a data set, or a phantom."""

    @property
    def name(self) -> str:
        """Unique within its data set and class; images of two classes may share a name."""

    @property
    def label(self) -> str:
        """One of `CLASSES`."""

    @property
    def group(self) -> str:
        """Name of the patient or the near-duplicates; images of one group stay on one side of a split."""

    @property
    def mask_complete(self) -> bool:
        """False if part of the true mask is known to be missing; the mask is then not used."""

    @property
    def label_certain(self) -> bool:
        """False if near-duplicates have different classes; the class is then not used."""

    @property
    def findings(self) -> Mapping[str, str]:
        """Column of `FINDING_COLUMNS` -> its value in lower case, where the data set tells it."""

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the image, uint8 (H, W), and its mask, bool (H, W), True inside a lesion."""


@dataclass(frozen=True)
class FileSample:
    """A `Sample` in files. `read` unites the masks of several lesions.

    Raises:
        InputError: by `read`, if a file cannot be decoded, or a mask has another size than its image, is inverted or
            marks a lesion in a normal image.
    """

    name: str
    label: str
    group: str
    image_path: Path
    mask_paths: tuple[Path, ...]
    mask_complete: bool = True
    label_certain: bool = True
    findings: Mapping[str, str] = field(default_factory=dict, hash=False)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        image = read_image(self.image_path).pixels
        mask = np.zeros(image.shape, dtype=bool)
        for path in self.mask_paths:
            part, _ = read_mask(path)
            _check_size(path, part.shape, self.image_path, image.shape)
            if is_inverted(part):
                raise InputError(
                    f"{path} marks {percent(float(part.mean()))} of its image and most of its border: expected a white "
                    "lesion on black; invert it, or take the image out."
                )
            if self.label == "normal" and part.any():
                raise InputError(
                    f"{path} marks a lesion, but its image is in the folder normal: expected an all black mask; empty "
                    "it, or move both files to the folder of their class."
                )
            mask |= part
        return image, mask


def index_folder(root: Path, facts: bool = True) -> list[FileSample]:
    """List every image of a folder in BUSI layout, sorted by class and name. Headers are read; pixels only of images
    whose names published audits mention, to see whether they are those of BUSI.

    A `cases.csv` beside the class folders (columns `image` and `case` or `patient`) gives the groups, and with the
    columns of `FINDING_COLUMNS` the findings. Without it each image is its own group;
    `duplicates.group_near_duplicates` then finds images that belong together.

    Args:
        root: folder that holds `benign`, `malignant` and `normal` (a data set may lack a class).
        facts: fill `mask_complete` and `label_certain`. False where the fingerprints of all images will be known: then
            `facts.with_facts` finds renamed copies too.
    Raises:
        InputError: no class folder, no image, an image without a mask, a mask without an image, a file that is no
            image, or a mask of another size; the message names the file.
    """
    folders = [root / label for label in CLASSES if (root / label).is_dir()]
    if not folders:
        raise InputError(
            f"{root} is not a data set in BUSI layout: expected folders named {', '.join(CLASSES)} in it; "
            "point --data at the folder that holds them (usually Dataset_BUSI_with_GT)."
        )
    cases = _read_cases(root / "cases.csv")
    samples = [sample for folder in folders for sample in _index_class(folder, cases)]
    if not samples:
        raise InputError(f"{root} holds no image: expected NAME.png with NAME_mask.png in {', '.join(CLASSES)}.")
    return with_facts_by_name(samples) if facts else samples


def _index_class(folder: Path, cases: Mapping[str, _Case]) -> list[FileSample]:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    images, masks = dict[str, Path](), dict[str, list[Path]]()
    for path in files:
        if match := MASK_STEM.match(path.stem):
            masks.setdefault(match["name"], []).append(path)
        elif path.stem in images:
            raise InputError(f"{path} and {images[path.stem].name} share one name: keep one of them.")
        else:
            images[path.stem] = path
    if orphans := sorted(masks.keys() - images.keys()):
        raise InputError(f"{masks[orphans[0]][0]} is a mask without an image: expected {orphans[0]}.png beside it.")
    samples = []
    for stem, path in images.items():
        if stem not in masks:
            raise InputError(f"{path} has no mask: expected {stem}_mask.png beside it (all black for a normal image).")
        size = _header_size(path)
        for mask in masks[stem]:
            _check_size(mask, _header_size(mask), path, size)
        case = cases.get(f"{folder.name}/{stem}")
        samples.append(
            FileSample(
                name=path.name,
                label=folder.name,
                group=case.group if case else f"{folder.name}/{stem}",
                image_path=path,
                mask_paths=tuple(masks[stem]),
                findings=case.findings if case else {},
            )
        )
    return samples


@dataclass(frozen=True)
class _Case:
    group: str
    findings: Mapping[str, str]


def _read_cases(path: Path) -> dict[str, _Case]:
    if not path.is_file():
        return {}
    rows = read_table(path)
    column = next((c for c in ("case", "patient") if rows and c in rows[0]), None)
    if column is None or "image" not in rows[0]:
        raise InputError(f"{path} lists no cases: expected the columns image and case (or patient).")
    return {
        row["image"]: _Case(
            group=f"{path.parent.name}/{row[column]}",
            findings={name: value for name in FINDING_COLUMNS if (value := (row.get(name) or "").strip().lower())},
        )
        for row in rows
    }


def _header_size(path: Path) -> tuple[int, int]:
    """Size as it is shown: many cameras store a picture turned."""
    try:
        return size_of(path)
    except InputError as error:
        raise InputError(str(error).replace(path.name, str(path), 1)) from error


def _check_size(mask: Path, mask_size: tuple[int, ...], image: Path, image_size: tuple[int, ...]) -> None:
    if mask_size != image_size:
        raise InputError(
            f"{mask} is {mask_size[1]} x {mask_size[0]} pixels, but its image {image.name} is "
            f"{image_size[1]} x {image_size[0]}: a mask must have its image's size."
        )
