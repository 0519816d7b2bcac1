from __future__ import annotations

import dataclasses
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from importlib import import_module

import numpy as np
import pytest
import torch
from helpers import answer

import busi_demo
from busi_demo.types import CLASSES, Prediction


@pytest.fixture
def prediction() -> Prediction:
    mask = np.zeros((4, 5), dtype=bool)
    mask[1:3, 1:4] = True
    return answer(mask, image=np.arange(20, dtype=np.uint8).reshape(4, 5))


def test_derived_properties(prediction):
    assert prediction.predicted_class == "malignant"
    assert prediction.confidence == 0.7
    assert prediction.lesion_area_fraction == pytest.approx(6 / 20)


def test_it_cannot_be_changed(prediction):
    with pytest.raises(FrozenInstanceError):
        prediction.approach = "two_stage"


def float_map(value: float) -> np.ndarray:
    out = np.zeros((4, 5), dtype=np.float32)
    out[2, 2] = value
    return out


@pytest.mark.parametrize(("change", "message"), [
    ({"image": np.zeros((4, 5))}, r"image must be uint8 \(H, W\), got float64 \(4, 5\)"),
    ({"image": np.zeros((4, 5, 3), dtype=np.uint8)}, r"image must be uint8 \(H, W\), got uint8 \(4, 5, 3\)"),
    ({"mask": np.zeros((4, 5), dtype=np.uint8)}, r"mask must be bool \(4, 5\) like the image, got uint8"),
    ({"mask": np.zeros((5, 4), dtype=bool)}, r"mask must be bool \(4, 5\) like the image, got bool \(5, 4\)"),
    ({"mask_probability": np.zeros((4, 5))}, r"mask_probability must be float32 \(4, 5\) like the image, got float64"),
    ({"cam": np.zeros((2, 2), dtype=np.float32)}, r"cam must be float32 \(4, 5\) like the image"),
    ({"mask_probability": float_map(1.5)}, r"mask_probability must be finite and within \[0, 1\]"),
    ({"cam": float_map(-0.1)}, r"cam must be finite and within \[0, 1\]"),
    ({"cam": float_map(float("nan"))}, r"cam must be finite and within \[0, 1\]"),
    ({"probabilities": {"benign": 0.5, "malignant": 0.5}}, "probabilities must have the keys"),
    ({"probabilities": {"normal": 0.1, "malignant": 0.7, "benign": 0.2}}, "probabilities must have the keys"),
    ({"probabilities": dict.fromkeys(CLASSES, 0.5)}, "sum to 1"),
    ({"probabilities": {"benign": -0.2, "malignant": 1.1, "normal": 0.1}}, "not negative"),
    ({"probabilities": dict.fromkeys(CLASSES, float("nan"))}, "must be finite"),
    ({"cam_class": "cyst"}, "cam_class must be one of .* got 'cyst'"),
    ({"threshold": 0.0}, "threshold must lie strictly between 0 and 1, got 0.0"),
    ({"threshold": 1.0}, "threshold must lie strictly between 0 and 1, got 1.0"),
    ({"spacing": (0.1, 0.0)}, "spacing must be None or two finite numbers above 0, got .0.1, 0.0."),
    ({"spacing": (0.1,)}, "spacing must be None or two finite numbers above 0"),
    ({"spacing": (float("nan"), 0.1)}, "spacing must be None or two finite numbers above 0"),
])  # fmt: skip
def test_a_wrong_field_is_refused(prediction, change, message):
    with pytest.raises(ValueError, match=message):
        replace(prediction, **change)


def dataclasses_of_the_package() -> dict[str, type]:
    """Name -> every dataclass that a module of the package defines."""
    names = [info.name for info in pkgutil.walk_packages(busi_demo.__path__, "busi_demo.")]
    modules = [import_module(name) for name in names if not name.endswith("__main__")]
    return {
        name: found
        for module in modules
        for name, found in inspect.getmembers(module, dataclasses.is_dataclass)
        if found.__module__ == module.__name__ and isinstance(found, type)
    }


ARRAYS = {np.ndarray: lambda: np.arange(3), torch.Tensor: lambda: torch.arange(3)}


def example_of(kind: object, known: dict[str, type]) -> object:
    """A value of a type with all arrays in it; `None` for a type without arrays."""
    if typing.get_origin(kind) is Callable:
        return None
    if kind in ARRAYS:
        return ARRAYS[kind]()
    if dataclasses.is_dataclass(kind):
        made = object.__new__(kind)
        hints = typing.get_type_hints(kind, localns={**known, "torch": torch, "nn": torch.nn})
        values = {field.name: example_of(hints[field.name], known) for field in dataclasses.fields(kind)}
        made.__dict__.update(values)
        return made if any(value is not None for value in values.values()) else None
    parts = [example_of(part, known) for part in typing.get_args(kind)]
    held = [part for part in parts if part is not None]
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return held[0] if held else None
    return tuple(held) or None


def test_every_dataclass_that_holds_arrays_can_be_compared():
    """Arrays compare element by element, so the generated `==` of a dataclass would raise."""
    known = dataclasses_of_the_package()
    pairs = {
        name: (one, example_of(kind, known))
        for name, kind in known.items()
        if (one := example_of(kind, known)) is not None
    }
    assert {"Prediction", "GreyImage", "Consensus", "ModelOutput", "Comparison", "Phantom"} <= pairs.keys()
    for name, (one, other) in pairs.items():
        assert (one == other) is False and (one == one) is True, name
        hash(one)
