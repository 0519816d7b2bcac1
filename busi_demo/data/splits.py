"""Split samples into training and validation, stratified by class, with near-duplicates on one side."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

from busi_demo.data.busi import Sample
from busi_demo.data.duplicates import Fingerprint, fingerprint, group_near_duplicates, matches_hash
from busi_demo.data.facts import notes_of
from busi_demo.data.published import locked_test
from busi_demo.types import InputError

FOLDS = 5


@dataclass(frozen=True)
class Split:
    """Positions in the list of samples, sorted; each position occurs at most once.

    Attributes:
        train: to train on.
        validation: to choose checkpoints, thresholds and temperatures on.
        locked: images of the locked test set, used for neither.
        groups: the group number of every sample, in the samples' order.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    locked: tuple[int, ...]
    groups: tuple[int, ...]


def split_samples(
    samples: Sequence[Sample], prints: Sequence[Fingerprint], fold: int = 0, folds: int = FOLDS, seed: int = 0
) -> Split:
    """Split into training and validation (one fold of `folds`) without the locked test images.

    An image counts as locked by its perceptual hash. Of BUSI, which has no patient ids, this split is
    free of near-duplicates; it cannot be called patient-level.

    Args:
        samples: all images of one data set.
        prints: their fingerprints, in the same order.
        fold: which fold validates, 0 to folds - 1.
        seed: of the shuffling.
    Raises:
        InputError: too few groups or images for that many folds, or no such fold.
    """
    if not 0 <= fold < folds:
        raise InputError(f"fold must lie between 0 and {folds - 1}, got {fold}.")
    is_locked = matches_hash(prints, [row["phash"] for row in locked_test().values()])
    groups = near_duplicate_groups(samples, prints)
    is_locked = np.isin(groups, groups[is_locked])
    free = np.flatnonzero(~is_locked)
    if len(np.unique(groups[free])) < folds:
        raise InputError(
            f"{len(free)} images in {len(np.unique(groups[free]))} groups are too few to split into {folds} folds: "
            f"at least {folds} groups are needed."
        )
    labels = np.array([s.label for s in samples])[free]
    _check_counts(labels, folds)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on small classes, which `_check_counts` has named
        train, validation = list(splitter.split(free, labels, groups[free]))[fold]
    return Split(
        train=tuple(free[train].tolist()),
        validation=tuple(free[validation].tolist()),
        locked=tuple(np.flatnonzero(is_locked).tolist()),
        groups=tuple(groups.tolist()),
    )


def _check_counts(labels: np.ndarray, folds: int) -> None:
    """Name the classes with fewer images than folds on standard error.

    Raises:
        InputError: no class has that many.
    """
    names, counts = np.unique(labels, return_counts=True)
    few = ", ".join(f"{n} {name}" for name, n in zip(names, counts, strict=True) if n < folds)
    if counts.max() < folds:
        raise InputError(f"{few} images are too few to split into {folds} folds: at least {folds} of one class are "
                         "needed; add images.")  # fmt: skip
    if few:
        print(
            f"note: only {few} images for {folds} folds: some folds have none of them to validate on", file=sys.stderr
        )


def near_duplicate_groups(samples: Sequence[Sample], prints: Sequence[Fingerprint]) -> np.ndarray:
    """Number the groups of samples that belong together, directly or through others: by their fingerprints, by
    `Sample.group`, or by published audits.

    Returns:
        int (N,): equal numbers for images of one group.
    """
    notes = notes_of(samples, prints)
    audited = [s.group if note is None else note["known_group"] for s, note in zip(samples, notes, strict=True)]
    return group_near_duplicates(prints, [s.group for s in samples], audited)


def fingerprints(samples: Sequence[Sample]) -> list[Fingerprint]:
    """Fingerprint every sample's image, on all cores, with a progress bar."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        work = pool.map(lambda sample: fingerprint(sample.read()[0]), samples)
        return list(tqdm(work, "looking for near-duplicates", total=len(samples), leave=False, disable=None))
