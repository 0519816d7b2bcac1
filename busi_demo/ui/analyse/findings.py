"""Trust, measurements, known images and the map: sections of HTML below the figure."""

from __future__ import annotations

from html import escape

from busi_demo.analysis.analysis import Analysis, ImageFacts
from busi_demo.analysis.measurements import Measurements
from busi_demo.analysis.trust import Level, Trust
from busi_demo.inference.cam_methods import CAM_METHODS
from busi_demo.types import Prediction
from busi_demo.ui import texts


def findings(analysis: Analysis) -> str:
    """Sections beside each other: how far to trust the answer, measurements, seen before, the map."""
    sections = (
        _trust(analysis.facts.trust, analysis.prediction.threshold),
        _measurements(analysis.measurements),
        _seen(analysis.facts),
        _about_the_map(analysis.prediction),
    )
    return f'<div class="findings">{"".join(sections)}</div>'


def trust_line(trust: Trust | None, threshold: float) -> str:
    """The traffic light in one line, with its worst finding, for a mask cut at a threshold."""
    if trust is None:
        return ""
    worst = [check for check in trust.checks if check.level is trust.level][-1]
    rate = f" {escape(rate)}" if (rate := trust.rate()) else ""
    return f'<p class="trust">{_light(trust.level)} {escape(worst.sentence)}{rate}{_reservation(trust, threshold)}</p>'


def _light(level: Level | None) -> str:
    """A sign, a colour and a word for a level: the colour alone says nothing."""
    name = "none" if level is None else level.name.lower()
    sign, word = texts.LEVELS[name]
    return f'<strong class="light {name}"><span aria-hidden="true">{sign}</span> {word}</strong>'


def _reservation(trust: Trust, threshold: float) -> str:
    sentence = trust.reservation(threshold)
    return f" <small>{escape(sentence)}</small>" if sentence else ""


def _trust(trust: Trust | None, threshold: float) -> str:
    if trust is None:
        return ""
    rows = "".join(
        f"<li>{_light(check.level)} <b>{escape(check.name)}.</b> {escape(check.sentence)}</li>"
        for check in trust.checks
    )
    rows += "".join(
        f"<li><b>{texts.set_at(level)}</b> {escape(' or '.join(classes))}.</li>"
        for level, classes in trust.prediction_set.items()
    )
    if dice := trust.expected_dice:
        rows += f"<li><b>{texts.EXPECTED_DICE}</b> {dice.value:.2f} ({dice.low:.2f} to {dice.high:.2f}).</li>"
    rate = f"<p>{escape(rate)}</p>" if (rate := trust.rate()) else ""
    limits = f"<small>{texts.TRUST_LIMITS}</small>{_reservation(trust, threshold)}"
    return _section(texts.TRUST, f"<ul>{rows}</ul>{rate}<p>{limits}</p>")


def _measurements(measurements: Measurements | None) -> str:
    if measurements is None:
        body = f"<p>{texts.NOTHING_TO_MEASURE}</p>"
    else:
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in measurements.rows())
        unit = "" if measurements.unit == "mm" else f" {texts.IN_PIXELS}"
        body = f"<dl>{rows}</dl><p><small>{texts.GEOMETRY}{unit}</small></p>"
    return _section(texts.MEASUREMENTS, body)


def _seen(facts: ImageFacts) -> str:
    known = facts.known_image
    sentence = texts.NOT_SEEN if facts.known_images_available else texts.SEEN_UNKNOWN
    if known:
        sentence = known.sentence
    which = f"<p><small>{escape(known.image)}, {escape(known.source)}</small></p>" if known else ""
    return _section(texts.SEEN, f"<p>{escape(sentence)}</p>{which}<p><small>{texts.SEEN_NOTE}</small></p>")


def _about_the_map(prediction: Prediction) -> str:
    method = CAM_METHODS[prediction.cam_method]
    shown = f"{method.title} of {prediction.cam_class}" if method.of_class else method.title
    paper = f"<small>{escape(method.paper)}</small>"
    body = f"<p><strong>{escape(shown)}</strong></p><p>{escape(method.summary)}</p><p>{paper}</p>"
    return _section(texts.ABOUT_THE_MAP, body)


def _section(title: str, body: str) -> str:
    return f"<section><h3>{escape(title)}</h3>{body}</section>"
