"""One run of `fit`, which `test_distributed.py` starts in one process and, with torchrun, in two.

Usage: distributed_run.py FOLDER, with the root of the project and tests/ on PYTHONPATH.
Writes FOLDER/result<index>.pt: the model after an undisturbed run, after one that was stopped and resumed, its history,
what was said, the gradients of one step, and how a batch norm answers.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from helpers import DiscSample
from stumbling import Stumbling
from torch import nn

from busi_demo.data.augment import training_augmentation
from busi_demo.data.dataset import CanvasDataset
from busi_demo.data.reading import read_samples
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models.base import ApproachModel
from busi_demo.models.heads import ClassificationHead
from busi_demo.processes import Processes, leave
from busi_demo.training import loop
from busi_demo.training.batchnorm import normalise_whole_batches
from busi_demo.training.config import TrainConfig
from busi_demo.training.hints import Hints
from busi_demo.training.loop import fit
from busi_demo.training.losses import JointObjective
from busi_demo.training.step import Learner
from busi_demo.types import ModelOutput

# 3 steps an epoch, 6 in all; of 5 images a step two processes take 3 and 2.
CONFIG = TrainConfig(
    approach="multitask_cnn", epochs=2, samples_per_epoch=15, batch_size=5, image_size=64, start_size=64,
    precision="fp32", w_seg=2.0,
)  # fmt: skip


class Smooth(ApproachModel):
    """Batch norms and smooth activations. With a kink, the last bit of a sum could decide about a gradient, and the
    different rounding of one process and two would look like a different result."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 8, 12, 16)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.SiLU())
            for a, b in pairwise(widths)
        )
        self.mask = nn.ConvTranspose2d(widths[-1], 1, 8, 8)
        self.head = ClassificationHead(widths[-1], dropout=0.0)

    def forward(self, x: torch.Tensor) -> ModelOutput:
        for layer in self.layers:
            x = layer(x)
        return ModelOutput(self.mask(x), self.head(x), x, self.head)


def train(folder: Path, config: TrainConfig = CONFIG, at: int = 0, resume: bool = False):
    """Every second mask and every third class is unknown: the two shares of a batch have different counts of known
    ones. There is no dropout, which is not the same in one and in two processes."""
    torch.manual_seed(0)
    samples = [
        DiscSample(label, mask_complete=bool(i % 2), label_certain=bool(i % 3))
        for i, label in enumerate(("benign", "malignant", "normal", "malignant", "benign", "benign", "normal"))
    ]
    preprocess, said = Preprocess(size=64), []
    model = Smooth()
    train_set = CanvasDataset(read_samples(samples, preprocess), training_augmentation())
    validation = CanvasDataset(
        read_samples([DiscSample(label) for label in ("benign", "malignant", "normal")], preprocess)
    )
    history = fit(
        model, Stumbling(at, w_seg=2.0), train_set, torch.ones(len(samples)), validation, preprocess, config, folder,
        resume, said.append,
    )  # fmt: skip
    return model.state_dict(), history, said


def one_step(processes: Processes) -> dict[str, torch.Tensor]:
    """The gradients and the loss of one step on five images, of which two masks and three classes are known."""
    torch.manual_seed(0)
    model = Smooth()
    model.to(memory_format=torch.channels_last).train()
    learner = Learner(model, JointObjective(w_seg=2.0), Preprocess(size=64), CONFIG, "fp32", processes)
    whole = {
        "image": torch.randint(0, 256, (5, 1, 64, 64)),
        "mask": (torch.rand(5, 1, 64, 64) > 0.7).long(),
        "label": torch.tensor([0, 1, 2, 0, 1]),
        "mask_known": torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0]),
        "label_known": torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0]),
    }
    share = {name: value[processes.index :: processes.count] for name, value in whole.items()}
    losses = learner.step(share, size=64, rate=1e-3)
    return {name: part.grad for name, part in model.named_parameters()} | {"loss": torch.tensor(losses["loss"])}


def batch_norm(processes: Processes) -> dict[str, torch.Tensor]:
    """Output, input gradient and buffers of this process's share of ten images, and the summed weight gradient."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, 4, 3, 3, generator=generator) * 0.1 + 50  # a mean that swallows the squares of float32
    target = torch.randn(5, 4, 3, 3, generator=generator)
    norm = nn.BatchNorm2d(4)
    if processes.count > 1:
        normalise_whole_batches(norm)
    share = slice(processes.index, None, processes.count)
    part = x[share].clone().requires_grad_()
    result = norm(part)
    (result * target[share]).sum().backward()
    gradient = norm.weight.grad
    return {"output": result.detach(), "input_gradient": part.grad, "weight_gradient": gradient, **norm.state_dict()}


def hints_loss(processes: Processes) -> torch.Tensor:
    """This process's summand of the loss of the hints of five images."""
    torch.manual_seed(2)
    hints = Hints([1, 1, 1, 3, 3, 3], [1, 1, 1, 4, 4, 4])
    student, teacher = ([torch.randn(5, channels, 2, 2) + 3 for _ in range(6)] for channels in (3, 4))
    share = slice(processes.index, None, processes.count)
    return hints.loss([m[share] for m in student], [m[share] for m in teacher]).detach()


def main(folder: Path) -> None:
    processes = Processes()
    found = {"count": processes.count, "batch_norm": batch_norm(processes), "step": one_step(processes)}
    found["hints"] = hints_loss(processes)
    found["model"], found["history"], found["said"] = train(folder / "undisturbed")
    loop.CHECKPOINT_SECONDS = -1.0  # a checkpoint after every step
    try:
        train(folder / "stopped", at=5)
    except KeyboardInterrupt:
        found["resumed"], found["resumed_history"], _ = train(folder / "stopped", resume=True)
    try:
        train(folder / "refused", config=replace(CONFIG, samples_per_epoch=4, batch_size=5))
    except Exception as error:
        found["refused"] = str(error)
    torch.save(found, folder / f"result{processes.index}.pt")
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
