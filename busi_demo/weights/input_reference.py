"""What pictures are known: properties of training pictures, and what each network sees in them, to compare a new
picture with.

`weights/input_check.safetensors` holds the properties, `weights/<approach>/input_check.safetensors` the descriptors of
its network. Thresholds and the rates that were measured stand as JSON in their headers. `train/fit_input_check.py`
writes both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from busi_demo.imaging.properties import PROPERTIES
from busi_demo.project import save_whole
from busi_demo.types import InputError
from busi_demo.weights import store

INPUT_CHECK_FILE = "input_check.safetensors"
ORIENTATIONS = ("upright", "negative", "quarter turn", "upside down")
"""What a picture can be, besides of what it shows; the order of `InputReference.orientation`."""

_VERSION = "3"
_NEIGHBOUR = 3  # a single odd picture has no weight
_CLIP = 8.0  # standard deviations; keeps one wild number from deciding alone
_OUTSIDE = 3.0  # weight of what lies outside of the space of the known pictures
_LIST = ("centre", "scale", "basis", "spread", "pictures", "outside")


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Known pictures as points, and the distance of a new one to them in the metric of their covariance (Sun et al.,
    Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022).

    Attributes:
        centre, scale: float32 (P,), to standardise the numbers of a picture.
        basis: float32 (P, K), orthonormal columns, the directions in which known pictures differ.
        spread: float32 (K,), how much.
        pictures: float32 (R, K), the known pictures in that basis, divided by the spread.
        outside: float32 (2,), mean and standard deviation of the length that the basis does not hold; (0, 0) where it
            holds all.
    """

    centre: np.ndarray
    scale: np.ndarray
    basis: np.ndarray
    spread: np.ndarray
    pictures: np.ndarray
    outside: np.ndarray

    def standardised(self, rows: np.ndarray) -> np.ndarray:
        """float32 (N, P) -> float32 (N, P) of mean 0 and standard deviation 1 on known pictures, clipped."""
        return ((rows - self.centre) / self.scale).clip(-_CLIP, _CLIP)

    def distance(self, rows: np.ndarray) -> np.ndarray:
        """Distance to the third nearest known picture: float32 (N, P) -> float32 (N,), not negative."""
        points = self.standardised(rows)
        inside = points @ self.basis
        whitened = inside / self.spread
        squares = (whitened**2).sum(1)[:, None] + (self.pictures**2).sum(1) - 2 * whitened @ self.pictures.T
        nearest = np.partition(squares, _NEIGHBOUR - 1, axis=1)[:, _NEIGHBOUR - 1].clip(min=0)
        mean, deviation = self.outside
        if deviation > 0:
            rest = np.sqrt(((points**2).sum(1) - (inside**2).sum(1)).clip(min=0))
            nearest += (_OUTSIDE * ((rest - mean) / deviation).clip(min=0)) ** 2
        return np.sqrt(nearest)


def fit_neighbours(rows: np.ndarray, directions: int, shrinkage: float) -> Neighbours:
    """Learn known pictures.

    Args:
        rows: float32 (R, P), their numbers.
        directions: K, at most P, in which they differ most.
        shrinkage: of their covariance towards the identity, 0 to 1.
    """
    centre, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    points = ((rows - centre) / scale).clip(-_CLIP, _CLIP)
    from sklearn.decomposition import PCA  # needed for fitting alone

    solver = "randomized" if 4 * directions < min(rows.shape) else "full"  # thousands of numbers take minutes else
    pca = PCA(directions, svd_solver=solver, random_state=0).fit(points)
    basis = pca.components_.T
    spread = np.sqrt((1 - shrinkage) * pca.explained_variance_ + shrinkage)
    inside = points @ basis
    rest = np.sqrt(((points**2).sum(1) - (inside**2).sum(1)).clip(min=0))
    outside = (0.0, 0.0) if directions >= rows.shape[1] else (rest.mean(), rest.std())
    arrays = (centre, scale, basis, spread, inside / spread, np.array(outside))
    return Neighbours(*(array.astype(np.float32) for array in arrays))


