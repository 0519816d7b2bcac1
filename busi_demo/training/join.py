"""Join networks that were trained without different folds into one ensemble, evaluated on the held-out images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from busi_demo.analysis.answer import Answer
from busi_demo.data.busi import FileSample
from busi_demo.evaluation.results import ImageResult, image_result
from busi_demo.imaging import GroundTruth, read_image
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.inference.predictor import Predictor
from busi_demo.models import build_model
from busi_demo.models.base import ApproachModel
from busi_demo.models.ensemble import Ensemble, settings_of, with_settings
from busi_demo.training.sources import counts
from busi_demo.types import CLASSES, InputError
from busi_demo.weights.alike import check_alike
from busi_demo.weights.calibration import UNCALIBRATED, Calibration, fit_calibration
from busi_demo.weights.config import WeightsConfig
from busi_demo.weights.results import read_histories
from busi_demo.weights.split_file import VALIDATION, SplitRow, fold_name, read_split
from busi_demo.weights.store import Weights, load_weights, read_config


@dataclass(frozen=True)
class Member:
    """One network of the future ensemble.

    Attributes:
        folder: of its weights.
        weights: these, with the settings of the ensemble.
        config: the record of these weights.
        fold: the fold that it held out.
        split: the images that it was trained on and that it held out.
    """

    folder: Path
    weights: Weights
    config: WeightsConfig
    fold: int
    split: Sequence[SplitRow]

    @property
    def held_out(self) -> list[tuple[str, str]]:
        """(class, image) of the images that it held out."""
        return [(row.label, row.image) for row in self.split if row.split == VALIDATION]

    @property
    def history(self) -> list[dict[str, float]]:
        """Its training, epoch by epoch; empty where that is not recorded."""
        return self.histories.get("", [])

    @property
    def histories(self) -> dict[str, list[dict[str, float]]]:
        """See `read_histories`."""
        return read_histories(self.folder)


def load_members(folders: Sequence[Path], changes: Mapping[str, Any], size: int | None = None) -> list[Member]:
    """Load networks that were trained alike, each without another fold, sorted by fold.

    Args:
        folders: of the weights, as a training script writes them.
        changes: settings of the architecture that replace those of the training; they must not change any tensor.
        size: side of the input in pixels in place of that of the training (Touvron et al., Fixing the train-test
            resolution discrepancy, NeurIPS 2019); `None` keeps it.
    Raises:
        InputError: weights are missing, were trained otherwise than the first, or held out the same fold; the
            architecture has no such setting, or the size is below 64 or no multiple of 32.
    """
    if len(folders) < 2:
        raise InputError(f"Expected two or more networks that held out different folds, got that of {folders[0]}.")
    members = [load_member(folder, changes, size) for folder in folders]
    check_alike(folders)
    return sorted(members, key=lambda member: member.fold)


def load_member(folder: Path, changes: Mapping[str, Any], size: int | None = None) -> Member:
    """Load one of `load_members`, without its calibration.

    Raises:
        InputError: the weights are missing, are an ensemble, or do not record the fold that they held out; or the
            architecture has no such setting, or the size is not valid.
    """
    whole, members = load_parts(folder, changes, size)
    if whole.model.folds:
        raise InputError(f"{folder} holds several networks, calibrated when they were put together: give single ones.")
    return members[0]


def load_parts(folder: Path, changes: Mapping[str, Any], size: int | None = None) -> tuple[Weights, list[Member]]:
    """Load an approach without its calibration: whole, and the networks in it that held out images.

    Args:
        changes, size: as for `load_members`.
    Returns:
        All of it; then each network of an ensemble, or the single one, with the images that it held out.
    Raises:
        InputError: the weights are missing or do not record what they held out; or the architecture has no such
            setting, or the size is not valid.
    """
    weights, config, rows = load_weights(folder), read_config(folder), read_split(folder)
    folds = weights.model.folds if config.fold is None else (config.fold,)
    if not folds:
        raise InputError(f"{folder} does not record which fold it held out: train it with train/train_multitask.py.")
    preprocess = _with_size(weights.preprocess, size)
    raw = replace(weights, model=_changed(weights.model, changes), preprocess=preprocess, calibration=UNCALIBRATED)
    return raw, [Member(folder, raw.held_out(fold), config, fold, held_out_rows(rows, fold)) for fold in folds]


def held_out_rows(rows: Sequence[SplitRow], fold: int) -> list[SplitRow]:
    """The split of the network in an ensemble that held out a fold."""
    return [replace(row, split=VALIDATION) if row.fold == fold else row for row in rows]


def _with_size(preprocess: Preprocess, size: int | None) -> Preprocess:
    if size is None:
        return preprocess
    if size < 64 or size % 32:
        raise InputError(f"--image-size must be a multiple of 32 from 64 on, got {size}.")
    return replace(preprocess, size=size)


def _changed(model: ApproachModel, changes: Mapping[str, Any]) -> ApproachModel:
    settings = settings_of(model.architecture)
    if unknown := sorted(changes.keys() - settings.keys()):
        raise InputError(f"{model.key} has no setting {unknown[0]!r}: it has {', '.join(settings)}.")
    if not changes:
        return model
    changed = build_model(model.key, with_settings(model.architecture, changes))
    changed.load_state_dict(model.state_dict())
    return changed.eval()


def joined(members: Sequence[Member]) -> Ensemble:
    """The members as one network."""
    return Ensemble([m.weights.model for m in members], [m.fold for m in members])


def joined_split(members: Sequence[Member]) -> list[SplitRow]:
    """The split of the ensemble: an image that a member held out carries the fold of that member."""
    rows: dict[tuple[str, str, str], SplitRow] = {}
    for member in members:
        for row in member.split:
            key = row.source, row.label, row.image
            if row.split == VALIDATION:
                rows[key] = replace(row, split=fold_name(member.fold))
            else:
                rows.setdefault(key, row)
    return list(rows.values())


def evaluate_held_out(
    members: Sequence[Member], samples: Sequence[FileSample]
) -> tuple[list[ImageResult], Calibration]:
    """Evaluate each member on the images that it held out.

    Args:
        samples: all images of the data set.
    Returns:
        The result of each image, and one calibration that was fitted to all of them.
    Raises:
        InputError: a held-out image is missing among the samples.
    """
    held_out = [(member, sample) for member in members for sample in _held_out(member, samples)]
    predictors = {member.fold: Predictor(member.weights) for member in members}
    probabilities = [
        predictors[member.fold].probabilities([read_image(sample.image_path).framed])
        for member, sample in tqdm(held_out, "calibrating", disable=None, leave=False)
    ]
    logits = np.log(np.concatenate(probabilities).clip(1e-12))  # uncalibrated: the logits up to a constant
    calibration = fit_calibration(logits, np.array([CLASSES.index(sample.label) for _, sample in held_out]))
    predictors = {m.fold: Predictor(replace(m.weights, calibration=calibration)) for m in members}
    results: list[ImageResult] = []
    for member, sample in tqdm(held_out, "evaluating", disable=None, leave=False):
        prediction = predictors[member.fold].predict(read_image(sample.image_path))
        answer = Answer(prediction, GroundTruth(sample.read()[1]))
        results.append(image_result(answer, sample))
    return results, calibration


def _held_out(member: Member, samples: Sequence[FileSample]) -> list[FileSample]:
    by_key = {(sample.label, sample.name): sample for sample in samples}
    if missing := [key for key in member.held_out if key not in by_key]:
        raise InputError(f"{'/'.join(missing[0])} is not in the data folder: give the one of the training.")
    return [by_key[key] for key in member.held_out]


def joined_facts(members: Sequence[Member], split: Sequence[SplitRow]) -> dict[str, Any]:
    """`data`, `training`, `learnt_from` and `members` for config.json."""
    first = members[0].config.facts
    left_out = ("extra_left_out_as_near_duplicates", "uncertain_class_left_out_of_validation")
    data = {name: value for name, value in first["data"].items() if name not in ("fold", "train", "validation")}
    data |= {name: sum(m.config.data.get(name, 0) for m in members) for name in left_out}
    return {
        "data": data | counts(split),
        "training": {name: value for name, value in first["training"].items() if name != "fold"},
        "learnt_from": _origins(members),
        "members": [
            {
                "fold": m.fold,
                "sha256": m.config.sha256,
                "git_commit": m.config.git_commit,
                "learnt_from": m.config.facts.get("learnt_from"),
            }
            for m in members
        ],
    }


def _origins(members: Sequence[Member]) -> dict[str, Any]:
    """The weights that all members learnt from; where each had weights of its own, only the approach of these."""
    origins = [m.config.learnt_from for m in members]
    shared: dict[str, Any] = {}
    for option, first in origins[0].items():
        if all(option in own and own[option]["approach"] == first["approach"] for own in origins):
            same = {own[option]["sha256"] for own in origins}
            shared[option] = first if len(same) == 1 else {**first, "sha256": None}
    return shared
