"""Evaluation of held-out images: each image is predicted by networks that were not trained on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from busi_demo.data.busi import FileSample
from busi_demo.inference.consensus import ConsensusPredictor
from busi_demo.inference.predictor import Predictor
from busi_demo.types import InputError
from busi_demo.weights.split_file import held_out_folds, read_split

HeldOut = Mapping[tuple[str, str], tuple[int | None, ...]]
"""(class, image) -> for each approach the fold of the image; `None` for an approach of a single network."""
PredictorFor = Callable[[FileSample], Predictor | ConsensusPredictor]
"""The predictor that a sample is evaluated with."""


def held_out_by(folders: Sequence[Path], source: str) -> HeldOut:
    """Find the images of a data set that every one of these approaches held out. An ensemble held out an image that one
    of its networks was not trained on.

    Args:
        folders: one for each approach, see `approach_folder`.
        source: name of the data set.
    Raises:
        InputError: a folder has no split.csv, or its approach held out no image of that data set.
    """
    folds = [_folds(folder, source) for folder in folders]
    return {image: tuple(own[image] for own in folds) for image in set.intersection(*map(set, folds))}


def _folds(folder: Path, source: str) -> dict[tuple[str, str], int | None]:
    rows = read_split(folder)
    folds = held_out_folds(rows, source)
    if not folds:
        known = " and ".join(sorted({row.source for row in rows if row.held_out})) or "nothing"
        raise InputError(
            f"The split of the weights in {folder} validates on {known}, not on {source}: give that folder with --data."
        )
    return folds


def held_out_predictors(predictor: Predictor | ConsensusPredictor, held_out: HeldOut) -> PredictorFor:
    """Choose for each image the networks that were not trained on it; for an image that is not in `held_out`, all."""

    @cache
    def without(folds: tuple[int | None, ...]) -> Predictor | ConsensusPredictor:
        return predictor.held_out(folds) if isinstance(predictor, ConsensusPredictor) else predictor.held_out(*folds)

    def predictor_for(sample: FileSample) -> Predictor | ConsensusPredictor:
        folds = held_out.get((sample.label, sample.name))
        return predictor if folds is None else without(folds)

    return predictor_for
