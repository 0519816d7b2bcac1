"""Train a multi-task approach: python train/train_multitask.py [--approach KEY] [--data DIR] [--resume] ..."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from busi_demo.models import create_model
from busi_demo.models.two_stage import TwoStage
from busi_demo.preprocess import Preprocess
from busi_demo.training.config import TrainConfig, add_arguments, config_from
from busi_demo.training.finish import finish
from busi_demo.training.loop import fit
from busi_demo.training.losses import JointObjective
from busi_demo.training.recipe import add_run_arguments, announce, main, run_folder
from busi_demo.training.sources import load_training_data
from busi_demo.types import InputError
from busi_demo.weights import load_part


def train(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train one of the multi-task approaches end to end.")
    add_arguments(parser, TrainConfig())
    add_run_arguments(parser)
    arguments = parser.parse_args(argv)
    config = config_from(arguments)
    if config.approach == TwoStage.key:
        raise InputError("two_stage is trained in two stages: use train/train_two_stage.py.")
    torch.manual_seed(config.seed)
    model = create_model(config.approach, encoder_weights=config.encoder_weights)
    if config.init_from:
        load_part(Path(config.init_from), "", model)
    preprocess = Preprocess(size=config.image_size)
    data = load_training_data(config, preprocess)
    announce(data, model)
    objective = JointObjective(config.w_seg, config.w_cls, config.label_smoothing)
    history = fit(
        model, objective, data.train, data.weights, data.validation, preprocess, config,
        run_folder(arguments, config.approach), arguments.resume,
    )  # fmt: skip
    finish(model, data, preprocess, config, history, arguments.output)


if __name__ == "__main__":
    main(train)
