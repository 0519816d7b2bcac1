"""The consensus of several approaches on one image, and whether they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from busi_demo.imaging import Source, read_image
from busi_demo.imaging.masks import dice, without_small_regions
from busi_demo.imaging.text import percent
from busi_demo.inference.cam_methods import MEAN_GRAD_CAM
from busi_demo.inference.predictor import Predictor, SharedPasses, load_predictor
from busi_demo.models import CONSENSUS, CONSENSUS_TITLE
from busi_demo.types import CLASSES, Agreement, InputCheck, InputError, Prediction, Verdict
from busi_demo.weights import hub
from busi_demo.weights.store import available_approaches, why_left_out

MIN_MEDIAN_DICE = 0.5
"""The approaches disagree on the place of the lesion if the median Dice of all pairs of masks is below this value."""

DISAGREEMENT = "The approaches disagree: do not rely on any of them."


@dataclass(frozen=True, eq=False)
class Consensus:
    """Several predictions of one image, and their combined prediction.

    Attributes:
        members: the predictions, in the order given.
        overlap: float64 (N, N) in [0, 1], Dice of each pair of masks, see `overlap_matrix`.
        prediction: the combined prediction, with the `approach` `CONSENSUS`; if the members disagree, its first warning
            is `DISAGREEMENT`.
        classes_agree: whether all members predict the same class.
        median_dice: median Dice over the pairs of the members in `distinct_outlines`, in [0, 1]; 1 without a pair.
        disagree: whether the classes differ, or the median Dice is below `MIN_MEDIAN_DICE`.
    """

    members: tuple[Prediction, ...]
    overlap: np.ndarray
    prediction: Prediction
    classes_agree: bool
    median_dice: float
    disagree: bool

    @property
    def further_warnings(self) -> tuple[str, ...]:
        """Warnings of `prediction` except `DISAGREEMENT`."""
        return self.prediction.warnings[1:] if self.disagree else self.prediction.warnings


def consensus(members: Sequence[Prediction]) -> Consensus:
    """Combine the predictions of two or more approaches for one image.

    Probabilities, mask probabilities and threshold are means. The mask is that of the majority (`majority_mask`); as
    for every approach, small regions are removed, of less than the smallest `min_area` of the members, and the mask is
    withdrawn if the class is normal. Equal outlines that one network computed for
    several members count once (`distinct_outlines`), in the mask and in the agreement. The CAM is the mean of the maps
    that explain the class of the consensus, each scaled to the same total, because their raw values belong to grids of
    different sizes; it is zero if no member explains that class. Only warnings that all members share, except
    those that withhold their answer, are kept: they are on the image.

    Args:
        members: predictions of the same image.
    Raises:
        ValueError: there are fewer than two, or their images or frames differ.
    """
    if len(members) < 2:
        raise ValueError(f"A consensus needs at least two predictions, got {len(members)}.")
    image = members[0].image
    if any(not np.array_equal(member.image, image) or member.frame != members[0].frame for member in members):
        raise ValueError("A consensus is of one image, got predictions of different images or frames.")
    probabilities = {name: float(np.mean([m.probabilities[name] for m in members])) for name in CLASSES}
    verdict = max(probabilities, key=probabilities.__getitem__)
    threshold = float(np.mean([m.threshold for m in members]))
    counted = distinct_outlines(members)
    voters = [members[i] for i in counted]
    mask_probability = _mean([m.mask_probability for m in voters])
    min_area = min(m.min_area for m in members)
    mask = without_small_regions(majority_mask([m.mask for m in voters], mask_probability >= threshold), min_area)
    overlap = overlap_matrix([m.mask for m in members])
    classes_agree, median_dice = same_class(members), median_of_pairs(overlap, counted)
    disagree = not classes_agree or median_dice < MIN_MEDIAN_DICE
    warnings = [DISAGREEMENT] if disagree else []
    told = [m for m in members if not m.input_check.withheld] or members
    warnings += [w for w in told[0].warnings if all(w in m.warnings for m in told)]
    agreement = Agreement.AGREES
    if verdict == "normal" and mask.any():
        agreement = Agreement.WITHDRAWN
        share = percent(float(mask.mean()))
        warnings.append(f"The outline of the majority, over {share} of the image, was withdrawn, because the class of "
                        "the consensus is normal.")  # fmt: skip
        mask = np.zeros_like(mask)
    if verdict != "normal" and not mask.any():
        agreement = Agreement.CONTRADICTS
        warnings.append(f"The class is {verdict}, but no majority outlines a lesion: the two do not agree.")
    check = joined_check([m.input_check for m in members])
    cam, peak = _mean_cam([m for m in members if m.cam_class == verdict], image.shape)
    together = Prediction(
        approach=CONSENSUS,
        image=image,
        mask=mask,
        mask_probability=mask_probability.astype(np.float32),
        probabilities=probabilities,
        cam=cam,
        cam_class=verdict,
        cam_peak=peak,
        cam_method=MEAN_GRAD_CAM,
        threshold=threshold,
        agreement=agreement,
        warnings=check.reasons if check.withheld else tuple(warnings),
        seconds=sum(m.seconds for m in members),
        spacing=members[0].spacing,
        aspect=members[0].aspect,
        frame=members[0].frame,
        input_check=check,
        min_area=min_area,
    )
    return Consensus(tuple(members), overlap, together, classes_agree, median_dice, disagree)


def joined_check(checks: Sequence[InputCheck]) -> InputCheck:
    """The check that the middle of all verdicts belongs to; of two in the middle, the stricter one."""
    order = [Verdict.ACCEPTED, Verdict.DOUBTFUL, Verdict.REFUSED]
    middle = sorted(checks, key=lambda check: order.index(check.verdict))[len(checks) // 2]
    return replace(middle, compared=all(check.compared for check in checks))


def distinct_outlines(members: Sequence[Prediction]) -> list[int]:
    """Positions of the members whose outline counts: of several with the same `outline_key` and the same mask, only the
    first.

    Members with the same `outline_key` may have different masks, where one withdrew its mask. Members without a key all
    count.
    """
    counted: list[int] = []
    for i, one in enumerate(members):
        same_key = (
            members[j] for j in counted if one.outline_key is not None and members[j].outline_key == one.outline_key
        )
        if not any(np.array_equal(one.mask, other.mask) for other in same_key):
            counted.append(i)
    return counted


def majority_mask(masks: Sequence[np.ndarray], casting_vote: np.ndarray) -> np.ndarray:
    """The pixels that are in more than half of the masks.

    Args:
        masks: N masks, bool (H, W) each.
        casting_vote: bool (H, W), decides pixels that are in exactly half of the masks.
    Returns:
        bool (H, W).
    """
    votes = np.sum(masks, axis=0)
    return (2 * votes > len(masks)) | ((2 * votes == len(masks)) & casting_vote)


def overlap_matrix(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Dice of every pair of masks.

    Args:
        masks: N masks, bool (H, W) each.
    Returns:
        float64 (N, N) in [0, 1], symmetric, ones on the diagonal; 1 for two empty masks, 0 if only one mask is empty.
    """
    matrix = np.eye(len(masks))
    for i, j in combinations(range(len(masks)), 2):
        matrix[i, j] = matrix[j, i] = dice(masks[i], masks[j])
    return matrix


