"""Trained weights of `MultitaskUNet` as the detector of `TwoStage`."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from torch import nn

from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models import complete
from busi_demo.models.multitask_unet import MultitaskUNet
from busi_demo.types import InputError
from busi_demo.weights.config import DetectorReference
from busi_demo.weights.start import check_split
from busi_demo.weights.store import Weights, has_config, load_weights, read_config


def load_detector(folder: Path, preprocess: Preprocess, fold: int, seed: int) -> Weights:
    """Load weights of `multitask_unet`, one network or an ensemble, and check that they can be the detector.

    Args:
        folder: of these weights.
        preprocess: of the two-stage approach.
        fold, seed: a fold of a split; one network of the detector must not have been trained on it.
    Raises:
        InputError: there are no such weights, they take inputs of another size, or all were trained on the fold or on
            another split.
    """
    weights = load_weights(folder)
    if weights.model.key != MultitaskUNet.key:
        raise InputError(f"--detector-from must be weights of {MultitaskUNet.key}, got {weights.model.key}.")
    if weights.preprocess != preprocess:
        raise InputError(
            f"The detector in {folder} looks at inputs of {weights.preprocess.size} px, the run at {preprocess.size}: "
            f"give a detector of {preprocess.size} px, or train with --image-size {weights.preprocess.size}."
        )
    check_split(folder, weights.config, seed)
    weights.held_out(fold)
    return weights


@torch.no_grad()
def calibrated_head(weights: Weights) -> nn.Module:
    """A copy of the head of a trained network or ensemble that contains the calibration: the softmax of its class
    logits is the calibrated probability. Temperature and class bias become part of the linear layers."""
    head: nn.Module = deepcopy(weights.model.head)  # type: ignore[assignment]
    calibration = weights.calibration
    for linear in (module for module in head.modules() if isinstance(module, nn.Linear)):
        linear.weight /= calibration.temperature
        linear.bias.copy_(linear.bias / calibration.temperature + linear.bias.new_tensor(calibration.class_bias))
    return head


def reference_to(detector: Weights, folder: Path) -> DetectorReference | None:
    """The reference to a detector in the folder next to that of the two-stage weights; `None` if that folder has other
    weights or none, so that a copy must be stored.

    Args:
        detector: from `load_detector`.
        folder: of the two-stage weights.
    """
    config, other = detector.config, folder.with_name(detector.model.key)
    if config is None or not has_config(other):
        return None
    beside = read_config(other)
    settings = [complete(one.approach, one.architecture) for one in (beside, config)]
    if beside.sha256 != config.sha256 or settings[0] != settings[1]:
        return None
    return DetectorReference(config.approach, config.sha256)
