"""Starting a network, or a part of it, from trained weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors

from busi_demo.types import InputError
from busi_demo.weights.licences import knows_imagenet
from busi_demo.weights.store import CONFIG_FILE, MODEL_FILE, read_config, read_file


def identity(folder: Path) -> dict[str, str | bool | None]:
    """What names the weights in a folder anywhere: `approach`, `sha256` of the model file and the `git_commit`; the
    hash alone where there is no config.json, as in the middle of a training. `imagenet` tells whether they came from
    weights trained on ImageNet, as far as that is recorded.

    Raises:
        InputError: there are no weights.
    """
    digest = hashlib.sha256(read_file(folder / MODEL_FILE)).hexdigest()
    config = read_config(folder.name, folder.parent) if (folder / CONFIG_FILE).is_file() else {}
    return {
        "approach": config.get("approach"),
        "sha256": digest,
        "git_commit": config.get("git_commit"),
        "imagenet": knows_imagenet(config),
    }


def check_split(folder: Path, config: Mapping[str, Any], seed: int) -> None:
    """Refuse to learn from weights that were trained on another split than that of `seed`.

    Args:
        folder: where they lie, for the message.
        config: their config.json.
    Raises:
        InputError: images that they were trained on validate in the split of `seed`.
    """
    if (other := config.get("data", {}).get("seed", seed)) != seed:
        raise InputError(
            f"{folder} was trained on the split of seed {other}, whose training images validate here: give weights of "
            f"--seed {seed}, or --seed {other}."
        )


def load_part(folder: Path, part: str, module: torch.nn.Module, fold: int = 0, seed: int = 0) -> None:
    """Start a part of a network from the part of the same shape of a trained one, strictly.

    Args:
        folder: one approach's folder, with its model.safetensors.
        part: prefix of the tensors' names, such as `encoder`; empty for all of them.
        module: what to load them into, in place. Tensors of the file that it has no place for are passed over.
        fold, seed: which fold of which split the part must not have been trained on; of an ensemble, the network that
            was not.
    Raises:
        InputError: there is no such file, it was trained on the fold or another split, or a tensor of `module` is
            missing in it or has another shape there.
    """
    prefix = _member_prefix(folder, fold, seed) + (f"{part}." if part else "")
    tensors = load_tensors(read_file(folder / MODEL_FILE))
    stored = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    for name, tensor in module.state_dict().items():
        if name not in stored or stored[name].shape != tensor.shape:
            raise InputError(f"{folder / MODEL_FILE} has no {prefix}{name} of shape {tuple(tensor.shape)}.")
    module.load_state_dict({name: stored[name].to(t.dtype) for name, t in module.state_dict().items()})


def _member_prefix(folder: Path, fold: int, seed: int) -> str:
    """What the tensors' names of the network that was not trained on a fold begin with."""
    config = read_config(folder.name, folder.parent) if (folder / CONFIG_FILE).is_file() else {}
    check_split(folder, config, seed)
    if not (folds := config.get("folds")):
        if (validated := config.get("data", {}).get("fold", fold)) != fold:
            raise InputError(
                f"{folder} was trained on fold {fold}: start from it with --fold {validated}, or from others."
            )
        return ""
    if fold not in folds:
        raise InputError(f"All networks in {folder} were trained on fold {fold}: train another fold, of {folds}.")
    return f"members.{folds.index(fold)}."
