"""The verdict on an image, as HTML for the card beside the inputs."""

from __future__ import annotations

from html import escape

from busi_demo.analysis.analysis import Analysis
from busi_demo.imaging.text import percent
from busi_demo.ui import texts
from busi_demo.ui.analyse.findings import trust_line
from busi_demo.ui.html import bar, doubt, overlap


def verdict(analysis: Analysis, seconds: float) -> str:
    """Class and probability in large type, all probabilities, overlap with the truth, a sentence, and warnings.

    Args:
        seconds: wall time of the forward pass.
    """
    prediction, answer, known = analysis.prediction, analysis.answer, analysis.facts.known_image
    probabilities = prediction.probabilities
    first, second, *_ = sorted(probabilities, key=probabilities.__getitem__, reverse=True)
    lesion = percent(prediction.lesion_area_fraction) if prediction.mask.any() else None
    sentence = texts.sentence(answer.title, lesion, first, second, percent(probabilities[second]))
    parts = [
        f'<p class="by">{escape(answer.title)}</p>',
        doubt(prediction),
        f"<h2>{first.capitalize()} <span>{percent(prediction.confidence)}</span></h2>",
        *(bar(name, share, name == first) for name, share in probabilities.items()),
        overlap(answer.dice, answer.iou),
        f"<p>{escape(sentence)}</p>",
        trust_line(analysis.facts.trust, prediction.threshold),
        *([f'<p class="note">{escape(known.sentence)}</p>'] if known else []),
        *(f'<p class="note">{escape(w)}</p>' for w in answer.warnings if w not in prediction.input_check.reasons),
        f'<p class="passed">{escape(texts.passed(f"{seconds:.2f}"))}</p>',
    ]
    return f'<section class="verdict" role="status">{"".join(parts)}</section>'
