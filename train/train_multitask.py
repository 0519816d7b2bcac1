"""Train a multi-task approach: python train/train_multitask.py [--approach KEY] [--data DIR] [--resume] ..."""

from __future__ import annotations

import argparse
from copy import deepcopy
from pathlib import Path

import _path  # noqa: F401
import torch

from busi_demo.evaluation.history import read_stages
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models import approach_class
from busi_demo.models.base import ApproachModel
from busi_demo.models.two_stage import TwoStage
from busi_demo.processes import Processes
from busi_demo.training.average import average_with_start
from busi_demo.training.config import TrainConfig, add_arguments, config_from
from busi_demo.training.distill import with_teacher
from busi_demo.training.findings import findings_head
from busi_demo.training.finish import finish
from busi_demo.training.listeners import Listener
from busi_demo.training.loop import fit
from busi_demo.training.losses import JointObjective, Objective
from busi_demo.training.recipe import add_run_arguments, listeners_of, load_data, main, parse, run_folder, tune
from busi_demo.training.sources import weights_for
from busi_demo.types import InputError
from busi_demo.weights.start import load_encoder, load_part


def build(config: TrainConfig) -> ApproachModel:
    torch.manual_seed(config.seed)
    model = approach_class(config.approach).fresh(config.encoder_weights)
    if config.init_from:
        load_part(Path(config.init_from), "", model, config.fold, config.seed, config.approach)
    if config.encoder_from:
        load_encoder(Path(config.encoder_from), model, config.fold, config.seed)
    return model


def objective_of(model: ApproachModel, config: TrainConfig) -> Objective:
    head = findings_head(model, config.seed) if config.findings else None
    joint = JointObjective(
        config.w_seg, config.w_cls, config.label_smoothing, config.normal_masks, head, config.findings
    )
    return with_teacher(joint, config, model)


def train(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train one of the multi-task approaches end to end.")
    add_arguments(parser, TrainConfig())
    add_run_arguments(parser)
    arguments = parse(parser, argv)
    config = config_from(arguments)
    if config.approach == TwoStage.key:
        raise InputError("two_stage is trained in two stages: use train/train_two_stage.py.")
    if config.start_share and arguments.tune:
        raise InputError("--tune scores networks as they are trained: leave --start-share out.")
    model = build(config)
    start = deepcopy(model) if config.start_share else None
    earlier = read_stages(Path(config.init_from), config.fold) if config.init_from else []
    objective = objective_of(model, config)  # before the data are read: it may refuse the teacher
    preprocess = Preprocess(size=config.image_size)
    data = load_data(config, preprocess, model)

    def run(
        model: ApproachModel, objective: Objective, config: TrainConfig, folder: Path, resume: bool, *further: Listener
    ) -> list[dict[str, float]]:
        return fit(
            model, objective, data.train, weights_for(config, data), data.validation, preprocess, config, folder,
            resume, listeners=(*listeners_of(arguments, folder), *further),
        )  # fmt: skip

    def trial(config: TrainConfig, folder: Path, listener: Listener) -> list[dict[str, float]]:
        model = build(config)
        return run(model, objective_of(model, config), config, folder, True, listener)

    if arguments.tune:
        tune(parser, arguments, config, trial)
        return
    history = run(model, objective, config, run_folder(arguments, config.approach), arguments.resume)
    if Processes().is_main:
        if start is not None:
            average_with_start(model, start, config.start_share)
        stages = {f"stage_{number}": rows for number, rows in enumerate(earlier, 1)}
        finish(model, data, preprocess, config, history, arguments.output, earlier=stages)


if __name__ == "__main__":
    main(train, resumable=True)
