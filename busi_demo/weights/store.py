"""The networks of the approaches with all that belongs to them.

Only this package reads and writes the files of `weights/`. One folder an approach: config.json (`config.WeightsConfig`)
and model.safetensors are read and written here, split.csv by `split_file`, report/ by `results`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save

from busi_demo.imaging.masks import MIN_AREA, THRESHOLD
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models import APPROACHES, approach_class, build_model, complete
from busi_demo.models.base import DETECTOR, ApproachModel
from busi_demo.project import ROOT, git_commit, json_bytes, save_whole
from busi_demo.types import InputError
from busi_demo.weights import hub
from busi_demo.weights.calibration import UNCALIBRATED, Calibration
from busi_demo.weights.config import DetectorReference, WeightsConfig, not_of_this_version, parse_config

FOLDER_VARIABLE = "BUSI_DEMO_WEIGHTS"


def default_folder() -> Path:
    """The folder that the environment variable BUSI_DEMO_WEIGHTS names; `weights` of the project where it is not set or
    empty."""
    return Path(os.path.expanduser(os.environ.get(FOLDER_VARIABLE) or ROOT / "weights"))


WEIGHTS_FOLDER = default_folder()
"""Where the approaches lie, one folder each."""
MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
NEXT_FILE = "model.next.safetensors"
"""The model file while it is saved. It counts from the moment on when config.json describes it."""

_DETECTOR_PREFIX = f"{DETECTOR}."
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Weights:
    """A trained approach, ready for inference.

    Attributes:
        model: in evaluation mode, float32, on the CPU.
        preprocess: the same object that training used.
        threshold: mask probability from which on a pixel belongs to the lesion.
        min_area: share of the image below which a region of the mask is dropped.
        calibration: from class logits to probabilities.
        config: the record they were loaded with; `None` for weights that were not loaded from a folder.
    """

    model: ApproachModel
    preprocess: Preprocess
    threshold: float = THRESHOLD
    min_area: float = MIN_AREA
    calibration: Calibration = UNCALIBRATED
    config: WeightsConfig | None = None

    @property
    def outline_key(self) -> str:
        """Key of the approach whose network computes the mask probabilities: of the detector where this approach has
        one, else of this approach. Approaches in one weights folder with the same `outline_key` compute the same mask
        probabilities."""
        detector = self.config.detector if self.config else None
        return detector.approach if detector else self.model.key

    def held_out(self, fold: int) -> Weights:
        """The part of these weights that was not trained on a fold of their data: one network of an ensemble, or the
        whole of a single network where that fold validated or none is recorded.

        Raises:
            InputError: all of them were trained on it.
        """
        validated = self.config.fold if self.config else None
        if validated not in (None, fold):
            raise InputError(f"{self.model.key} was trained on fold {fold}: it held out fold {validated}.")
        model = self.model.held_out(fold)
        return self if model is self.model else replace(self, model=model)


def approach_folder(key: str, weights_folder: Path | None = None) -> Path:
    """The folder of an approach; it need not be there.

    Args:
        key: an approach of `APPROACHES`.
        weights_folder: holds one folder an approach; by default the project's `weights`.
    Raises:
        InputError: there is no such approach.
    """
    return (weights_folder or WEIGHTS_FOLDER) / approach_class(key).key


def save_weights(
    folder: Path,
    model: ApproachModel,
    preprocess: Preprocess,
    *,
    threshold: float = THRESHOLD,
    min_area: float = MIN_AREA,
    calibration: Calibration = UNCALIBRATED,
    detector: DetectorReference | None = None,
    facts: Mapping[str, Any],
) -> WeightsConfig:
    """Write `folder/model.safetensors` (float16) and `folder/config.json`. However this ends, what `load_weights`
    finds is the old weights or the new ones: config.json is replaced in one step, which makes the new ones count.

    Args:
        detector: the weights in the neighbouring folder that hold the detector; its tensors are then not stored.
            `None` stores all tensors.
        facts: JSON values on where the weights come from, see `WeightsConfig`.
    Returns:
        The content of config.json.
    Raises:
        ValueError: a weight is not finite as float16.
        OSError: the folder cannot be written, or the disk is full.
    """
    tensors = {}
    for name, tensor in model.state_dict().items():
        if detector and name.startswith(_DETECTOR_PREFIX):
            continue
        tensor = tensor.detach().cpu().contiguous()
        tensors[name] = tensor.half() if tensor.is_floating_point() else tensor
        if not torch.isfinite(tensors[name]).all():
            raise ValueError(f"{name} has values that float16 cannot hold: the training went wrong.")
    data = save(tensors)
    config = WeightsConfig(
        approach=model.key,
        architecture=model.architecture,
        preprocess=preprocess,
        threshold=threshold,
        min_area=min_area,
        calibration=calibration,
        parameters=model.parameter_count(),
        sha256=hashlib.sha256(data).hexdigest(),
        git_commit=git_commit(),
        detector=detector,
        facts=facts,
    )
    if _next_model(folder) is not None:  # of a save that was killed before its last step
        os.replace(folder / NEXT_FILE, folder / MODEL_FILE)
    save_whole(folder / NEXT_FILE, data)
    save_whole(folder / CONFIG_FILE, json_bytes(config.to_json()))
    os.replace(folder / NEXT_FILE, folder / MODEL_FILE)
    return config


def load_weights(folder: Path, load_other: Callable[[Path], Weights] | None = None) -> Weights:
    """Load a trained approach strictly: the file must be the one config.json describes, and fit to the last tensor.

    Args:
        folder: of one approach. A file that is missing in a folder of the project's `weights` is taken from the
            repository that `hub.configured` names.
        load_other: loads the weights that these refer to, from the neighbouring folder; their network becomes a part of
            the model, without a copy. By default this function.
    Raises:
        InputError: weights are missing, damaged, or made for other classes, another architecture or another format; or
            the weights that they refer to are missing or others.
    """
    config, data = _read_both(folder)
    detector = _detector_of(folder, config, load_other or load_weights)
    try:
        model = build_model(config.approach, {**config.architecture, **({DETECTOR: detector} if detector else {})})
    except (KeyError, TypeError, ValueError) as error:
        reason = "its architecture is not one that this version can build"
        raise not_of_this_version(f"{folder.name}/{CONFIG_FILE}", reason) from error
    try:
        state = {name: t.float() if t.is_floating_point() else t for name, t in load_tensors(data).items()}
    except SafetensorError as error:
        raise InputError(f"{folder.name}/{MODEL_FILE} is damaged ({error}): fetch it again.") from error
    if wrong := [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]:
        raise InputError(
            f"{folder.name}/{MODEL_FILE} has values that are not finite numbers, in {wrong[0]}: fetch it again, or "
            "train the approach again."
        )
    expected = {name for name in model.state_dict() if not (detector and name.startswith(_DETECTOR_PREFIX))}
    reason = ", ".join(sorted(state.keys() ^ expected)[:3])
    try:
        if not reason:
            model.load_state_dict(state, strict=False)  # not strict, for a detector that has its tensors already
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
    if reason:
        raise InputError(
            f"{folder.name}/{MODEL_FILE} does not fit the architecture of {config.approach} ({reason.rstrip('.')}): "
            "fetch the weights folder again, or train the approach again."
        )
    return Weights(model.eval(), config.preprocess, config.threshold, config.min_area, config.calibration, config)


def _read_both(folder: Path) -> tuple[WeightsConfig, bytes]:
    """config.json and the model file that it describes."""
    config = read_config(folder)
    while True:
        data = _next_model(folder, config) or read_file(_find(folder, MODEL_FILE))
        if hashlib.sha256(data).hexdigest() == config.sha256:
            return config, data
        before, config = config, read_config(folder)
        if before.sha256 == config.sha256:  # else both were replaced in the meantime
            raise InputError(
                f"{folder.name}/{MODEL_FILE} is not the file that {CONFIG_FILE} describes (its sha256 differs): fetch "
                "it again, or train the approach again."
            )


def _next_model(folder: Path, config: WeightsConfig | None = None) -> bytes | None:
    """The bytes of `NEXT_FILE` where config.json describes them already."""
    try:
        data = (folder / NEXT_FILE).read_bytes()
        described = (config or read_config(folder)).sha256
    except (OSError, InputError):
        return None
    return data if hashlib.sha256(data).hexdigest() == described else None


def _detector_of(folder: Path, config: WeightsConfig, load_other: Callable[[Path], Weights]) -> ApproachModel | None:
    """The network that the weights in a folder refer to as their detector, if they do."""
    if config.detector is None:
        return None
    wanted = config.detector
    beside = folder.with_name(wanted.approach)
    try:
        if read_config(beside).detector:
            raise InputError(
                f"The weights of {wanted.approach} refer to a detector too: fetch the weights folder again."
            )
        other = load_other(beside)
    except InputError as error:
        raise InputError(
            f"{config.approach} needs the weights of {wanted.approach} as its detector. {error}"
        ) from error
    sha256 = other.config.sha256 if other.config else ""
    settings = other.model.architecture, other.preprocess
    recorded = complete(config.approach, config.architecture).get(DETECTOR)
    if sha256 != wanted.sha256 or settings != (recorded, config.preprocess):
        raise InputError(
            f"{config.approach} needs as its detector the weights of {wanted.approach} with the sha256 "
            f"{wanted.sha256[:12]} and unchanged settings, the folder beside has {sha256[:12]}: fetch both again, or "
            "put these before the classifier with train/replace_detector.py."
        )
    return other.model


def reinitialised(weights: Weights, seed: int = 0) -> Weights:
    """The same architecture and settings with random weights; the same seed makes the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(weights.model.key, weights.model.architecture)
    return replace(weights, model=model.eval())


