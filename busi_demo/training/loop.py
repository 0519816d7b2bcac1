"""The training loop. It exists once; what differs between approaches is the objective."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from tqdm import tqdm

from busi_demo.data.dataset import Batch, CanvasDataset, WeightedEpochSampler
from busi_demo.evaluation.metrics import summarise
from busi_demo.models.base import ApproachModel
from busi_demo.preprocess import Preprocess
from busi_demo.training.checkpoint import RunFolder
from busi_demo.training.config import TrainConfig
from busi_demo.training.losses import Objective
from busi_demo.training.precision import autocast, choose_precision
from busi_demo.training.validate import validate
from busi_demo.types import InputError

CHECKPOINT_SECONDS = 60.0


@dataclass
class _Progress:
    """Everything that changes while a run goes on, apart from the weights; plain values, saved with the checkpoint."""

    step: int = 0
    best_score: float = -math.inf
    history: list[dict[str, float]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)
    finished: bool = False


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
) -> list[dict[str, float]]:
    """Train `model` in place and leave it with its best averaged weights.

    Every step is seeded by its number alone and the checkpoint is written every minute, so that a run that was killed
    and resumed ends with the same weights as one that was not.

    Args:
        model: on the CPU; moved to the GPU where there is one and left there.
        train: with its augmentation.
        weights: float (len(train),), the share of each training image in the draws.
        validation: scored after each epoch with the exponential moving average of the weights.
        run_folder: for checkpoints and history.csv.
        resume: go on from the checkpoint there, if there is one.
        say: receives a line an epoch.
    Returns:
        The history, one dict an epoch.
    Raises:
        InputError: the run folder holds a run that this one must not overwrite or cannot go on with.
        FloatingPointError: the loss is no longer finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder, progress = RunFolder(run_folder), _Progress()
    settings = config.to_dict()
    state = folder.load_checkpoint(settings, resume)
    model.to(device).to(memory_format=torch.channels_last)
    precision = config.precision if state is None else state["precision"]
    precision = choose_precision(model, device, config.image_size, precision)
    trained = objective.trained(model)
    averaged = AveragedModel(model, multi_avg_fn=_ema(config.ema_decay), use_buffers=True)
    optimizer = torch.optim.AdamW(_parameter_groups(trained, config.weight_decay), lr=config.learning_rate)
    if state:
        model.load_state_dict(state["model"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        progress = _Progress(**state["progress"])
        say(f"resuming at step {progress.step}")

    def save() -> None:
        folder.save_checkpoint(
            {
                "settings": settings,
                "precision": precision,
                "model": model.state_dict(),
                "averaged": averaged.state_dict(),
                "optimizer": optimizer.state_dict(),
                "progress": vars(progress),
                "history": progress.history,
                "finished": progress.finished,
            }
        )

    sampler = WeightedEpochSampler(weights, config.samples_per_epoch or len(train), config.seed)
    loader = DataLoader(train, config.batch_size, sampler=sampler, num_workers=config.workers, drop_last=True)
    steps_per_epoch = len(loader)
    if not steps_per_epoch:
        raise InputError(f"--batch-size ({config.batch_size}) must not exceed the {len(sampler)} images of an epoch.")
    total_steps, last_save = steps_per_epoch * config.epochs, time.monotonic()
    try:
        while progress.step < total_steps:
            epoch, done = divmod(progress.step, steps_per_epoch)
            size = input_size(epoch, config)
            sampler.start(epoch, skip=done * config.batch_size)
            bar = tqdm(loader, f"epoch {epoch + 1}/{config.epochs} at {size} px", total=steps_per_epoch, initial=done,
                       leave=False, disable=None)  # fmt: skip
            model.eval()
            trained.train()
            for batch in bar:
                torch.manual_seed(config.seed * 1_000_003 + progress.step)
                rate = learning_rate(progress.step, total_steps, config)
                losses = _step(model, objective, optimizer, _prepare(batch, device, size), preprocess, precision, rate)
                averaged.update_parameters(model)
                progress.step += 1
                for name, value in losses.items():
                    progress.sums[name] = progress.sums.get(name, 0.0) + value
                bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)
                if time.monotonic() - last_save > CHECKPOINT_SECONDS and progress.step % steps_per_epoch:
                    save()
                    last_save = time.monotonic()
            results, logits = validate(averaged.module, validation, preprocess, precision)
            row = {"epoch": epoch + 1, "input_size": size, "learning_rate": rate}
            row |= {f"train_{name}": value / steps_per_epoch for name, value in progress.sums.items()}
            row["val_cross_entropy"] = float(nn.functional.cross_entropy(logits, validation.labels))
            row |= _validation_columns(summarise(results), objective)
            progress.history.append(row)
            progress.sums = {}
            if row["val_score"] > progress.best_score:
                progress.best_score = row["val_score"]
                folder.save_best(averaged.module.state_dict())
            progress.finished = progress.step == total_steps
            save()
            last_save = time.monotonic()
            say("  ".join(f"{k} {v:.4g}" for k, v in row.items() if v is not None))
    except KeyboardInterrupt:
        say(f"stopped at step {progress.step}; go on with --resume (the steps since the last checkpoint are repeated)")
        raise
    model.load_state_dict(folder.load_best())
    model.eval()
    return progress.history


def learning_rate(step: int, total_steps: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine down to a hundredth of the peak (Loshchilov & Hutter, SGDR, ICLR 2017)."""
    warmup = max(1, round(config.warmup * total_steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    turn = (step - warmup) / max(1, total_steps - warmup)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * turn)))


def input_size(epoch: int, config: TrainConfig) -> int:
    """Input side in pixels of an epoch: equal shares of the run at each multiple of 32 from `start_size` up to
    `image_size` (progressive learning, Tan & Le, EfficientNetV2, ICML 2021); a short run leaves out the first ones."""
    sizes = range(config.start_size, config.image_size + 1, 32)
    return sizes[-1 - (config.epochs - 1 - epoch) * len(sizes) // config.epochs]


def _step(
    model: ApproachModel,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    preprocess: Preprocess,
    precision: str,
    rate: float,
) -> dict[str, float]:
    x = preprocess.normalise(batch["image"]).contiguous(memory_format=torch.channels_last)
    for group in optimizer.param_groups:
        group["lr"] = rate
    with autocast(x.device, precision):
        losses = objective.losses(model, x, batch)
    optimizer.zero_grad(set_to_none=True)
    losses["loss"].backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(parameters, max_norm=5.0)
    optimizer.step()
    values = {name: float(value.detach()) for name, value in losses.items()}
    if not math.isfinite(values["loss"]):
        raise FloatingPointError(f"The loss is {values['loss']}: lower --learning-rate and start again.")
    return values


def _prepare(batch: Batch, device: torch.device, size: int) -> Batch:
    """To the device as float, at this epoch's resolution; grey values stay 0..255 and masks 0..1."""
    batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    for name in ("image", "mask"):
        batch[name] = batch[name].float()
        if batch[name].shape[-1] != size:
            batch[name] = nn.functional.interpolate(
                batch[name], (size, size), mode="bilinear", align_corners=False, antialias=True
            )
    return batch


def _parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for weights of convolutions and linear layers, none for biases and normalisation."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _ema(decay: float) -> Callable[..., None]:
    """Exponential moving average whose horizon grows with the number of steps, so that short runs are averaged too."""

    @torch.no_grad()
    def update(averaged: list[torch.Tensor], current: list[torch.Tensor], count: torch.Tensor) -> None:
        weight = 1 - min(decay, (1 + float(count)) / (10 + float(count)))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:
                mean.copy_(value)

    return update


def _validation_columns(summary: Mapping[str, Any], objective: Objective) -> dict[str, float]:
    return {
        "val_accuracy": summary["accuracy"],
        "val_macro_f1": summary["macro_f1"],
        "val_malignant_auc": summary["auc"]["malignant"],
        "val_lesion_dice": summary["lesion_dice"],
        "val_normal_false_mask_rate": summary["normal_false_mask_rate"],
        "val_score": objective.score(summary),
    }
