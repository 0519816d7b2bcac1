"""All settings of a training run; the command line is derived from them."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from busi_demo.data.augment import AUGMENTATIONS
from busi_demo.models import DEFAULT_APPROACH, approach_class
from busi_demo.types import InputError

WEIGHTS_OPTIONS = ("init_from", "encoder_from", "teacher")
"""Settings that name the folder of trained weights."""
AFTER_TRAINING = ("start_share",)
"""Settings that change no step of the training: a run can be resumed with others."""


def _setting(default: Any, text: str, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": text, **metadata})


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run. Two runs with equal settings, data and machine give equal weights.

    Raises:
        InputError: a value is out of its range; the message names the setting, the range and the value.
    """

    approach: str = _setting(DEFAULT_APPROACH, "which approach to train")
    data: str | None = _setting(
        None, "folder in BUSI layout, or 'phantoms' (else $BUSI_DATA, data/Dataset_BUSI_with_GT, a download)"
    )
    extra: tuple[str, ...] = _setting((), "more folders in BUSI layout, to train on but never to validate on")
    epochs: int = _setting(30, "passes of `samples_per_epoch` images", low=1)
    samples_per_epoch: int = _setting(0, "images drawn an epoch; 0: as many as there are training images", low=0)
    batch_size: int = _setting(16, "images a step", low=2)
    learning_rate: float = _setting(1e-3, "peak learning rate of AdamW", low=1e-7, high=1.0)
    weight_decay: float = _setting(0.03, "decoupled weight decay of AdamW", low=0.0, high=1.0)
    warmup: float = _setting(0.05, "share of the steps over which the learning rate rises, before its cosine", low=0.0,
                             high=0.9)  # fmt: skip
    image_size: int = _setting(224, "side of the network input, pixels, a multiple of 32", low=64, high=1024)
    start_size: int = _setting(128, "input side at the start, growing by 32 px up to `end_size`", low=64, high=1024)
    end_size: int = _setting(0, "input side at the end of the training; 0: `image_size`, that of inference", low=0,
                             high=1024)  # fmt: skip
    ema_decay: float = _setting(0.998, "decay a step of the averaged weights that are validated and kept", low=0.0,
                                high=0.99999)  # fmt: skip
    keep: str = _setting("best", "which epoch's averaged weights: that of the best validation score, or the last",
                         choices=("best", "last"))  # fmt: skip
    w_seg: float = _setting(1.0, "weight of the segmentation loss", low=0.0, high=1000.0)
    w_cls: float = _setting(1.0, "weight of the classification loss", low=0.0, high=1000.0)
    normal_masks: float = _setting(1.0, "weight of the mask loss on normal images; 0: the mask learns where a lesion "
                                   "would be, the class alone whether there is one", low=0.0, high=1.0)  # fmt: skip
    label_smoothing: float = _setting(0.05, "label smoothing of the cross-entropy", low=0.0, high=0.5)
    main_share: float = _setting(0.4, "share of the real images drawn from `data`, the rest from `extra`", low=0.0,
                                 high=1.0)  # fmt: skip
    train_share: float = _setting(1.0, "share of the groups of real images to train on, to see what more of them give; "
                                  "a smaller share is part of a larger one", low=0.01, high=1.0)  # fmt: skip
    augmentation: str = _setting("standard", "how images are changed before a step; strong: wider, with other gain, "
                                 "pixels that are not square, low resolution, JPEG and screens of machines",
                                 choices=tuple(AUGMENTATIONS))  # fmt: skip
    mixup: float = _setting(0.0, "parameter of the beta distribution that blends pairs of images and their targets; "
                            "0: none", low=0.0, high=2.0)  # fmt: skip
    restyle: float = _setting(0.0, "share of the images that take the coarse amplitude spectrum of another image of "
                              "the batch", low=0.0, high=1.0)  # fmt: skip
    encoder_rate: float = _setting(1.0, "learning rate of the encoder as a share of that of the rest", low=0.0,
                                   high=1.0)  # fmt: skip
    tissue_share: float = _setting(0.0, "share of the real images drawn that are cut from beside lesions, "
                                   "as normal tissue", low=0.0, high=0.5)  # fmt: skip
    paste_share: float = _setting(0.0, "share of the real images drawn that are normal images with a pasted lesion",
                                  low=0.0, high=0.5)  # fmt: skip
    findings: float = _setting(0.0, "weight of the loss on BI-RADS and histology where cases.csv tells them; 0: none",
                               low=0.0, high=10.0)  # fmt: skip
    phantom_share: float = _setting(0.05, "share of the images drawn that are simulated phantoms", low=0.0, high=1.0)
    phantoms: int = _setting(60, "phantoms a class; 'phantoms' as data trains and validates on them alone", low=10)
    fold: int = _setting(0, "which of the 5 folds validates", low=0, high=4)
    seed: int = _setting(0, "of the split, the draws, the augmentation and the initial weights", low=0,
                         high=2**31 - 1)  # fmt: skip
    workers: int = _setting(0, "processes that prepare batches; 0: the training process itself", low=0)
    precision: str = _setting(
        "auto", "fp32, bf16, or auto: bf16 where the machine has it", choices=("auto", "fp32", "bf16")
    )
    init_from: str | None = _setting(None, "folder of trained weights of the same approach to start from")
    encoder_from: str | None = _setting(None, "folder of trained weights of any approach with the same encoder, to "
                                        "start it from (two_stage: that of the classifier, a ResNet50)")  # fmt: skip
    start_share: float = _setting(
        0.0, "weight of the weights of `init_from` in the mean with the trained ones that is kept at the end; 0: the "
        "trained ones alone, which history.csv always shows", low=0.0, high=1.0,
    )  # fmt: skip
    encoder_weights: str | None = _setting(None, "'imagenet' starts encoders from pretrained weights",
                                           choices=(None, "imagenet"))  # fmt: skip
    teacher: str | None = _setting(None, "folder of trained weights of any approach to learn from beside the truth")
    teacher_share: float = _setting(
        0.5, "weight of the teacher's answers in the training targets; the rest is the truth", low=0.0, high=0.5
    )
    hints: float = _setting(0.0, "weight of the loss by which the encoder learns to predict the feature maps of the "
                            "teacher; 0: none", low=0.0, high=100.0)  # fmt: skip

    def __post_init__(self) -> None:
        approach_class(self.approach)
        for item in dataclasses.fields(self):
            value, limits = getattr(self, item.name), item.metadata
            if "choices" in limits and value not in limits["choices"]:
                raise InputError(f"--{_flag(item.name)} must be one of {limits['choices']}, got {value!r}.")
            low, high = limits.get("low"), limits.get("high")
            if (low is not None and not value >= low) or (high is not None and not value <= high):  # NaN is out too
                span = f"at least {low}" if high is None else f"between {low} and {high}"
                raise InputError(f"--{_flag(item.name)} must be {span}, got {value}.")
        if self.w_seg == self.w_cls == 0:
            raise InputError("--w-seg or --w-cls must be above 0, got 0 for both: nothing would be trained.")
        if self.start_share and not self.init_from:
            raise InputError(
                f"--start-share {self.start_share} needs the weights to average with: add --init-from DIR."
            )
        if self.hints and not self.teacher:
            raise InputError(f"--hints {self.hints} needs a network to take them from: add --teacher DIR.")
        for name in ("image_size", "start_size", "end_size"):
            if getattr(self, name) % 32:
                raise InputError(f"--{_flag(name)} must be a multiple of 32, got {getattr(self, name)}.")
        largest, of = (self.end_size, "end") if self.end_size else (self.image_size, "image")
        if self.start_size > largest:
            raise InputError(f"--start-size ({self.start_size}) must not exceed --{of}-size ({largest}).")
        if self.end_size > self.image_size:
            raise InputError(f"--end-size ({self.end_size}) must not exceed --image-size ({self.image_size}).")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}


