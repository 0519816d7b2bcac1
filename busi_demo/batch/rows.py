"""Many images, one after the other: what is found as plain rows, as figures and as CSV. One bad file costs one row."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from busi_demo.batch.items import BatchItem
from busi_demo.imaging import read_mask
from busi_demo.imaging.masks import dice, iou
from busi_demo.inference.consensus import consensus
from busi_demo.inference.predictor import Predictor
from busi_demo.models import title_of
from busi_demo.types import CLASSES, InputError, Prediction, reason_of

COLUMNS = ("image", "true_class", "approach", "predicted_class", *(f"p_{name}" for name in CLASSES),
           "lesion_area_fraction", "dice", "iou", "width", "height", "warnings", "error")  # fmt: skip
"""Of every row, in this order."""

DIGITS = 4
"""Decimals of shares and overlaps: more would differ with the number of threads that arithmetic is shared between."""

Row = dict[str, Any]
"""Column -> text, number or `None`; of a file that could not be used, all but `image`, `true_class` and `error` are
`None`."""


@dataclass(frozen=True)
class Answer:
    """A row, and what its figure is drawn from.

    Attributes:
        row: has the keys `COLUMNS`.
        prediction: `None` where the file could not be used.
        ground_truth: bool (H, W); `None` where it is unknown.
    """

    row: Row
    prediction: Prediction | None = None
    ground_truth: np.ndarray | None = None

    def figure(self) -> Image.Image | None:
        """The five panels as an RGB image; `None` without a prediction."""
        if self.prediction is None:
            return None
        from busi_demo.analysis.figure import figure_image, five_panels  # tables alone need no Matplotlib

        return figure_image(five_panels(self.prediction, self.ground_truth, title_of(self.prediction.approach)))

    @property
    def figure_name(self) -> str:
        """Name of the figure's file; the image's folders, with `/`, stay."""
        return f"{self.row['image']}.{self.row['approach']}.png"


def answer(item: BatchItem, predictors: Sequence[Predictor]) -> list[Answer]:
    """One image by one or more approaches.

    Returns:
        An answer of each approach in turn and, of several, that of their consensus. Where the image or its ground truth
        cannot be used, one alone, whose row says why.
    """
    try:
        predictions, truth, notes = _predict(item, predictors)
    except InputError as error:
        return [Answer(_error_row(item, str(error)))]
    except OSError as error:
        logging.getLogger(__name__).warning("%s: %s", item.name, error)  # names a folder, which a page must not show
        return [Answer(_error_row(item, f"{item.name} could not be read ({reason_of(error)}): try it again."))]
    except Exception as error:  # whatever it was, the other images can do without this one
        logging.getLogger(__name__).exception("%s", item.name)
        kind = type(error).__name__
        return [Answer(_error_row(item, f"{item.name} could not be analysed ({kind}: {error}): leave it out."))]
    return [Answer(_row(item, prediction, truth, notes), prediction, truth) for prediction in predictions]


def csv_text(rows: Sequence[Row]) -> str:
    """Rows as CSV with a heading line. A text that a spreadsheet would take for a formula gets an apostrophe before."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def counts(rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """How many images the rows are of, and how many of those could not be used."""
    return len({row["image"] for row in rows}), sum(row["error"] is not None for row in rows)


def _predict(
    item: BatchItem, predictors: Sequence[Predictor]
) -> tuple[list[Prediction], np.ndarray | None, tuple[str, ...]]:
    """Predictions, the true mask and notes on how that was read. Raises whatever readers and networks raise."""
    if item.image is None:
        raise InputError(item.fault or "There is no file.")
    with ExitStack() as files:
        image = files.enter_context(item.image.on_disk())
        predictions = [predictor.predict(image) for predictor in predictors]
        shape, notes = predictions[0].image.shape, tuple[str, ...]()
        truth = np.zeros(shape, dtype=bool) if item.masks else None
        for mask in item.masks:
            part, part_notes = read_mask(files.enter_context(mask.on_disk()), shape)
            truth, notes = truth | part, notes + part_notes
    if len(predictions) > 1:
        predictions.append(consensus(predictions).prediction)
    return predictions, truth, notes


def _row(item: BatchItem, prediction: Prediction, truth: np.ndarray | None, notes: Sequence[str]) -> Row:
    height, width = prediction.image.shape
    return {
        "image": item.name,
        "true_class": item.true_class,
        "approach": prediction.approach,
        "predicted_class": prediction.predicted_class,
        **{f"p_{name}": round(share, DIGITS) for name, share in prediction.probabilities.items()},
        "lesion_area_fraction": round(prediction.lesion_area_fraction, DIGITS),
        "dice": None if truth is None else round(dice(prediction.mask, truth), DIGITS),
        "iou": None if truth is None else round(iou(prediction.mask, truth), DIGITS),
        "width": width,
        "height": height,
        "warnings": " ".join([*prediction.warnings, *notes]) or None,
        "error": None,
    }


def _error_row(item: BatchItem, sentence: str) -> Row:
    known = {"image": item.name, "true_class": item.true_class, "error": " ".join(sentence.split())}
    return dict.fromkeys(COLUMNS) | known


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
