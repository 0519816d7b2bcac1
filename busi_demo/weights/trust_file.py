"""What was fitted to the errors of an approach: `trust.json` beside its weights, written by `train/fit_trust.py`."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from busi_demo.project import json_bytes, read_json, save_whole
from busi_demo.types import CLASSES, InputError

TRUST_FILE = "trust.json"

_ANSWERS_DEPEND_ON = (
    "approach",
    "architecture",
    "detector",
    "preprocess",
    "classes",
    "threshold",
    "min_area",
    "temperature",
    "class_bias",
    "sha256",
)
_CHECKSUM = "checksum"  # of all other values of the file
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrustFit:
    """Numbers that turn an answer into a set of classes, an expected Dice and a level of trust.

    Attributes:
        sha256: of what they were fitted to, see `answers_sha256`.
        sets: confidence level -> class -> threshold, see `analysis.conformal`.
        dice: feature of `analysis.outline` -> coefficient of the expected Dice; "constant" is its intercept. Empty
            where there were too few outlines to fit it to.
        dice_interval: lowest and highest deviation of the true Dice from the expected one, in 90 % of the images.
        green, red: confidence from which on an answer may be green, and below which it is red.
        measured: rates on images that the numbers were not fitted to, as JSON values, see `evaluation.trust_fit`.
    Raises:
        ValueError: a level lacks a class, or green and red are out of order.
    """

    sha256: str
    sets: Mapping[str, Mapping[str, float]]
    dice: Mapping[str, float]
    dice_interval: tuple[float, float]
    green: float
    red: float
    measured: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(set(thresholds) != set(CLASSES) for thresholds in self.sets.values()):
            raise ValueError(f"every level of sets must have the classes {CLASSES}.")
        if not 0 <= self.red <= self.green <= 1:
            raise ValueError(f"red and green must be in order between 0 and 1, got {self.red} and {self.green}.")


def answers_sha256(config: Mapping[str, Any]) -> str:
    """A hash of all in config.json that the answers of an approach depend on: weights, what is done before and after
    them, and calibration. Another temperature is enough to make what was fitted to the old one wrong."""
    return _sha256([config.get(name) for name in _ANSWERS_DEPEND_ON])


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def save_trust(fit: TrustFit, folder: Path) -> Path:
    """Write trust.json of an approach."""
    values = asdict(fit)
    return save_whole(folder / TRUST_FILE, json_bytes(values | {_CHECKSUM: _sha256(values)}))


def read_trust(folder: Path, config: Mapping[str, Any]) -> TrustFit | None:
    """Read trust.json of an approach.

    Args:
        folder: of the approach.
        config: its config.json.
    Returns:
        `None` where there is none, or where it was fitted to other weights or another calibration, or by an earlier
        version, which the log tells.
    Raises:
        InputError: it is damaged.
    """
    path = folder / TRUST_FILE
    if not path.is_file():
        return None
    values = read_json(path)
    names = {item.name for item in fields(TrustFit)}
    try:
        if isinstance(values, dict) and set(values) == names:
            _log.warning("%s: %s is of an earlier version, run train/fit_trust.py", folder.name, TRUST_FILE)
            return None
        if not isinstance(values, dict) or set(values) != names | {_CHECKSUM}:
            raise ValueError(f"expected the keys {', '.join(sorted(names | {_CHECKSUM}))}")
        if values.pop(_CHECKSUM) != _sha256(values):
            raise ValueError("its content does not have its checksum")
        low, high = values["dice_interval"]
        fit = TrustFit(**values | {"dice_interval": (float(low), float(high))})
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{folder.name}/{TRUST_FILE} is damaged ({error}): fetch it again, or make it with train/fit_trust.py."
        ) from error
    if fit.sha256 != answers_sha256(config):
        _log.warning("%s: %s was fitted to other weights or another calibration, run train/fit_trust.py",
                     folder.name, TRUST_FILE)  # fmt: skip
        return None
    return fit
