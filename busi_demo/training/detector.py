"""A trained multi-task U-Net as the detector of `TwoStage`."""

from __future__ import annotations

from pathlib import Path

import torch

from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models.base import ApproachModel
from busi_demo.models.ensemble import FoldEnsemble
from busi_demo.models.multitask_unet import MultitaskUNet
from busi_demo.types import InputError
from busi_demo.weights.start import check_split
from busi_demo.weights.store import Weights, load_weights


def load_detector(folder: Path, preprocess: Preprocess, fold: int, seed: int) -> ApproachModel:
    """Load a `multitask_unet`, one network or several, whose class logits give calibrated probabilities by themselves.

    Args:
        folder: its weights.
        preprocess: of the two-stage approach that it becomes a part of.
        fold, seed: a fold of a split on which a network of it must not have been trained.
    Raises:
        InputError: there are no such weights, they look at inputs of another size, or all were trained on the fold or
            on another split.
    """
    weights = load_weights(folder.name, folder.parent)
    if weights.model.key != MultitaskUNet.key:
        raise InputError(f"--detector-from must be weights of {MultitaskUNet.key}, got {weights.model.key}.")
    if weights.preprocess != preprocess:
        raise InputError(
            f"The detector in {folder} looks at inputs of {weights.preprocess.size} px, the run at {preprocess.size}: "
            f"give --image-size {weights.preprocess.size}."
        )
    check_split(folder, weights.config, seed)
    weights.held_out(fold)
    for member in weights.model.members if isinstance(weights.model, FoldEnsemble) else [weights.model]:
        _calibrate_head(member, weights)  # type: ignore[arg-type]
    return weights.model


@torch.no_grad()
def _calibrate_head(network: MultitaskUNet, weights: Weights) -> None:
    """Temperature and class bias become part of the last layer: what it says is linear in both."""
    linear: torch.nn.Linear = network.head[-1]  # type: ignore[assignment]
    linear.weight /= weights.temperature
    linear.bias.copy_(linear.bias / weights.temperature + linear.bias.new_tensor(weights.class_bias))
