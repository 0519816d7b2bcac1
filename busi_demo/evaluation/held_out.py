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


def held_out_once(folders: Sequence[Path], held_out: Sequence[HeldOut]) -> dict[tuple[str, str], int]:
    """Find which of several weights folders held out an image: those of networks that were trained alike, each without
    another fold.

    Args:
        folders: each holds one folder an approach.
        held_out: of each of `folders`, see `held_out_by`.
    Returns:
        (class, image) -> position in `folders`.
    Raises:
        InputError: two of them held out the same image, or one of several none, as its approaches held out other folds.
    """
    found: dict[tuple[str, str], int] = {}
    for position, images in enumerate(held_out):
        if len(folders) > 1 and not images:
            raise InputError(
                f"{folders[position]} holds no image that all its approaches held out: give --weights folders whose "
                "approaches held out the same fold each."
            )
        if twice := found.keys() & images:
            (label, name), *_ = sorted(twice)
            raise InputError(
                f"{folders[position]} and {folders[found[label, name]]} both held out {label}/{name}: give --weights "
                "folders of networks that each held out another fold."
            )
        found |= dict.fromkeys(images, position)
    return found


def held_out_predictors(predictor: Predictor | ConsensusPredictor, held_out: HeldOut) -> PredictorFor:
    """Choose for each image the networks that were not trained on it; for an image that is not in `held_out`, all."""

    @cache
    def without(folds: tuple[int | None, ...]) -> Predictor | ConsensusPredictor:
        return predictor.held_out(folds) if isinstance(predictor, ConsensusPredictor) else predictor.held_out(*folds)

    def predictor_for(sample: FileSample) -> Predictor | ConsensusPredictor:
        folds = held_out.get((sample.label, sample.name))
        return predictor if folds is None else without(folds)

    return predictor_for


def cross_validated(held_out: Sequence[HeldOut]) -> bool:
    """Whether every approach answers for the images of two or more folds.

    Args:
        held_out: of each weights folder.
    """
    by_approach = zip(*(folds for images in held_out for folds in images.values()), strict=True)
    return len(held_out) > 1 or (any(held_out) and all(len(set(folds)) > 1 for folds in by_approach))


def predictors_of_folds(
    predictors: Sequence[Predictor | ConsensusPredictor],
    held_out: Sequence[HeldOut],
    position: Mapping[tuple[str, str], int],
) -> PredictorFor:
    """Choose for each image the networks of several weights folders that were not trained on it; for an image that none
    held out, all of the first folder.

    Args:
        predictors, held_out: of each folder.
        position: see `held_out_once`.
    """
    each = [held_out_predictors(*one) for one in zip(predictors, held_out, strict=True)]
    return lambda sample: each[position.get((sample.label, sample.name), 0)](sample)
