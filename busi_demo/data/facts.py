"""What is known of published BUSI images, by their pixels: people's own files are called `benign (4).png` too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import imagehash
import numpy as np

from busi_demo.data.duplicates import MAX_HASH_DISTANCE, Fingerprint, fingerprint
from busi_demo.data.published import image_notes, locked_test
from busi_demo.imaging import read_image

CALIPERS = "calipers"
"""Column of the notes that says whether measuring marks are drawn, 1 or 0; so far no such labels are published."""


class Named(Protocol):
    """A sample, as far as the notes are concerned."""

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> str: ...


class InFiles(Named, Protocol):
    """A `busi.FileSample`, which is indexed with the help of this module."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def image_path(self) -> Path: ...

    @property
    def mask_paths(self) -> tuple[Path, ...]: ...

    @property
    def mask_complete(self) -> bool: ...

    @property
    def label_certain(self) -> bool: ...


FileSampleT = TypeVar("FileSampleT", bound=InFiles)


def notes_of(samples: Sequence[Named], prints: Sequence[Fingerprint]) -> list[Mapping[str, str] | None]:
    """The row of the published notes on each image, by its perceptual hash or that of its mirror image; `None` for an
    image that is not one of BUSI. Of several rows at the same distance that with its name is taken, else that of its
    class.

    Args:
        samples: images.
        prints: their fingerprints, in the same order.
    """
    rows, hashes = _hashed_notes()
    nearest = _nearest(samples, prints, [(row["class"], row["image"]) for row in rows], hashes)
    return [None if i is None else rows[i] for i in nearest]


def with_facts(samples: Sequence[FileSampleT], prints: Sequence[Fingerprint]) -> list[FileSampleT]:
    """The samples with `mask_complete` and `label_certain` as published audits found them; arguments as for
    `notes_of`."""
    found = []
    for sample, note in zip(samples, notes_of(samples, prints), strict=True):
        incomplete = note is not None and note["several_masks"] == "1" and len(sample.mask_paths) == 1
        uncertain = note is not None and note["label_conflict"] == "1"
        if incomplete or uncertain:
            sample = replace(
                sample,
                mask_complete=sample.mask_complete and not incomplete,
                label_certain=sample.label_certain and not uncertain,
            )
        found.append(sample)
    return found


def with_facts_by_name(samples: Sequence[FileSampleT]) -> list[FileSampleT]:
    """`with_facts`, but only images with a name that the notes mention are looked at: renamed copies are not found.

    Raises:
        InputError: such an image cannot be read.
    """
    noted = {name for name, row in image_notes().items() if "1" in (row["several_masks"], row["label_conflict"])}
    found = list(samples)
    for i, sample in enumerate(samples):
        if sample.name in noted:
            found[i : i + 1] = with_facts([sample], [fingerprint(read_image(sample.image_path).pixels)])
    return found


def known_calipers(samples: Sequence[Named], prints: Sequence[Fingerprint]) -> list[bool | None]:
    """Whether measuring marks are drawn on each image, from the column `CALIPERS` of the notes; `None` where it is not
    known. Arguments as for `notes_of`."""
    notes = notes_of(samples, prints)
    return [None if note is None else {"1": True, "0": False}.get(note.get(CALIPERS, "")) for note in notes]


def locked_samples(samples: Sequence[FileSampleT], prints: Sequence[Fingerprint]) -> list[FileSampleT]:
    """The images of the locked test set: for each of its hashes the nearest image, in the order of the samples."""
    rows = [(row["class"], name, row["phash"]) for name, row in locked_test().items()]
    hashes = _bits([phash for *_, phash in rows])
    distance = _distance(prints, hashes)
    chosen = set()
    for column, (label, name, _) in enumerate(rows):
        near = np.flatnonzero(distance[:, column] <= MAX_HASH_DISTANCE).tolist()
        if ranks := [(distance[i, column] - _bonus(samples[i], label, name), i) for i in near]:
            chosen.add(min(ranks)[1])
    return [samples[i] for i in sorted(chosen)]


@cache
def _hashed_notes() -> tuple[list[dict[str, str]], np.ndarray]:
    """The notes with a hash, and these as bool (N, 64)."""
    rows = [row for row in image_notes().values() if row["phash"]]
    return rows, _bits([row["phash"] for row in rows])


def _bits(hashes: Sequence[str]) -> np.ndarray:
    return np.stack([imagehash.hex_to_hash(h).hash.ravel() for h in hashes])


def _distance(prints: Sequence[Fingerprint], hashes: np.ndarray) -> np.ndarray:
    """Differing bits of each image, or its mirror image, and each hash: float32 (N, M)."""
    views = np.stack([p.hashes for p in prints]).astype(np.float32)
    wanted = hashes.astype(np.float32).T
    return (views @ (1 - wanted) + (1 - views) @ wanted).min(axis=1)


def _nearest(
    samples: Sequence[Named], prints: Sequence[Fingerprint], names: Sequence[tuple[str, str]], hashes: np.ndarray
) -> list[int | None]:
    if not prints:
        return []
    found: list[int | None] = []
    for sample, row in zip(samples, _distance(prints, hashes), strict=True):
        near = np.flatnonzero(row <= MAX_HASH_DISTANCE)
        ranks = [(row[j] - _bonus(sample, *names[j]), j) for j in near.tolist()]
        found.append(min(ranks)[1] if ranks else None)
    return found


def _bonus(sample: Named, label: str, name: str) -> float:
    """Less than the distance of one bit."""
    return 0.25 * (sample.label == label) + 0.5 * (sample.name == name)
