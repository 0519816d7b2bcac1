"""What the page shows of how good the approaches are: functions from the shipped files to plots, without Gradio."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from busi_demo.evaluation import plots
from busi_demo.evaluation.autopsy.report import autopsy_figure
from busi_demo.evaluation.card import sources
from busi_demo.evaluation.card.facts import REPORTING, SELECTION, ApproachFacts
from busi_demo.evaluation.cases import best_masks, confident_errors, worst_masks
from busi_demo.evaluation.history import read_stages
from busi_demo.evaluation.plots import cam_figure
from busi_demo.evaluation.results import ImageResult, probability_matrix, result_of_row
from busi_demo.models import CONSENSUS, title_of
from busi_demo.ui import texts
from busi_demo.weights import store
from busi_demo.weights.results import picture_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CASE_KINDS: dict[str, Callable[[list[ImageResult]], list[ImageResult]]] = {
    texts.WORST_MASK: worst_masks,
    texts.CONFIDENT_ERROR: confident_errors,
    texts.BEST_MASK: best_masks,
}


@dataclass(frozen=True)
class Quality:
    """What was measured of one approach.

    Attributes:
        key: of the approach, or `CONSENSUS`.
        facts: its JSON files.
        folder: where its files lie; they need not be there.
    """

    key: str
    facts: ApproachFacts
    folder: Path

    @property
    def title(self) -> str:
        """Name of the approach."""
        return title_of(self.key)

    @cached_property
    def report(self) -> Mapping[str, Any] | None:
        """The best report there is: of the locked test images, of the validation fold, as training left it."""
        return self.facts.on(REPORTING) or self.facts.on(SELECTION) or self.facts.metrics

    @cached_property
    def results(self) -> list[ImageResult]:
        """The result of each image; empty if the report does not list them."""
        return [result_of_row(row) for row in (self.report or {}).get("per_image", ())]

    def cases(self) -> list[tuple[str, ImageResult]]:
        """(kind of `CASE_KINDS`, image) of those worth looking at, the worst first."""
        return [(kind, result) for kind, choose in CASE_KINDS.items() for result in choose(self.results)]

    def plots(self) -> dict[str, Image.Image]:
        """The pictures that can be drawn: some of the keys of `texts.PLOT_LABELS` -> RGB image."""
        return {name: image for name, draw in _PLOTS.items() if (image := draw(self))}


def read_quality() -> dict[str, Quality]:
    """Every approach that has weights here; and all of them together where that was measured.

    Raises:
        InputError: a file cannot be read.
    """
    folder = store.WEIGHTS_FOLDER
    known = sources.read_reports(folder)
    qualities = {key: Quality(key, facts, folder / key) for key, facts in known.items()}
    return {key: quality for key, quality in qualities.items() if key != CONSENSUS or quality.report}


@cache
def draw_autopsy() -> tuple[dict[str, Any], Image.Image] | None:
    """What autopsy.json says and its figure; `None` where there is none.

    Raises:
        InputError: it cannot be read.
    """
    if not sources.AUTOPSY_FILE.is_file():
        return None
    result = sources.read_autopsy(sources.AUTOPSY_FILE)
    return result, _image(autopsy_figure(result, title=texts.AUTOPSY_TITLE))


def read_card() -> str:
    """MODEL_CARD.md from its first section on; a sentence where there is none."""
    try:
        return "## " + sources.CARD_FILE.read_text(encoding="utf-8").partition("\n## ")[2]
    except OSError:
        return texts.NO_CARD


def _confusion(quality: Quality) -> Image.Image | None:
    if not quality.report:
        return None
    return _image(plots.confusion_matrix_figure(quality.report, title=quality.title))


def _reliability(quality: Quality) -> Image.Image | None:
    results = quality.results
    if not results:
        return _shipped(quality, "reliability.png")
    confidences, correct = np.array([r.confidence for r in results]), np.array([r.correct for r in results])
    return _image(plots.reliability_figure(confidences, correct, title=quality.title))


def _roc(quality: Quality) -> Image.Image | None:
    results = quality.results
    if not results:
        return _shipped(quality, "roc.png")
    return _image(plots.roc_figure([r.label for r in results], probability_matrix(results), title=quality.title))


def _curves(quality: Quality) -> Image.Image | None:
    stages = read_stages(quality.folder)
    if not stages:
        return _shipped(quality, "learning_curves.png")
    return _image(plots.learning_curves(stages[-1], title=quality.title, columns=1, earlier=stages[:-1]))


def _cam(quality: Quality) -> Image.Image | None:
    cam = (quality.report or {}).get("cam")
    return _image(cam_figure(cam, title=quality.title)) if cam else None


def _corruptions(quality: Quality) -> Image.Image | None:
    measured = (quality.report or {}).get("corruptions")
    return _image(plots.corruptions_figure(measured, title=quality.title)) if measured else None


def _kept(quality: Quality) -> Image.Image | None:
    measured = quality.facts.trust
    return _image(plots.kept_figure(measured, title=quality.title)) if measured else None


_PLOTS: dict[str, Callable[[Quality], Image.Image | None]] = {
    "confusion": _confusion, "reliability": _reliability, "roc": _roc, "curves": _curves, "cam": _cam,
    "corruptions": _corruptions, "kept": _kept,
}  # fmt: skip


def _image(figure: Figure) -> Image.Image:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=150)
    return Image.open(drawn).convert("RGB")


def _shipped(quality: Quality, name: str) -> Image.Image | None:
    path = picture_file(quality.folder, name)
    if path is None:
        return None
    with Image.open(path) as image:
        return image.convert("RGB")
