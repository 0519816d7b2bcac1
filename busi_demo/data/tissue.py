"""Normal tissue cut from beside the lesions of other images, as further normal examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from busi_demo.data.busi import Sample
from busi_demo.data.reading import Reading
from busi_demo.imaging.preprocess import Preprocess

_MARGIN = 0.06  # kept free beside the lesion, as a share of the image's width
_NARROWEST = 0.42  # of the image's width
_DARK, _LARGEST_DARK_SHARE = 12, 0.4  # grey value of background, and how much of it there may be


@dataclass(frozen=True)
class TissueSample:
    """A `Sample` of the class normal: a part of another one, in shares of its size."""

    origin: Sample
    bottom: float
    left: float
    right: float
    label: str = "normal"
    mask_complete: bool = True
    label_certain: bool = True

    @property
    def name(self) -> str:
        return self.origin.name

    @property
    def group(self) -> str:
        return self.origin.group

    @property
    def findings(self) -> Mapping[str, str]:
        return {}

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        image, _ = self.origin.read()
        height, width = image.shape
        part = image[: round(self.bottom * height), round(self.left * width) : round(self.right * width)]
        return part, np.zeros(part.shape, dtype=bool)


def tissue_beside(reading: Reading, preprocess: Preprocess) -> Reading | None:
    """Cut the wider part beside the lesions of an image, from the skin downwards, from what was read already.

    The part has the aspect ratio of the image, so that the shape of a picture does not indicate its class.

    Args:
        reading: of an image with a complete mask.
        preprocess: what it was read with.
    Returns:
        A normal example, or `None` where the image has no lesion or an incomplete mask, or where the part is narrow or
        mostly dark.
    """
    if not reading.sample.mask_complete or not reading.mask.any():
        return None
    top, left, height, width = reading.placement
    image = reading.image[0, top : top + height, left : left + width]
    lesion = reading.mask[0, top : top + height, left : left + width].any(dim=0).nonzero()[:, 0]
    free = round(_MARGIN * width)
    parts = ((0, int(lesion.min()) - free), (int(lesion.max()) + 1 + free, width))
    start, stop = max(parts, key=lambda part: part[1] - part[0])
    if stop - start < _NARROWEST * width:
        return None
    bottom = round((stop - start) * height / width)
    tissue = image[:bottom, start:stop].numpy()
    if (tissue <= _DARK).mean() > _LARGEST_DARK_SHARE:
        return None
    sample = TissueSample(reading.sample, bottom / height, start / width, stop / width)
    canvas, placement = preprocess.canvas(tissue), preprocess.placement(*tissue.shape)
    return replace(reading, sample=sample, image=canvas, mask=torch.zeros_like(canvas), placement=placement)
