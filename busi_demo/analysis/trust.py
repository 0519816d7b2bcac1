"""Trust in one answer, from what was shown to tell right from wrong answers on images that the networks do not know.

Of the checks that were measured, the probabilities of the classes and the kind of picture keep their place. Mirroring
the image, agreement of class and outline, and the place of the class evidence do not tell more than the probabilities
do; see train/RESULTS.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from busi_demo.analysis.conformal import LEVELS, prediction_set
from busi_demo.analysis.outline import ExpectedDice, expected_dice
from busi_demo.imaging.text import percent
from busi_demo.types import Prediction, Verdict
from busi_demo.weights.known_images import KnownImage
from busi_demo.weights.trust_file import TrustFit

STRICTEST = LEVELS[-1]
"""Level of the set of classes that decides on green."""
UNFITTED_RED = 0.5
"""Lowest confidence of amber for weights that nothing was fitted to; none of their answers is green."""


class Level(IntEnum):
    """Result of a check; higher is worse."""

    GREEN = 0
    AMBER = 1
    RED = 2


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: title for people.
        level: `None` if the check does not apply.
        sentence: the finding, for people.
        value: a confidence in [0, 1]; `None` for a check without a number.
    """

    name: str
    level: Level | None
    sentence: str
    value: float | None = None


@dataclass(frozen=True)
class Trust:
    """All that is said of how far to trust an answer.

    Attributes:
        checks: at least one of them applies.
        threshold: of the mask that was looked at.
        prediction_set: confidence level -> the classes that are left open; empty where nothing was fitted.
        expected_dice: of the outline; `None` for an empty one, and where nothing was fitted.
        rates: level -> what was measured of such answers, see `TrustFit.measured`.
        elsewhere: name of another data set -> the same on its images.
        known: the known image that the image matches; `None` if there is none.
    """

    checks: tuple[Check, ...]
    threshold: float
    prediction_set: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    expected_dice: ExpectedDice | None = None
    rates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    elsewhere: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    known: KnownImage | None = None

    @property
    def level(self) -> Level:
        """The worst level of all checks that apply."""
        return max(check.level for check in self.checks if check.level is not None)

    @property
    def refer(self) -> bool:
        """Whether a person should look: the level is red, or more than one class is left open at 95 %."""
        return self.level is Level.RED or len(self.prediction_set.get(STRICTEST, ())) > 1

    def reservation(self, threshold: float) -> str | None:
        """A sentence if the mask that is shown has another threshold than the one that was looked at, else `None`."""
        if threshold == self.threshold:
            return None
        return f"Checked at the approach's own threshold of {self.threshold:g}, not at the chosen {threshold:g}."

    def rate(self) -> str | None:
        """How often answers of this level were right on images that the network does not know, of the data set of the
        training and of others, as a sentence; `None` where that was not measured, or where the picture is not like the
        ones it was measured on: unlike those that the network knows, or used in training or validation."""
        level = self.level.name.lower()
        counts = _right(self.rates.get(level))
        used = self.known is not None and self.known.split != "locked"
        if counts is None or used or self.checks[0].level is not Level.GREEN:
            return None
        sentence = f"Of {counts[1]} {level} answers on images that the networks did not know, {counts[0]} were right"
        for name, levels in self.elsewhere.items():
            if others := _right(levels.get(level)):
                sentence += f"; on another data set ({name}), {others[0]} of {others[1]}"
        return f"{sentence}."


def _right(measured: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """Right answers and all answers: of 100, or as they were counted where there are fewer; `None` where there are
    none."""
    if not measured or not measured["n"]:
        return None
    right, n = measured["right"], measured["n"]
    return (right, n) if n < 100 else (round(100 * right / n), 100)


def assess(prediction: Prediction, fit: TrustFit | None, known: KnownImage | None = None) -> Trust:
    """Make all checks. No network runs.

    Args:
        prediction: the answer, at the threshold of the weights.
        fit: of the weights; `None` where nothing was fitted to them.
        known: the known image that the image matches; `None` if there is none.
    """
    sets = {level: prediction_set(prediction.probabilities, fit.sets[level]) for level in LEVELS} if fit else {}
    checks = (check_picture(prediction), check_class(prediction, sets.get(STRICTEST), fit))
    measured = fit.measured if fit else {}
    elsewhere = {name: rates["levels"] for name, rates in measured.get("elsewhere", {}).items()}
    rates = measured.get("levels", {})
    return Trust(checks, prediction.threshold, sets, expected_dice(prediction, fit), rates, elsewhere, known)


def check_picture(prediction: Prediction) -> Check:
    """Check whether the picture is one that the networks know, see `Prediction.input_check`."""
    check = prediction.input_check
    level = {Verdict.ACCEPTED: Level.GREEN, Verdict.DOUBTFUL: Level.AMBER, Verdict.REFUSED: Level.RED}[check.verdict]
    sentence = " ".join(check.reasons) or "It looks like the breast ultrasound that the networks know."
    if check.verdict is Verdict.ACCEPTED and not check.compared:
        level, sentence = Level.AMBER, "These weights do not tell which pictures their networks know."
    return Check("A picture that the networks know", level, sentence)


def check_class(prediction: Prediction, left_open: tuple[str, ...] | None, fit: TrustFit | None) -> Check:
    """Check how sure the class is: green if one class alone is left at 95 % and its probability is as high as that of
    answers which are mostly right; red if it is more probably wrong than right. Where nothing was fitted, it is never
    green."""
    confidence, verdict = prediction.confidence, prediction.predicted_class
    sentence = f"{verdict.capitalize()} has a probability of {percent(confidence)}"
    if not fit or left_open is None:
        level = Level.RED if confidence < UNFITTED_RED else Level.AMBER
        sentence += "; how often such answers are right was not measured for these weights."
        return Check("A sure class", level, sentence, confidence)
    alone = len(left_open) == 1
    level = Level.RED if confidence < fit.red else Level.GREEN if alone and confidence >= fit.green else Level.AMBER
    if alone:
        return Check("A sure class", level, f"{sentence}, and no other class is left open at 95 %.", confidence)
    others = " or ".join(left_open)
    return Check("A sure class", level, f"{sentence}; at 95 % it may be {others}.", confidence)
