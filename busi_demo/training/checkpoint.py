"""The state of an unfinished run on disk; each file is replaced as a whole."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from busi_demo.data.dataset import CanvasDataset
from busi_demo.evaluation.history import history_csv
from busi_demo.project import make_folder, save_whole
from busi_demo.training.config import AFTER_TRAINING, TrainConfig, weights_to_learn_from
from busi_demo.types import InputError
from busi_demo.weights.start import identity
from busi_demo.weights.store import has_config, read_config
from busi_demo.weights.trust_file import answers_sha256

_HASH, _IMAGES = "_sha256", "images"
_DIGEST = 32  # bytes before the content of a file: its SHA-256


def run_settings(config: TrainConfig, parts_from: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """The values that must be equal to resume a run: the settings of its steps, and under `OPTION_sha256` the hash of
    the weights that an option names and of their calibration, so that others at the same path are detected.

    Args:
        config: of the run; its `WEIGHTS_OPTIONS` name weights.
        parts_from: further options that name weights -> their folders.
    Returns:
        Plain JSON values.
    Raises:
        InputError: a folder has no weights.
    """
    folders = weights_to_learn_from(config, parts_from)
    hashes = {f"{name}{_HASH}": _hash_of(folder) for name, folder in folders.items()}
    own = {name: value for name, value in config.to_dict().items() if name not in AFTER_TRAINING}
    return own | hashes


def _hash_of(folder: Path) -> Any:
    """Of weights and all that their answers depend on; of the weights alone where there is no config.json."""
    own = identity(folder)["sha256"]
    return answers_sha256({**read_config(folder).to_json(), "sha256": own}) if has_config(folder) else own


def images_setting(*datasets: CanvasDataset) -> dict[str, str]:
    """A further value that must be equal to resume a run: a hash of the names of all images in their order, because
    images that were added or taken away give other folds and other draws."""
    names = [[f"{sample.label}/{sample.name}" for sample in dataset.samples] for dataset in datasets]
    return {_IMAGES: hashlib.sha256(json.dumps(names).encode()).hexdigest()}


class RunFolder:
    """A folder with `checkpoint.pt` (to resume from), `best.pt` (the weights to keep) and `history.csv`.

    Args:
        path: created where it is missing.
    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        make_folder(path, "--run-dir")

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write the state to resume from, and history.csv for people to read."""
        write_state(self.path / "checkpoint.pt", state)
        if state["history"]:
            save_whole(self.path / "history.csv", history_csv(state["history"]).encode())

    def save_best(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Write the best weights so far. Called before `save_checkpoint` of the same moment: a run killed between the
        two repeats its last steps and writes the same file again."""
        write_state(self.path / "best.pt", weights)

    def load_best(self) -> dict[str, torch.Tensor]:
        return read_state(self.path / "best.pt")

    def load_checkpoint(self, settings: Mapping[str, Any], resume: bool) -> dict[str, Any] | None:
        """Return the state to resume from, or None to start a new run.

        Args:
            settings: of `run_settings`, and of `images_setting` once the images are known.
            resume: whether to continue an unfinished run in this folder.
        Raises:
            InputError: an unfinished run lies here and `resume` is False, it had other settings or weights, or its file
                is damaged.
        """
        if not (self.path / "checkpoint.pt").is_file():
            return None
        state = read_state(self.path / "checkpoint.pt")
        if not resume:
            if state["finished"]:
                return None
            raise InputError(
                f"{self.path} holds an unfinished run: add --resume to continue it, give another --run-dir, "
                "or delete that folder."
            )
        if changed := sorted(k for k in settings if settings[k] != state["settings"].get(k)):
            name = changed[0]
            if name == _IMAGES:
                raise InputError(
                    f"{self.path} was started with other images, or by another version of this program: resume with "
                    "the same data folders and version, or give another --run-dir."
                )
            if name.endswith(_HASH):
                option = name.removesuffix(_HASH).replace("_", "-")
                raise InputError(
                    f"{self.path} was started with other weights in --{option}: resume with the same weights, or give "
                    "another --run-dir."
                )
            raise InputError(
                f"{self.path} was started with {name}={state['settings'].get(name)!r}, not {settings[name]!r}: resume "
                "with the same settings, or give another --run-dir."
            )
        return state

    def drop_weights(self) -> None:
        """Delete checkpoint and weights of a run that is not continued, and keep its history."""
        for name in ("checkpoint.pt", "best.pt"):
            (self.path / name).unlink(missing_ok=True)


def write_state(path: Path, state: Any) -> None:
    """Write tensors and plain values for `read_state`, whole or not at all."""
    content = io.BytesIO()
    torch.save(state, content)
    save_whole(path, hashlib.sha256(content.getvalue()).digest() + content.getvalue())


def read_state(path: Path) -> Any:
    """Read what `write_state` wrote; nothing is read of a file whose hash is another.

    Raises:
        InputError: the file is missing or damaged, or was written by another version.
    """
    try:
        content = path.read_bytes()
        if content[:_DIGEST] != hashlib.sha256(content[_DIGEST:]).digest():
            raise ValueError("The hash differs.")
        return torch.load(io.BytesIO(content[_DIGEST:]), map_location="cpu", weights_only=True)
    except (FileNotFoundError, ValueError) as error:
        raise InputError(
            f"{path} is missing or damaged, or of another version of this program: put back a copy, or delete "
            f"{path.parent} to start anew."
        ) from error
