"""Accuracy, overlap and confidence on corrupted images."""

from __future__ import annotations

from collections.abc import Sequence
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
    clean: list[ImageResult] = []
    results: dict[str, list[list[ImageResult]]] = {name: [[] for _ in SEVERITIES] for name in CORRUPTIONS}
    for sample in tqdm(samples, "corrupting", disable=None):
        predictor, (image, truth) = predictor_for(sample), sample.read()

        def result(image: np.ndarray, truth: np.ndarray, sample: FileSample = sample) -> ImageResult:
            answer = Answer(predictor.predict(image), GroundTruth(truth))  # noqa: B023
            return image_result(answer, sample.name, sample.label, sample.mask_complete)

        clean.append(result(image, truth))
        for name, by_severity in results.items():
            for severity, collected in zip(SEVERITIES, by_severity, strict=True):
                generator = np.random.default_rng([crc32(f"{sample.label}/{sample.name}/{name}".encode()), severity])
                collected.append(result(*corrupt(name, image, truth, severity, generator)))
    return {
        "n": len(clean),
        "severities": list(SEVERITIES),
        "clean": _values(clean),
        "corruptions": {name: [_values(r) for r in by_severity] for name, by_severity in results.items()},
    }


def _values(results: Sequence[ImageResult]) -> dict[str, float | None]:
    summary = summarise(results)
    confidence = float(np.mean([result.confidence for result in results]))
    return {"accuracy": summary["accuracy"], "lesion_dice": summary["lesion_dice"], "confidence": confidence}
