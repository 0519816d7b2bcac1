"""Fit the reference of the input check to pictures, and measure it on pictures that it was not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from busi_demo.data.corruptions import corrupt
from busi_demo.imaging.properties import properties
from busi_demo.inference.input_check import Known, compare
from busi_demo.types import Verdict
from busi_demo.weights.input_reference import (
    ORIENTATIONS,
    InputReference,
    Neighbours,
    NetworkReference,
    fit_neighbours,
)

FOLDS = 5
KNOWN_DOUBTFUL, UNKNOWN_REFUSED, UPRIGHT_TURNED = 0.01, 0.01, 0.003
"""Shares that set the thresholds: of known pictures above a distance `doubtful`, of pictures of a data set that was
left out above `refused` (median over the data sets), and of upright pictures that are taken for turned."""

_CORRUPTIONS = ("speckle", "blur", "low resolution", "gain", "text", "JPEG")  # without those around the picture
_SEVERITIES = 4
_SHRINKAGE = 0.1  # of the covariance towards the identity
_DIRECTIONS = 48  # of the descriptors of a network
_INVERSE_PENALTY = 0.3  # of the classifier of orientations


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one data set and changed copies of them, P properties each.

    Attributes:
        upright: float32 (N, P), as they are.
        corrupted: float32 (N, P), one corrupted copy of each.
        turned: orientation except "upright" -> float32 (M * N, P), M copies of each, one copy of all after the other.
        folds: int64 (N,), 0 to FOLDS - 1; pictures of one group have the same.
        descriptors: float32 (2 * N, D), what a network sees in `upright` and then in `corrupted`; `None` without one.
    """

    upright: np.ndarray
    corrupted: np.ndarray
    turned: Mapping[str, np.ndarray]
    folds: np.ndarray
    descriptors: np.ndarray | None = None

    def part(self, keep: np.ndarray) -> Pictures:
        """The pictures where `keep`, bool (N,), is true."""
        turned = {name: rows[np.tile(keep, len(rows) // len(keep))] for name, rows in self.turned.items()}
        descriptors = None if self.descriptors is None else self.descriptors[np.tile(keep, 2)]
        return Pictures(self.upright[keep], self.corrupted[keep], turned, self.folds[keep], descriptors)


Sets = Mapping[str, Pictures]
"""Data set -> its pictures."""


def corrupted_copy(pixels: np.ndarray, seed: int) -> np.ndarray:
    """A corrupted copy, uint8 (H, W) -> uint8 (H', W'): what happens to pictures on their way must stay known."""
    rng = np.random.default_rng(seed)
    name, severity = str(rng.choice(_CORRUPTIONS)), int(rng.integers(1, _SEVERITIES + 1))
    return corrupt(name, pixels, np.zeros(pixels.shape, dtype=bool), severity, rng)[0]


def changed_properties(pixels: np.ndarray, seed: int) -> dict[str, list[np.ndarray]]:
    """Properties of a picture, uint8 (H, W), and of its copies: "upright", "corrupted", and the other orientations."""
    copies = {
        "upright": [pixels],
        "corrupted": [corrupted_copy(pixels, seed)],
        "negative": [255 - pixels],
        "quarter turn": [np.rot90(pixels), np.rot90(pixels, 3)],
        "upside down": [pixels[::-1], pixels[::-1, ::-1]],
    }
    return {name: [properties(np.ascontiguousarray(copy)) for copy in each] for name, each in copies.items()}


def collect(measured: Sequence[Mapping[str, Sequence[np.ndarray]]], folds: np.ndarray) -> Pictures:
    """Join the results of `changed_properties` of one data set."""
    rows = {
        name: np.concatenate([np.stack(copies) for copies in zip(*(one[name] for one in measured), strict=True)])
        for name in measured[0]
    }
    turned = {name: rows[name] for name in ORIENTATIONS[1:]}
    return Pictures(rows["upright"], rows["corrupted"], turned, folds)


def fit_reference(sets: Sets) -> InputReference:
    """Fit the properties of known pictures; the thresholds come from cross-validation and from leaving each data set
    out."""
    upright = [1 - _orientation(_without(sets, fold), _only(sets, fold)) for fold in range(FOLDS)]
    doubtful, refused = _thresholds(sets, _known_properties, lambda pictures: pictures.upright)
    turned = max(0.5, float(np.quantile(np.concatenate(upright), 1 - UPRIGHT_TURNED)))
    return replace(_with_properties(sets), doubtful=doubtful, refused=refused, turned=turned)


def fit_network(sets: Sets, sha256: str) -> NetworkReference:
    """Fit what a network sees in known pictures, as `fit_reference`; all pictures have descriptors."""
    doubtful, refused = _thresholds(sets, _known_descriptors, _upright_descriptors)
    return NetworkReference(_known_descriptors(sets), doubtful, refused, sha256)


def measure(sets: Sets, reference: InputReference, network: NetworkReference | None = None) -> dict[str, Any]:
    """Verdicts on pictures that what they are compared with was not fitted to, at the thresholds of the references.

    Returns:
        known: data set -> counts in cross-validation; unknown: data set -> counts where that set was left out;
        changed: kind of change -> counts over all sets in cross-validation, of turned pictures by properties alone.
        Whether a picture that is far from all known ones is known once a change is undone is not looked at: the check
        refuses a few more.
        Counts are {"n", "doubtful", "refused"}.
    """
    known, changed, unknown = {}, {}, {}
    for name in sets:
        known[name] = _Counts()
    for kind in ("corrupted", *ORIENTATIONS[1:]):
        changed[kind] = _Counts()
    for fold in range(FOLDS):
        fitted = _refit(_without(sets, fold), reference, network)
        for name, pictures in sets.items():
            own = pictures.part(pictures.folds == fold)
            seen = [None, None] if own.descriptors is None else np.split(own.descriptors, 2)
            known[name].add(own.upright, seen[0], fitted)
            changed["corrupted"].add(own.corrupted, seen[1], fitted)
            for kind, rows in own.turned.items():
                changed[kind].add(rows, None, fitted)
    for name, pictures in sets.items() if len(sets) > 1 else ():
        fitted = _refit({other: p for other, p in sets.items() if other != name}, reference, network)
        seen = [None] if pictures.descriptors is None else np.split(pictures.descriptors, 2)
        unknown[name] = _Counts().add(pictures.upright, seen[0], fitted)
    parts = {"known": known, "unknown": unknown, "changed": changed}
    return {part: {name: vars(counts) for name, counts in by_name.items()} for part, by_name in parts.items()}


@dataclass
class _Counts:
    n: int = 0
    doubtful: int = 0
    refused: int = 0

    def add(self, rows: np.ndarray, descriptors: np.ndarray | None, known: Known) -> _Counts:
        seen: Sequence[np.ndarray | None] = [None] * len(rows) if descriptors is None else list(descriptors)
        verdicts = [v for row, one in zip(rows, seen, strict=True) for v, _ in compare(row, one, known)]
        self.n += len(rows)
        self.doubtful += verdicts.count(Verdict.DOUBTFUL)
        self.refused += verdicts.count(Verdict.REFUSED)
        return self


def _without(sets: Sets, fold: int) -> Sets:
    return {name: pictures.part(pictures.folds != fold) for name, pictures in sets.items()}


def _only(sets: Sets, fold: int) -> Sets:
    return {name: pictures.part(pictures.folds == fold) for name, pictures in sets.items()}


def _thresholds(
    sets: Sets, fit: Callable[[Sets], Neighbours], rows: Callable[[Pictures], np.ndarray]
) -> tuple[float, float]:
    """The distances above which a picture is doubtful and refused."""
    known = []
    for fold in range(FOLDS):
        held_out = np.concatenate([rows(pictures) for pictures in _only(sets, fold).values()])
        known.append(fit(_without(sets, fold)).distance(held_out))
    doubtful = float(np.quantile(np.concatenate(known), 1 - KNOWN_DOUBTFUL))
    if len(sets) == 1:
        return doubtful, 1.3 * doubtful
    left_out = [fit({n: p for n, p in sets.items() if n != name}).distance(rows(sets[name])) for name in sets]
    return doubtful, max(doubtful, float(np.median([np.quantile(d, 1 - UNKNOWN_REFUSED) for d in left_out])))


def _refit(sets: Sets, reference: InputReference, network: NetworkReference | None) -> Known:
    """References fitted to these pictures, with the thresholds of others."""
    limits = {"doubtful": reference.doubtful, "refused": reference.refused, "turned": reference.turned}
    return Known(
        replace(_with_properties(sets), **limits),  # type: ignore[arg-type]
        network and replace(network, known=_known_descriptors(sets)),
    )


def _known_properties(sets: Sets) -> Neighbours:
    rows = np.concatenate([np.concatenate([p.upright, p.corrupted]) for p in sets.values()])
    return fit_neighbours(rows, rows.shape[1], _SHRINKAGE)


def _known_descriptors(sets: Sets) -> Neighbours:
    return fit_neighbours(np.concatenate([p.descriptors for p in sets.values()]), _DIRECTIONS, _SHRINKAGE)


def _upright_descriptors(pictures: Pictures) -> np.ndarray:
    assert pictures.descriptors is not None
    return pictures.descriptors[: len(pictures.folds)]


def _with_properties(sets: Sets) -> InputReference:
    """A reference without thresholds."""
    known = _known_properties(sets)
    upright = [np.concatenate([p.upright, p.corrupted]) for p in sets.values()]
    classes = [np.concatenate(upright)]
    classes += [np.concatenate([p.turned[name] for p in sets.values()]) for name in ORIENTATIONS[1:]]
    labels = np.repeat(np.arange(len(ORIENTATIONS)), [len(rows) for rows in classes])
    model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=2000, class_weight="balanced")
    model.fit(known.standardised(np.concatenate(classes)), labels)
    weights, biases = model.coef_.astype(np.float32), model.intercept_.astype(np.float32)
    return InputReference(known, weights, biases, doubtful=np.inf, refused=np.inf, turned=1.0)


def _orientation(fitted_to: Sets, others: Sets) -> np.ndarray:
    """The probability of "upright" for upright pictures, from a reference fitted to others."""
    fitted = _with_properties(fitted_to)
    return np.concatenate([fitted.orientation(p.upright)[:, 0] for p in others.values()])
