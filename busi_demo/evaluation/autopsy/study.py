"""How the way of counting and splitting files changes accuracy: one classifier, scored in three ways.

An accuracy of 0.9272 on n = 316 is often quoted for BUSI. 316 is a fifth of 1578, and 1578 is the number of files: 780
images and 798 mask files. So mask files were used in training and test as if they were ultrasound images, with the
class of their folder, and near-duplicate images (among the faults of the data set that Pawłowska et al. list, Letter to
the Editor, Data in Brief 2023) were on both sides of the split. The study removes these faults one by one.

Pure functions: a classifier comes in as a callable, arrays go in, plain JSON values come out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.model_selection import StratifiedGroupKFold

from busi_demo.evaluation.bootstrap import LEVEL, RESAMPLES, draw_resamples, interval
from busi_demo.types import CLASSES

PUBLISHED = {"images": 780, "mask_files": 798}
"""PNG files of the published data set (Al-Dhabyani et al., Data in Brief 2020)."""
QUOTED = {"accuracy": 0.9272, "n": 316}
WAYS = {
    "files": "mask files counted as images, random split",
    "images": "images alone, random split",
    "groups": "images alone, near-duplicates on one side",
}
ALL, IMAGES, MASKS, BLACK = "all", "image files", "mask files", "black mask files"
LEAKED, CLEAN = "near-duplicate in training", "no near-duplicate in training"

Classifier = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""(train uint8 (N, S, S), labels int (N,), test uint8 (M, S, S), seed) -> predicted labels int (M,)."""


@dataclass(frozen=True)
class Files:
    """All files of a folder in BUSI layout, images and masks treated alike.

    Attributes:
        pixels: uint8 (N, S, S), of images, and of masks as 0 and 255.
        labels: int (N,) in the order of `CLASSES`, from the name of the folder.
        groups: int (N,), equal for near-duplicate images; a mask file has its image's.
        is_mask: bool (N,).
    Raises:
        ValueError: the lengths differ.
    """

    pixels: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    is_mask: np.ndarray

    def __post_init__(self) -> None:
        lengths = {len(a) for a in (self.pixels, self.labels, self.groups, self.is_mask)}
        if len(lengths) != 1:
            raise ValueError(f"pixels, labels, groups and is_mask must have one length, got {sorted(lengths)}.")

    def images(self) -> Files:
        """The images alone."""
        keep = ~self.is_mask
        return Files(self.pixels[keep], self.labels[keep], self.groups[keep], self.is_mask[keep])


