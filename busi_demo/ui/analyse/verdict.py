"""The verdict on an image, as HTML for the card beside the inputs."""

from __future__ import annotations

from html import escape

from busi_demo.analysis.analysis import Analysis, Examined
from busi_demo.analysis.panels import percent
from busi_demo.ui import texts
from busi_demo.ui.analyse.findings import trust_line
from busi_demo.ui.html import bar, overlap


def answer(analysis: Analysis) -> str:
    """The predicted class with its probability."""
    return f"{analysis.prediction.predicted_class} ({percent(analysis.prediction.confidence)})"


def verdict(examined: Examined, analysis: Analysis) -> str:
    """Class and probability in large type, all probabilities, overlap with the truth, a sentence, and warnings."""
    prediction, record = analysis.prediction, analysis.record
    probabilities = prediction.probabilities
    first, second, *_ = sorted(probabilities, key=probabilities.__getitem__, reverse=True)
    lesion = percent(prediction.lesion_area_fraction) if prediction.mask.any() else None
    sentence = texts.sentence(analysis.title, lesion, first, second, percent(probabilities[second]))
    parts = [
        f'<p class="by">{escape(analysis.title)}</p>',
        f"<h2>{first.capitalize()} <span>{percent(prediction.confidence)}</span></h2>",
        *(bar(name, share, name == first) for name, share in probabilities.items()),
        overlap(record["dice"], record["iou"]),
        f"<p>{escape(sentence)}</p>",
        trust_line(examined.trust, prediction.threshold),
        *([f'<p class="note">{escape(examined.seen.sentence)}</p>'] if examined.seen else []),
        *(f'<p class="note">{escape(warning)}</p>' for warning in record["warnings"]),
        f'<p class="passed">{escape(texts.passed(f"{analysis.seconds:.2f}"))}</p>',
    ]
    return f'<section class="verdict" role="status">{"".join(parts)}</section>'
