"""Select the images on which an approach is worst and best."""

from __future__ import annotations

from collections.abc import Sequence

from busi_demo.evaluation.results import ImageResult

CASES = 5
"""Number of images of each kind."""


def worst_masks(results: Sequence[ImageResult]) -> list[ImageResult]:
    """The lesions of lowest Dice, lowest first; ties by name."""
    scored = [(r.mask_dice, r.image, r) for r in results if r.mask_dice is not None]
    return [r for *_, r in sorted(scored, key=lambda row: row[:2])[:CASES]]


def confident_errors(results: Sequence[ImageResult]) -> list[ImageResult]:
    """The wrong predictions of highest confidence, highest first; ties by name."""
    return sorted((r for r in results if not r.correct), key=lambda r: (-r.confidence, r.image))[:CASES]


def best_masks(results: Sequence[ImageResult]) -> list[ImageResult]:
    """The lesions of highest Dice among the correctly classified ones, highest first; ties by name."""
    scored = [(-r.mask_dice, r.image, r) for r in results if r.mask_dice is not None and r.correct]
    return [r for *_, r in sorted(scored, key=lambda row: row[:2])[:CASES]]
