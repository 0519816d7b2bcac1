"""The training loop of all approaches; they differ in the objective."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from busi_demo.data.dataset import CanvasDataset, WeightedEpochSampler
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models.base import ApproachModel
from busi_demo.processes import BatchShares, Processes
from busi_demo.training.checkpoint import RunFolder, images_setting, run_settings
from busi_demo.training.config import TrainConfig
from busi_demo.training.listeners import Listener
from busi_demo.training.losses import Objective
from busi_demo.training.precision import choose_precision
from busi_demo.training.schedule import input_size, learning_rate, step_seed
from busi_demo.training.step import Learner
from busi_demo.training.validate import validation_row
from busi_demo.types import InputError

CHECKPOINT_SECONDS = 60.0
_T = TypeVar("_T")


@dataclass
class _Progress:
    """Everything except the weights that changes during a run; plain values, saved with the checkpoint.

    Times are kept apart from the history, so that equal runs have equal histories.
    """

    step: int = 0
    best_score: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    finished: bool = False
    seconds: float = 0.0  # spent on the steps of this epoch so far, waiting for data included
    waited: float = 0.0
    wait_shares: dict[int, float] = field(default_factory=dict)

    def watch(self, batches: Iterable[_T]) -> Iterator[_T]:
        """Yield the batches, and add up the time spent waiting for them and working on them."""
        asked = time.perf_counter()
        for batch in batches:
            self.waited += time.perf_counter() - asked
            yield batch
            done = time.perf_counter()
            self.seconds += done - asked
            asked = done

    def end_epoch(self, row: dict[str, float]) -> None:
        self.history.append(row)
        self.wait_shares[int(row["epoch"])] = self.waited / self.seconds if self.seconds else 0.0
        self.sums, self.seconds, self.waited = {}, 0.0, 0.0

    def table(self) -> list[dict[str, float | None]]:
        """The history with the column `data_wait_share`, 0 to 1."""
        return [{**row, "data_wait_share": self.wait_shares.get(int(row["epoch"]))} for row in self.history]


def fit(
    model: ApproachModel,
    objective: Objective,
    train: CanvasDataset,
    weights: torch.Tensor,
    validation: CanvasDataset,
    preprocess: Preprocess,
    config: TrainConfig,
    run_folder: Path,
    resume: bool = False,
    say: Callable[[str], None] = tqdm.write,
    listeners: Sequence[Listener] = (),
    parts_from: Mapping[str, Path] | None = None,
) -> list[dict[str, float]]:
    """Train `model` in place. At the end it has the averaged weights of the epoch that `config.keep` selects.

    The seed of a step depends on its number only, and a checkpoint is written every minute. So a run that is killed and
    resumed ends with the same weights as an uninterrupted one. Several processes, see `processes`, all call this with
    equal arguments and end with equal weights; only the main process validates, prints and writes.

    Args:
        model: on the CPU; moved to the GPU where there is one and left there.
        train: with its augmentation.
        weights: float (len(train),), the relative frequency with which each training image is drawn.
        validation: scored after each epoch with the exponential moving average of the weights.
        run_folder: for checkpoints and history.csv.
        resume: continue from the checkpoint in `run_folder`, if there is one.
        say: called with one line per epoch.
        listeners: called after every step and epoch.
        parts_from: options that name the weights of a part of the network -> their folders; a run is resumed with the
            same weights only.
    Returns:
        The history, one dict per epoch.
    Raises:
        InputError: the run folder holds a run that must not be overwritten or cannot be resumed.
        FloatingPointError: the loss is no longer finite.
    """
    processes, folder, progress = Processes(), RunFolder(run_folder), _Progress()
    if not processes.is_main:
        say, listeners = (lambda line: None), ()
    settings = processes.from_main(lambda: run_settings(config, parts_from) | images_setting(train, validation))
    state = processes.from_main(lambda: folder.load_checkpoint(settings, resume))
    model.to(processes.device).to(memory_format=torch.channels_last)
    asked = config.precision if state is None else state["precision"]
    precision = processes.from_main(lambda: choose_precision(model, processes.device, config.image_size, asked))
    learner = Learner(model, objective, preprocess, config, precision, processes)
    if state:
        learner.load(state)
        progress = _Progress(**state["progress"])
        say(f"resuming at step {progress.step}")

    def save() -> None:
        if processes.is_main:
            folder.save_checkpoint(
                learner.state()
                | {
                    "settings": settings,
                    "precision": precision,
                    "progress": vars(progress),
                    "history": progress.table(),
                    "finished": progress.finished,
                }
            )

    sampler = WeightedEpochSampler(weights, config.samples_per_epoch or len(train), config.seed)
    batches = BatchShares(sampler, config.batch_size, processes)
    loader = DataLoader(train, batch_sampler=batches, num_workers=config.workers)
    steps_per_epoch = len(batches)
    if not steps_per_epoch:
        raise InputError(f"--batch-size ({config.batch_size}) must not exceed the {len(sampler)} images of an epoch.")
    if config.batch_size < processes.count:
        raise InputError(f"--batch-size ({config.batch_size}) must not be below the {processes.count} processes.")
    total_steps, last_save = steps_per_epoch * config.epochs, time.monotonic()
    for listener in listeners:
        listener.started(progress.step, progress.table())
    try:
        while progress.step < total_steps:
            epoch, done = divmod(progress.step, steps_per_epoch)
            size = input_size(epoch, config)
            sampler.start(epoch, skip=done * config.batch_size)
            bar = tqdm(loader, f"epoch {epoch + 1}/{config.epochs} at {size} px", total=steps_per_epoch, initial=done,
                       leave=False, disable=None if processes.is_main else True)  # fmt: skip
            model.eval()
            learner.trained.train()
            for batch in progress.watch(bar):
                torch.manual_seed(step_seed(progress.step, processes.index, config))
                rate = learning_rate(progress.step, total_steps, config)
                losses = learner.step(batch, size, rate)
                progress.step += 1
                for name, value in losses.items():
                    progress.sums[name] = progress.sums.get(name, 0.0) + value
                bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)
                for listener in listeners:
                    listener.stepped(progress.step, losses, rate)
                if time.monotonic() - last_save > CHECKPOINT_SECONDS and progress.step % steps_per_epoch:
                    save()
                    last_save = time.monotonic()
            row = {"epoch": epoch + 1, "input_size": size, "learning_rate": rate}
            row |= {f"train_{name}": value / steps_per_epoch for name, value in progress.sums.items()}
            row |= processes.from_main(
                lambda: validation_row(learner.averaged.module, validation, preprocess, precision, objective)
            )
            progress.end_epoch(row)
            if config.keep == "last" or row["val_score"] > progress.best_score:
                progress.best_score = row["val_score"]
                if processes.is_main:
                    folder.save_best(learner.averaged.module.state_dict())
            progress.finished = progress.step == total_steps
            save()
            last_save = time.monotonic()
            last = progress.table()[-1]
            say("  ".join(f"{k} {v:.4g}" for k, v in last.items() if v is not None))
            for listener in listeners:
                listener.finished_epoch(progress.step, last)
    except KeyboardInterrupt:
        say(f"stopped at step {progress.step}; continue with --resume (steps since the last checkpoint are repeated)")
        raise
    model.load_state_dict(processes.from_main(folder.load_best))
    model.eval()
    return progress.history
