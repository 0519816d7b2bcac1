"""What fewer networks of an ensemble would give, and what they would cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from busi_demo.analysis.answer import Answer
from busi_demo.data.busi import FileSample
from busi_demo.evaluation.evaluate import random_subset
from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.results import ImageResult, image_result
from busi_demo.imaging import GroundTruth
from busi_demo.inference.predictor import Predictor, SharedPasses
from busi_demo.models.base import ApproachModel, Pass
from busi_demo.types import ModelOutput
from busi_demo.weights.store import Weights


class SharedMembers(SharedPasses):
    """Outputs of ensembles on one image, so that a network that is a member of several runs once."""

    def __init__(self) -> None:
        super().__init__()
        self._members: list[tuple[Pass, tuple[torch.Tensor, ...]]] = []

    def output(self, network: ApproachModel, x: torch.Tensor) -> ModelOutput:
        plan = network.plan(x)
        return plan.join([self._tensors(one) for one in plan.passes])

    def _tensors(self, one: Pass) -> tuple[torch.Tensor, ...]:
        for known, tensors in self._members:
            if known.network is one.network and torch.equal(known.x, one.x):
                return tensors
        self._members.append((one, one.network.tensors(one.x)))
        return self._members[-1][1]


def choices(folds: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """Choices of `count` networks of an ensemble, each network in as many of them: neighbours in the ring of folds."""
    ring = [*folds, *folds]
    return [tuple(ring[start : start + count]) for start in range(len(folds) if count < len(folds) else 1)]


def measure_fewer(weights: Weights, samples: Sequence[FileSample], timed: int) -> list[dict[str, Any]]:
    """Measure one, two, ... and all networks of an approach on images that none of them was trained on.

    Args:
        weights: of an ensemble, an approach with several detectors, or a single network.
        samples: one or more, of known class.
        timed: at least 1; number of these images, drawn at random, whose predictions are timed.
    Returns:
        One row for each number of networks: `networks`, `choices` (of that many), `milliseconds` (median of a
        prediction by PyTorch, with the threads that it has), and `accuracy`, `malignant_auc`, `lesion_dice` and
        `brier`, each the mean over the choices, `None` where it is not defined.
    """
    folds = weights.model.folds
    parts = {n: choices(folds, n) for n in range(1, len(folds) + 1)} if folds else {1: [()]}
    predictors = {
        chosen: Predictor(replace(weights, model=weights.model.part(chosen)))
        for of_a_size in parts.values()
        for chosen in of_a_size
    }
    results: dict[tuple[int, ...], list[ImageResult]] = {chosen: [] for chosen in predictors}
    for sample in tqdm(samples, weights.model.key, leave=False, disable=None):
        image, truth = sample.read()
        shared = SharedMembers()
        for chosen, predictor in predictors.items():
            answer = Answer(predictor.predict(image, shared), GroundTruth(truth))
            results[chosen].append(image_result(answer, sample))
    images = [sample.read()[0] for sample in random_subset(samples, timed)]
    return [
        {
            "networks": count,
            "choices": len(of_a_size),
            "milliseconds": _milliseconds(predictors[of_a_size[0]], images),
            **_means([_measured(results[chosen]) for chosen in of_a_size]),
        }
        for count, of_a_size in parts.items()
    ]


def _measured(results: Sequence[ImageResult]) -> dict[str, float | None]:
    summary = summarise(results)
    return {
        "accuracy": summary["accuracy"],
        "malignant_auc": summary["auc"]["malignant"],
        "lesion_dice": summary["lesion_dice"],
        "brier": summary["brier"],
    }


def _means(rows: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    return {name: _mean([row[name] for row in rows]) for name in rows[0]}


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return fmean(defined) if len(defined) == len(values) else None


def _milliseconds(predictor: Predictor, images: Sequence[np.ndarray]) -> float:
    predictor.predict(images[0])
    seconds = []
    for image in images:
        start = time.perf_counter()
        predictor.predict(image)
        seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds)