@dataclass(frozen=True, eq=False)
class InputReference:
    """Known pictures by their properties.

    Attributes:
        known: P are `PROPERTIES`.
        weights, biases: float32 (len(ORIENTATIONS), P) and (len(ORIENTATIONS),), a linear softmax classifier of
            standardised properties.
        doubtful, refused: distances above which a picture is doubtful or refused.
        turned: probability above which a picture is taken for a negative or for turned.
        measured: counts of verdicts, as JSON values, see `evaluation.input_fit.measure`.
    """

    known: Neighbours
    weights: np.ndarray
    biases: np.ndarray
    doubtful: float
    refused: float
    turned: float
    measured: Mapping[str, Any] = field(default_factory=dict)

    def orientation(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities of `ORIENTATIONS`: float32 (N, P) -> float32 (N, len(ORIENTATIONS)), rows summing to 1."""
        logits = self.known.standardised(rows) @ self.weights.T + self.biases
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class NetworkReference:
    """Known pictures by what a network sees in them.

    Attributes:
        known: P is the length of `ModelOutput.descriptor`.
        doubtful: distance above which a picture is doubtful.
        refused: distance above which a picture is refused, if its properties are doubtful too.
        sha256: of the weights.
        measured: counts of verdicts, as in `InputReference`.
    """

    known: Neighbours
    doubtful: float
    refused: float
    sha256: str
    measured: Mapping[str, Any] = field(default_factory=dict)


_Reference = TypeVar("_Reference", InputReference, NetworkReference)


def save_input_reference(reference: InputReference | NetworkReference, folder: Path) -> Path:
    """Write the file of a reference.

    Args:
        folder: of all approaches, or of the approach of a `NetworkReference`.
    """
    own = vars(reference)
    arrays = {name: getattr(reference.known, name) for name in _LIST}
    arrays |= {name: value for name, value in own.items() if isinstance(value, np.ndarray)}
    arrays = {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in arrays.items()}
    arrays |= {name: arrays[name].astype(np.float16) for name in ("pictures", "basis")}
    settings = {name: value for name, value in own.items() if name != "known" and name not in arrays}
    header = {
        "version": _VERSION,
        "properties": json.dumps(PROPERTIES),
        "settings": json.dumps(settings, allow_nan=False, sort_keys=True),
    }
    return save_whole(folder / INPUT_CHECK_FILE, save(arrays, header | {"checksum": _checksum(arrays, header)}))


def _checksum(arrays: Mapping[str, np.ndarray], header: Mapping[str, str]) -> str:
    """SHA-256 of all that a file holds, as hexadecimal digits."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


@cache
def input_reference(weights_folder: Path | None = None) -> InputReference | None:
    """The properties that are known to the weights; `None` where the file is missing.

    Raises:
        InputError: it cannot be read, or was made by another version.
    """
    return _load(InputReference, weights_folder or store.WEIGHTS_FOLDER)


@cache
def network_reference(folder: Path) -> NetworkReference | None:
    """What the network of an approach knows; `None` where the file is missing.

    Args:
        folder: of the approach.
    Raises:
        InputError: it cannot be read, or was made by another version.
    """
    return _load(NetworkReference, folder)


def _load(kind: type[_Reference], folder: Path) -> _Reference | None:
    path = folder / INPUT_CHECK_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header["version"] == _VERSION and tuple(json.loads(header["properties"])) == PROPERTIES:
            if header.pop("checksum") != _checksum(arrays, header):
                raise ValueError("its content does not have its checksum")
            arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
            known = Neighbours(**{name: arrays.pop(name) for name in _LIST})
            return kind(known, **arrays, **json.loads(header["settings"]))
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise InputError(
            f"{folder.name}/{path.name} is damaged ({error}): fetch it again, or make it with train/fit_input_check.py."
        ) from error
    raise InputError(
        f"{folder.name}/{path.name} was made by another version, for other properties of pictures: make it again with "
        "train/fit_input_check.py."
    )
