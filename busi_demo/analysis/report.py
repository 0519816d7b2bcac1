"""The report of one analysed image that a person takes along, as JSON values; `report_pdf` lays it out on paper.

It names the weights and the settings, so that the answer can be made again, and holds no file name, no path and nothing
that a file said of a patient. The image itself is only in the PDF.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from busi_demo.analysis.measurements import Measurements
from busi_demo.analysis.trust import Trust
from busi_demo.imaging.masks import dice, iou
from busi_demo.types import Prediction
from busi_demo.weights.known_images import KnownImage

SCHEMA, SCHEMA_VERSION = "busi_demo.analysis.report", 1
"""A change that breaks readers of the JSON counts the version up."""

NOT_A_DEVICE = (
    "Research demo, not a medical device. Do not use it for diagnosis or treatment. Measurements are computed geometry "
    "of the predicted outline, not a BI-RADS assessment."
)


def report(
    prediction: Prediction,
    config: Mapping[str, Any],
    *,
    title: str | None = None,
    settings: Mapping[str, Any] | None = None,
    ground_truth: np.ndarray | None = None,
    measurements: Measurements | None = None,
    trust: Trust | None = None,
    seen: KnownImage | None = None,
    created: datetime | None = None,
) -> dict[str, Any]:
    """All that is known of one answer, in plain JSON values.

    Args:
        prediction: the answer.
        config: config.json of the weights that gave it.
        title: name of the approach as people read it; its key where `None`.
        settings: further settings of the answer's view, JSON values by name, beside those in `prediction`.
        ground_truth: bool (H, W) like the image, True inside the true lesion; `None` where it is unknown.
        measurements: of the mask; `None` where there is nothing to measure.
        trust: what `trust.assess` found; `None` where it was not asked.
        seen: the known image that this one matches; `None` where there is none.
        created: with a time zone; now where `None`.
    Returns:
        schema, schema_version, created (ISO 8601, UTC), disclaimer; then `model` (approach, title, weights_sha256,
        git_commit), `settings` (mask_threshold, cam_class and `settings`), `image` (width, height in pixels, spacing_mm
        as row, column), `answer` (predicted_class, probabilities, lesion_area_fraction), `ground_truth` (dice, iou),
        `measurements`, `trust` (level, checks, reservation), `seen` (image, source, split, sentence) and `warnings`;
        what is unknown is null.
    """
    height, width = prediction.image.shape
    created = (created or datetime.now(UTC)).astimezone(UTC)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "created": created.isoformat(timespec="seconds"),
        "disclaimer": NOT_A_DEVICE,
        "model": {
            "approach": prediction.approach,
            "title": title or prediction.approach,
            "weights_sha256": config.get("sha256"),
            "git_commit": config.get("git_commit"),
        },
        "settings": {
            "mask_threshold": prediction.threshold,
            "cam_class": prediction.cam_class,
            **(settings or {}),
        },
        "image": {
            "width": width,
            "height": height,
            "spacing_mm": list(prediction.spacing) if prediction.spacing else None,
        },
        "answer": {
            "predicted_class": prediction.predicted_class,
            "probabilities": dict(prediction.probabilities),
            "lesion_area_fraction": prediction.lesion_area_fraction,
        },
        "ground_truth": None
        if ground_truth is None
        else {"dice": dice(prediction.mask, ground_truth), "iou": iou(prediction.mask, ground_truth)},
        "measurements": None if measurements is None else asdict(measurements),
        "trust": None if trust is None else _trust(trust, prediction.threshold),
        "seen": None
        if seen is None
        else {"image": seen.image, "source": seen.source, "split": seen.split, "sentence": seen.sentence},
        "warnings": list(prediction.warnings),
    }


def report_json(content: Mapping[str, Any]) -> bytes:
    """A report as the bytes of a JSON file."""
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _trust(trust: Trust, threshold: float) -> dict[str, Any]:
    checks = [
        {
            "name": check.name,
            "level": None if check.level is None else check.level.name.lower(),
            "sentence": check.sentence,
            "value": check.value,
        }
        for check in trust.checks
    ]
    return {"level": trust.level.name.lower(), "checks": checks, "reservation": trust.reservation(threshold)}
