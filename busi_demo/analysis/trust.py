"""Trust in one answer: four checks without ground truth, each green, amber or red, with a sentence.

The checks find inconsistent answers. An answer that passes all of them may still be wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from busi_demo.imaging import GreyImage
from busi_demo.imaging.masks import dice, energy_inside
from busi_demo.imaging.text import percent
from busi_demo.types import Agreement, Prediction, Verdict

CAM_FOCUS_GREEN, CAM_FOCUS_RED = 3.0, 1.5
"""Focus: density of the class evidence on the outlined lesion, relative to the whole frame. A uniform map has 1; a map
below 1.5 is hardly different from a uniform one, and in a map of 3 the lesion stands out."""
CAM_INSIDE_GREEN = 0.9
"""Share of the evidence inside the outline that is green for any focus: no map can reach a focus of 3 for a lesion that
covers more than a third of the image."""
FLIP_DICE_GREEN, FLIP_DICE_RED = 0.8, 0.5
"""Dice of the outlines with and without mirroring: 0.8 is an IoU of two thirds, 0.5 an IoU of one third."""
MARGIN_GREEN, MARGIN_RED = 0.4, 0.1
"""Probability of the first class minus that of the second. For two classes, 0.4 is 70 % against 30 %, and 0.1 is 55 %
against 45 %."""


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
        value: focus (see `CAM_FOCUS_GREEN`), Dice or margin; `None` for a check without a number.
    """

    name: str
    level: Level | None
    sentence: str
    value: float | None = None


@dataclass(frozen=True)
class Trust:
    """All checks of one answer.

    Attributes:
        checks: at least one of them applies.
        threshold: of the mask that was checked.
    """

    checks: tuple[Check, ...]
    threshold: float

    def reservation(self, threshold: float) -> str | None:
        """A sentence if the mask that is shown has another threshold than the one that was checked, else `None`."""
        if threshold == self.threshold:
            return None
        return f"Checked at the approach's own threshold of {self.threshold:g}, not at the chosen {threshold:g}."

    @property
    def level(self) -> Level:
        """The worst level of all checks that apply."""
        return max(check.level for check in self.checks if check.level is not None)


def assess(prediction: Prediction, predict: Callable[[GreyImage], Prediction]) -> Trust:
    """Make all checks.

    Args:
        prediction: the answer to check.
        predict: makes the prediction of an image with the approach and threshold of `prediction`, for example
            `Predictor.predict`. It is called once, with the mirror image and the mirrored frame.
    """
    mirrored = predict(_mirror_image(prediction))
    checks = (
        check_picture(prediction),
        check_cam(prediction),
        check_flip(prediction, mirrored),
        check_agreement(prediction),
        check_margin(prediction),
    )
    return Trust(checks, prediction.threshold)


def check_picture(prediction: Prediction) -> Check:
    """Check whether the picture is one that the networks know, see `Prediction.input_check`."""
    check = prediction.input_check
    level = {Verdict.ACCEPTED: Level.GREEN, Verdict.DOUBTFUL: Level.AMBER, Verdict.REFUSED: Level.RED}[check.verdict]
    sentence = " ".join(check.reasons) or "It looks like the breast ultrasound that the networks know."
    return Check("A picture that the networks know", level, sentence)


def _mirror_image(prediction: Prediction) -> GreyImage:
    pixels, frame = np.ascontiguousarray(prediction.image[:, ::-1]), prediction.frame
    if frame is not None:
        x0, y0, x1, y1 = frame
        frame = (pixels.shape[1] - x1, y0, pixels.shape[1] - x0, y1)
    return GreyImage(pixels, prediction.spacing, frame=frame)