def same_class(members: Sequence[Prediction]) -> bool:
    """Whether all members predict the same class."""
    return len({member.predicted_class for member in members}) == 1


def median_of_pairs(overlap: np.ndarray, positions: Sequence[int]) -> float:
    """Median of an `overlap_matrix` over the pairs among some positions; 1 if there is no pair."""
    pairs = list(combinations(positions, 2))
    return float(np.median([overlap[pair] for pair in pairs])) if pairs else 1.0


def _mean_cam(members: Sequence[Prediction], shape: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Mean of the maps, each with a sum of 1, divided by its peak, float32 (H, W), and the peak; zeros if there is no
    evidence."""
    shares = [m.cam / m.cam.sum(dtype=np.float64) for m in members if m.cam.any()]
    if not shares:
        return np.zeros(shape, dtype=np.float32), 0.0
    evidence = _mean(shares)
    peak = float(evidence.max())
    return (evidence / peak).astype(np.float32), peak


def _mean(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of N maps, float64 (H, W)."""
    return np.asarray(np.mean(maps, axis=0, dtype=np.float64))


class ConsensusPredictor:
    """The consensus of several predictors, with the interface of a `Predictor`.

    Args:
        members: two or more.
    """

    key, title = CONSENSUS, CONSENSUS_TITLE

    def __init__(self, members: Sequence[Predictor]) -> None:
        self.members = tuple(members)

    def predict(self, image: Source) -> Prediction:
        """As `Predictor.predict`, with one forward pass of every member."""
        grey, shared = read_image(image), SharedPasses()
        return consensus([member.predict(grey, shared) for member in self.members]).prediction

    def probabilities(self, images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """As `Predictor.probabilities`: the mean over the members."""
        return np.mean([member.probabilities(images) for member in self.members], axis=0)

    def held_out(self, folds: Sequence[int | None]) -> ConsensusPredictor:
        """As `Predictor.held_out`, with a fold for each member."""
        return ConsensusPredictor([member.held_out(fold) for member, fold in zip(self.members, folds, strict=True)])

    def randomised(self, seed: int = 0) -> ConsensusPredictor:
        """As `Predictor.randomised`, for every member."""
        return ConsensusPredictor([member.randomised(seed) for member in self.members])


def consensus_keys(weights_folder: Path | None = None) -> list[str]:
    """Keys of the approaches that take part in a consensus: those with weights, in the order of `APPROACHES`.

    Args:
        weights_folder: holds one folder for each approach; by default the project's `weights`.
    Raises:
        InputError: fewer than two approaches have weights.
    """
    keys = available_approaches(weights_folder)
    if len(keys) < 2:
        raise InputError(
            f"A consensus needs the weights of at least two approaches, found {', '.join(keys) or 'none'} (left out, "
            f"{why_left_out(weights_folder)}): fetch the repository's weights folder, or train more of them."
        )
    return keys


def load_consensus(weights_folder: Path | None = None) -> ConsensusPredictor:
    """Load the approaches of `consensus_keys`, see `load_predictor`; the members have the order of these keys.

    Raises:
        InputError: fewer than two approaches have weights, or those of one are damaged.
    """
    with hub.one_answer():
        return ConsensusPredictor([load_predictor(key, weights_folder) for key in consensus_keys(weights_folder)])
