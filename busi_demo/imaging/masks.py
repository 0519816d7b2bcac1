"""Lesion masks from mask probabilities and the predicted class; overlap of masks and maps."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from busi_demo.imaging.text import percent
from busi_demo.types import Agreement

THRESHOLD, MIN_AREA = 0.5, 0.003  # defaults for weights
_FAINTEST_PEAK = 0.05
_SOFT_EDGES = 0.05  # share of the pixels
_FLAT, _TONES = 0.97, 6  # share of the pixels of a drawing in that many of 64 grey values


def is_two_valued(pixels: np.ndarray) -> bool:
    """Whether a grey image, uint8 (H, W), is a drawing in two values such as a mask, soft edges included, or flat: no
    ultrasound is."""
    levels = np.bincount(pixels.ravel(), minlength=256)
    if np.count_nonzero(levels) <= 2:
        return True
    grey, white = int(levels[32:224].sum()), int(levels[224:].sum())
    return grey <= white / 2 and grey <= _SOFT_EDGES * pixels.size


def is_drawing(pixels: np.ndarray) -> bool:
    """Whether a grey image, uint8 (H, W), is a drawing in a few values, such as a map of labels: no ultrasound is."""
    tones = np.sort(np.bincount((pixels >> 2).ravel(), minlength=64))
    return is_two_valued(pixels) or bool(tones[-_TONES:].sum() >= _FLAT * pixels.size)


def is_inverted(mask: np.ndarray) -> bool:
    """Whether a mask, bool (H, W), marks the background: most of the image and most of its border."""
    border = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    return bool(mask.mean() > 0.5 and border.mean() > 0.5)


def lesion_mask(probability: np.ndarray, threshold: float, min_area: float) -> np.ndarray:
    """Threshold mask probabilities and remove regions that are too small to be a lesion.

    Args:
        probability: float (H, W) in [0, 1].
        threshold: lowest probability of a lesion pixel.
        min_area: as for `without_small_regions`.
    Returns:
        bool (H, W).
    """
    return without_small_regions(probability >= threshold, min_area)


def without_small_regions(mask: np.ndarray, min_area: float) -> np.ndarray:
    """Remove regions that are too small to be a lesion.

    Args:
        mask: bool (H, W).
        min_area: share of the image's pixels, in [0, 1), that a connected region (4 neighbours) must reach to stay.
    Returns:
        bool (H, W).
    """
    regions, count = ndimage.label(mask)
    if not count:
        return mask
    keep = np.bincount(regions.ravel()) >= min_area * mask.size
    keep[0] = False
    return keep[regions]


def agreeing_mask(
    probability: np.ndarray, predicted_class: str, threshold: float, min_area: float
) -> tuple[np.ndarray, Agreement, tuple[str, ...]]:
    """Make the lesion mask that agrees with the predicted class.

    The class decides whether there is a lesion, and the mask where it is. For the class normal the mask is withdrawn.
    For a tumour class without a mask the threshold is lowered once, to half the threshold or half the highest
    probability, whichever is lower; if the highest probability is below 0.05, the mask stays empty.

    Args:
        probability, threshold, min_area: as for `lesion_mask`.
        predicted_class: one of `CLASSES`.
    Returns:
        bool (H, W), their agreement, and a sentence if they did not agree at the threshold.
    """
    mask = lesion_mask(probability, threshold, min_area)
    if predicted_class == "normal":
        if not mask.any():
            return mask, Agreement.AGREES, ()
        withdrawn = f"An outline over {_share(mask)} of the image was withdrawn, because the class is normal."
        return np.zeros_like(mask), Agreement.WITHDRAWN, (withdrawn,)
    if mask.any():
        return mask, Agreement.AGREES, ()
    peak = float(probability.max())
    lower = min(peak, threshold) / 2
    if peak >= _FAINTEST_PEAK:
        mask = lesion_mask(probability, lower, min_area)
    if mask.any():
        faint = (
            f"The outline is faint: the mask was cut at a probability of {percent(lower)}, not {percent(threshold)}."
        )
        return mask, Agreement.FAINT, (faint,)
    missing = f"The class is {predicted_class}, but no lesion was outlined: the two do not agree."
    return mask, Agreement.CONTRADICTS, (missing,)


def chosen_mask(
    probability: np.ndarray, predicted_class: str, threshold: float, min_area: float
) -> tuple[np.ndarray, Agreement, tuple[str, ...]]:
    """Make the lesion mask at a threshold chosen by a person; the predicted class does not change it.

    Args:
        probability, threshold, min_area: as for `lesion_mask`.
        predicted_class: one of `CLASSES`.
    Returns:
        bool (H, W), their agreement, and a sentence if they do not agree.
    """
    mask = lesion_mask(probability, threshold, min_area)
    if mask.any() == (predicted_class != "normal"):
        return mask, Agreement.AGREES, ()
    if mask.any():
        sentence = f"The class is normal, yet at {percent(threshold)} an outline covers {_share(mask)} of the image."
    else:
        sentence = (
            f"The class is {predicted_class}, but no lesion is outlined at {percent(threshold)}: "
            f"the highest mask probability is {percent(float(probability.max()))}."
        )
    return mask, Agreement.CONTRADICTS, (sentence,)


def _share(mask: np.ndarray) -> str:
    return percent(float(mask.mean()))


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Dice coefficient 2 |A and B| / (|A| + |B|) in [0, 1] (Dice 1945); 1.0 where both masks are empty.

    Args:
        prediction, truth: bool (H, W), True inside the lesion.
    Raises:
        ValueError: a mask is not bool, or the shapes differ.
    """
    _check_masks(prediction, truth)
    total = int(prediction.sum()) + int(truth.sum())
    return 2 * int((prediction & truth).sum()) / total if total else 1.0


def iou(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union |A and B| / |A or B| in [0, 1] (Jaccard 1912). Arguments, empty masks and errors as in
    `dice`."""
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
    """Share of the sum of a map that lies inside a mask, in [0, 1]; `None` where the map is all zero.

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
    """Raise ValueError unless the arguments are as in `energy_inside`."""
    if saliency.shape != mask.shape or mask.dtype != np.bool_:
        raise ValueError(
            f"Expected a map and a bool mask of one shape, got {saliency.shape} and {mask.dtype} {mask.shape}."
        )
    if not (np.isfinite(saliency).all() and saliency.min() >= 0):
        raise ValueError("A map must be finite and not negative.")