def folds_of(files: Files, way: str, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split into `folds` pairs (train, test) of positions, stratified by class; every position is tested once.

    Args:
        way: one of `WAYS`; 'groups' keeps each group on one side, the others ignore groups.
    """
    n = len(files.labels)
    groups = files.groups if way == "groups" else np.arange(n)
    # numbered by first appearance, so that the ways differ by the groups alone: without near-duplicates they are equal
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    numbered = first.argsort().argsort()[number]
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    return list(splitter.split(files.labels, files.labels, numbered))


def run_autopsy(
    files: Files,
    classifiers: Mapping[str, Classifier],
    folds: int = 5,
    seeds: int = 1,
    resamples: int = RESAMPLES,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Score every classifier by cross-validation in each of the three `WAYS`.

    Args:
        files: with at least `folds` groups, and `folds` images of each class that there is.
        classifiers: name -> classifier.
        folds, seeds: each file is tested once a seed, on 1 / folds of the files at a time.
        resamples: of the cluster bootstrap over groups, for the 95 % intervals.
        say: receives a line of progress for each classifier and way.
    Returns:
        Plain JSON values. counts: files, images, mask_files, black_mask_files, groups, images_with_near_duplicate;
        published and quoted: the figures under autopsy, the latter with its binomial interval (Clopper & Pearson 1934);
        rows: one for each classifier, way and part of the files, with n (different files), accuracy and interval, and
        in those of all files fold_accuracies; differences: what the random split of the images adds to the grouped one,
        paired by image, on all images, those with and those without a near-duplicate in the data.
    """
    images = files.images()
    sizes = np.bincount(images.groups, minlength=files.groups.max() + 1)[images.groups]
    black = files.is_mask & ~files.pixels.any(axis=(1, 2))
    rows, differences = [], []
    for name, classifier in classifiers.items():
        correct = {}
        for way in WAYS:
            chosen = files if way == "files" else images
            correct[way], leaked, fold_accuracies = _cross_validate(chosen, way, classifier, folds, seeds)
            parts = {ALL: np.ones_like(leaked)}
            if way == "files":
                parts |= {IMAGES: ~chosen.is_mask, MASKS: chosen.is_mask, BLACK: black}
            parts |= {LEAKED: leaked} if way == "groups" else {LEAKED: leaked, CLEAN: ~leaked & ~chosen.is_mask}
            weights = draw_resamples(chosen.groups, resamples)
            for part, member in parts.items():
                row = {"classifier": name, "way": way, "part": part, **_mean(correct[way], member, weights)}
                rows.append(row | ({"fold_accuracies": fold_accuracies} if part == ALL else {}))
            say(f"{name}, {WAYS[way]}: accuracy {correct[way].mean():.3f} (n = {len(chosen.labels)})")
        gain, weights = correct["images"] - correct["groups"], draw_resamples(images.groups, resamples)
        for part, chosen_images in (("all images", sizes > 0), ("images with a near-duplicate in the data", sizes > 1),
                                    ("images without one", sizes == 1)):  # fmt: skip
            mean = _mean(gain, np.broadcast_to(chosen_images, gain.shape), weights)
            differences.append({"classifier": name, "part": part, "n": mean["n"], "difference": mean["accuracy"],
                                "interval": mean["interval"]})  # fmt: skip
    return {
        "counts": {
            "files": len(files.labels),
            "images": len(images.labels),
            "mask_files": int(files.is_mask.sum()),
            "black_mask_files": int(black.sum()),
            "groups": len(np.unique(images.groups)),
            "images_with_near_duplicate": int((sizes > 1).sum()),
            "images_by_class": {label: int((images.labels == i).sum()) for i, label in enumerate(CLASSES)},
        },
        "published": {"files": sum(PUBLISHED.values()), **PUBLISHED},
        "quoted": quoted(),
        "ways": WAYS,
        "settings": {"folds": folds, "seeds": seeds, "resamples": resamples, "level": LEVEL},
        "rows": rows,
        "differences": differences,
    }


def quoted() -> dict[str, Any]:
    """The quoted accuracy, the number of correct answers that it implies, and its exact binomial interval."""
    correct = round(QUOTED["accuracy"] * QUOTED["n"])
    bounds = binomtest(correct, int(QUOTED["n"])).proportion_ci(LEVEL, "exact")
    return {**QUOTED, "correct": correct, "interval": [float(bounds.low), float(bounds.high)]}


def _cross_validate(
    files: Files, way: str, classifier: Classifier, folds: int, seeds: int
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Whether each file was classified correctly, float (seeds, N); whether it is an image with a near-duplicate in the
    training files, bool (seeds, N); and the accuracy of each fold."""
    correct = np.zeros((seeds, len(files.labels)))
    leaked = np.zeros(correct.shape, dtype=bool)
    accuracies = []
    for seed in range(seeds):
        for fold, (train, test) in enumerate(folds_of(files, way, folds, seed)):
            predicted = classifier(files.pixels[train], files.labels[train], files.pixels[test], seed * folds + fold)
            correct[seed, test] = predicted == files.labels[test]
            trained_images = train[~files.is_mask[train]]
            leaked[seed, test] = ~files.is_mask[test] & np.isin(files.groups[test], files.groups[trained_images])
            accuracies.append(float(correct[seed, test].mean()))
    return correct, leaked, accuracies


def _mean(values: np.ndarray, member: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Mean of values (seeds, N) where `member`, bool of that shape or (N,), and its interval over weights (R, N)."""
    inside = np.broadcast_to(member, values.shape)
    count, total = inside.sum(axis=0).astype(float), (values * inside).sum(axis=0)
    n = int((count > 0).sum())
    if not n:
        return {"n": 0, "accuracy": None, "interval": None}
    below = weights @ count
    samples = np.divide(weights @ total, below, out=np.full(len(weights), np.nan), where=below > 0)
    return {"n": n, "accuracy": float(total.sum() / count.sum()), "interval": interval(samples)}
