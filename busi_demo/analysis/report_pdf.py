"""The report as a PDF: two A4 pages, the figure on the first, the numbers on the second."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from busi_demo.analysis.measurements import Measurements
from busi_demo.imaging.frame import box_words
from busi_demo.imaging.text import percent
from busi_demo.types import InputError

_A4 = (8.27, 11.69)  # inches
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.6, 7.67, 11.1, 0.55
_VALUES = 2.6
_LABEL_LETTERS, _VALUE_LETTERS = 30, 74
_LINE = 0.19
_INK, _FAINT, _RULE = "#1a1a1a", "#4d4d4d", "#c8c8c8"
_LEVELS = {"green": "#00714f", "amber": "#8a5a00", "red": "#b3261e", None: _FAINT}
_WORDS = {"green": "Green", "amber": "Amber", "red": "Red"}
_REFUSED = "There is no PDF report on a picture that is refused."

Rows = Sequence[tuple[str, str] | tuple[str, str, str]]
"""Label, value and optionally the colour of the value."""


def report_pdf(content: Mapping[str, Any], panels: Image.Image) -> bytes:
    """Make a PDF file of a report.

    Args:
        content: from `report.report`.
        panels: the panels, from `figure.draw_figure`; three columns fill the page best.
    Returns:
        The bytes of a PDF file of two pages.
    Raises:
        InputError: the answer is withheld; the message has the reasons.
    """
    if content["answer"]["predicted_class"] is None:
        raise InputError(" ".join((_REFUSED, *content["input_check"]["reasons"])))
    stream = io.BytesIO()
    facts = {"Title": "Breast ultrasound, research demo", "Subject": content["disclaimer"]}
    with PdfPages(stream, metadata=facts) as pages:
        for page in report_pages(content, panels):
            pages.savefig(page)
    return stream.getvalue()


def report_pages(content: Mapping[str, Any], panels: Image.Image) -> tuple[Figure, Figure]:
    """The pages of `report_pdf`, as figures."""
    return _first_page(content, panels), _second_page(content)


def _first_page(content: Mapping[str, Any], panels: Image.Image) -> Figure:
    page = _Page(content, 1)
    page.rows(_answer(content))
    page.picture(panels)
    return page.figure


def _second_page(content: Mapping[str, Any]) -> Figure:
    page = _Page(content, 2)
    page.section("Measurements of the predicted lesion (computed geometry, not BI-RADS)", _measurements(content))
    page.section("How far to trust this picture", _trust(content))
    page.section("Image and overlap", _image(content))
    page.section("Model and settings", _model(content))
    if content["warnings"]:
        page.section("Notes", [("", warning) for warning in content["warnings"]])
    return page.figure


class _Page:
    """An A4 page with heading and footer, filled from the top; coordinates in inches from the lower left corner."""

    def __init__(self, content: Mapping[str, Any], number: int) -> None:
        self.figure = Figure(figsize=_A4, facecolor="white")
        self.y = _TOP
        self._write(_LEFT, "Breast ultrasound: segmented, classified, explained", size=15, weight="bold")
        self.y -= 0.27
        when = content["created"].replace("T", " ").replace("+00:00", " UTC")
        self._write(_LEFT, f"{content['model']['title']} · {when} · page {number} of 2", size=9, color=_FAINT)
        self.y -= 0.3
        disclaimer = textwrap.wrap(content["disclaimer"], 108)
        self.floor = _BOTTOM + len(disclaimer) * 0.16 + 0.1
        for i, line in enumerate(disclaimer):
            style = {"fontsize": 8.5, "color": _LEVELS["red"], "va": "top", "parse_math": False}
            self.figure.text(_LEFT / _A4[0], (_BOTTOM + (len(disclaimer) - i) * 0.16) / _A4[1], line, **style)

    def section(self, heading: str, rows: Rows) -> None:
        """Write a heading, a line and rows."""
        self.y -= 0.12
        self._write(_LEFT, heading, size=11, weight="bold")
        self.y -= 0.24
        x, y = (_LEFT / _A4[0], _RIGHT / _A4[0]), (self.y / _A4[1],) * 2
        self.figure.add_artist(Line2D(x, y, color=_RULE, linewidth=0.8))
        self.y -= 0.07
        self.rows(rows)

    def rows(self, rows: Rows) -> None:
        """Write labels on the left and values on the right, wrapped to their columns."""
        for label, value, *colour in rows:
            labels = textwrap.wrap(label, _LABEL_LETTERS) or [""]
            values = textwrap.wrap(value, _VALUE_LETTERS) or [""]
            if self.y - max(len(labels), len(values)) * _LINE < self.floor:
                self._write(_VALUES, "More stands in the JSON report.", size=9, color=_FAINT)
                return
            for i in range(max(len(labels), len(values))):
                if i < len(labels):
                    self._write(_LEFT, labels[i], size=9, color=_FAINT)
                if i < len(values):
                    self._write(_VALUES, values[i], size=9, color=colour[0] if colour else _INK)
                self.y -= _LINE

    def picture(self, picture: Image.Image) -> None:
        """Place an image, as large as the rest of the page allows."""
        self.y -= 0.1
        width, height = picture.size
        scale = min((_RIGHT - _LEFT) / width, (self.y - self.floor) / height)
        left = _LEFT + (_RIGHT - _LEFT - width * scale) / 2
        bottom = self.y - height * scale
        place = (left / _A4[0], bottom / _A4[1], width * scale / _A4[0], height * scale / _A4[1])
        axes = self.figure.add_axes(place)
        axes.imshow(picture, aspect="auto", interpolation="none")
        axes.axis("off")
        self.y = bottom

    def _write(self, x: float, text: str, size: float, color: str = _INK, weight: str = "normal") -> None:
        self.figure.text(
            x / _A4[0], self.y / _A4[1], text, va="top", fontsize=size, color=color, fontweight=weight, parse_math=False
        )


def _answer(content: Mapping[str, Any]) -> Rows:
    answer, trust, truth = content["answer"], content["trust"], content["ground_truth"]
    chances = ", ".join(f"{name} {percent(share)}" for name, share in answer["probabilities"].items())
    rows: list[tuple[str, str] | tuple[str, str, str]] = [
        ("Most likely class", answer["predicted_class"]),
        ("Probabilities", chances),
    ]
    if trust:
        word, reservation = _WORDS[trust["level"]], trust["reservation"]
        verdict = f"{word}. {reservation}" if reservation else word
        rows.append(("How far to trust it", verdict, _LEVELS[trust["level"]]))
    if truth:
        rows.append(("Overlap with the ground truth", f"Dice {truth['dice']:.3f}, IoU {truth['iou']:.3f}"))
    if content["seen"]:
        rows.append(("Seen before", content["seen"]["sentence"], _LEVELS["amber"]))
    return rows


def _measurements(content: Mapping[str, Any]) -> Rows:
    if content["measurements"] is None:
        return [("", "No lesion is outlined: there is nothing to measure.")]
    rows = Measurements(**content["measurements"]).rows()
    if content["image"]["spacing_mm"] is None:
        return (*rows, ("Scale", "unknown: lengths are in pixels of the image, areas in square pixels"))
    return rows


def _trust(content: Mapping[str, Any]) -> Rows:
    if content["trust"] is None:
        return [("", "Not examined.")]
    reservation = content["trust"]["reservation"]
    checks: list[tuple[str, str, str]] = [
        (
            check["name"],
            f"{_WORDS[check['level']]}. {check['sentence']}" if check["level"] else check["sentence"],
            _LEVELS[check["level"]],
        )
        for check in content["trust"]["checks"]
    ]
    rows: list[tuple[str, str] | tuple[str, str, str]] = [("", reservation), *checks] if reservation else [*checks]
    for level, classes in (content["prediction_set"] or {}).items():
        rows.append((f"Left open at {100 * float(level):g} %", " or ".join(classes)))
    if expected := content["expected_dice"]:
        low, high = expected["low"], expected["high"]
        rows.append(("Expected Dice of the outline", f"{expected['value']:.2f} ({low:.2f} to {high:.2f})"))
    return [*rows, ("", content["trust"]["rate"])] if content["trust"]["rate"] else rows


def _image(content: Mapping[str, Any]) -> Rows:
    image, truth, seen = content["image"], content["ground_truth"], content["seen"]
    spacing, whole = image["spacing_mm"], [0, 0, image["width"], image["height"]]
    scale = "unknown" if spacing is None else f"{spacing[1]:.4g} mm across, {spacing[0]:.4g} mm down, a pixel"
    before = "no match found" if content["known_images_available"] else "unknown: the list of known images is missing"
    if seen:
        before = f"{seen['sentence']} ({seen['source']}: {seen['image']})"
    overlap = "no ground truth given" if truth is None else f"Dice {truth['dice']:.3f}, IoU {truth['iou']:.3f}"
    return [
        ("Size", f"{image['width']} × {image['height']} pixels"),
        *([("Part used", box_words(tuple(image["frame"])))] if image["frame"] != whole else []),
        ("Pixel spacing", scale),
        ("Lesion", f"{percent(content['answer']['lesion_area_fraction'])} of the image"),
        ("Overlap with the ground truth", overlap),
        ("Seen before", before),
    ]


def _model(content: Mapping[str, Any]) -> Rows:
    model = content["model"]
    rows = [
        ("Approach", f"{model['title']} ({model['approach']})"),
        ("Weights, sha256", model["weights_sha256"] or "unknown"),
        ("Trained from commit", model["git_commit"] or "unknown"),
    ]
    rows += [(_readable(name), str(value)) for name, value in content["settings"].items()]
    return [*rows, ("Report", f"{content['schema']}, version {content['schema_version']}")]


def _readable(name: str) -> str:
    """mask_threshold -> Mask threshold, cam_class -> CAM class"""
    return name.replace("_", " ").capitalize().replace("Cam ", "CAM ")
