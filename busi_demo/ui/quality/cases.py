"""Pictures of the best and worst cases, where the data set lies on this machine; functions without Gradio."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image

from busi_demo.analysis.answer import Answer
from busi_demo.data.busi import FileSample, index_folder
from busi_demo.data.locate import data_at_hand
from busi_demo.evaluation.held_out import PredictorFor, held_out_by, held_out_predictors
from busi_demo.evaluation.results import ImageResult
from busi_demo.imaging import UNKNOWN_TRUTH, GroundTruth
from busi_demo.inference.consensus import consensus_keys, load_consensus
from busi_demo.inference.predictor import load_predictor
from busi_demo.models import CONSENSUS
from busi_demo.types import InputError
from busi_demo.ui import texts
from busi_demo.ui.html import figure_alt
from busi_demo.weights import store

_THUMBNAIL = (320, 320)


def case_pictures(cases: Sequence[tuple[str, ImageResult]]) -> list[tuple[Image.Image, str]]:
    """A small picture of every case with its caption, in their order; nothing where one is not at hand.

    Args:
        cases: (kind, image) as of `Quality.cases`.
    """
    samples = _samples()
    try:
        pictures = [samples[result.label, result.image].read()[0] for _, result in cases]
    except (KeyError, InputError):
        return []
    gallery = []
    for (kind, result), pixels in zip(cases, pictures, strict=True):
        small = Image.fromarray(pixels)
        small.thumbnail(_THUMBNAIL)
        gallery.append((small, texts.case_caption(kind, result.predicted_class, result.confidence, result.mask_dice)))
    return gallery


def case_figures(key: str, result: ImageResult) -> tuple[Image.Image, Image.Image, str]:
    """The panels of a case in a row and in a column, and what a screen reader says of them. The image is answered
    as it was when it was measured: by a network that was not trained on it.

    Args:
        key: of the approach, or `CONSENSUS`.
    Raises:
        InputError: the image is not at hand, or the weights are not.
    """
    sample = _samples().get((result.label, result.image))
    if sample is None:
        raise InputError(texts.case_gone(result.image))
    pixels, truth = sample.read()
    predictor = _predictor_for(key)(sample)
    answer = Answer(predictor.predict(pixels), GroundTruth(truth) if sample.mask_complete else UNKNOWN_TRUTH)
    heading = f"{answer.title}, {result.image}"
    wide, narrow = (answer.figure(columns, title=heading) for columns in (None, 1))
    return wide, narrow, figure_alt(answer)


def _predictor_for(key: str) -> PredictorFor:
    predictor = load_consensus() if key == CONSENSUS else load_predictor(key)
    keys = consensus_keys() if key == CONSENSUS else [key]
    folders = [store.approach_folder(one) for one in keys]
    try:
        source = store.read_config(folders[0]).data["main"]  # whatever its folder is called on this machine
        held_out = held_out_by(folders, source)
    except (InputError, KeyError):
        held_out = {}  # it is not recorded what these weights were trained on
    return held_out_predictors(predictor, held_out)


def _samples() -> dict[tuple[str, str], FileSample]:
    try:
        root = data_at_hand()
    except InputError as error:
        logging.getLogger(__name__).warning("%s", error)  # contains a path, which pages must not show
        return {}
    return _index(root) if root else {}


@cache
def _index(root: Path) -> dict[tuple[str, str], FileSample]:
    try:
        return {(sample.label, sample.name): sample for sample in index_folder(root)}
    except InputError:
        return {}
