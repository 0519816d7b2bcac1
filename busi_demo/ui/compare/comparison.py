"""What the Compare tab does with an image, and how it says it in HTML; without Gradio."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from busi_demo.analysis.figure import figure_image, five_panels
from busi_demo.analysis.panels import percent
from busi_demo.imaging import read_image, read_mask
from busi_demo.imaging.masks import dice, iou
from busi_demo.inference.consensus import Consensus, consensus
from busi_demo.inference.predictor import load_predictor
from busi_demo.models import APPROACHES, CONSENSUS, title_of
from busi_demo.types import InputError, Prediction
from busi_demo.ui import texts
from busi_demo.ui.html import bar, data_table, overlap


@dataclass(frozen=True)
class Comparison:
    """What is known so far.

    Attributes:
        answers: key -> answer of an approach, or the sentence on why it has none; in the order of `APPROACHES`.
        ground_truth: bool (H, W); `None` where it is unknown.
        notes: sentences on how the ground truth was read.
        consensus: `None` until all have answered, and where fewer than two did.
    """

    answers: dict[str, Prediction | str]
    ground_truth: np.ndarray | None
    notes: tuple[str, ...]
    consensus: Consensus | None = None

    @property
    def finished(self) -> bool:
        """Whether every approach was asked."""
        return len(self.answers) == len(APPROACHES)

    @property
    def predictions(self) -> list[Prediction]:
        """Of the approaches that answered."""
        return [answer for answer in self.answers.values() if isinstance(answer, Prediction)]


def compare(image: str | Path, mask: str | Path | None = None) -> Iterator[Comparison]:
    """Ask one approach after the other, and tell after each what is known; at the end there is a consensus.

    Raises:
        InputError: a file cannot be used. An approach without weights costs only its own answer.
    """
    shape = read_image(image).pixels.shape
    truth, notes = read_mask(mask, shape) if mask else (None, ())
    answers: dict[str, Prediction | str] = {}
    for key in APPROACHES:
        try:
            answers[key] = load_predictor(key).predict(image)
        except InputError as error:
            answers[key] = str(error)
        known = Comparison(dict(answers), truth, notes)
        if known.finished and len(known.predictions) > 1:
            known = Comparison(known.answers, truth, notes, consensus(known.predictions))
        yield known


def panels(prediction: Prediction, ground_truth: np.ndarray | None, columns: int) -> Image.Image:
    """The five panels as an RGB image, `columns` of them in a row."""
    return figure_image(five_panels(prediction, ground_truth, title_of(prediction.approach), columns))


def named(prediction: Prediction) -> str:
    """The predicted class with its probability."""
    return f"{prediction.predicted_class} ({percent(prediction.confidence)})"


def progress(known: Comparison | None) -> str:
    """Who has answered, who is looking and who waits, for the card."""
    answers = known.answers if known else {}
    states = [_state(answers[key]) if key in answers else texts.WAITS for key in APPROACHES]
    if len(answers) < len(states):
        states[len(answers)] = texts.LOOKS
    lines = [f"<li><span>{escape(APPROACHES[key].title)}</span> <span>{escape(state)}</span></li>"
             for key, state in zip(APPROACHES, states, strict=True)]  # fmt: skip
    meter = f'<progress max="{len(states)}" value="{len(answers)}" aria-label="{texts.COMPARE}"></progress>'
    return f'<section role="status">{meter}<ul class="states">{"".join(lines)}</ul></section>'


def verdict(known: Comparison) -> str:
    """The consensus for the card: class, probabilities, whether the approaches agree, and warnings."""
    found = known.consensus
    if found is None:
        sentences = [answer for answer in known.answers.values() if isinstance(answer, str)]
        return "".join(f'<p class="alert" role="alert">{escape(s)}</p>' for s in (texts.NO_CONSENSUS, *sentences))
    prediction, truth = found.prediction, known.ground_truth
    warnings = [w for w in prediction.warnings if not (found.disagree and w == prediction.warnings[0])]
    scores = _scores(prediction, truth)
    parts = [
        f'<p class="by">{texts.consensus_by(len(found.members))}</p>',
        f"<h2>{prediction.predicted_class.capitalize()} <span>{percent(prediction.confidence)}</span></h2>",
        f'<p class="alert">{escape(prediction.warnings[0])}</p>'
        if found.disagree
        else f'<p class="agree">{texts.APPROACHES_AGREE}</p>',
        *(bar(name, p, name == prediction.predicted_class) for name, p in prediction.probabilities.items()),
        overlap(*scores),
        *(f'<p class="note">{escape(sentence)}</p>' for sentence in (*warnings, *known.notes)),
    ]
    return f'<section class="verdict" role="status">{"".join(parts)}</section>'


def agreement(known: Comparison) -> str:
    """Two tables: what each approach says, and how far their outlines overlap."""
    truth = known.ground_truth
    columns = texts.ANSWER_COLUMNS if truth is not None else texts.ANSWER_COLUMNS[:-1]
    rows = [_answer_row(key, answer, truth) for key, answer in known.answers.items()]
    if known.consensus:
        rows.append(_answer_row(CONSENSUS, known.consensus.prediction, truth))
    tables = data_table(texts.ANSWERS, columns, rows)
    if known.consensus:
        titles = [title_of(member.approach) for member in known.consensus.members]
        matrix = known.consensus.overlap
        cells = [[title, *(f"{value:.2f}" for value in row)] for title, row in zip(titles, matrix, strict=True)]
        note = f"{texts.OVERLAP_EXPLAINED} {known.consensus.median_dice:.2f}."
        tables += data_table(texts.OVERLAP, ("", *titles), cells, note)
    return f'<div class="tables">{tables}</div>'


def _state(answer: Prediction | str) -> str:
    return answer if isinstance(answer, str) else named(answer)


def _scores(prediction: Prediction, truth: np.ndarray | None) -> tuple[float | None, float | None]:
    return (None, None) if truth is None else (dice(prediction.mask, truth), iou(prediction.mask, truth))


def _answer_row(key: str, answer: Prediction | str, truth: np.ndarray | None) -> list[str]:
    if isinstance(answer, str):
        return [title_of(key), answer, "", *([""] if truth is not None else [])]
    lesion = percent(answer.lesion_area_fraction) if answer.mask.any() else texts.NO_LESION
    return [title_of(key), named(answer), lesion, *([f"{dice(answer.mask, truth):.3f}"] if truth is not None else [])]
