"""split.csv, which lies beside the weights: every image that they were trained or validated on."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from busi_demo.project import save_whole
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
        split: `TRAIN`, `VALIDATION`, or `fold N` where the weights are or hold an ensemble: the network of fold N was
            not trained on this image, the others were.
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
        """Whether a network was not trained on it, so that this network can be evaluated on it."""
        return self.split != TRAIN


def fold_name(fold: int) -> str:
    """`split` of an image that one network of an ensemble was not trained on."""
    return f"fold {fold}"


def has_split(folder: Path) -> bool:
    """Whether the folder of an approach holds a split.csv."""
    return (folder / SPLIT_FILE).is_file()


def read_split(folder: Path) -> list[SplitRow]:
    """Read the split.csv in the folder of an approach.

    Raises:
        InputError: there is none, or it has other columns.
    """
    path = folder / SPLIT_FILE
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
    """(class, image) of each held-out image of a data set -> its fold; `None` for weights of a single network."""
    return {(row.label, row.image): row.fold for row in rows if row.source == source and row.held_out}


def write_split(folder: Path, rows: Iterable[SplitRow]) -> Path:
    """Write split.csv into the folder of an approach, whole or not at all; returns its path."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows((row.image, row.label, row.source, row.group, row.split) for row in rows)
    return save_whole(folder / SPLIT_FILE, text.getvalue().encode())
