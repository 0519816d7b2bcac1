"""config.json of an approach as a typed record, checked when it is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models import approach_class
from busi_demo.models.ensemble import folds_of
from busi_demo.types import CLASSES, InputError
from busi_demo.weights.calibration import Calibration

FORMAT = 2
"""Version of the layout of config.json and of the tensors in model.safetensors that this code reads and writes."""

OF_MULTITASK = ("approach", "w_seg", "w_cls", "start_share", "findings", "hints")
"""Settings under `training` that train_multitask.py has an option for and train_two_stage.py has not."""

_Record = TypeVar("_Record")
_SHA256 = re.compile(r"[0-9a-f]{64}")

_NUMBER, _OBJECT, _LIST, _TEXT = ((float, int), "a number"), (dict, "an object"), (list, "a list"), (str, "a text")
_TYPES: Mapping[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,)}
_FIELDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "approach": _TEXT,
    "architecture": _OBJECT,
    "preprocess": _OBJECT,
    "classes": _LIST,
    "threshold": _NUMBER,
    "min_area": _NUMBER,
    "temperature": _NUMBER,
    "class_bias": _LIST,
    "parameters": (int, "an integer"),
    "sha256": _TEXT,
    "git_commit": ((str, type(None)), "a text or null"),
}
"""Field of config.json that must be there -> its types in Python, and in words."""
_MORE_FIELDS = {"detector": _OBJECT, "metrics": _OBJECT, "data": _OBJECT, "training": _OBJECT, "learnt_from": _OBJECT,
                "members": _LIST, "calibrated_with": _LIST}  # fmt: skip
"""The same for fields that may be missing."""
_REMEDY = "fetch the weights folder that belongs to this version of the project, or train the approach again"


@dataclass(frozen=True)
class DetectorReference:
    """Reference to the weights of another approach in the neighbouring folder that are the detector of these.

    Attributes:
        approach: key of the other approach.
        sha256: of its model file.
    Raises:
        InputError: there is no such approach.
    """

    approach: str
    sha256: str

    def __post_init__(self) -> None:
        approach_class(self.approach)


@dataclass(frozen=True)
class WeightsConfig:
    """What belongs to the tensors of an approach.

    Attributes:
        approach: key of `APPROACHES`.
        architecture: see `ApproachModel.architecture`; it says whether the weights are one network or an ensemble.
        preprocess: from an image to the input of the network.
        threshold: mask probability from which on a pixel belongs to the lesion, in (0, 1).
        min_area: share of the image below which a region of the mask is dropped, in [0, 1).
        calibration: from class logits to probabilities.
        parameters: their number.
        sha256: of model.safetensors.
        git_commit: of the code that wrote them, `None` outside of git.
        detector: the weights that are the detector; `None` where model.safetensors holds all tensors.
        facts: JSON values on where the weights come from: `metrics`, `data`, `training`, `learnt_from`, `members`,
            and `calibrated_with`, fold and sha256 of the networks whose answers the calibration was fitted to, where
            these are of several folders.
    Raises:
        InputError: there is no such approach.
        ValueError: a value is out of its range.
    """

    approach: str
    architecture: Mapping[str, Any]
    preprocess: Preprocess
    threshold: float
    min_area: float
    calibration: Calibration
    parameters: int
    sha256: str
    git_commit: str | None = None
    detector: DetectorReference | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        approach_class(self.approach)
        if not isinstance(self.architecture, Mapping):
            raise ValueError(f"architecture must be an object, got {self.architecture!r}")
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold must lie between 0 and 1, got {self.threshold}")
        if not 0 <= self.min_area < 1:
            raise ValueError(f"min_area must be at least 0 and below 1, got {self.min_area}")
        if self.parameters < 0:
            raise ValueError(f"parameters must not be negative, got {self.parameters}")
        if not isinstance(self.fold, int | None):
            raise ValueError(f"fold in data must be an integer or null, got {self.fold!r}")
        for sha256 in (self.sha256, *([self.detector.sha256] if self.detector else [])):
            if not _SHA256.fullmatch(sha256):
                raise ValueError(f"sha256 must be 64 hexadecimal digits, got {sha256!r}")

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds of an ensemble, see `ApproachModel.folds`; empty for one network."""
        return folds_of(self.architecture)

    @property
    def data(self) -> Mapping[str, Any]:
        """Counts and names of the data; empty where they are not recorded."""
        return self.facts.get("data", {})

    @property
    def fold(self) -> int | None:
        """The fold that one network was not trained on; `None` for an ensemble and where it is not recorded."""
        return self.data.get("fold")

    @property
    def learnt_from(self) -> Mapping[str, Any]:
        """Option of the training -> identity of the weights it named; empty where that is not recorded."""
        return self.facts.get("learnt_from", {})

    def to_json(self) -> dict[str, Any]:
        """The content of config.json."""
        return {
            "format": FORMAT,
            "approach": self.approach,
            "architecture": dict(self.architecture),
            **({"detector": vars(self.detector)} if self.detector else {}),
            "preprocess": self.preprocess.to_dict(),
            "classes": list(CLASSES),
            "threshold": self.threshold,
            "min_area": self.min_area,
            "temperature": self.calibration.temperature,
            "class_bias": list(self.calibration.class_bias),
            "parameters": self.parameters,
            "sha256": self.sha256,
            "git_commit": self.git_commit,
            **self.facts,
        }


