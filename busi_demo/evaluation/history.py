"""The recorded training of one approach: its stages, each one row an epoch, from the CSV files of its report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from busi_demo.weights.results import read_histories

History = Sequence[Mapping[str, float]]
"""One row an epoch; a column without a value in an epoch is missing in its row."""

_SUFFIX = re.compile(r"(?:_(?P<stage>(?!fold_\d+$).+?))?(?:_fold_(?P<fold>\d+))?")


def read_stages(folder: Path, fold: int | None = None) -> list[History]:
    """Read the stages of a training from the results in an approach's folder; see `stages_of`."""
    return stages_of(read_histories(folder), fold)


def stages_of(histories: Mapping[str, History], fold: int | None = None) -> list[History]:
    """Order the histories of one training by stage, the oldest first.

    Args:
        histories: what follows `history` in the name of a file -> its rows. `""` is the last stage, `_STAGE` an earlier
            one; several earlier stages are sorted by name. An ensemble has `_fold_K` and `_STAGE_fold_K` for each of
            its networks.
        fold: the network of an ensemble to choose. Without it, and where a stage has no history of this fold, a stage
            is the history without a fold in its name, or else the mean over the folds.
    Returns:
        One history a stage; nothing where no training is recorded.
    """
    stages: dict[str, dict[int | None, History]] = {}
    for suffix, rows in histories.items():
        if rows and (match := _SUFFIX.fullmatch(suffix)):
            number = int(match["fold"]) if match["fold"] else None
            stages.setdefault(match["stage"] or "", {})[number] = rows
    ordered = [_of_stage(stages[name], fold) for name in sorted(stages, key=lambda name: (name == "", name))]
    return [history for history in ordered if history]


def _of_stage(histories: Mapping[int | None, History], fold: int | None) -> History:
    for key in (fold, None):
        if key in histories:
            return histories[key]
    return mean_history(list(histories.values()))


def mean_history(histories: Sequence[History]) -> list[dict[str, float]]:
    """Average histories of equal length, epoch by epoch, over the columns that all of them have.

    Returns:
        One row an epoch; nothing where the histories differ in length.
    """
    if len({len(rows) for rows in histories}) != 1:
        return []
    return [
        {name: float(np.mean([row[name] for row in rows])) for name in rows[0] if all(name in row for row in rows)}
        for rows in zip(*histories, strict=True)
    ]
