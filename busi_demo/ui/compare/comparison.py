"""What the Compare tab does with an image, and how it says it in HTML; without Gradio."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from busi_demo.analysis.answer import Answer
from busi_demo.analysis.trusted import known_image, with_known
from busi_demo.imaging import UNKNOWN_TRUTH, GreyImage, GroundTruth
from busi_demo.imaging.text import percent
from busi_demo.inference.consensus import DISAGREEMENT, Consensus, consensus
from busi_demo.inference.predictor import SharedPasses, load_predictor
from busi_demo.models import APPROACHES, CONSENSUS, title_of
from busi_demo.types import InputError
from busi_demo.ui import texts
from busi_demo.ui.html import bar, data_table, doubt, named, overlap, refusal


@dataclass(frozen=True, eq=False)
class Comparison:
    """The answers so far.

    Attributes:
        answers: key -> answer of an approach, or the sentence on why it has none; in the order of `APPROACHES`.
        consensus: `None` until all have answered, and where fewer than two did.
        together: the prediction of the consensus as an answer; `None` where `consensus` is.
    """

    answers: dict[str, Answer | str]
    consensus: Consensus | None = None
    together: Answer | None = None

    @property
    def finished(self) -> bool:
        """Whether every approach was asked."""
        return len(self.answers) == len(APPROACHES)

    @property
    def answered(self) -> list[Answer]:
        """The answers there are."""
        return [answer for answer in self.answers.values() if isinstance(answer, Answer)]


def compare(
    image: GreyImage, ground_truth: GroundTruth = UNKNOWN_TRUTH, analyse_anyway: bool = False
) -> Iterator[Comparison]:
    """Ask one approach after the other, and yield what is known after each; the last one has a consensus.

    Args:
        image: as read.
        ground_truth: of the image, from `read_ground_truth`.
        analyse_anyway: as for `Predictor.predict`.
    Raises:
        InputError: the image or the list of known images cannot be used, or the ground truth is not bool or has
            another shape than the image. An approach without weights costs only its own answer.
    """
    ground_truth.check(image.pixels.shape)
    answers: dict[str, Answer | str] = {}
    shared, match = SharedPasses(), known_image(image)
    for key in APPROACHES:
        try:
            prediction = load_predictor(key).predict(image, shared, analyse_anyway)
            answers[key] = Answer(with_known(prediction, match), ground_truth)
        except InputError as error:
            answers[key] = str(error)
        known = Comparison(dict(answers))
        if known.finished and len(known.answered) > 1:
            joined = consensus([answer.prediction for answer in known.answered])
            known = Comparison(known.answers, joined, Answer(joined.prediction, ground_truth))
        yield known


def progress(known: Comparison | None) -> str:
    """Which approach has answered, which is running and which waits, for the card."""
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
    consensus, answer = known.consensus, known.together
    if consensus is None or answer is None:
        sentences = [answer for answer in known.answers.values() if isinstance(answer, str)]
        return "".join(f'<p class="alert" role="alert">{escape(s)}</p>' for s in (texts.NO_CONSENSUS, *sentences))
    prediction = answer.prediction
    if answer.withheld:
        return refusal(prediction)
    notes = [w for w in consensus.further_warnings if w not in prediction.input_check.reasons]
    notes += answer.ground_truth.notes
    parts = [
        f'<p class="by">{texts.consensus_by(len(consensus.members))}</p>',
        doubt(prediction),
        f"<h2>{prediction.predicted_class.capitalize()} <span>{percent(prediction.confidence)}</span></h2>",
        f'<p class="alert">{escape(DISAGREEMENT)}</p>'
        if consensus.disagree
        else f'<p class="agree">{texts.APPROACHES_AGREE}</p>',
        *(bar(name, p, name == prediction.predicted_class) for name, p in prediction.probabilities.items()),
        overlap(answer.dice, answer.iou),
        *(f'<p class="note">{escape(sentence)}</p>' for sentence in notes),
    ]
    return f'<section class="verdict" role="status">{"".join(parts)}</section>'


def agreement(known: Comparison) -> str:
    """Two tables: what each approach says, and how far their outlines overlap."""
    scored = any(answer.ground_truth.mask is not None for answer in known.answered)
    columns = texts.ANSWER_COLUMNS if scored else texts.ANSWER_COLUMNS[:-1]
    rows = [_answer_row(key, answer)[: len(columns)] for key, answer in known.answers.items()]
    if known.together:
        rows.append(_answer_row(CONSENSUS, known.together)[: len(columns)])
    tables = data_table(texts.ANSWERS, columns, rows)
    if known.consensus and known.together and not known.together.withheld:
        titles = [title_of(member.approach) for member in known.consensus.members]
        matrix = known.consensus.overlap
        cells = [[title, *(f"{value:.2f}" for value in row)] for title, row in zip(titles, matrix, strict=True)]
        note = f"{texts.OVERLAP_EXPLAINED} {known.consensus.median_dice:.2f}."
        tables += data_table(texts.OVERLAP, ("", *titles), cells, note)
    return f'<div class="tables">{tables}</div>'


def _state(answer: Answer | str) -> str:
    return answer if isinstance(answer, str) else named(answer.prediction)


def _answer_row(key: str, answer: Answer | str) -> list[str]:
    if isinstance(answer, str):
        return [title_of(key), answer, "", ""]
    mask = answer.prediction.mask
    if answer.withheld:
        return [title_of(key), texts.REFUSED, "", ""]
    lesion = percent(answer.prediction.lesion_area_fraction) if mask.any() else texts.NO_LESION
    dice = "" if answer.dice is None else f"{answer.dice:.3f}"
    return [title_of(key), named(answer.prediction), lesion, dice]