def parse_config(name: str, value: Any) -> WeightsConfig:
    """Read the content of config.json.

    Args:
        name: of the file, for the messages.
    Raises:
        InputError: it has another format, other classes or a wrong value.
    """
    if not isinstance(value, dict):
        raise InputError(f"{name} must hold a JSON object, it holds another value: {_REMEDY}.")
    version = value.get("format", 1)
    if version != FORMAT:
        raise InputError(
            f"{name} has the format {version}, this version of the project reads format {FORMAT}: {_REMEDY}."
        )
    _check_fields(name, value)
    rest = dict(value)
    try:
        classes = rest.pop("classes")
        if tuple(classes) != CLASSES:
            raise InputError(
                f"{name} is of weights for the classes {classes}, this version has {list(CLASSES)}: {_REMEDY}."
            )
        del rest["format"]
        detector = rest.pop("detector", None)
        return WeightsConfig(
            approach=rest.pop("approach"),
            architecture=rest.pop("architecture"),
            preprocess=_record(Preprocess, name, "preprocess", rest.pop("preprocess")),
            threshold=rest.pop("threshold"),
            min_area=rest.pop("min_area"),
            calibration=Calibration(rest.pop("temperature"), tuple(rest.pop("class_bias"))),
            parameters=rest.pop("parameters"),
            sha256=rest.pop("sha256"),
            git_commit=rest.pop("git_commit"),
            detector=_record(DetectorReference, name, "detector", detector) if detector else None,
            facts=rest,
        )
    except InputError as error:
        if str(error).startswith(name):
            raise
        raise not_of_this_version(name, str(error).rstrip(".")) from error  # of an approach that is not there
    except (TypeError, ValueError) as error:
        raise not_of_this_version(name, str(error).rstrip(".")) from error


def not_of_this_version(name: str, reason: str) -> InputError:
    """The message for a config.json with a missing, unknown or wrong value."""
    return InputError(f"{name} does not fit this version of the project ({reason}): {_REMEDY}.")


def _check_fields(name: str, value: Mapping[str, Any]) -> None:
    """Check that all needed fields are there, and that each field is of its JSON type."""
    if missing := [field for field in _FIELDS if field not in value]:
        raise not_of_this_version(name, f"without {', '.join(missing)}")
    for field_name, (kind, words) in {**_FIELDS, **_MORE_FIELDS}.items():
        if field_name in value and (not isinstance(value[field_name], kind) or isinstance(value[field_name], bool)):
            raise not_of_this_version(name, f"{field_name} must be {words}, got {value[field_name]!r}")
    if not all(isinstance(bias, float | int) and not isinstance(bias, bool) for bias in value["class_bias"]):
        raise not_of_this_version(name, f"class_bias must be a list of numbers, got {value['class_bias']!r}")


def _record(cls: type[_Record], name: str, field_name: str, values: Mapping[str, Any]) -> _Record:
    """Make a dataclass from a JSON object with the same fields."""
    types = {field.name: field.type for field in fields(cls)}  # type: ignore[arg-type]
    if values.keys() != types.keys():
        raise not_of_this_version(name, f"{field_name} must have {', '.join(types)}, got {', '.join(values) or 'none'}")
    for key, kind in types.items():
        if not isinstance(values[key], _TYPES[str(kind)]):
            raise not_of_this_version(name, f"{key} in {field_name} must be of type {kind}, got {values[key]!r}")
    return cls(**values)
