"""One optimisation step: losses, gradients, new weights and their moving average."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from busi_demo.data.dataset import Batch
from busi_demo.data.findings import FINDINGS, UNKNOWN
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models.base import ApproachModel
from busi_demo.processes import Processes, total
from busi_demo.training.batchnorm import normalise_whole_batches
from busi_demo.training.config import TrainConfig
from busi_demo.training.losses import Objective, class_shares
from busi_demo.training.precision import autocast

_COARSE = (0.005, 0.05)  # cycles a pixel, below which a spectrum counts as the style of a machine


class Learner:
    """A model with its optimiser and averaged weights: everything that a step changes.

    Args:
        model: on `processes.device`; with several processes its batch norms become `WholeBatchNorm`.
        precision: "fp32" or "bf16".

    Attributes:
        trained: the part of the model that the objective trains.
        averaged: the model with the exponential moving average of its weights.
    """

    def __init__(
        self,
        model: ApproachModel,
        objective: Objective,
        preprocess: Preprocess,
        config: TrainConfig,
        precision: str,
        processes: Processes,
    ) -> None:
        self.model, self.preprocess, self.precision, self.processes = model, preprocess, precision, processes
        self.trained, self.mixup, self.restyle = objective.trained(model), config.mixup, config.restyle
        if processes.count > 1:
            normalise_whole_batches(self.trained)
        self._auxiliary = objective.auxiliary.to(processes.device)
        self._losses = processes.spread(_Losses(model, objective, self.trained))
        self.averaged = AveragedModel(model, multi_avg_fn=_ema(config.ema_decay), use_buffers=True)
        parts = nn.ModuleList([self.trained, self._auxiliary])
        groups = _parameter_groups(parts, config.weight_decay, config.encoder_rate)
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint; the same in all processes."""
        return {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "auxiliary": self._auxiliary.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self._auxiliary.load_state_dict(state["auxiliary"])
        self.optimizer.load_state_dict(state["optimizer"])

    def step(self, batch: Batch, size: int, rate: float) -> dict[str, float]:
        """Do one optimisation step.

        Args:
            batch: the share of this process, on the CPU.
            size: input side, pixels.
            rate: learning rate.
        Returns:
            The losses of the whole batch, by name.
        Raises:
            FloatingPointError: the loss is not finite.
        """
        batch = _prepare(batch, self.processes.device, size)
        if self.restyle:
            batch["image"] = restyled(batch["image"], self.restyle)
        if self.mixup:
            batch = mixed(batch, self.mixup)
        x = self.preprocess.normalise(batch["image"]).contiguous(memory_format=torch.channels_last)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        with autocast(x.device, self.precision):
            losses = self._losses(x, batch)
        self.optimizer.zero_grad(set_to_none=True)
        # each process holds a summand of the loss, and gradients are averaged over the processes
        (losses["loss"] * self.processes.count).backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, max_norm=5.0)
        self.optimizer.step()
        values = dict(zip(losses, total(torch.stack([v.detach() for v in losses.values()])).tolist(), strict=True))
        if not math.isfinite(values["loss"]):
            raise FloatingPointError(f"The loss is {values['loss']}: lower --learning-rate and start again.")
        self.averaged.update_parameters(self.model)
        return values


class _Losses(nn.Module):
    """The objective as a module, because gradients are exchanged between processes by a wrapper around a module. It
    owns the trained part and the auxiliary module alone: each of its parameters gets a gradient in every step."""

    def __init__(self, model: ApproachModel, objective: Objective, trained: nn.Module) -> None:
        super().__init__()
        self.trained, self.auxiliary = trained, objective.auxiliary
        self._losses = lambda x, batch: objective.losses(model, x, batch)

    def forward(self, x: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        return self._losses(x, batch)


def _prepare(batch: Batch, device: torch.device, size: int) -> Batch:
    """Move a batch to the device, as float and at the input side of this epoch; grey values stay in 0..255, masks in
    0..1."""
    batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    for name in ("image", "mask"):
        batch[name] = batch[name].float()
        if batch[name].shape[-1] != size:
            batch[name] = nn.functional.interpolate(
                batch[name], (size, size), mode="bilinear", align_corners=False, antialias=True
            )
    return batch


def restyled(images: torch.Tensor, share: float) -> torch.Tensor:
    """Give some images the coarse amplitude spectrum of another image of the batch, at a random strength (Yang and
    Soatto, FDA: Fourier Domain Adaptation for Semantic Segmentation, CVPR 2020): gain and contrast of another machine,
    with their own structures.

    Args:
        images: float32 (N, 1, S, S) in 0..255.
        share: probability of each image to be changed.
    Returns:
        float32 (N, 1, S, S) in 0..255.
    """
    count, _, height, width = images.shape
    device = images.device
    spectra = torch.fft.fft2(images)
    amplitude = spectra.abs()
    rows, columns = (torch.fft.fftfreq(side, device=device).abs() for side in (height, width))  # cycles a pixel
    low, high = _COARSE
    radius = low + (high - low) * torch.rand(count, 1, 1, 1, device=device)
    chosen = torch.rand(count, 1, 1, 1, device=device) < share
    inside = torch.maximum(rows[:, None], columns[None]) <= radius
    strength = torch.rand(count, 1, 1, 1, device=device) * (chosen & inside)
    other = amplitude[torch.randperm(count, device=device)]
    changed = torch.polar(torch.lerp(amplitude, other, strength), spectra.angle())
    return torch.fft.ifft2(changed).real.clamp(0, 255)


def mixed(batch: Batch, alpha: float) -> Batch:
    """Blend each image and its targets with those of another image of the batch (Zhang et al., mixup: Beyond Empirical
    Risk Minimization, ICLR 2018). Labels become float (N, 3); a target is known where both are, a finding where both
    are equal.

    Args:
        batch: images and masks as float.
        alpha: both parameters of the beta distribution of the share, above 0.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    share = max(share, 1 - share)
    other = torch.randperm(len(batch["label"]), device=batch["label"].device)
    labels = class_shares(batch["label"])
    blended = {name: torch.lerp(value[other], value, share) for name, value in
               (("image", batch["image"]), ("mask", batch["mask"]), ("label", labels))}  # fmt: skip
    known = {name: batch[name] * batch[name][other] for name in ("mask_known", "label_known")}
    findings = {name: batch[name] for name in FINDINGS if name in batch}
    equal = {name: torch.where(v == v[other], v, UNKNOWN) for name, v in findings.items()} if share < 1 else {}
    return batch | blended | known | equal


def _parameter_groups(module: nn.Module, weight_decay: float, encoder_rate: float) -> list[dict[str, Any]]:
    """Parameter groups: weight decay for the weights of convolutions and linear layers, none for biases and norms;
    `rate` is the share of the learning rate, which is `encoder_rate` in the encoder."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            rate = encoder_rate if "encoder" in name.split(".") else 1.0
            groups.setdefault((rate, weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return [{"params": p, "weight_decay": decay, "rate": rate} for (rate, decay), p in groups.items()]


def _ema(decay: float) -> Callable[..., None]:
    """Exponential moving average; its horizon grows with the number of steps, so that it works for short runs too."""

    @torch.no_grad()
    def update(averaged: list[torch.Tensor], current: list[torch.Tensor], count: torch.Tensor) -> None:
        weight = 1 - min(decay, (1 + float(count)) / (10 + float(count)))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:
                mean.copy_(value)

    return update
