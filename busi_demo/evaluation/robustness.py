"""Accuracy, overlap and confidence on corrupted images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any
from zlib import crc32

import numpy as np
from tqdm import tqdm

from busi_demo.analysis.answer import Answer
from busi_demo.data.busi import FileSample
from busi_demo.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from busi_demo.evaluation.held_out import PredictorFor
from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.results import ImageResult, image_result
from busi_demo.imaging import GroundTruth

_CLEAN = ("", 0)


def measure_corruptions(predictor_for: PredictorFor, samples: Sequence[FileSample]) -> dict[str, Any]:
    """Predict every sample as it is, and with each corruption at each severity. The same sample is corrupted in the
    same way in every call.

    Args:
        predictor_for: chooses the predictor of a sample.
        samples: at least one.
    Returns:
        n: number of images; severities; clean: the values of the images as they are; corruptions: name -> a list with
        the values at each severity. Values are `accuracy`, `lesion_dice` (`None` without lesions) and `confidence`, the
        mean probability of the most probable class.
    """
    results: dict[tuple[str, int], list[ImageResult]] = defaultdict(list)
    for sample in tqdm(samples, "corrupting", disable=None):
        predictor = predictor_for(sample)
        for version, image, truth in _versions(sample):
            results[version].append(image_result(Answer(predictor.predict(image), GroundTruth(truth)), sample))
    return {
        "n": len(samples),
        "severities": list(SEVERITIES),
        "clean": _values(results[_CLEAN]),
        "corruptions": {name: [_values(results[name, severity]) for severity in SEVERITIES] for name in CORRUPTIONS},
    }


def _versions(sample: FileSample) -> Iterator[tuple[tuple[str, int], np.ndarray, np.ndarray]]:
    """(corruption, severity), image and mask: of the sample as it is, then of each corruption at each severity."""
    image, truth = sample.read()
    yield _CLEAN, image, truth
    for name, severity in product(CORRUPTIONS, SEVERITIES):
        generator = np.random.default_rng([crc32(f"{sample.label}/{sample.name}/{name}".encode()), severity])
        yield (name, severity), *corrupt(name, image, truth, severity, generator)


def _values(results: Sequence[ImageResult]) -> dict[str, float | None]:
    summary = summarise(results)
    confidence = float(np.mean([result.confidence for result in results]))
    return {"accuracy": summary["accuracy"], "lesion_dice": summary["lesion_dice"], "confidence": confidence}
