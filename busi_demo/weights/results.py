"""The folder report/ of an approach: what training and evaluation measured, and its plots."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from busi_demo.project import read_json

HISTORY = "history"
EVALUATION_KEYS = {"approach", "images", "weights_sha256", "per_image"}
"""Keys of the JSON files that train/evaluate.py writes; other JSON files in the folder are no evaluations."""


def results_folder(folder: Path) -> Path:
    """The results of an approach, or of the consensus; it need not be there.

    Args:
        folder: of the approach, see `store.approach_folder`.
    """
    return folder / "report"


def clear_results(folder: Path) -> Path:
    """Delete the results in the folder of an approach; returns where new ones go."""
    shutil.rmtree(results_folder(folder), ignore_errors=True)
    return results_folder(folder)


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """The metrics of the validation split that training wrote; `None` where there are none.

    Raises:
        InputError: the file cannot be read.
    """
    path = results_folder(folder) / "metrics.json"
    return read_json(path) if path.is_file() else None


def read_evaluations(folder: Path) -> dict[str, Any]:
    """The reports of train/evaluate.py: name of the file without .json -> its content, sorted by name.

    Raises:
        InputError: a JSON file cannot be read.
    """
    files = {path.stem: read_json(path) for path in sorted(results_folder(folder).glob("*.json"))}
    return {name: r for name, r in files.items() if isinstance(r, dict) and r.keys() >= EVALUATION_KEYS}


def read_histories(folder: Path) -> dict[str, list[dict[str, float]]]:
    """The histories of the trainings, epoch by epoch: the part of the file name after `history` -> rows. `""` is the
    history of the last stage; empty cells are left out."""
    paths = sorted(results_folder(folder).glob(f"{HISTORY}*.csv"))
    return {path.stem.removeprefix(HISTORY): _read_history(path) for path in paths}


def picture_file(folder: Path, name: str) -> Path | None:
    """A plot among the results, such as `roc.png`; `None` where it is not there."""
    path = results_folder(folder) / name
    return path if path.is_file() else None


def _read_history(path: Path) -> list[dict[str, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def history_file(folder: Path, name: str) -> Path:
    """Where the history of a stage goes, see `read_histories`."""
    return results_folder(folder) / f"{HISTORY}{name}.csv"


Histories = Mapping[str, Sequence[Mapping[str, float]]]
"""As `read_histories` returns them."""
