"""Read each sample once and keep what splitting, training and validation need."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from tqdm import tqdm

from busi_demo.data.busi import FileSample, Sample
from busi_demo.data.duplicates import Fingerprint, fingerprint
from busi_demo.data.facts import with_facts
from busi_demo.imaging.preprocess import Preprocess

_AT_ONCE = 64
"""Largest number of images that are held at their own size at one time."""


@dataclass(frozen=True, eq=False)
class Reading:
    """The data of one sample that are kept after its files are read.

    Attributes:
        sample: the sample that was read, with what its pixels tell of it.
        image: uint8 (1, S, S) in 0..255, letterboxed.
        mask: uint8 (1, S, S) of 0 and 1, letterboxed like the image.
        placement: where the image lies in its square, see `Preprocess.placement`.
        fingerprint: of the image at its own size, to find near-duplicates.
    """

    sample: Sample
    image: torch.Tensor
    mask: torch.Tensor
    placement: tuple[int, int, int, int]
    fingerprint: Fingerprint


def read_samples(samples: Sequence[Sample], preprocess: Preprocess) -> list[Reading]:
    """Read every sample once, on all cores, with a progress bar. What is known of published images is added to the
    samples of files; the mask of a lesion that is empty counts as unknown, with a note on standard error.

    Args:
        samples: what to read.
        preprocess: gives S and the letterbox.
    Returns:
        One reading per sample, in the samples' order.
    Raises:
        InputError: a file cannot be read, see `Sample.read`.
    """
    readings, empty = [], []
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(samples), desc="reading images", leave=False, disable=None) as bar,
    ):
        for start in range(0, len(samples), _AT_ONCE):
            chunk = samples[start : start + _AT_ONCE]
            for sample, image, mask, print_ in pool.map(_decode, chunk):
                # Letterboxed here and not in the pool: torch has threads of its own.
                canvas, placement = preprocess.canvas(image), preprocess.placement(*image.shape)
                readings.append(Reading(sample, canvas, preprocess.mask_canvas(mask), placement, print_))
                if isinstance(sample, FileSample) and sample.label != "normal" and not mask.any():
                    empty.append(sample)
                bar.update()
    _note_empty(empty)
    return readings


def _decode(sample: Sample) -> tuple[Sample, np.ndarray, np.ndarray, Fingerprint]:
    image, mask = sample.read()
    own = fingerprint(image)
    if isinstance(sample, FileSample):
        (sample,) = with_facts([sample], [own])
        if sample.label != "normal" and not mask.any():
            sample = replace(sample, mask_complete=False)
    return sample, image, mask, own


def _note_empty(samples: Sequence[Sample]) -> None:
    if samples:
        print(f"note: {len(samples)} images have a lesion and an empty mask, {samples[0].label}/{samples[0].name} for "
              "example: they train the class only", file=sys.stderr)  # fmt: skip
