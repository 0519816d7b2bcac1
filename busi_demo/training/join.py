"""From networks that each held out another fold to one ensemble, judged by what each of its members did not see."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from busi_demo.data.busi import FileSample
from busi_demo.evaluation.results import ImageResult, judged
from busi_demo.inference.predictor import Predictor
from busi_demo.models import create_model
from busi_demo.models.ensemble import FoldEnsemble
from busi_demo.training.sources import counts
from busi_demo.types import CLASSES, InputError
from busi_demo.weights.calibration import UNCALIBRATED, Calibration, fit_calibration
from busi_demo.weights.split_file import SPLIT_FILE, VALIDATION, SplitRow, fold_name, read_split
from busi_demo.weights.store import Weights, load_weights

_EQUAL = ("approach", "architecture", "preprocess", "threshold", "min_area", "training")
_EQUAL_DATA = ("main", "folds", "seed", "images_indexed", "near_duplicate_groups", "locked_test_left_out")


@dataclass(frozen=True)
class Member:
    """One network of the ensemble to be.

    Attributes:
        folder: where its weights lie.
        weights: these, with the settings that the ensemble shall have.
        fold: the one that it held out.
        split: what it was trained on and what it held out.
    """

    folder: Path
    weights: Weights
    fold: int
    split: Sequence[SplitRow]

    @property
    def history(self) -> list[dict[str, float]]:
        """Its training, epoch by epoch; empty where that is not recorded."""
        return self.histories.get("", [])

    @property
    def histories(self) -> dict[str, list[dict[str, float]]]:
        """What follows `history` in the name of each file of its report -> the rows."""
        paths = sorted((self.folder / "report").glob("history*.csv"))
        return {path.stem.removeprefix("history"): _read_history(path) for path in paths}


def _read_history(path: Path) -> list[dict[str, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def load_members(folders: Sequence[Path], changes: Mapping[str, Any]) -> list[Member]:
    """Load networks that were trained alike, each without another fold, sorted by fold.

    Args:
        folders: one approach's folder each, as a training script writes it.
        changes: settings of the architecture, without weights of their own, that the ensemble shall have instead.
    Raises:
        InputError: weights are missing, were trained otherwise than the first, or held out the same fold.
    """
    members = [load_member(folder, changes) for folder in folders]
    first = members[0]
    for other in members[1:]:
        for name in _EQUAL:
            _check_equal(first, other, name, *(_comparable(m.weights.config.get(name)) for m in (first, other)))
        for name in _EQUAL_DATA:
            _check_equal(first, other, name, *(m.weights.config["data"].get(name) for m in (first, other)))
        _check_equal(first, other, "data sets", *(sorted({r.source for r in m.split}) for m in (first, other)))
    by_fold = {member.fold: member for member in members}
    if len(by_fold) < len(members) or len(members) < 2:
        raise InputError(
            f"Expected two or more networks that held out different folds, got folds {[m.fold for m in members]}."
        )
    return [by_fold[fold] for fold in sorted(by_fold)]


def load_member(folder: Path, changes: Mapping[str, Any]) -> Member:
    """One of `load_members`, as it answers without calibration."""
    weights = load_weights(folder.name, folder.parent)
    if "folds" in weights.config or weights.model.config.get("detector_folds"):
        raise InputError(f"{folder} holds several networks, calibrated when they were put together: give single ones.")
    fold = weights.config.get("data", {}).get("fold")
    if fold is None:
        raise InputError(f"{folder} does not record which fold it held out: train it with train/train_multitask.py.")
    if unknown := sorted(changes.keys() - weights.model.config.keys()):
        raise InputError(f"{folder.name} has no setting {unknown[0]!r}: it has {', '.join(weights.model.config)}.")
    model = create_model(folder.name, **{**weights.model.config, **changes})
    model.load_state_dict(weights.model.state_dict())
    raw = calibrated(replace(weights, model=model.eval()), UNCALIBRATED)
    return Member(folder, raw, fold, read_split(folder / SPLIT_FILE))


def _comparable(value: Any) -> Any:
    return {k: v for k, v in value.items() if k != "fold"} if isinstance(value, Mapping) else value


def _check_equal(first: Member, other: Member, name: str, expected: Any, found: Any) -> None:
    if expected != found:
        raise InputError(
            f"{other.folder} was made with {name} {found}, {first.folder} with {expected}: train all networks of an "
            "ensemble alike, but for --fold."
        )


def joined(members: Sequence[Member]) -> FoldEnsemble:
    """The members as one network."""
    return FoldEnsemble([m.weights.model for m in members], [m.fold for m in members])  # type: ignore[misc]


def joined_split(members: Sequence[Member]) -> list[SplitRow]:
    """What the ensemble was trained on: images that a member held out carry its fold."""
    rows: dict[tuple[str, str, str], SplitRow] = {}
    for member in members:
        for row in member.split:
            key = row.source, row.label, row.image
            if row.split == VALIDATION:
                rows[key] = replace(row, split=fold_name(member.fold))
            else:
                rows.setdefault(key, row)
    return list(rows.values())


def judge_held_out(members: Sequence[Member], samples: Sequence[FileSample]) -> tuple[list[ImageResult], Calibration]:
    """Let each member answer the images that it held out.

    Args:
        samples: all images of the data set.
    Returns:
        How each went, and the calibration that was fitted to all of them at once.
    Raises:
        InputError: a held-out image is missing among the samples.
    """
    held_out = [(member, sample) for member in members for sample in _held_out(member, samples)]
    predictors = {member.fold: Predictor(member.weights) for member in members}
    probabilities = [
        predictors[member.fold].probabilities([sample.read()[0]])
        for member, sample in tqdm(held_out, "calibrating", disable=None, leave=False)
    ]
    logits = np.log(np.concatenate(probabilities).clip(1e-12))  # they were not calibrated: up to a constant an image
    calibration = fit_calibration(logits, np.array([CLASSES.index(sample.label) for _, sample in held_out]))
    predictors = {member.fold: Predictor(calibrated(member.weights, calibration)) for member in members}
    results: list[ImageResult] = []
    for member, sample in tqdm(held_out, "judging", disable=None, leave=False):
        image, truth = sample.read()
        prediction = predictors[member.fold].predict(image)
        results.append(judged(prediction, sample.name, sample.label, truth, sample.mask_complete))
    return results, calibration


def _held_out(member: Member, samples: Sequence[FileSample]) -> list[FileSample]:
    by_key = {(sample.label, sample.name): sample for sample in samples}
    keys = [(row.label, row.image) for row in member.split if row.split == VALIDATION]
    if missing := [key for key in keys if key not in by_key]:
        raise InputError(f"{'/'.join(missing[0])} is not in the data folder: give the one of the training.")
    return [by_key[key] for key in keys]


def calibrated(weights: Weights, calibration: Calibration) -> Weights:
    """The same weights with another calibration."""
    return replace(weights, temperature=calibration.temperature, class_bias=calibration.class_bias)


def mean_history(members: Sequence[Member]) -> list[dict[str, float]]:
    """The members' trainings averaged, epoch by epoch; empty where one is not recorded or has other epochs."""
    histories = [member.history for member in members]
    if len({len(rows) for rows in histories}) != 1:
        return []
    return [
        {name: float(np.mean([row[name] for row in rows])) for name in rows[0] if all(name in row for row in rows)}
        for rows in zip(*histories, strict=True)
    ]


