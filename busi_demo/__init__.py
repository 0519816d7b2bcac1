"""Segment and classify breast ultrasound, and explain the answer. A research demo, not a medical device."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from busi_demo.inference.predictor import Predictor, load_predictor
    from busi_demo.types import CLASSES, InputError, Prediction

__all__ = ["CLASSES", "InputError", "Prediction", "Predictor", "load_predictor"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import busi_demo` loads neither torch nor Matplotlib."""
    if name not in __all__:
        raise AttributeError(f"module 'busi_demo' has no attribute {name!r}")
    module = "inference.predictor" if name in ("Predictor", "load_predictor") else "types"
    return getattr(import_module(f"busi_demo.{module}"), name)
