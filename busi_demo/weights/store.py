"""The only reader and writer of `weights/`: an architecture, its numbers, and all that belongs to them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save

from busi_demo.imaging.masks import MIN_AREA, THRESHOLD
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models import APPROACHES, create_model
from busi_demo.models.base import ApproachModel
from busi_demo.models.ensemble import FoldEnsemble, one_or_several
from busi_demo.project import ROOT, git_commit, save_whole
from busi_demo.types import CLASSES, InputError
from busi_demo.weights import hub

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
        "git_commit": git_commit(),
        **facts,
    }
    save_whole(folder / MODEL_FILE, data)
    save_whole(folder / CONFIG_FILE, (json.dumps(config, indent=2) + "\n").encode())


def load_weights(key: str, folder: Path | None = None) -> Weights:
    """Load a trained approach strictly: the file must be the one config.json describes, and fit to the last tensor.

    Args:
        key: an approach of `APPROACHES`.
        folder: holds one folder an approach; by default the project's `weights`, and for what is missing there the
            repository that `hub.configured` names.
    Raises:
        InputError: weights are missing, damaged, or made for other classes or another architecture.
    """
    config, data = read_config(key, folder), read_file(_find(key, MODEL_FILE, folder))
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
        return json.loads(read_file(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{key}/{CONFIG_FILE} is not valid JSON ({error}): fetch it again.") from error


def available_approaches(weights_folder: Path | None = None) -> list[str]:
    """Keys of the approaches that have weights, in the order of `APPROACHES`.

    Args:
        weights_folder: holds one folder an approach; by default the project's `weights`. There, where `hub.configured`
            names a repository, weights may lie in that repository instead: the local config.json files say which, and
            where there are none, every approach counts as available.
    """
    folder = weights_folder or WEIGHTS_FOLDER
    described = [key for key in APPROACHES if (folder / key / CONFIG_FILE).is_file()]
    if folder == WEIGHTS_FOLDER and hub.configured(folder):
        return described or list(APPROACHES)
    return [key for key in described if (folder / key / MODEL_FILE).is_file()]


def _find(key: str, name: str, folder: Path | None) -> Path:
    """Where a file of an approach lies; it need not be there. A folder that was named is the only place to look in."""
    path = (folder or WEIGHTS_FOLDER) / key / name
    if folder or path.is_file() or not (pin := hub.configured(WEIGHTS_FOLDER)):
        return path
    return hub.fetch(pin, f"{key}/{name}")


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        _log.warning("%s", error)  # names the folder, which a page must not show
        raise InputError(
            f"The weights of {path.parent.name} are missing ({path.name} is not in their folder): fetch the "
            f"repository's weights folder, or train them with train/train_multitask.py or train/train_two_stage.py."
        ) from error
