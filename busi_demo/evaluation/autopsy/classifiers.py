"""Data and classifiers of the study: files as pixels, and three small classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from torch.nn import functional as F

from busi_demo.data.busi import FileSample, Sample, index_folder
from busi_demo.data.locate import find_data
from busi_demo.data.phantom import PHANTOMS, phantom_samples
from busi_demo.data.splits import fingerprints, split_samples
from busi_demo.evaluation.autopsy.study import Files
from busi_demo.imaging import read_mask
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models.heads import ClassificationHead, conv_block
from busi_demo.types import CLASSES, InputError

_THUMBNAIL = 16


def load_files(data: str | None, preprocess: Preprocess, phantoms: int, folds: int) -> tuple[Files, dict[str, Any]]:
    """Read every image and every mask file of a folder, each as pixels with the class of its folder.

    Locked test images and their near-duplicates are left out with their masks.

    Args:
        data: folder in BUSI layout or 'phantoms'; see `locate.find_data`.
        preprocess: gives the size and the letterbox.
        phantoms: images per class, for data "phantoms".
        folds: number of folds that the data must allow.
    Returns:
        The files, and {data: name of the folder, locked_test_left_out: count}.
    Raises:
        InputError: no such data, a file cannot be read, or fewer groups or images of a class than folds.
    """
    samples: Sequence[Sample]
    if data == PHANTOMS:
        samples, name = phantom_samples(phantoms, first_seed=0), PHANTOMS
    else:
        root = find_data(data)
        samples, name = index_folder(root), root.name
    split = split_samples(samples, fingerprints(samples), folds=folds)
    kept = [samples[i].label for i in split.train + split.validation]
    if (fewest := min(kept.count(label) for label in set(kept))) < folds:
        raise InputError(f"--folds must not exceed {fewest}, the number of images of the smallest class, got {folds}.")
    pixels, labels, groups, is_mask = [], [], [], []
    for i in sorted(split.train + split.validation):
        image, union = samples[i].read()
        for picture in (image, *(mask.astype(np.uint8) * 255 for mask in _mask_files(samples[i], union))):
            pixels.append(preprocess.canvas(picture)[0].numpy())
            labels.append(CLASSES.index(samples[i].label))
            groups.append(split.groups[i])
            is_mask.append(picture is not image)
    files = Files(np.stack(pixels), np.array(labels), np.array(groups), np.array(is_mask))
    return files, {"data": name, "locked_test_left_out": len(split.locked)}


def _mask_files(sample: Sample, union: np.ndarray) -> list[np.ndarray]:
    """The mask of each file, bool (H, W); for a phantom its only mask."""
    return [read_mask(path)[0] for path in sample.mask_paths] if isinstance(sample, FileSample) else [union]


def largest_class(train: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """The most frequent class of the training files, whatever the image shows."""
    return np.full(len(test), np.bincount(labels).argmax())


def nearest_neighbour(train: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """The class of the training file whose 16 x 16 thumbnail is nearest: pure memory."""
    return KNeighborsClassifier(1).fit(_thumbnails(train), labels).predict(_thumbnails(test))


def _thumbnails(pixels: np.ndarray) -> np.ndarray:
    """uint8 (N, S, S) -> float32 (N, 256)."""
    small = F.adaptive_avg_pool2d(torch.from_numpy(pixels)[:, None].float(), _THUMBNAIL)
    return small.flatten(1).numpy()


@dataclass(frozen=True)
class SmallCNN:
    """A compact network, trained from random weights without augmentation for a fixed number of epochs.

    It does not use `loop.fit`, which keeps the best epoch of a validation set: here nothing is chosen on tested files.

    Attributes:
        preprocess: scales the grey values.
        epochs: passes over the training files.
        batch_size: files per step.
        learning_rate: peak of the one-cycle schedule (Smith & Topin 2019) of AdamW.
    """

    preprocess: Preprocess
    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 3e-3

    def settings(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def __call__(self, train: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        """Train and predict, see `evaluation.autopsy.Classifier`. Equal arguments give equal answers on one machine."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = nn.Sequential(
                conv_block(1, 16, 2), conv_block(16, 32, 2), conv_block(32, 64, 2), conv_block(64, 96),
                conv_block(96, 96, 2), ClassificationHead(96, dropout=0.0),
            )  # fmt: skip
            x, y = torch.from_numpy(train)[:, None], torch.from_numpy(labels)
            batches = -(-len(x) // self.batch_size)
            optimizer = torch.optim.AdamW(model.parameters(), lr=self.learning_rate, weight_decay=0.01)
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, self.learning_rate, total_steps=self.epochs * batches
            )
            for _ in range(self.epochs):
                # Parts of nearly equal size, so that none has a single file.
                for batch in torch.randperm(len(x)).tensor_split(batches):
                    optimizer.zero_grad()
                    F.cross_entropy(model(self.preprocess.normalise(x[batch])), y[batch]).backward()
                    optimizer.step()
                    schedule.step()
            model.eval()
            with torch.no_grad():
                tested = torch.from_numpy(test)[:, None].split(256)
                return torch.cat([model(self.preprocess.normalise(part)).argmax(1) for part in tested]).numpy()
