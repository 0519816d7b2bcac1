"""Metrics of groups of images: by class, by size of the lesion, with and without calipers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from busi_demo.evaluation.bootstrap import intervals
from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.results import ImageResult
from busi_demo.types import CLASSES

METRICS = ("accuracy", "lesion_dice", "lesion_iou", "normal_false_mask_rate", "sensitivity_malignant",
           "specificity_malignant")  # fmt: skip
COUNTS = ("n", "lesion_n", "normal_n")
SIZES = ("small", "medium", "large")


def size_tertiles(area_shares: Sequence[float | None]) -> tuple[list[str | None], list[float] | None]:
    """Sort lesions into thirds by size.

    Args:
        area_shares: N true lesion areas as a share of their image, in (0, 1] (BUSI knows no millimetres); `None` for an
            image without a lesion or with an incomplete mask.
    Returns:
        One of `SIZES` for each image, `None` where there is no area; and the two limits between them; a limit
        itself belongs to the smaller size. No sizes and no limits where fewer than 3 areas are known.
    """
    known = [share for share in area_shares if share is not None]
    if len(known) < len(SIZES):
        return [None] * len(area_shares), None
    limits = np.quantile(known, [1 / 3, 2 / 3])
    return [None if s is None else SIZES[int(np.searchsorted(limits, s))] for s in area_shares], limits.tolist()


def summarise_subgroups(
    results: Sequence[ImageResult],
    area_shares: Sequence[float | None],
    calipers: Sequence[bool | None],
    weights: np.ndarray | None = None,
) -> dict[str, Any]:
    """The metrics of parts of the images, in plain JSON values.

    Args:
        results: N results, at least 1.
        area_shares: of each image, as for `size_tertiles`.
        calipers: whether measuring marks are drawn on each image; `None` where it is not known.
        weights: float (R, N) from `bootstrap.draw_resamples`; `None` for no intervals.
    Returns:
        class: class -> `METRICS` and `COUNTS` of its images as in `metrics.summarise`, with `intervals` where there are
            weights. Accuracy is the recall of the class here.
        lesion_size: the same for small, medium and large lesions; normal images and incomplete masks in none.
        lesion_size_limits: the two area shares between the sizes, or `None`.
        calipers: the same for with, without and unknown.
        A part without images is left out.
    Raises:
        ValueError: the arguments differ in length.
    """
    sizes, limits = size_tertiles(area_shares)
    marks = [{True: "with", False: "without", None: "unknown"}[known] for known in calipers]

    def parts(names: Sequence[str], member: Sequence[str | None]) -> dict[str, Any]:
        if len(member) != len(results):
            raise ValueError(f"Expected one value for each of {len(results)} images, got {len(member)}.")
        chosen = {name: [i for i, m in enumerate(member) if m == name] for name in names}
        return {
            name: _part([results[i] for i in rows], None if weights is None else weights[:, rows])
            for name, rows in chosen.items()
            if rows
        }

    return {
        "class": parts(CLASSES, [r.label for r in results]),
        "lesion_size": parts(SIZES, sizes),
        "lesion_size_limits": limits,
        "calipers": parts(("with", "without", "unknown"), marks),
    }


def _part(results: Sequence[ImageResult], weights: np.ndarray | None) -> dict[str, Any]:
    summary = summarise(results)
    values = {key: summary[key] for key in COUNTS + METRICS}
    if weights is not None:
        bounds = intervals(results, weights)
        values["intervals"] = {key: bounds[key] for key in METRICS}
    return values