def read_config(folder: Path) -> WeightsConfig:
    """Read an approach's config.json without loading its weights; from the same places as in `load_weights`.

    Raises:
        InputError: there is none, it cannot be read, or it has another format.
    """
    return parse_config(f"{folder.name}/{CONFIG_FILE}", read_facts(folder))


def read_facts(folder: Path) -> dict[str, Any]:
    """The JSON values of an approach's config.json, not validated; from the same places as in `load_weights`.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    content = read_file(_find(folder, CONFIG_FILE))
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:  # no JSON, no text, or brackets in brackets without end
        raise InputError(f"{folder.name}/{CONFIG_FILE} is not valid JSON ({error}): fetch it again.") from error


def keep_previous(folder: Path) -> Path | None:
    """Copy the folder of an approach to `NAME.previous`, in place of an earlier copy.

    Returns:
        The copy; `None` where there is no such folder.
    """
    if not folder.is_dir():
        return None
    previous = folder.with_name(f"{folder.name}.previous")
    shutil.rmtree(previous, ignore_errors=True)
    return shutil.copytree(folder, previous)


def has_config(folder: Path) -> bool:
    """Whether a folder holds an approach's config.json; what a Hub repository has does not count."""
    return (folder / CONFIG_FILE).is_file()


def read_model(folder: Path) -> bytes:
    """The bytes of model.safetensors in a folder.

    Raises:
        InputError: there is none.
    """
    return _next_model(folder) or read_file(folder / MODEL_FILE)


