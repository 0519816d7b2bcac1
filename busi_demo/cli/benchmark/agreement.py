"""Whether every engine gives the answers of PyTorch on images of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from busi_demo.data.busi import FileSample, index_folder
from busi_demo.data.duplicates import fingerprint, matches_hash
from busi_demo.data.published import locked_test
from busi_demo.imaging import read_image
from busi_demo.imaging.masks import dice
from busi_demo.inference.engines import EAGER, ENGINES, find_engine
from busi_demo.inference.predictor import Predictor, SharedPasses, load_predictor
from busi_demo.types import CLASSES, InputError
from busi_demo.weights.store import available_approaches


class Told(NamedTuple):
    """What is compared of a `Prediction`."""

    mask: np.ndarray
    cam: np.ndarray
    probabilities: Mapping[str, float]
    predicted_class: str


class Difference(NamedTuple):
    """How far the answer of an engine on one image is from that of PyTorch.

    Attributes:
        image: class and file name.
        dice: of the two masks.
        pixels: in the mask of PyTorch.
        changed: pixels that are in one mask only.
        probability: largest difference of a class probability.
        cam: correlation of the two maps of the class that PyTorch predicts; 1 for two that are zero.
        other_class: whether the predicted class is another one.
    """

    image: str
    dice: float
    pixels: int
    changed: int
    probability: float
    cam: float
    other_class: bool


def agreement(data: Path, count: int, engine: str | None, slow_ones: bool) -> dict[str, Any]:
    """Compare the engines that can be had here with PyTorch.

    Args:
        data: folder in BUSI layout.
        count: images, see `chosen_images`.
        engine: key of the only one to compare; `None`: all.
        slow_ones: compare engines that compile for minutes, too.
    Returns:
        `agreement`: the name of the folder, and for each approach and engine the figures of `summary`.
    Raises:
        InputError: there are no such data, or the engine is not there.
    """
    samples = chosen_images(data, count)
    if engine:
        find_engine(engine)
    keys = [engine] if engine else [
        key for key, one in ENGINES.items() if one.available and key != EAGER and (slow_ones or one.by_default)
    ]  # fmt: skip
    expected = list(_told(_fresh_predictors(), samples))
    engines = {key: _compared(key, samples, expected) for key in keys}
    load_predictor.cache_clear()  # type: ignore[attr-defined]
    approaches = {name: {key: engines[key][name] for key in keys} for name in expected[0]}
    return {"agreement": {"data": data.name, "approaches": approaches}}


def chosen_images(data: Path, count: int) -> list[FileSample]:
    """Images at even distances in the order of names, as many of each class as there are; none of the locked test set.

    Args:
        data: folder in BUSI layout.
        count: largest number of images; equal calls choose equal images.
    Raises:
        InputError: there is none.
    """
    hashes = [row["phash"] for row in locked_test().values()]
    samples, chosen = index_folder(data, facts=False), list[FileSample]()
    for i, label in enumerate(CLASSES):
        own = [sample for sample in samples if sample.label == label]
        share = min(len(own), (count + i) // len(CLASSES))
        wanted = [own[j * len(own) // share] for j in range(share)]
        prints = [fingerprint(read_image(sample.image_path).pixels) for sample in wanted]
        locked = matches_hash(prints, hashes)
        chosen += [sample for sample, is_locked in zip(wanted, locked, strict=True) if not is_locked]
    if not chosen:
        raise InputError(f"{data} has no image to compare engines on: give another folder with --data.")
    return chosen


def summary(differences: Sequence[Difference]) -> dict[str, Any]:
    """The worst and the mean of some differences, and the image that is worst in each."""
    masks = min(differences, key=lambda one: one.dice)
    classes = max(differences, key=lambda one: one.probability)
    cams = min(differences, key=lambda one: one.cam)
    return {
        "images": len(differences),
        "worst_dice": masks.dice,
        "mean_dice": float(np.mean([one.dice for one in differences])),
        "worst_probability": classes.probability,
        "worst_cam": cams.cam,
        "classes_changed": sum(one.other_class for one in differences),
        "worst_images": {"dice": masks._asdict(), "probability": classes._asdict(), "cam": cams._asdict()},
    }


def difference(name: str, expected: Told, given: Told) -> Difference:
    """Compare two answers to one image."""
    gap = max(abs(expected.probabilities[key] - given.probabilities[key]) for key in CLASSES)
    return Difference(
        image=name,
        dice=dice(expected.mask, given.mask),
        pixels=int(expected.mask.sum()),
        changed=int((expected.mask ^ given.mask).sum()),
        probability=gap,
        cam=_correlation(expected.cam, given.cam),
        other_class=expected.predicted_class != given.predicted_class,
    )


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    a, b = (cam.astype(np.float64).ravel() - cam.mean(dtype=np.float64) for cam in (one, other))
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else float(np.array_equal(one, other))


def _fresh_predictors() -> list[Predictor]:
    """All approaches with weights; their networks have no engine yet."""
    load_predictor.cache_clear()  # type: ignore[attr-defined]
    return [load_predictor(key) for key in available_approaches()]


def _told(
    predictors: Sequence[Predictor], samples: Sequence[FileSample], like: Sequence[Mapping[str, Told]] | None = None
) -> Iterator[dict[str, Told]]:
    """The answers of all approaches, by key, to one image after the other.

    Args:
        like: other answers to the same images; the maps explain the classes that those predict.
    """
    for i, sample in enumerate(samples):
        grey, shared, answers = read_image(sample.image_path), SharedPasses(), dict[str, Told]()
        for predictor in predictors:
            explained = like[i][predictor.key].predicted_class if like else None
            one = predictor.forward_pass(grey, shared).prediction(cam_class=explained)
            answers[predictor.key] = Told(one.mask, one.cam, one.probabilities, one.predicted_class)
        yield answers


def _compared(key: str, samples: Sequence[FileSample], expected: Sequence[Mapping[str, Told]]) -> dict[str, Any]:
    """What `summary` says of an engine, by approach; the reason where its networks do not run by it."""
    predictors, typical = _fresh_predictors(), read_image(samples[0].image_path).framed
    choices = {predictor.key: predictor.accelerate(typical, key) for predictor in predictors}
    names, given = [f"{sample.label}/{sample.name}" for sample in samples], list(_told(predictors, samples, expected))
    result = dict[str, Any]()
    for approach, choice in choices.items():
        pairs = [(one[approach], other[approach]) for one, other in zip(expected, given, strict=True)]
        found = summary([difference(name, *pair) for name, pair in zip(names, pairs, strict=True)])
        result[approach] = found if choice.engine == key else {"not_used": choice.reason}
        print(f"  {key}, {approach}: {result[approach]}", flush=True)
    return result
