"""From mask probabilities and a verdict to a lesion mask that agrees with the verdict."""

from __future__ import annotations

from enum import Enum

import numpy as np
from scipy import ndimage

THRESHOLD, MIN_AREA = 0.5, 0.003  # unless the weights say otherwise
_FAINTEST_PEAK = 0.05


def lesion_mask(probability: np.ndarray, threshold: float, min_area: float) -> np.ndarray:
    """Cut mask probabilities at a threshold and drop regions too small to be a lesion.

    Args:
        probability: float (H, W) in [0, 1].
        threshold: probability from which a pixel counts as lesion.
        min_area: share of the image's pixels, in [0, 1), that a connected region (4 neighbours) must reach to stay.
    Returns:
        bool (H, W).
    """
    mask = probability >= threshold
    regions, count = ndimage.label(mask)
    if not count:
        return mask
    keep = np.bincount(regions.ravel()) >= min_area * mask.size
    keep[0] = False
    return keep[regions]


class Agreement(Enum):
    """Whether mask and verdict agree by themselves; if not, what `agreeing_mask` does about it."""

    AGREES = "agrees"
    WITHDRAWN = "withdrawn"
    """There is an outline, but the verdict is normal: the outline is withdrawn."""
    FAINT = "faint"
    """The verdict is a tumour, but its outline is only there below the threshold."""
    CONTRADICTS = "contradicts"
    """The verdict is a tumour, and there is no outline."""


def agreement(probability: np.ndarray, verdict: str, threshold: float, min_area: float) -> Agreement:
    """Tell whether mask and verdict agree by themselves. Arguments are those of `agreeing_mask`."""
    return _agree(probability, verdict, threshold, min_area)[1]


def agreeing_mask(
    probability: np.ndarray, verdict: str, threshold: float, min_area: float
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The lesion mask that goes with a verdict.

    The rule: the class, which weighs the whole image, decides whether there is a lesion; the mask says where. A normal
    verdict withdraws the mask. A tumour verdict without a mask lowers the threshold, once, to half of itself or of
    the highest probability, whichever is less; below a peak of 0.05 the mask stays empty and the contradiction is told.

    Args:
        probability, threshold, min_area: as for `lesion_mask`.
        verdict: the predicted class.
    Returns:
        bool (H, W), and a sentence where mask and verdict did not agree by themselves.
    """
    mask, found = _agree(probability, verdict, threshold, min_area)
    if found is Agreement.WITHDRAWN:
        withdrawn = f"An outline over {mask.mean():.1%} of the image was withdrawn, because the class is normal."
        return np.zeros_like(mask), (withdrawn,)
    if found is Agreement.FAINT:
        lower = _lower_threshold(probability, threshold)
        return mask, (f"The outline is faint: the mask was cut at a probability of {lower:.0%}, not {threshold:.0%}.",)
    if found is Agreement.CONTRADICTS:
        return mask, (f"The class is {verdict}, but no lesion was outlined: the two do not agree.",)
    return mask, ()


def chosen_mask(
    probability: np.ndarray, verdict: str, threshold: float, min_area: float
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The lesion mask at a threshold that a person chose: neither withdrawn nor helped, whatever the verdict.

    Args:
        probability, threshold, min_area: as for `lesion_mask`.
        verdict: the predicted class.
    Returns:
        bool (H, W), and a sentence where mask and verdict do not agree.
    """
    mask = lesion_mask(probability, threshold, min_area)
    if verdict == "normal" and mask.any():
        return mask, (f"The class is normal, yet at {threshold:.0%} an outline covers {mask.mean():.1%} of the image.",)
    if verdict != "normal" and not mask.any():
        return mask, (
            f"The class is {verdict}, but no lesion is outlined at {threshold:.0%}: "
            f"the highest mask probability is {float(probability.max()):.0%}.",
        )
    return mask, ()


def _agree(probability: np.ndarray, verdict: str, threshold: float, min_area: float) -> tuple[np.ndarray, Agreement]:
    """The mask that was found, bool (H, W), before a normal verdict withdraws it, and how it goes with the verdict."""
    mask = lesion_mask(probability, threshold, min_area)
    if verdict == "normal":
        return mask, Agreement.WITHDRAWN if mask.any() else Agreement.AGREES
    if mask.any():
        return mask, Agreement.AGREES
    if float(probability.max()) >= _FAINTEST_PEAK:
        mask = lesion_mask(probability, _lower_threshold(probability, threshold), min_area)
    return mask, Agreement.FAINT if mask.any() else Agreement.CONTRADICTS


def _lower_threshold(probability: np.ndarray, threshold: float) -> float:
    return min(float(probability.max()), threshold) / 2


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Overlap 2 |A and B| / (|A| + |B|) in [0, 1] (Dice 1945); 1.0 where both masks are empty.

    Args:
        prediction, truth: bool (H, W), True inside the lesion.
    Raises:
        ValueError: a mask is not bool, or the shapes differ.
    """
    _check_masks(prediction, truth)
    total = int(prediction.sum()) + int(truth.sum())
    return 2 * int((prediction & truth).sum()) / total if total else 1.0


def iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Overlap |A and B| / |A or B| in [0, 1] (Jaccard 1912). Arguments, empty masks and errors as in `dice`."""
    _check_masks(prediction, truth)
    union = int((prediction | truth).sum())
    return int((prediction & truth).sum()) / union if union else 1.0


def _check_masks(prediction: np.ndarray, truth: np.ndarray) -> None:
    for name, mask in (("prediction", prediction), ("truth", truth)):
        if mask.dtype != np.bool_:
            raise ValueError(f"{name} must be a bool mask, got {mask.dtype}.")
    if prediction.shape != truth.shape:
        raise ValueError(f"The masks must have one shape, got {prediction.shape} and {truth.shape}.")


def energy_inside(saliency: np.ndarray, mask: np.ndarray) -> float | None:
    """Share of a map's sum that lies inside a mask, in [0, 1]; `None` where the map is all zero.

    Args:
        saliency: float (H, W), not negative, of any scale.
        mask: bool (H, W), True inside the lesion.
    Raises:
        ValueError: the shapes differ, the mask is not bool, or the map is negative or not finite somewhere.
    """
    check_map(saliency, mask)
    total = float(saliency.sum(dtype=np.float64))
    return float(saliency[mask].sum(dtype=np.float64)) / total if total > 0 else None


def check_map(saliency: np.ndarray, mask: np.ndarray) -> None:
    if saliency.shape != mask.shape or mask.dtype != np.bool_:
        raise ValueError(
            f"Expected a map and a bool mask of one shape, got {saliency.shape} and {mask.dtype} {mask.shape}."
        )
    if not (np.isfinite(saliency).all() and saliency.min() >= 0):
        raise ValueError("A map must be finite and not negative.")