def check_cam(prediction: Prediction) -> Check:
    """Check whether the class evidence lies on the outlined lesion; applies if it explains the predicted tumour."""
    name, verdict = "Evidence on the lesion", prediction.predicted_class
    if verdict == "normal" or not prediction.mask.any():
        return Check(name, None, "Does not apply: no lesion is outlined that the evidence could lie on.")
    if prediction.cam_class != verdict:
        return Check(name, None, f"Does not apply: the map explains {prediction.cam_class}, not the answer {verdict}.")
    inside = energy_inside(prediction.cam, prediction.mask)
    if inside is None:
        return Check(name, Level.RED, f"The map shows no evidence for {verdict} anywhere in the image.")
    x0, y0, x1, y1 = prediction.frame_box
    area = float(prediction.mask[y0:y1, x0:x1].mean())
    part = "the image" if prediction.frame is None else "the part used"
    focus = inside / area
    level = _level(focus, CAM_FOCUS_GREEN, CAM_FOCUS_RED)
    if inside >= CAM_INSIDE_GREEN:
        level = Level.GREEN
    share = {
        Level.GREEN: "The evidence for the class lies on the outlined lesion",
        Level.AMBER: "The evidence for the class lies only partly on the outlined lesion",
        Level.RED: "The evidence for the class lies mostly elsewhere than on the outlined lesion",
    }[level]
    return Check(name, level, f"{share}: {percent(inside)} of it on {percent(area)} of {part}.", focus)


def check_flip(prediction: Prediction, mirrored: Prediction) -> Check:
    """Check whether the answer is the same for the mirror image.

    Args:
        mirrored: the prediction of the mirror image, not flipped back.
    Raises:
        ValueError: the two images differ in shape.
    """
    name = "Stable when mirrored"
    first, second = prediction.predicted_class, mirrored.predicted_class
    overlap = dice(prediction.mask, np.ascontiguousarray(mirrored.mask[:, ::-1]))
    if first != second:
        return Check(name, Level.RED, f"The mirror image is called {second}, not {first}.", overlap)
    if not prediction.mask.any() and not mirrored.mask.any():
        return Check(name, Level.GREEN, f"The mirror image is called {first} too, and nothing is outlined in either.")
    level = _level(overlap, FLIP_DICE_GREEN, FLIP_DICE_RED)
    outline = {
        Level.GREEN: "and its outline is nearly the same",
        Level.AMBER: "but its outline is another in part",
        Level.RED: "but its outline lies elsewhere",
    }[level]
    return Check(name, level, f"The mirror image is called {first} too, {outline} (Dice {overlap:.2f}).", overlap)


def check_agreement(prediction: Prediction) -> Check:
    """Check whether outline and class agree, see `Prediction.agreement`."""
    verdict = prediction.predicted_class
    level, sentence = {
        Agreement.AGREES: (
            Level.GREEN,
            "No lesion is outlined, and the class is normal."
            if verdict == "normal"
            else f"A lesion is outlined, and the class is {verdict}.",
        ),
        Agreement.FAINT: (Level.AMBER, f"The class is {verdict}, but the outline is there only at a lower threshold."),
        Agreement.WITHDRAWN: (Level.RED, "The class is normal, but a lesion was outlined and had to be withdrawn."),
        Agreement.CONTRADICTS: (
            Level.RED,
            "The class is normal, but a lesion is outlined."
            if verdict == "normal"
            else f"The class is {verdict}, but no lesion could be outlined.",
        ),
    }[prediction.agreement]
    return Check("Outline and class agree", level, sentence)


def check_margin(prediction: Prediction) -> Check:
    """Check the margin between the first and the second class."""
    by_class = prediction.probabilities
    first, second, _ = sorted(by_class, key=by_class.__getitem__, reverse=True)
    margin = by_class[first] - by_class[second]
    level = _level(margin, MARGIN_GREEN, MARGIN_RED)
    lead = {
        Level.GREEN: "stands clear of the next",
        Level.AMBER: "stands not far above the next",
        Level.RED: "stands hardly above the next",
    }[level]
    sentence = f"The first class {lead}: {first} {percent(by_class[first])}, {second} {percent(by_class[second])}."
    return Check("A clear first class", level, sentence, margin)


def _level(value: float, green: float, red: float) -> Level:
    """Green from `green`, red below `red`, amber between."""
    return Level.GREEN if value >= green else Level.RED if value < red else Level.AMBER