def available_approaches(weights_folder: Path | None = None) -> list[str]:
    """Keys of the approaches that have all their weights, those of a detector included, in the order of `APPROACHES`.

    Args:
        weights_folder: holds one folder an approach; by default the project's `weights`. There, where `hub.configured`
            names a repository, weights may lie in that repository instead: the local config.json files say which, and
            where there are none, every approach counts as available.
    Raises:
        InputError: BUSI_DEMO_WEIGHTS names a folder that does not exist.
    """
    missing = _missing_of(weights_folder)
    return [key for key in APPROACHES if key not in missing]


def why_left_out(weights_folder: Path | None = None) -> str | None:
    """Which approaches are not available and why, as the end of a sentence without its full stop; `None` where all are.

    Args:
        weights_folder: as for `available_approaches`.
    """
    missing = _missing_of(weights_folder)
    own = [key for key, detector in missing.items() if detector is None]
    reasons = [f"because there are no weights: {', '.join(own)}"] if own else []
    reasons += [f"because the weights of its detector {detector} are missing: {key}"
                for key, detector in missing.items() if detector]  # fmt: skip
    return "; ".join(reasons) or None


def _missing_of(weights_folder: Path | None) -> dict[str, str | None]:
    """Key of each approach that is not available -> key of the detector whose weights it lacks; `None` where it lacks
    its own."""
    folder = weights_folder or WEIGHTS_FOLDER
    described = [key for key in APPROACHES if (folder / key / CONFIG_FILE).is_file()]
    if _is_default(folder) and hub.configured(folder):
        return {key: None for key in APPROACHES if described and key not in described}
    _check_named(folder)
    complete = [key for key in described if any((folder / key / name).is_file() for name in (MODEL_FILE, NEXT_FILE))]
    detectors = {key: _detector_key(folder / key) for key in complete}
    return {key: detectors.get(key) for key in APPROACHES
            if key not in complete or detectors[key] not in (None, *complete)}  # fmt: skip


def _detector_key(folder: Path) -> str | None:
    """Key of the approach that the weights in a folder refer to as their detector.

    `None` also for a damaged config.json, which `load_weights` refuses.
    """
    try:
        detector = read_config(folder).detector
    except InputError:
        return None
    return detector.approach if detector else None


def _find(folder: Path, name: str) -> Path:
    """Where a file of an approach lies; it need not be there. A folder outside of the project's `weights` is the only
    place to look in."""
    path = folder / name
    if path.is_file() or not _is_default(folder.parent) or not (pin := hub.configured(WEIGHTS_FOLDER)):
        return path
    return hub.fetch(pin, f"{folder.name}/{name}")


def _check_named(folder: Path) -> None:
    """Raise InputError if it is the project's `weights`, at a place that BUSI_DEMO_WEIGHTS names and that is not there.
    The message does not name the place, which a page must not show."""
    if os.environ.get(FOLDER_VARIABLE) and _is_default(folder) and not folder.is_dir():
        raise InputError(
            f"${FOLDER_VARIABLE} names a folder that does not exist, expected the folder that holds the weights of all "
            "approaches: correct it, or unset it for the folder weights of the project."
        )


def _is_default(folder: Path) -> bool:
    return folder.resolve() == WEIGHTS_FOLDER.resolve()


def read_file(path: Path) -> bytes:
    """Read a file of an approach.

    Raises:
        InputError: there is no such file. The message names the approach; the folder, which a page must not show, is
            logged at level INFO.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        _log.info("%s", error)
        _check_named(path.parent.parent)
        raise InputError(
            f"The weights of {path.parent.name} are missing ({path.name} is not in their folder): fetch the "
            f"repository's weights folder, or train them with train/train_multitask.py or train/train_two_stage.py."
        ) from error
