"""Lesions of one image pasted into normal images of the same data set, as further examples of faint lesions.

A variant of copy-paste augmentation (Ghiasi et al., Simple Copy-Paste, CVPR 2021) with soft borders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import binary_dilation, gaussian_filter
from torchvision.transforms.v2 import functional as F

from busi_demo.data.busi import Sample
from busi_demo.data.reading import Reading

_MARGIN = 0.25  # of the lesion's size, taken with it on each side
_BELOW = 0.6  # of its height, taken with it below, where its shadow or enhancement lies
_RIM = 0.12  # of its size, which belongs to it wholly; outside, the normal image takes over softly
_SCALES = (0.75, 1.25)
_GAINS = (0.6, 1.6)  # largest change of brightness to meet the tissue around
_DARK = 12  # grey value of background


@dataclass(frozen=True)
class PastedSample:
    """A `Sample` made of a normal one and the lesion of a donor."""

    normal: Sample
    donor: Sample
    mask_complete: bool = True
    label_certain: bool = True

    @property
    def name(self) -> str:
        return f"{self.normal.name} with {self.donor.name}"

    @property
    def label(self) -> str:
        return self.donor.label

    @property
    def group(self) -> str:
        return self.normal.group

    @property
    def findings(self) -> Mapping[str, str]:
        return self.donor.findings

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError("A pasted lesion is made of readings, see `pasted`.")


def pasted_lesions(readings: Sequence[Reading], each: int, seed: int) -> list[Reading]:
    """Paste lesions into the normal images of one data set.

    Args:
        readings: of one data set, all of one size.
        each: donors that are tried for each normal image.
        seed: of the choice of donors and places.
    Returns:
        At most `each` readings for each normal image; fewer where a lesion does not fit in.
    """
    rng = np.random.default_rng(seed)
    donors = [r for r in readings if r.sample.mask_complete and r.sample.label_certain and r.mask.any()]
    normals = [r for r in readings if r.sample.label == "normal"]
    if not donors:
        return []
    pairs = [(normal, donors[i]) for normal in normals for i in rng.integers(len(donors), size=each)]
    made = [pasted(normal, donor, rng) for normal, donor in pairs]
    return [reading for reading in made if reading]


def pasted(normal: Reading, donor: Reading, rng: np.random.Generator) -> Reading | None:
    """Paste the lesion of `donor` at its own depth into `normal`, mirrored and resized at random, at the brightness of
    its new surroundings.

    Returns:
        A reading with the class and the mask of the lesion; `None` where it does not fit into the image, or would lie
        in its dark background.
    """
    image, mask, depth = _cut(donor)
    scale = rng.uniform(*_SCALES)
    size = [max(4, round(scale * side)) for side in mask.shape]
    image, mask = _resized(image, size), _resized(mask.astype(np.float32), size) > 0.5
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    top, left, height, width = normal.placement
    if size[0] > height or size[1] > width or not mask.any():
        return None
    y = top + min(round(depth * height), height - size[0])
    x = left + int(rng.integers(width - size[1] + 1))
    place = (slice(y, y + size[0]), slice(x, x + size[1]))
    canvas = normal.image[0].numpy().astype(np.float32)
    alpha = _alpha(mask)
    around, new_around = image[alpha < 0.5], canvas[place][alpha < 0.5]
    if not len(around) or new_around.mean() < _DARK or around.mean() < 1:
        return None
    gain = float(np.clip(new_around.mean() / around.mean(), *_GAINS))
    canvas[place] = alpha * np.clip(gain * image, 0, 255) + (1 - alpha) * canvas[place]
    new_mask = np.zeros(canvas.shape, dtype=np.uint8)
    new_mask[place] = mask
    return replace(
        normal,
        sample=PastedSample(normal.sample, donor.sample),
        image=torch.from_numpy(canvas.round().astype(np.uint8))[None],
        mask=torch.from_numpy(new_mask)[None],
    )


def _cut(donor: Reading) -> tuple[np.ndarray, np.ndarray, float]:
    """The lesion with its surroundings: grey values float32 (h, w), mask bool (h, w), and how deep its upper border
    lies, as a share of the image's height."""
    top, left, height, width = donor.placement
    rows, columns = (donor.mask[0] > 0).nonzero(as_tuple=True)
    tall, wide = int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
    y0 = max(top, int(rows.min()) - round(_MARGIN * tall))
    y1 = min(top + height, int(rows.max()) + 1 + round(_BELOW * tall))
    x0 = max(left, int(columns.min()) - round(_MARGIN * wide))
    x1 = min(left + width, int(columns.max()) + 1 + round(_MARGIN * wide))
    image, mask = donor.image[0, y0:y1, x0:x1], donor.mask[0, y0:y1, x0:x1]
    return image.numpy().astype(np.float32), mask.numpy() > 0, (y0 - top) / height


def _alpha(mask: np.ndarray) -> np.ndarray:
    """The share of the pasted image in each pixel, float32 (h, w): 1 in the lesion and at its rim, 0 at the border of
    the patch."""
    side = float(np.sqrt(mask.sum()))
    grown = binary_dilation(mask, iterations=max(1, round(_RIM * side)))
    soft = np.maximum(gaussian_filter(grown.astype(np.float32), max(1.0, _RIM * side)), mask)
    rows, columns = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in mask.shape)
    border = np.minimum(rows[:, None], columns[None, :]) / max(1.0, _RIM * side)
    return soft * np.maximum(np.clip(border, 0, 1), mask)


def _resized(array: np.ndarray, size: Sequence[int]) -> np.ndarray:
    return F.resize(torch.from_numpy(np.ascontiguousarray(array))[None], list(size), antialias=True)[0].numpy()
