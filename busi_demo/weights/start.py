"""Starting a network, or a part of it, from trained weights."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

import torch
from safetensors.torch import load as load_tensors

from busi_demo.models import approach_class
from busi_demo.models.base import ApproachModel
from busi_demo.types import InputError
from busi_demo.weights.config import WeightsConfig
from busi_demo.weights.licences import knows_imagenet
from busi_demo.weights.split_file import SplitRow, has_split, read_split
from busi_demo.weights.store import has_config, read_config, read_model


def identity(folder: Path) -> dict[str, str | bool | None]:
    """Identify the weights in a folder: `approach`, `sha256` of the model file and `git_commit`; the hash alone where
    there is no config.json, as during a training. `imagenet` says whether they come from weights trained on ImageNet,
    `None` where that is not recorded.

    Raises:
        InputError: there are no weights.
    """
    digest = hashlib.sha256(read_model(folder)).hexdigest()
    config = read_config(folder) if has_config(folder) else None
    return {
        "approach": config.approach if config else None,
        "sha256": digest,
        "git_commit": config.git_commit if config else None,
        "imagenet": knows_imagenet(config.facts) if config else None,
    }


def check_split(folder: Path, config: WeightsConfig | None, seed: int) -> None:
    """Check that weights to learn from were trained on the split of `seed`.

    Args:
        folder: of the weights, for the message.
        config: their record; without one their split is unknown.
    Raises:
        InputError: images that they were trained on validate in the split of `seed`.
    """
    if config and (other := config.data.get("seed", seed)) != seed:
        raise InputError(
            f"{folder} was trained on the split of seed {other}, whose training images validate here: give weights of "
            f"--seed {seed}, or --seed {other}."
        )


def check_unseen(option: str, folder: Path, fold: int, validating: Collection[SplitRow]) -> None:
    """Check by name that weights to learn from do not know the images that validate. Seed and fold alone do not
    say it: the folds change with the list of images, and changed with a release of scikit-learn.

    Args:
        option: that names the folder, for the message.
        folder: of the weights; without a split.csv nothing is known of their images.
        fold: of an ensemble, the network that was not trained on it is the one to learn from.
        validating: the images that validate.
    Raises:
        InputError: the weights were trained on some of them.
    """
    if not has_split(folder):
        return
    trained = {(row.source, row.label, row.image) for row in read_split(folder) if row.trained and row.fold != fold}
    known = [f"{row.label}/{row.image}" for row in validating if (row.source, row.label, row.image) in trained]
    if known:
        raise InputError(
            f"{folder} (from --{option.replace('_', '-')}) was trained on {len(known)} of the {len(validating)} images "
            f"that validate here, such as {known[0]}: give weights that were trained on the same images with this "
            "version of scikit-learn, or leave them out."
        )


def load_part(
    folder: Path, part: str, module: torch.nn.Module, fold: int = 0, seed: int = 0, approach: str | None = None
) -> None:
    """Load a part of a trained network into a part of the same shape of another one, strictly.

    Args:
        folder: one approach's folder, with its model.safetensors.
        part: prefix of the tensors' names, such as `encoder`; empty for all of them.
        module: receives them, in place. Other tensors of the file are ignored.
        fold, seed: the fold of the split on which the part must not have been trained; of an ensemble, the network
            that was not trained on it is taken.
        approach: key of the approach that the weights must be of; `None`: of any that has the part.
    Raises:
        InputError: there is no such file, it is of another approach, it was trained on the fold or another split, or a
            tensor of `module` is missing in it or has another shape there.
    """
    config = read_config(folder) if has_config(folder) else None
    if config and approach not in (None, config.approach):
        raise InputError(f"{folder} holds weights of {config.approach}, expected those of {approach}: give others.")
    prefix = _member_prefix(folder, config, fold, seed) + (f"{part}." if part else "")
    tensors = load_tensors(read_model(folder))
    stored = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    for name, tensor in module.state_dict().items():
        if name not in stored or stored[name].shape != tensor.shape:
            of = f" of {config.approach}" if config else ""
            raise InputError(
                f"The weights in {folder}{of} have no {prefix}{name} of shape {tuple(tensor.shape)}: give weights of "
                "the same architecture."
            )
    module.load_state_dict({name: stored[name].to(t.dtype) for name, t in module.state_dict().items()})


def load_encoder(folder: Path, model: ApproachModel, fold: int = 0, seed: int = 0) -> None:
    """Load the encoder of a trained network into that of another one, whose approach may be another.

    Args:
        folder: one approach's folder; without config.json, of the approach of `model`.
        model: its encoder, of the same architecture, is changed in place.
        fold, seed: as for `load_part`.
    Raises:
        InputError: as for `load_part`, or one of the two approaches has no encoder.
    """
    source = approach_class(read_config(folder).approach) if has_config(folder) else type(model)
    load_part(folder, _encoder_part(source), model.get_submodule(_encoder_part(type(model))), fold, seed)


def _encoder_part(approach: type[ApproachModel]) -> str:
    if approach.encoder_part is None:
        raise InputError(f"{approach.key} has no encoder that could start from another: leave --encoder-from out.")
    return approach.encoder_part


def _member_prefix(folder: Path, config: WeightsConfig | None, fold: int, seed: int) -> str:
    """The prefix of the tensors of the network that was not trained on a fold."""
    check_split(folder, config, seed)
    if config is None or not config.folds:
        validated = config.fold if config else None
        if validated not in (None, fold):
            raise InputError(
                f"{folder} was trained on fold {fold}: start from it with --fold {validated}, or from others."
            )
        return ""
    if fold not in config.folds:
        raise InputError(
            f"All networks in {folder} were trained on fold {fold}: train another fold, of {list(config.folds)}."
        )
    return f"members.{config.folds.index(fold)}."
