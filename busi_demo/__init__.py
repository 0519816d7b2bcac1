"""Segment and classify breast ultrasound, and show why. A research demo, not a medical device."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from busi_demo.inference.predictor import Predictor, load_predictor
    from busi_demo.types import CLASSES, InputError, Prediction

__all__ = ["CLASSES", "InputError", "Prediction", "Predictor", "load_predictor"]


def __getattr__(name: str) -> Any:
    """Import on first use: the training code need not load what only inference needs, nor the other way round."""
    if name not in __all__:
        raise AttributeError(f"module 'busi_demo' has no attribute {name!r}")
    home = "inference.predictor" if name in ("Predictor", "load_predictor") else "types"
    return getattr(import_module(f"busi_demo.{home}"), name)
