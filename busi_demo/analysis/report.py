"""The report of one analysed image, as JSON values; `report_pdf` makes a PDF of it.

It contains the weights and the settings, so that the answer can be reproduced, and no file name, path or text from the
file, which may name a patient. Only the PDF contains the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from busi_demo.analysis.analysis import Analysis
from busi_demo.analysis.answer import trust_record
from busi_demo.analysis.trust import Trust
from busi_demo.project import json_bytes

SCHEMA, SCHEMA_VERSION = "busi_demo.report", 1
"""An incompatible change of the JSON increases the version."""

NOT_A_DEVICE = (
    "Research demo, not a medical device. Do not use it for diagnosis or treatment. Measurements are computed geometry "
    "of the predicted outline, not a BI-RADS assessment."
)


def report(analysis: Analysis, created: datetime | None = None) -> dict[str, Any]:
    """The report of an analysis, as plain JSON values.

    Args:
        created: with a time zone; `None`: now.
    Returns:
        schema, schema_version, created (ISO 8601, UTC), disclaimer; then `model` (approach, title, weights_sha256,
        git_commit, engine: what ran the networks, why, and what was timed), `settings` (mask_threshold, cam_class,
        cam_method, cam_opacity), `image` (width, height in pixels, spacing_mm as row, column, frame), `answer`
        (predicted_class, probabilities, lesion_area_fraction), `input_check`, `ground_truth` (dice, iou),
        `measurements`, `trust` (level, checks, reservation, rate), `prediction_set`, `expected_dice`, `seen` (image,
        source, split, sentence of the known image that this one matches), `known_images_available` and `warnings`;
        unknown values, and those of an answer that is not told, are null. If `known_images_available` is false, no
        match can be found and `seen` is null.
    """
    answer, facts, prediction = analysis.answer, analysis.facts, analysis.prediction
    config, known, record = facts.config, facts.known_image, answer.record()
    measurements = None if answer.withheld else analysis.measurements
    height, width = prediction.image.shape
    created = (created or datetime.now(UTC)).astimezone(UTC)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "created": created.isoformat(timespec="seconds"),
        "disclaimer": NOT_A_DEVICE,
        "model": {
            "approach": prediction.approach,
            "title": answer.title,
            "weights_sha256": config.get("sha256"),
            "git_commit": config.get("git_commit"),
            "engine": None if facts.engine is None else asdict(facts.engine),
        },
        "settings": {
            "mask_threshold": prediction.threshold,
            "cam_class": None if answer.withheld else prediction.cam_class,  # without a choice: the predicted one
            "cam_method": analysis.view.cam_method,
            "cam_opacity": analysis.view.opacity,
        },
        "image": {
            "width": width,
            "height": height,
            "spacing_mm": list(prediction.spacing) if prediction.spacing else None,
            "frame": list(prediction.frame_box),
        },
        "answer": {name: record[name] for name in ("predicted_class", "probabilities", "lesion_area_fraction")},
        "input_check": record["input_check"],
        "ground_truth": None if record["dice"] is None else {name: record[name] for name in ("dice", "iou")},
        "measurements": None if measurements is None else asdict(measurements),
        **trust_record(facts.trust),
        "trust": None if facts.trust is None else _trust(facts.trust, prediction.threshold),
        "seen": None
        if known is None
        else {"image": known.image, "source": known.source, "split": known.split, "sentence": known.sentence},
        "known_images_available": facts.known_images_available,
        "warnings": list(prediction.warnings),
    }


def report_json(content: Mapping[str, Any]) -> bytes:
    """A report as the bytes of a JSON file."""
    return json_bytes(content)


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
    return {
        "level": trust.level.name.lower(),
        "checks": checks,
        "reservation": trust.reservation(threshold),
        "rate": trust.rate(),
    }
