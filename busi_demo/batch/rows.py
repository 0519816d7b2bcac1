"""The results of a batch, image by image: rows, figures and CSV. A file that cannot be used gives one row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from busi_demo.analysis.answer import Answer
from busi_demo.analysis.trust import STRICTEST
from busi_demo.batch.items import BatchItem, LeftOut
from busi_demo.inference.consensus import Consensus
from busi_demo.project import file_name
from busi_demo.types import CLASSES

COLUMNS = ("image", "true_class", "approach", "input_check", "predicted_class", *(f"p_{name}" for name in CLASSES),
           "lesion_area_fraction", "trust", "set_95", "expected_dice", "refer", "dice", "iou",
           "width", "height", "warnings", "error")  # fmt: skip
"""The columns of every row, in this order."""

DIGITS = 4
"""Decimals of shares and overlaps: further decimals depend on the number of threads."""

_FORMULA = re.compile('(^|;[\\s"]*)(?=[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])')
"""Where a spreadsheet may start a formula: at the start of a cell, in full width or after white space that it cuts,
too. In countries whose spreadsheets separate columns by semicolons, a cell starts after each of these."""

BOM = "\ufeff"
"""Byte order mark. Without it Excel reads a CSV file in the code page of its country."""

Row = dict[str, Any]
"""Column -> text, number or `None`. For a file that could not be used, all columns except `image`, `true_class` and
`error` are `None`."""


@dataclass(frozen=True, eq=False)
class Result:
    """One row of the batch.

    Attributes:
        row: its keys are `COLUMNS`.
        answer: the source of the row; `None` if the file could not be used.
    """

    row: Row
    answer: Answer | None = None

    def figure_png(self) -> bytes | None:
        """The figure as a PNG file; `None` where there is no answer to tell."""
        return None if self.answer is None or self.answer.withheld else self.answer.figure_png()

    @property
    def figure_name(self) -> str:
        """Relative path of the figure's file, in the folders of the image, with `/`. Names that are too long for a file
        system are cut, see `file_name`."""
        *folders, name = self.row["image"].split("/")
        return "/".join([*map(file_name, folders), file_name(name, f".{self.row['approach']}.png")])


def result_of(item: BatchItem, answer: Answer) -> Result:
    """The result of one approach on an image."""
    return Result(_row(item, answer, _refers(answer)), answer)


def consensus_result(item: BatchItem, together: Consensus, answers: Sequence[Answer]) -> Result:
    """The result of the consensus on an image: a person should look if the approaches disagree, or if one of them says
    so.

    Args:
        together: of the answers.
        answers: of the approaches, to the same image.
    """
    answer = Answer(together.prediction, answers[0].ground_truth)
    refer = together.disagree or any(_refers(one) for one in (*answers, answer))
    return Result(_row(item, answer, refer), answer)


def error_row(item: BatchItem, sentence: str) -> Row:
    """The row of an image that has no result; the sentence says why."""
    values = {"image": item.name, "true_class": item.true_class, "error": " ".join(sentence.split())}
    return dict.fromkeys(COLUMNS) | values


def csv_text(rows: Sequence[Row]) -> str:
    """Rows as CSV with a heading line. An apostrophe precedes what a spreadsheet would read as a formula."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def referred_first(rows: Sequence[Row]) -> list[Row]:
    """All rows of the images that a person should look at, those that could not be used among them, then those of the
    others, each in the order given."""
    first = _referred(rows) | {row["image"] for row in rows if row["error"] is not None}
    return sorted(rows, key=lambda row: row["image"] not in first)


def referral(rows: Sequence[Row]) -> str:
    """How many images a person should look at, as a sentence."""
    analysed = {row["image"] for row in rows if row["error"] is None}
    return f"{len(_referred(rows))} of {len(analysed)} images would be referred to a person."


def _referred(rows: Sequence[Row]) -> set[str]:
    return {row["image"] for row in rows if row["refer"] == "yes"}


def left_out_csv(left_out: Sequence[LeftOut]) -> str:
    """The files that are no images of the batch as CSV, in the columns file and reason."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "reason"))
    writer.writerows((_cell(other.name), _cell(other.reason)) for other in left_out)
    return text.getvalue()


def counts(rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """The number of images in the rows, and the number of those that could not be used."""
    return len({row["image"] for row in rows}), sum(row["error"] is not None for row in rows)


def _refers(answer: Answer) -> bool:
    """Whether a person should look at an image, as one approach has it."""
    return answer.withheld or bool(answer.trust and answer.trust.refer)


def _row(item: BatchItem, answer: Answer, refer: bool) -> Row:
    prediction, record = answer.prediction, answer.record()
    height, width = prediction.image.shape
    trust = None if answer.withheld else answer.trust
    return {
        "image": item.name,
        "true_class": item.true_class,
        "approach": prediction.approach,
        "input_check": prediction.input_check.verdict.value,
        "predicted_class": record["predicted_class"],
        **{f"p_{name}": _rounded((record["probabilities"] or {}).get(name)) for name in CLASSES},
        "lesion_area_fraction": _rounded(record["lesion_area_fraction"]),
        "trust": trust.level.name.lower() if trust else None,
        "set_95": " or ".join(trust.prediction_set.get(STRICTEST, ())) or None if trust else None,
        "expected_dice": _rounded(trust.expected_dice.value) if trust and trust.expected_dice else None,
        "refer": "yes" if refer else "no",
        **{name: _rounded(record[name]) for name in ("dice", "iou")},
        "width": width,
        "height": height,
        "warnings": " ".join(answer.warnings) or None,
        "error": None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _cell(value: Any) -> Any:
    """A text without formulas, and without carriage returns, which the csv module of some versions does not quote."""
    return _FORMULA.sub(r"\1'", value.replace("\r", "\n")) if isinstance(value, str) else value
