"""Samples as tensors, with reproducible augmentations and draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Dataset, Sampler
from torchvision import tv_tensors
from torchvision.transforms.v2 import Transform

from busi_demo.data.busi import Sample
from busi_demo.data.findings import finding_targets
from busi_demo.data.reading import Reading
from busi_demo.types import CLASSES

Batch = dict[str, torch.Tensor]


class CanvasDataset(Dataset[Batch]):
    """Letterboxed images and masks, held in memory as uint8.

    An item is a dict of `image` uint8 (1, S, S) in 0..255, `mask` uint8 (1, S, S) of 0 and 1, `label` int64 in the
    order of `CLASSES`, `mask_known`, `label_known` float32: 0 where training must not use that truth, and the targets
    of `findings.finding_targets`.
    An index is a position, or a pair (position, seed) to draw an augmentation with that seed: the same pair gives the
    same item in any process and any order.

    Args:
        readings: at least one, all of one size.
        augmentation: applied to image and mask together where the index carries a seed.

    Attributes:
        samples: the samples that were read.
        images, masks: uint8 (N, 1, S, S).
        placements: where each image lies in its square, see `Preprocess.placement`.
    """

    def __init__(self, readings: Sequence[Reading], augmentation: Transform | None = None) -> None:
        self.samples, self.augmentation = tuple(r.sample for r in readings), augmentation
        self.images = torch.stack([r.image for r in readings])
        self.masks = torch.stack([r.mask for r in readings])
        self.placements = [r.placement for r in readings]
        self.labels = torch.tensor([CLASSES.index(s.label) for s in self.samples])
        self.mask_known = torch.tensor([float(s.mask_complete) for s in self.samples])
        self.label_known = torch.tensor([float(s.label_certain) for s in self.samples])
        self._findings = [finding_targets(s) for s in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int | tuple[int, int]) -> Batch:
        position, seed = index if isinstance(index, tuple) else (index, None)
        image, mask = self.images[position], self.masks[position]
        if seed is not None and self.augmentation is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                image, mask = self.augmentation(tv_tensors.Image(image), tv_tensors.Mask(mask))
        return {
            "image": image.as_subclass(torch.Tensor),
            "mask": mask.as_subclass(torch.Tensor),
            "label": self.labels[position],
            "mask_known": self.mask_known[position],
            "label_known": self.label_known[position],
            **self._findings[position],
        }


class WeightedEpochSampler(Sampler[tuple[int, int]]):
    """Draw positions with replacement by weight, each with a seed for its augmentation. The draws depend only on the
    seed and the epoch, so a resumed run sees the same images as an uninterrupted one.

    Args:
        weights: float (N,), not negative; the relative frequency of each position.
        count: draws per epoch.
        seed: of the run.
    """

    def __init__(self, weights: torch.Tensor, count: int, seed: int) -> None:
        self.weights, self.count, self.seed = weights.double(), count, seed
        self.epoch, self.skip = 0, 0

    def start(self, epoch: int, skip: int = 0) -> None:
        """Set the epoch of the next iteration, which leaves out its first `skip` draws."""
        self.epoch, self.skip = epoch, skip

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        positions = torch.multinomial(self.weights, self.count, replacement=True, generator=generator)
        seeds = torch.randint(0, 2**62, (self.count,), generator=generator)
        return iter(list(zip(positions.tolist(), seeds.tolist(), strict=True))[self.skip :])


def sampling_weights(samples: Sequence[Sample], sources: Sequence[str], shares: dict[str, float]) -> torch.Tensor:
    """Compute weights that give each source its share of the draws and reduce class imbalance within a source.

    Within a source, a class is drawn in proportion to the square root of its count. This lies between the natural
    frequencies, which show too few normal images, and equal ones, which repeat these until the network memorises them.

    Args:
        samples: all training samples.
        sources: the source of each.
        shares: source -> share of the draws; sources without samples are ignored and the rest is normalised.
    Returns:
        float64 (N,), summing to 1.
    """
    keys = list(zip(sources, (s.label for s in samples), strict=True))
    counts = {key: keys.count(key) for key in set(keys)}
    total = {source: sum(n**0.5 for (s, _), n in counts.items() if s == source) for source in set(sources)}
    weights = [shares[source] * counts[source, label] ** -0.5 / total[source] for source, label in keys]
    tensor = torch.tensor(weights, dtype=torch.float64)
    return tensor / tensor.sum()
