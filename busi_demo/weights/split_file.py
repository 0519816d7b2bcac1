"""split.csv, which lies beside the weights: every image that took part in making them, and in what."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from busi_demo.types import InputError

SPLIT_FILE = "split.csv"
TRAIN, VALIDATION = "train", "validation"
_FOLD = re.compile(r"fold (\d+)")
_COLUMNS = ("image", "class", "source", "group", "split")


@dataclass(frozen=True)
class SplitRow:
    """One image.

    Attributes:
        image: its file name.
        label: its class; two classes may share a name.
        source: name of its data set.
        group: images that share it are near-duplicates or of one patient.
        split: `TRAIN`, `VALIDATION`, or `fold N` where the weights are, or hold, several networks, of which the one of
            fold N was not trained on this image and the others were.
    """

    image: str
    label: str
    source: str
    group: str
    split: str

    @property
    def fold(self) -> int | None:
        """N of `fold N`."""
        match = _FOLD.fullmatch(self.split)
        return int(match[1]) if match else None

    @property
    def trained(self) -> bool:
        """Whether any network was trained on it."""
        return self.split != VALIDATION

    @property
    def held_out(self) -> bool:
        """Whether a network was not trained on it, so that it can be judged by that one."""
        return self.split != TRAIN


def fold_name(fold: int) -> str:
    """`split` of an image that one network of an ensemble was not trained on."""
    return f"fold {fold}"


def read_split(path: Path) -> list[SplitRow]:
    """Read a split.csv.

    Raises:
        InputError: there is none, or it has other columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [SplitRow(*(row[column] for column in _COLUMNS)) for row in rows]
    except (OSError, KeyError) as error:
        raise InputError(
            f"{path} is missing or has other columns than {', '.join(_COLUMNS)}: train the approach, or fetch the "
            "weights folder."
        ) from error


def held_out_folds(rows: Iterable[SplitRow], source: str) -> dict[tuple[str, str], int | None]:
    """(class, image) of what was held out of a data set -> its fold, where the weights are or hold several networks."""
    return {(row.label, row.image): row.fold for row in rows if row.source == source and row.held_out}


def write_split(path: Path, rows: Iterable[SplitRow]) -> None:
    """Write a split.csv."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows((row.image, row.label, row.source, row.group, row.split) for row in rows)
