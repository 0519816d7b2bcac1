"""Segment and classify breast ultrasound, and show why. A research demo, not a medical device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from busi_demo.predictor import Predictor, load_predictor
    from busi_demo.types import CLASSES, InputError, Prediction

__all__ = ["CLASSES", "InputError", "Prediction", "Predictor", "load_predictor"]


def __getattr__(name: str) -> Any:
    """Import on first use: the training code need not load what only inference needs, nor the other way round."""
    if name in ("Predictor", "load_predictor"):
        from busi_demo import predictor as module
    elif name in __all__:
        from busi_demo import types as module
    else:
        raise AttributeError(f"module 'busi_demo' has no attribute {name!r}")
    return getattr(module, name)
