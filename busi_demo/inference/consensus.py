"""The consensus of several approaches on one image, and whether they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from busi_demo.imaging import Source, read_image
from busi_demo.imaging.masks import dice
from busi_demo.imaging.text import percent
from busi_demo.inference.cam_methods import MEAN_GRAD_CAM
from busi_demo.inference.predictor import Predictor, SharedPasses, load_predictor
from busi_demo.models import CONSENSUS, CONSENSUS_TITLE
from busi_demo.types import CLASSES, Agreement, InputError, Prediction
from busi_demo.weights.store import available_approaches

LEAST_MEDIAN_DICE = 0.5
"""Below this median Dice of all pairs of masks the approaches disagree on where the lesion is."""

DISAGREEMENT = "The approaches disagree: do not rely on any of them."


@dataclass(frozen=True, eq=False)
class Consensus:
    """Several answers to one image, and the one answer made of them.

    Attributes:
        members: the answers, in the order given.
        overlap: float64 (N, N) in [0, 1], Dice of each pair of masks, see `overlap_matrix`.
        prediction: the one answer, its `approach` is `CONSENSUS`; where the members disagree, its first warning is
            `DISAGREEMENT`.
        classes_agree: whether all members name the same class.
        median_dice: median Dice over the pairs of members with an outline of their own, in [0, 1]; 1 without a pair.
        disagree: whether the classes differ, or the median Dice is below `LEAST_MEDIAN_DICE`.
    """

    members: tuple[Prediction, ...]
    overlap: np.ndarray
    prediction: Prediction
    classes_agree: bool
    median_dice: float
    disagree: bool

    @property
    def further_warnings(self) -> tuple[str, ...]:
        """Warnings of `prediction` besides `DISAGREEMENT`."""
        return self.prediction.warnings[1:] if self.disagree else self.prediction.warnings


def consensus(members: Sequence[Prediction]) -> Consensus:
    """Unite the answers of two or more approaches to one image.

    Probabilities, mask probabilities and threshold are means. The mask is the majority's (`majority_mask`); as for
    every approach the class decides whether there is a lesion, so that a normal verdict withdraws it. What two members
    draw alike, because the same networks draw for both, counts once (`own_outlines`), in the mask and in whether they
    agree. The CAM is the mean of those members' maps that explain the consensus's class, each scaled to the same total,
    for their raw values are shares of a logit on grids of different fineness; all zero where none does.
    Kept are those warnings that all members share, for these are on the image.

    Args:
        members: of the same image.
    Raises:
        ValueError: there are fewer than two, or their images differ.
    """
    if len(members) < 2:
        raise ValueError(f"A consensus needs at least two predictions, got {len(members)}.")
    image = members[0].image
    if any(not np.array_equal(member.image, image) for member in members):
        raise ValueError("A consensus is of one image, got predictions of different images.")
    probabilities = {name: float(np.mean([m.probabilities[name] for m in members])) for name in CLASSES}
    verdict = max(probabilities, key=probabilities.__getitem__)
    threshold = float(np.mean([m.threshold for m in members]))
    own = own_outlines(members)
    drawn = [members[i] for i in own]
    mask_probability = _mean([m.mask_probability for m in drawn])
    mask = majority_mask([m.mask for m in drawn], mask_probability >= threshold)
    overlap = overlap_matrix([m.mask for m in members])
    classes_agree, median_dice = same_class(members), median_of_pairs(overlap, own)
    disagree = not classes_agree or median_dice < LEAST_MEDIAN_DICE
    warnings = [DISAGREEMENT] if disagree else []
    warnings += [w for w in members[0].warnings if all(w in m.warnings for m in members)]
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
        warnings=tuple(warnings),
        seconds=sum(m.seconds for m in members),
        spacing=members[0].spacing,
    )
    return Consensus(tuple(members), overlap, together, classes_agree, median_dice, disagree)


def own_outlines(members: Sequence[Prediction]) -> list[int]:
    """Positions of the members with an outline of their own: no member before them has the same `outline_key` and mask.
    The same network may draw for two members, of which one withdraws the mask."""
    found: list[int] = []
    for i, one in enumerate(members):
        shared = (
            members[j] for j in found if one.outline_key is not None and members[j].outline_key == one.outline_key
        )
        if not any(np.array_equal(one.mask, other.mask) for other in shared):
            found.append(i)
    return found


def majority_mask(masks: Sequence[np.ndarray], casting_vote: np.ndarray) -> np.ndarray:
    """The pixels that more than half of the masks hold.

    Args:
        masks: N masks, bool (H, W) each.
        casting_vote: bool (H, W), decides the pixels that exactly half of an even number of masks hold.
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
        float64 (N, N) in [0, 1], symmetric, ones on the diagonal. Two empty masks agree that there is no lesion: 1; an
        empty one and another: 0.
    """
    matrix = np.eye(len(masks))
    for i, j in combinations(range(len(masks)), 2):
        matrix[i, j] = matrix[j, i] = dice(masks[i], masks[j])
    return matrix


def same_class(members: Sequence[Prediction]) -> bool:
    """Whether all of them name one class."""
    return len({member.predicted_class for member in members}) == 1


def median_of_pairs(overlap: np.ndarray, positions: Sequence[int]) -> float:
    """Median of an `overlap_matrix` over the pairs among some positions; 1 where there is no pair."""
    pairs = list(combinations(positions, 2))
    return float(np.median([overlap[pair] for pair in pairs])) if pairs else 1.0


def _mean_cam(members: Sequence[Prediction], shape: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Mean share of each pixel in a member's evidence, divided by its peak, float32 (H, W), and the peak; zeros where
    there is no evidence."""
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
    """Answers with the consensus of several predictors; used like a `Predictor`.

    Args:
        members: two or more.
    """

    key, title = CONSENSUS, CONSENSUS_TITLE

    def __init__(self, members: Sequence[Predictor]) -> None:
        self.members = tuple(members)

    def predict(self, image: Source) -> Prediction:
        """As `Predictor.predict`; one forward pass of every member."""
        grey, shared = read_image(image), SharedPasses()
        return consensus([member.predict(grey, shared) for member in self.members]).prediction

    def probabilities(self, images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """As `Predictor.probabilities`: the mean over the members."""
        return np.mean([member.probabilities(images) for member in self.members], axis=0)

    def held_out(self, folds: Sequence[int | None]) -> ConsensusPredictor:
        """As `Predictor.held_out`; a fold for each member."""
        return ConsensusPredictor([member.held_out(fold) for member, fold in zip(self.members, folds, strict=True)])

    def randomised(self, seed: int = 0) -> ConsensusPredictor:
        """As `Predictor.randomised`, every member."""
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
            f"A consensus needs the weights of at least two approaches, found {', '.join(keys) or 'none'}: fetch the "
            "repository's weights folder, or train more of them."
        )
    return keys


def load_consensus(weights_folder: Path | None = None) -> ConsensusPredictor:
    """Load the approaches of `consensus_keys`, see `load_predictor`; the members have the order of these keys.

    Raises:
        InputError: fewer than two approaches have weights, or those of one are damaged.
    """
    return ConsensusPredictor([load_predictor(key, weights_folder) for key in consensus_keys(weights_folder)])
