"""Whether weights in several folders are networks of one training, each without another fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from busi_demo.models import complete
from busi_demo.types import InputError
from busi_demo.weights.config import WeightsConfig
from busi_demo.weights.split_file import read_split
from busi_demo.weights.store import read_config

EQUAL_DATA = ("main", "folds", "seed", "images_indexed", "near_duplicate_groups", "locked_test_left_out")
"""Facts on the data that networks of one split have in common."""


def check_alike(folders: Sequence[Path], calibrated: bool = False, ensembles: bool = False) -> None:
    """Check that several folders hold networks of one approach that were trained alike, each without another fold.

    Args:
        folders: of the approach; a single one is not checked.
        calibrated: whether they must have one calibration as well.
        ensembles: whether all of them may hold the same ensemble instead.
    Raises:
        InputError: weights are missing, are an ensemble, differ from the first in another setting than the fold, or
            held out the same fold.
    """
    if len(folders) < 2:
        return
    configs = [read_config(folder) for folder in folders]
    found: dict[int, Path] = {}
    for folder, config in zip(folders, configs, strict=True):
        if config.fold is not None:
            if other := found.get(config.fold):
                raise InputError(f"{other} and {folder} both held out fold {config.fold}: give one a fold.")
            found[config.fold] = folder
        elif not ensembles:
            raise InputError(f"{folder} holds no single network that held out one fold: give that folder alone.")
    wanted = _settings(folders[0], configs[0], calibrated)
    for folder, config in zip(folders[1:], configs[1:], strict=True):
        for name, value in _settings(folder, config, calibrated).items():
            if value != wanted[name]:
                of_this, of_first = _differing(value, wanted[name])
                remedy = "train networks of several folds alike, but for --fold"
                if name == "calibration":
                    remedy = "calibrate them together, by train/calibrate.py with these --weights"
                raise InputError(f"{folder} was made with {name} {of_this}, {folders[0]} with {of_first}: {remedy}.")


def _settings(folder: Path, config: WeightsConfig, calibrated: bool) -> dict[str, Any]:
    training = config.facts.get("training", {})
    return {
        "approach": config.approach,
        "preprocess": config.preprocess,
        "threshold": config.threshold,
        "min_area": config.min_area,
        "architecture": complete(config.approach, config.architecture),
        "detector": config.detector,
        "training": {name: value for name, value in training.items() if name != "fold"},
        **{name: config.data.get(name) for name in EQUAL_DATA},
        "data sets": sorted({row.source for row in read_split(folder)}),
        "networks": None if config.fold is not None else config.sha256,
        "calibration": config.calibration if calibrated else None,
    }


def _differing(one: Any, other: Any) -> tuple[Any, Any]:
    """The values, of mappings without what is equal in both."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return one, other
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return {name: one.get(name) for name in names}, {name: other.get(name) for name in names}