def joined_facts(members: Sequence[Member], split: Sequence[SplitRow]) -> dict[str, Any]:
    """`data`, `training`, `learnt_from` and `members` for config.json."""
    first = members[0].weights.config
    left_out = ("extra_left_out_as_near_duplicates", "uncertain_class_left_out_of_validation")
    data = {name: value for name, value in first["data"].items() if name not in ("fold", "train", "validation")}
    data |= {name: sum(m.weights.config["data"].get(name, 0) for m in members) for name in left_out}
    return {
        "data": data | counts(split),
        "training": _comparable(first["training"]),
        "learnt_from": _origins(members),
        "members": [
            {"fold": m.fold, **{name: m.weights.config.get(name) for name in ("sha256", "git_commit", "learnt_from")}}
            for m in members
        ],
    }


def _origins(members: Sequence[Member]) -> dict[str, Any]:
    """What all members learnt from; where each had weights of its own, only of which approach these were."""
    found = [m.weights.config.get("learnt_from", {}) for m in members]
    shared: dict[str, Any] = {}
    for option in found[0]:
        if all(option in own and own[option]["approach"] == found[0][option]["approach"] for own in found):
            same = {own[option]["sha256"] for own in found}
            shared[option] = found[0][option] if len(same) == 1 else {**found[0][option], "sha256": None}
    return shared


def with_size(member: Member, size: int) -> Member:
    """The same network, looking at inputs of another size (Touvron et al., Fixing the train-test resolution
    discrepancy, NeurIPS 2019)."""
    preprocess = replace(member.weights.preprocess, size=size)
    return replace(member, weights=replace(member.weights, preprocess=preprocess))
