"""Pieces of HTML that several tabs share."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from busi_demo.imaging.text import percent
from busi_demo.types import Prediction, Verdict
from busi_demo.ui import texts

if TYPE_CHECKING:
    from busi_demo.analysis.answer import Answer


def figure_alt(answer: Answer, uncertainty: bool = False) -> str:
    """Text of the figure of an answer for screen readers; plain text, not HTML."""
    from busi_demo.analysis.panels import panel_names  # loads what the first page need not wait for

    return texts.figure_alt(panel_names(uncertainty), answer.title, named(answer.prediction))


def hint(text: str) -> str:
    """A quiet sentence where nothing is shown yet."""
    return f'<p class="hint" role="status">{escape(text)}</p>'


def alert(text: str) -> str:
    """A sentence on what went wrong; screen readers read it at once."""
    return f'<p class="alert" role="alert">{escape(text)}</p>'


def refusal(prediction: Prediction) -> str:
    """Why the answer on a picture is withheld; read at once by screen readers."""
    reasons = "".join(f"<p>{escape(reason)}</p>" for reason in prediction.input_check.reasons)
    title, hint = f"<h2>{texts.REFUSED_TITLE}</h2>", f"<p>{texts.REFUSED_HINT}</p>"
    return f'<section class="alert" role="alert">{title}{reasons}{hint}</section>'


def doubt(prediction: Prediction) -> str:
    """Why a picture that was answered on is doubtful; nothing for one that was accepted."""
    check = prediction.input_check
    if not check.reasons:
        return ""
    title = texts.OVERRIDDEN if check.verdict is Verdict.REFUSED else texts.DOUBTFUL
    return f'<p class="alert"><strong>{title}.</strong> {escape(" ".join(check.reasons))}</p>'


def data_table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> str:
    """A table of texts, which are escaped here.

    Args:
        caption: above the table.
        columns: heads of the columns.
        rows: the cells of each row; the first is the head of the row.
        note: below the table.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' if name else "<td></td>" for name in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    below = f"<figcaption>{escape(note)}</figcaption>" if note else ""
    return (
        f'<figure><div class="scroll" tabindex="0"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{below}</figure>"
    )


def scrolling_table(head: str, rows: Sequence[str]) -> str:
    """A table that scrolls inside its own box, with the keyboard too.

    Args:
        head: the head row, as HTML.
        rows: the other rows, as HTML.
    """
    return (
        f'<div class="scrolls" tabindex="0" role="region" aria-label="{texts.TABLE}"><table><thead>{head}</thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def bar(name: str, share: float, predicted: bool) -> str:
    """The probability of a class as a bar with its number."""
    return (
        f'<div class="bar{" predicted" if predicted else ""}"><span>{name}</span>'
        f'<i aria-hidden="true"><b style="width:{share:.1%}"></b></i><span>{percent(share)}</span></div>'
    )


def named(prediction: Prediction) -> str:
    """The predicted class with its probability, or that the picture is refused."""
    if prediction.input_check.withheld:
        return texts.REFUSED
    return f"{prediction.predicted_class} ({percent(prediction.confidence)})"


def overlap(dice: float | None, iou: float | None) -> str:
    """Dice and IoU; nothing where they are unknown."""
    if dice is None:
        return ""
    return (
        f'<p class="overlap"><strong>{texts.DICE} {dice:.3f}</strong> <strong>{texts.IOU} {iou:.3f}</strong> '
        f"<small>{texts.OVERLAP_HINT}</small></p>"
    )
