"""The only reader and writer of `weights/`: an architecture, its numbers, and all that belongs to them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save

from busi_demo import hub
from busi_demo.evaluation.licences import knows_imagenet
from busi_demo.models import create_model
from busi_demo.models.base import ApproachModel
from busi_demo.models.folds import FoldEnsemble, one_or_several
from busi_demo.postprocess import MIN_AREA, THRESHOLD
from busi_demo.preprocess import Preprocess
from busi_demo.types import CLASSES, InputError

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS_FOLDER = Path(os.environ.get("BUSI_DEMO_WEIGHTS", ROOT / "weights"))
"""Where the approaches lie, one folder each; the environment variable BUSI_DEMO_WEIGHTS names another place."""
MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """A trained approach, ready for inference.

    Attributes:
        model: in evaluation mode, float32, on the CPU.
        preprocess: the same object that training used.
        threshold: mask probability from which a pixel counts as lesion.
        min_area: share of the image below which a region of the mask is dropped.
        temperature, class_bias: see `evaluation.calibration.Calibration`.
        config: all of config.json.
    """

    model: ApproachModel
    preprocess: Preprocess
    threshold: float
    min_area: float
    temperature: float
    config: Mapping[str, Any]
    class_bias: tuple[float, ...] = (0.0, 0.0, 0.0)

    def probabilities(self, class_logits: torch.Tensor) -> torch.Tensor:
        """Class logits, float (N, 3) -> calibrated probabilities of the same dtype and device."""
        return (class_logits / self.temperature + class_logits.new_tensor(self.class_bias)).softmax(1)

    def held_out(self, fold: int) -> Weights:
        """These weights as far as they were not trained on a fold of their data: one network of an ensemble, or all of
        them where that fold validated or none is recorded.

        Raises:
            InputError: all of them were trained on it.
        """
        if (validated := self.config.get("data", {}).get("fold", fold)) != fold:
            raise InputError(f"{self.model.key} was trained on fold {fold}: it held out fold {validated}.")
        model = self.model.held_out(fold)
        return self if model is self.model else replace(self, model=model)


def save_weights(
    folder: Path,
    model: ApproachModel,
    preprocess: Preprocess,
    *,
    threshold: float = THRESHOLD,
    min_area: float = MIN_AREA,
    temperature: float = 1.0,
    class_bias: Sequence[float] = (0.0, 0.0, 0.0),
    facts: Mapping[str, Any],
) -> None:
    """Write `folder/model.safetensors` (float16) and then `folder/config.json`, each whole or not at all.

    Args:
        facts: JSON values on where the weights come from: `metrics`, `data`, `training`.
    Raises:
        ValueError: a weight is not finite as float16.
    """
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        tensors[name] = tensor.half() if tensor.is_floating_point() else tensor
        if not torch.isfinite(tensors[name]).all():
            raise ValueError(f"{name} has values that float16 cannot hold: the training went wrong.")
    data = save(tensors)
    config = {
        "approach": model.key,
        "architecture": model.config,
        **({"folds": list(model.folds)} if isinstance(model, FoldEnsemble) else {}),
        "preprocess": preprocess.to_dict(),
        "classes": list(CLASSES),
        "threshold": threshold,
        "min_area": min_area,
        "temperature": temperature,
        "class_bias": list(class_bias),
        "parameters": model.parameter_count(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "git_commit": _git_commit(),
        **facts,
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / MODEL_FILE, data)
    _write(folder / CONFIG_FILE, (json.dumps(config, indent=2) + "\n").encode())


def load_weights(key: str, folder: Path | None = None) -> Weights:
    """Load a trained approach strictly: the file must be the one config.json describes, and fit to the last tensor.

    Args:
        key: an approach of `APPROACHES`.
        folder: holds one folder an approach; by default the project's `weights`, and for what is missing there the
            repository that `hub.configured` names.
    Raises:
        InputError: weights are missing, damaged, or made for other classes or another architecture.
    """
    config, data = read_config(key, folder), _read(_find(key, MODEL_FILE, folder))
    try:
        return _build(key, config, data)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{key}/{CONFIG_FILE} does not fit this version of the project ({error}): fetch the weights folder that "
            "belongs to it, or train the approach again."
        ) from error


def _build(key: str, config: Mapping[str, Any], data: bytes) -> Weights:
    if hashlib.sha256(data).hexdigest() != config["sha256"]:
        raise InputError(
            f"{key}/{MODEL_FILE} is not the file that {CONFIG_FILE} describes (its sha256 differs): fetch it again, "
            "or train the approach again."
        )
    if tuple(config["classes"]) != CLASSES:
        raise InputError(f"{key} was trained for the classes {config['classes']}, this version has {list(CLASSES)}.")
    model = _network(key, config["architecture"], config.get("folds", ()))
    state = {name: t.float() if t.is_floating_point() else t for name, t in load_tensors(data).items()}
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{key}/{MODEL_FILE} does not fit the architecture of {key}: {reason}") from error
    return Weights(
        model=model.eval(),
        preprocess=Preprocess(**config["preprocess"]),
        threshold=config["threshold"],
        min_area=config["min_area"],
        temperature=config["temperature"],
        config=config,
        class_bias=tuple(config.get("class_bias", (0.0, 0.0, 0.0))),
    )


def _network(key: str, architecture: Mapping[str, Any], folds: Sequence[int]) -> ApproachModel:
    return one_or_several(lambda: create_model(key, **architecture), folds)


def reinitialised(weights: Weights, seed: int = 0) -> Weights:
    """The same architecture and settings with random weights; the same seed makes the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _network(weights.model.key, weights.model.config, getattr(weights.model, "folds", ()))
    return replace(weights, model=model.eval())


def read_config(key: str, folder: Path | None = None) -> dict[str, Any]:
    """Return an approach's config.json without loading its weights; it is looked for as in `load_weights`.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = _find(key, CONFIG_FILE, folder)
    try:
        return json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{key}/{CONFIG_FILE} is not valid JSON ({error}): fetch it again.") from error


def identity(folder: Path) -> dict[str, str | bool | None]:
    """What names the weights in a folder anywhere: `approach`, `sha256` of the model file and the `git_commit`; the
    hash alone where there is no config.json, as in the middle of a training. `imagenet` tells whether they came from
    weights trained on ImageNet, as far as that is recorded.

    Raises:
        InputError: there are no weights.
    """
    digest = hashlib.sha256(_read(folder / MODEL_FILE)).hexdigest()
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
    tensors = load_tensors(_read(folder / MODEL_FILE))
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


def _find(key: str, name: str, folder: Path | None) -> Path:
    """Where a file of an approach lies; it need not be there. A folder that was named is the only place to look in."""
    path = (folder or WEIGHTS_FOLDER) / key / name
    if folder or path.is_file() or not (pin := hub.configured(WEIGHTS_FOLDER)):
        return path
    return hub.fetch(pin, f"{key}/{name}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        _log.warning("%s", error)  # names the folder, which a page must not show
        raise InputError(
            f"The weights of {path.parent.name} are missing ({path.name} is not in their folder): fetch the "
            f"repository's weights folder, or train them with train/train_multitask.py or train/train_two_stage.py."
        ) from error


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    os.replace(partial, path)


def _git_commit() -> str | None:
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()