def weights_to_learn_from(config: TrainConfig, parts_from: Mapping[str, Path] | None = None) -> dict[str, Path]:
    """Option -> folder of the weights that it names; `parts_from` are further ones, of a part of the network."""
    folders = {name: getattr(config, name) for name in WEIGHTS_OPTIONS} | dict(parts_from or {})
    return {name: Path(folder) for name, folder in folders.items() if folder}


def add_arguments(parser: argparse.ArgumentParser, defaults: TrainConfig, omit: Sequence[str] = ()) -> None:
    """Add one option per field of `TrainConfig` to a parser, except those in `omit`."""
    for item in dataclasses.fields(TrainConfig):
        if item.name in omit:
            continue
        default, choices = getattr(defaults, item.name), item.metadata.get("choices")
        text = item.metadata["help"] + ("" if default in (None, ()) else f" (default: {default})")
        options: dict[str, Any] = {"help": text.replace("%", "%%"), "default": default}
        if item.name == "extra":
            options |= {"nargs": "*", "metavar": "DIR"}
        else:
            options["type"] = type(default) if default is not None else str
            if choices:
                options["choices"] = [c for c in choices if c is not None]
        parser.add_argument(f"--{_flag(item.name)}", **options)


def config_from(arguments: argparse.Namespace, **fixed: Any) -> TrainConfig:
    """Build the settings from parsed arguments; `fixed` values take precedence."""
    names = {item.name for item in dataclasses.fields(TrainConfig)}
    values = {k: v for k, v in vars(arguments).items() if k in names} | fixed
    return TrainConfig(**values | {"extra": tuple(values.get("extra", ()))})


def _flag(name: str) -> str:
    return name.replace("_", "-")
