"""How long training takes beside tensors that lie in memory, and beside the loop of a notebook."""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from busi_demo.analysis.png import png_bytes
from busi_demo.data.augment import training_augmentation
from busi_demo.data.dataset import Batch, CanvasDataset, WeightedEpochSampler
from busi_demo.data.phantom import phantom_samples
from busi_demo.data.reading import read_samples
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models import create_model
from busi_demo.processes import BatchShares, Processes
from busi_demo.training.config import TrainConfig
from busi_demo.training.losses import JointObjective
from busi_demo.training.precision import choose_precision
from busi_demo.training.step import Learner
from busi_demo.types import InputError

APPROACH, SIZE, BATCH, SEED = "multitask_resnet50", 128, 8, 0
_RATE = 1e-4


def training(images: int) -> dict[str, Any]:
    """Measure one epoch over simulated images in three ways, with the same network, batch and size. The ways take
    turns, batch by batch.

    Args:
        images: in the epoch; of the last ones, those that do not fill a batch are left out.
    Returns:
        `seconds` and `ratios`.
    Raises:
        InputError: they do not fill one batch.
    """
    if images < BATCH:
        raise InputError(f"--images is {images}, expected at least {BATCH}, a batch of the training.")
    preprocess = Preprocess(size=SIZE)
    dataset = CanvasDataset(read_samples(phantom_samples(-(-images // 3), SEED), preprocess), training_augmentation())
    sampler = WeightedEpochSampler(torch.ones(len(dataset)), len(dataset), SEED)
    loader = DataLoader(dataset, batch_sampler=BatchShares(sampler, BATCH, Processes()), num_workers=0)
    learner = _learner(preprocess)
    held = list(loader)
    notebook = _Notebook(dataset)
    for steps in (_steps(learner, held), notebook.steps()):
        deque(islice(steps, 2), maxlen=0)  # the first steps take longer
    ways = {"loader": _steps(learner, loader), "resident": _steps(learner, held), "notebook": notebook.steps()}
    seconds = dict.fromkeys(ways, 0.0)
    for _ in held:
        for name, steps in ways.items():
            begin = time.perf_counter()
            next(steps)
            seconds[name] += time.perf_counter() - begin
    return {
        "seconds": seconds,
        "ratios": {
            "loader_over_resident": seconds["loader"] / seconds["resident"],
            "seed_epoch_over_ours": seconds["notebook"] / seconds["loader"],
        },
    }


def _learner(preprocess: Preprocess) -> Learner:
    torch.manual_seed(SEED)
    processes = Processes()
    model = create_model(APPROACH).to(processes.device).to(memory_format=torch.channels_last)
    precision = choose_precision(model, processes.device, SIZE)
    learner = Learner(model, JointObjective(), preprocess, TrainConfig(approach=APPROACH), precision, processes)
    learner.trained.train()
    return learner


def _steps(learner: Learner, batches: Iterable[Batch]) -> Iterator[None]:
    """Take a step of the training with each batch."""
    for batch in batches:
        learner.step(batch, SIZE, _RATE)
        yield


class _Files(Dataset[tuple[torch.Tensor, torch.Tensor, int]]):
    """PNG files, decoded each time they are drawn, brought to the size and turned into three channels, as notebooks
    do."""

    def __init__(self, dataset: CanvasDataset) -> None:
        self.files = [(self._png(image), self._png(mask * 255)) for image, mask in
                      zip(dataset.images, dataset.masks, strict=True)]  # fmt: skip
        self.labels = dataset.labels.tolist()

    @staticmethod
    def _png(tensor: torch.Tensor) -> bytes:
        return png_bytes(Image.fromarray(tensor[0].numpy()).resize((500, 500)))  # as large as published images

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        image, mask = (
            np.asarray(Image.open(io.BytesIO(file)).convert("L").resize((SIZE, SIZE)), dtype=np.float32) / 255
            for file in self.files[index]
        )
        return torch.from_numpy(image)[None], torch.from_numpy(mask)[None], self.labels[index]


class _Notebook:
    """The loop of a notebook: float32, Adam, binary cross-entropy and cross-entropy."""

    def __init__(self, dataset: CanvasDataset) -> None:
        torch.manual_seed(SEED)
        self.model = create_model(APPROACH)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=_RATE)
        self.loader = DataLoader(_Files(dataset), batch_size=BATCH, shuffle=True)

    def steps(self) -> Iterator[None]:
        """Train on all images once, batch by batch."""
        self.model.train()
        for images, masks, labels in self.loader:
            output = self.model(images)
            loss = F.binary_cross_entropy_with_logits(output.mask_logits, masks)
            loss = loss + F.cross_entropy(output.class_logits, labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            yield
