"""The numbers of the tab 'How good is it?', as HTML; all that comes from files is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from busi_demo.evaluation.card import doubt
from busi_demo.evaluation.card.tables import COMPARED, METRICS
from busi_demo.imaging.text import percent
from busi_demo.models import title_of
from busi_demo.ui import texts
from busi_demo.ui.html import alert, data_table, scrolling_table

if TYPE_CHECKING:
    from busi_demo.ui.quality.measured import Quality


def overview(qualities: Sequence[Quality], chosen: str | None = None) -> str:
    """A card an approach: the metrics that matter most, each as a bar with its interval."""
    if not qualities:
        return alert(texts.NO_WEIGHTS)
    cards = []
    for quality in qualities:
        body = f"<p>{escape(texts.not_measured(quality.key))}</p>"
        if report := quality.report:
            bars = [_bar(label, report, path) for label, path, _ in METRICS if path[0] in COMPARED]
            body = f"<small>{escape(texts.on_images(report['n']))}</small>{''.join(bars)}"
        current = ' class="chosen"' if quality.key == chosen else ""
        cards.append(f"<section{current}><h3>{escape(quality.title)}</h3>{body}</section>")
    return f'<div class="quality-cards">{"".join(cards)}</div>'


def numbers(quality: Quality) -> str:
    """On what was measured, and every metric with its interval."""
    report = quality.report
    if report is None:
        return alert(texts.not_measured(quality.key))
    return (
        f'<p role="status">{escape(texts.measured_on(quality.title, report))}</p>'
        f"{_metrics(texts.ALL_NUMBERS, report)}{_all_folds(quality)}{_doubt(quality)}"
    )


def _metrics(summary: str, report: Mapping[str, Any], note: str = "") -> str:
    """Every metric of a report with its interval, folded."""
    rows = []
    for label, path, counts in METRICS:
        n = sum(_at(report, count) or 0 for count in counts) if counts else ""
        value, bounds = _at(report, path), _at(report.get("intervals"), path)
        interval = f"{bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else ""
        rows.append(
            f"<tr><th scope='row'>{escape(label)}</th><td>{_number(value)}</td><td>{interval}</td><td>{n}</td></tr>"
        )
    heads = "".join(f"<th scope='col'>{head}</th>" for head in texts.NUMBER_HEADS)
    table = scrolling_table(f"<tr>{heads}</tr>", rows)
    return f"<details><summary>{summary}</summary>{f'<p>{escape(note)}</p>' if note else ''}{table}</details>"


def _all_folds(quality: Quality) -> str:
    """What networks that were trained alike give on several folds, where the weights hold out one."""
    facts = quality.facts
    report = facts.of_folds
    if report is None:
        return ""
    absent = [title_of(key) for key in facts.absent]
    return _metrics(texts.ALL_FOLDS, report, texts.all_folds(report["n"], len(report["weights_sha256"]), absent))


def _doubt(quality: Quality) -> str:
    """What levels of trust, sets of classes and the input check were worth."""
    trust, check = quality.facts.trust, quality.facts.input_check
    tables = []
    if trust:
        measured = {quality.title: trust}
        tables.append((texts.TRUST_MEASURED, doubt.trust_table(measured), ""))
        tables.append((texts.SIZES_MEASURED, doubt.size_table(measured), ""))
        tables.append((texts.SETS_MEASURED, doubt.set_table(measured), texts.SETS_NOTE))
    if check:
        tables.append((texts.INPUT_MEASURED, doubt.input_table(check), texts.INPUT_NOTE))
    return "".join(
        f"<details><summary>{title}</summary>{data_table(title, heads, rows, note)}</details>"
        for title, (heads, rows), note in tables
    )


def cases(quality: Quality) -> str:
    """The images worth looking at, by name."""
    results = quality.cases()
    if not results:
        return f"<p>{escape(texts.no_cases(quality.title))}</p>"
    rows = []
    for kind, result in results:
        overlap = "" if result.mask_dice is None else f"{result.mask_dice:.3f}"
        cells = (kind, result.image, result.predicted_class, percent(result.confidence), overlap)
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    heads = "".join(f"<th scope='col'>{head}</th>" for head in texts.CASE_HEADS)
    return scrolling_table(f"<tr>{heads}</tr>", rows)


def _bar(label: str, report: Mapping[str, Any], path: tuple[str, ...]) -> str:
    value, bounds = _at(report, path), _at(report.get("intervals"), path)
    text = f"<span>{escape(label)}</span><strong>{_number(value)}</strong>"
    if value is None:
        return f'<div class="metric">{text}</div>'
    low, high = bounds or (value, value)
    interval = f"<small>{low:.3f} to {high:.3f}</small>" if bounds else "<small></small>"
    drawn = f'<i style="left:{low:.1%};width:{high - low:.1%}"></i><b style="left:{value:.1%}"></b>'
    return f'<div class="metric">{text}{interval}<div class="interval" aria-hidden="true">{drawn}</div></div>'


def _at(tree: Any, path: Sequence[str]) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _number(value: float | None) -> str:
    return texts.UNDEFINED if value is None else f"{value:.3f}"
