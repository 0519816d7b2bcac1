"""The approaches, one file and one row of `APPROACHES` each. Every list of choices is made from `APPROACHES`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from busi_demo.models.base import DETECTOR, ApproachModel
from busi_demo.models.ensemble import build, settings_of, with_settings
from busi_demo.models.multitask_cnn import MultitaskCNN
from busi_demo.models.multitask_resnet50 import MultitaskResNet50
from busi_demo.models.multitask_unet import MultitaskUNet
from busi_demo.models.two_stage import TwoStage
from busi_demo.types import InputError

APPROACHES: dict[str, type[ApproachModel]] = {
    model.key: model for model in (TwoStage, MultitaskResNet50, MultitaskCNN, MultitaskUNet)
}
CONSENSUS = "consensus"
"""Used like the key of an approach: all approaches together."""

ALL = "all"
"""Used like the key of an approach: each approach, and their consensus."""

CONSENSUS_TITLE = "Consensus"

DEFAULT_APPROACH = MultitaskUNet.key


def approach_class(key: str) -> type[ApproachModel]:
    """The class of an approach.

    Raises:
        InputError: there is no such approach; the message lists the valid keys.
    """
    if key not in APPROACHES:
        raise InputError(f"There is no approach {key!r}: choose one of {', '.join(APPROACHES)}.")
    return APPROACHES[key]


def create_model(key: str, **config: Any) -> ApproachModel:
    """Build an approach with fresh weights; `config` are its constructor's keywords."""
    return approach_class(key)(**config)


def build_model(key: str, architecture: Mapping[str, Any]) -> ApproachModel:
    """Build an approach with random weights from a stored architecture: one network or an ensemble.

    Args:
        architecture: see `ApproachModel.architecture`.
    """
    return build(approach_class(key), architecture)


def default_settings(key: str) -> dict[str, Any]:
    """The settings of one network of an approach, at their defaults, as JSON values; see `ApproachModel.config`."""
    parameters = inspect.signature(approach_class(key)).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items() if name != "encoder_weights"}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}


def complete(key: str, architecture: Mapping[str, Any]) -> dict[str, Any]:
    """A stored architecture with what it does not name at its default, also of its detector: an earlier version had
    fewer settings.

    Args:
        key: of the approach.
        architecture: see `ApproachModel.architecture`; what is no such thing stays as it is.
    """
    stored = settings_of(architecture)
    if not isinstance(stored, Mapping):
        return dict(architecture)
    settings = {**default_settings(key), **stored}
    if isinstance(settings.get(DETECTOR), Mapping):
        settings[DETECTOR] = complete(MultitaskUNet.key, settings[DETECTOR])
    return with_settings(architecture, settings)


def approaches_of(choice: str) -> list[str]:
    """The keys of the approaches of a choice: all of them for `ALL` and for `CONSENSUS`."""
    return list(APPROACHES) if choice in (ALL, CONSENSUS) else [choice]


def title_of(key: str) -> str:
    """The title of an approach, or of the consensus."""
    return CONSENSUS_TITLE if key == CONSENSUS else APPROACHES[key].title
