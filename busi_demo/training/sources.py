"""Load the data of a run: from the data settings to the tensors of training and validation."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from busi_demo.data.augment import AUGMENTATIONS
from busi_demo.data.busi import Sample, index_folder
from busi_demo.data.dataset import CanvasDataset, sampling_weights
from busi_demo.data.duplicates import Fingerprint, matches_hash, near_duplicates
from busi_demo.data.locate import DataNotFoundError, find_data, find_further
from busi_demo.data.made import MADE, PASTED, TISSUE
from busi_demo.data.paste import pasted_lesions
from busi_demo.data.phantom import PHANTOMS, phantom_samples
from busi_demo.data.published import locked_test
from busi_demo.data.reading import Reading, read_samples
from busi_demo.data.splits import FOLDS, near_duplicate_groups, split_samples
from busi_demo.data.tissue import tissue_beside
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.training.config import TrainConfig
from busi_demo.types import CLASSES, InputError
from busi_demo.weights.split_file import TRAIN, VALIDATION, SplitRow

PASTED_EACH = 3
"""Lesions that are pasted into each normal image, each alone."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The data of a run and the facts to record of them.

    Attributes:
        train: augmented training images.
        weights: float64 (len(train),), the share of each image in the draws.
        validation: images of `--data` only, of certain class.
        split: one row per image.
        facts: counts at every step, for config.json.
    """

    train: CanvasDataset
    weights: torch.Tensor
    validation: CanvasDataset
    split: tuple[SplitRow, ...]
    facts: Mapping[str, Any]


def load_training_data(config: TrainConfig, preprocess: Preprocess) -> TrainingData:
    """Find, index, read and split the data that a run asks for. Each image and each mask is decoded once.

    Rules: near-duplicates stay on one side of the split. The locked test images are left out. Images with a
    near-duplicate of another class train the mask only and are not validated on. Images with incomplete masks train and
    validate the class only. A group (patient, near-duplicates) of a further data set is left out if it holds a
    near-duplicate of a validation or a locked test image.

    Raises:
        InputError: there are no such data, they cannot be used, no training image has one of the classes, or there is
            nothing to validate on.
    """
    samples, name = _main_samples(config)
    further = find_further(config.extra, name)
    main = read_samples(samples, preprocess)
    prints = [reading.fingerprint for reading in main]
    split = split_samples(samples, prints, fold=config.fold, folds=FOLDS, seed=config.seed)
    held_out = [prints[i] for i in split.validation + split.locked]
    groups = [str(g) for g in split.groups]
    chosen: list[tuple[Reading, str, str]] = [(main[i], name, groups[i]) for i in split.train]
    validating = [i for i in split.validation if main[i].sample.label_certain]
    if not validating:
        raise InputError(f"No image of {name} is left to validate fold {config.fold} on: add images, or give another "
                         "--fold.")  # fmt: skip
    extra_left_out = 0
    for source, folder in further.items():
        extra = read_samples(index_folder(folder, facts=False), preprocess)
        leaks = _leaks(extra, held_out)
        extra_left_out += int(leaks.sum())
        chosen += [(r, source, r.sample.group) for r, leak in zip(extra, leaks, strict=True) if not leak]
    chosen = [row for row in chosen if _position(config.seed, *row[1:]) < config.train_share]
    chosen += _made_of(chosen, preprocess, config)
    if name != PHANTOMS and config.phantom_share > 0:
        extra_phantoms = read_samples(phantom_samples(config.phantoms, first_seed=1_000_000), preprocess)
        chosen += [(r, PHANTOMS, r.sample.name) for r in extra_phantoms]
    train, sources = [row[0] for row in chosen], [row[1] for row in chosen]
    if missing := sorted(set(CLASSES) - {r.sample.label for r in train}):
        raise InputError(f"There is no image of the class {missing[0]} to train on: add a folder that has some.")
    rows = [_row(reading.sample, source, group, TRAIN) for reading, source, group in chosen]
    rows += [_row(samples[i], name, groups[i], VALIDATION) for i in validating]
    return TrainingData(
        train=CanvasDataset(train, AUGMENTATIONS[config.augmentation]()),
        weights=_weights([r.sample for r in train], sources, name, config),
        validation=CanvasDataset([main[i] for i in validating]),
        split=tuple(rows),
        facts={
            "main": name,
            "images_indexed": len(samples),
            "near_duplicate_groups": len(set(split.groups)),
            "locked_test_left_out": len(split.locked),
            "extra_left_out_as_near_duplicates": extra_left_out,
            "uncertain_class_left_out_of_validation": len(split.validation) - len(validating),
            "fold": config.fold,
            "folds": FOLDS,
            "seed": config.seed,
            **counts(rows),
        },
    )


def _made_of(
    chosen: Sequence[tuple[Reading, str, str]], preprocess: Preprocess, config: TrainConfig
) -> list[tuple[Reading, str, str]]:
    """Further examples that are made of the real ones, where the config asks for them."""
    made: list[tuple[Reading, str, str]] = []
    if config.tissue_share > 0:
        cut = [(tissue_beside(reading, preprocess), group) for reading, _, group in chosen]
        made += [(reading, TISSUE, group) for reading, group in cut if reading]
    if config.paste_share > 0:
        for source in sorted({source for _, source, _ in chosen}):
            readings = [reading for reading, own, _ in chosen if own == source]
            made += [(r, PASTED, r.sample.group) for r in pasted_lesions(readings, PASTED_EACH, config.seed)]
    return made


def _position(seed: int, source: str, group: str) -> float:
    """A pseudo-random position in [0, 1) of a group; all its images have the same one."""
    return int.from_bytes(hashlib.sha256(f"{seed} {source} {group}".encode()).digest()[:8], "big") / 2**64


def weights_for(config: TrainConfig, data: TrainingData) -> torch.Tensor:
    """Compute the sampling weights of loaded data for the shares of a config, see `TrainingData.weights`."""
    sources = [row.source for row in data.split if row.split == TRAIN]
    return _weights(data.train.samples, sources, data.facts["main"], config)


def _weights(samples: Sequence[Any], sources: Sequence[str], main: str, config: TrainConfig) -> torch.Tensor:
    return sampling_weights(samples, sources, _shares(config, main, Counter(sources)))


def _main_samples(config: TrainConfig) -> tuple[Sequence[Sample], str]:
    """The data set to train and validate on, and its name: phantoms, with a message, if there is no other."""
    if config.data != PHANTOMS:
        try:
            root = find_data(config.data)
            return index_folder(root, facts=False), root.name
        except DataNotFoundError as error:
            print(f"{error}\nGoing on with simulated phantoms.", file=sys.stderr)
    return phantom_samples(config.phantoms, first_seed=0), PHANTOMS


def _leaks(readings: Sequence[Reading], held_out: Sequence[Fingerprint]) -> np.ndarray:
    """Which further training images, bool (N,), share a group with a near-duplicate of a validation or a locked test
    image: they may be other frames of its patient, or copies that do not look enough like the original."""
    prints = [reading.fingerprint for reading in readings]
    leaks = matches_hash(prints, [row["phash"] for row in locked_test().values()])
    leaks |= near_duplicates(prints, held_out).any(axis=1)
    groups = near_duplicate_groups([reading.sample for reading in readings], prints)
    return np.isin(groups, groups[leaks])


def _shares(config: TrainConfig, main: str, counts: Mapping[str, int]) -> dict[str, float]:
    extra = {source: n for source, n in counts.items() if source not in (main, *MADE)}
    real = 1 - config.phantom_share
    shares = {
        PHANTOMS: config.phantom_share,
        TISSUE: real * config.tissue_share,
        PASTED: real * config.paste_share,
    }
    real -= shares[TISSUE] + shares[PASTED]
    shares[main] = real
    if extra:
        shares[main] *= config.main_share
        rest = real * (1 - config.main_share)
        shares |= {source: rest * n / sum(extra.values()) for source, n in extra.items()}
    return shares


def _row(sample: Sample, source: str, group: str, split: str) -> SplitRow:
    return SplitRow(sample.name, sample.label, source, group, split)


def counts(rows: Sequence[SplitRow]) -> dict[str, dict[str, dict[str, int]]]:
    """`train` and `validation` -> data set -> class -> number of images. An image that one network of an ensemble held
    out is counted in both."""
    parts = {TRAIN: [row for row in rows if row.trained], VALIDATION: [row for row in rows if row.held_out]}
    return {
        part: {
            source: {label: sum(r.source == source and r.label == label for r in chosen) for label in CLASSES}
            for source in sorted({row.source for row in chosen})
        }
        for part, chosen in parts.items()
    }
