"""Measures of class activation maps: localisation, deletion and insertion, and a check against random weights.

- Localisation: share of the map's energy inside the true mask, against the mask's share of the area (what an even map
  has there) and against a centred Gaussian (what knowing that lesions lie in the middle has there); pointing game
  (Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016, here without their tolerance).
- Deletion and insertion (Petsiuk et al., RISE, BMVC 2018), against a random order of the same patches.
- Sanity check by randomised weights (Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018).

The functions know no network; predictions come from a callable.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import spearmanr

from busi_demo.imaging.masks import check_map

GRID, STEPS = 14, 10
"""Patches along each side of an image, and in how many steps all of them are replaced."""
GAUSSIAN_SIGMA = 0.25
"""Standard deviation of the centred Gaussian, as a share of the image's height and width."""

PredictProbabilities = Callable[[np.ndarray], np.ndarray]
"""uint8 (N, H, W) grey images -> float (N, 3), class probabilities in the order of `CLASSES`."""


def pointing_hit(saliency: np.ndarray, mask: np.ndarray) -> float | None:
    """Whether the strongest pixel lies inside the mask: 1.0 or 0.0; with ties, the share of the tied pixels that does.

    Arguments, errors and `None` are those of `energy_inside`.
    """
    check_map(saliency, mask)
    return float(mask[saliency == saliency.max()].mean()) if saliency.max() > 0 else None


def centred_gaussian(height: int, width: int) -> np.ndarray:
    """A map that does not depend on the image: float64 (height, width) in (0, 1], sigma a quarter of each side."""
    rows, columns = (((np.arange(n) + 0.5) / n - 0.5) / GAUSSIAN_SIGMA for n in (height, width))
    return np.exp(-0.5 * (rows[:, None] ** 2 + columns**2))


def patch_numbers(height: int, width: int) -> np.ndarray:
    """Which of GRID x GRID patches each pixel belongs to: int (height, width), numbered row by row from 0."""
    rows, columns = (np.arange(n) * GRID // n for n in (height, width))
    return rows[:, None] * GRID + columns


def patch_means(saliency: np.ndarray) -> np.ndarray:
    """Mean of a map, float (H, W), both sides at least GRID pixels, in each patch: float64 (GRID * GRID,)."""
    number = patch_numbers(*saliency.shape).ravel()
    sums = np.bincount(number, saliency.ravel().astype(np.float64), GRID**2)
    return sums / np.bincount(number, minlength=GRID**2)


def patch_order(saliency: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Patch numbers from the highest mean of a map, as for `patch_means`, to the lowest: int (GRID * GRID,).

    Ties are in the random order of `generator`, so that the zeros of a map are not ordered from top to bottom.
    """
    shuffled = generator.permutation(GRID**2)
    return shuffled[np.argsort(-patch_means(saliency)[shuffled], kind="stable")]


def mean_baseline(image: np.ndarray) -> np.ndarray:
    """What patches are replaced by: the image's mean grey, uint8 (H, W).

    Not its blur, which RISE inserts into: a blurred lesion is still a dark spot, which is the evidence that deletion
    should remove."""
    return np.full_like(image, round(float(image.mean())))


def replacement_auc(
    image: np.ndarray,
    baseline: np.ndarray,
    order: np.ndarray,
    class_index: int,
    predict_probabilities: PredictProbabilities,
) -> float:
    """Mean probability of a class while the patches of an image are replaced, in order, by those of a baseline.

    The area under the curve over the share of patches replaced, 0 to 1 in STEPS steps, by the trapezoid rule. With the
    image and its baseline this is the deletion AUC (Petsiuk et al. 2018), where low is good; with the two exchanged
    the insertion AUC, where high is good.

    Args:
        image, baseline: uint8 (H, W), both at least GRID pixels.
        order: int (GRID * GRID,), patch numbers as of `patch_order`.
        class_index: column of the probabilities.
        predict_probabilities: is called once, with uint8 (STEPS + 1, H, W).
    Returns:
        In [0, 1].
    Raises:
        ValueError: image and baseline differ in shape, an image side is below GRID pixels, or `order` is no order.
    """
    if image.shape != baseline.shape or image.ndim != 2 or min(image.shape) < GRID:
        raise ValueError(
            f"image and baseline must be (H, W) of one shape, at least {GRID} x {GRID}, "
            f"got {image.shape} and {baseline.shape}."
        )
    if not np.array_equal(np.sort(order), np.arange(GRID**2)):
        raise ValueError(f"order must hold each of the numbers 0 to {GRID**2 - 1} once.")
    rank = np.empty(GRID**2, dtype=int)
    rank[order] = np.arange(GRID**2)
    replaced = np.linspace(0, GRID**2, STEPS + 1).round()[:, None, None] > rank[patch_numbers(*image.shape)]
    probability = predict_probabilities(np.where(replaced, baseline, image))[:, class_index]
    return float((probability[:-1] + probability[1:]).mean() / 2)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's rank correlation of two maps, float of one shape, in [-1, 1]; `None` where one has a single value."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(spearmanr(one.ravel(), other.ravel()).statistic)
