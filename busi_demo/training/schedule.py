"""Learning rate, input size and seed as functions of the number of a step or epoch."""

from __future__ import annotations

import math

from busi_demo.training.config import TrainConfig


def learning_rate(step: int, total_steps: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine down to a hundredth of the peak (Loshchilov & Hutter, SGDR, ICLR 2017)."""
    warmup = max(1, round(config.warmup * total_steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    turn = (step - warmup) / max(1, total_steps - warmup)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * turn)))


def input_size(epoch: int, config: TrainConfig) -> int:
    """Input side in pixels of an epoch: equal shares of the run at each multiple of 32 from `start_size` up to
    `end_size` (progressive learning, Tan & Le, EfficientNetV2, ICML 2021); a short run skips the smallest ones."""
    sizes = range(config.start_size, (config.end_size or config.image_size) + 1, 32)
    return sizes[-1 - (config.epochs - 1 - epoch) * len(sizes) // config.epochs]


def step_seed(step: int, process: int, config: TrainConfig) -> int:
    """Seed of what the model draws in a step. It differs between processes, so that they drop different features."""
    return config.seed * 1_000_003 + step + (process << 48)
