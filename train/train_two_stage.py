"""Train the two-stage approach, detector first, then classifier: python train/train_two_stage.py [--data DIR]"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import _path  # noqa: F401
import torch
from torch import nn

from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models.ensemble import folds_of
from busi_demo.models.two_stage import TwoStage
from busi_demo.processes import Processes
from busi_demo.training.checkpoint import RunFolder, run_settings
from busi_demo.training.config import TrainConfig, add_arguments, config_from
from busi_demo.training.detector import calibrated_head, load_detector
from busi_demo.training.distill import with_teacher
from busi_demo.training.finish import finish
from busi_demo.training.listeners import Listener
from busi_demo.training.loop import fit
from busi_demo.training.losses import CropObjective, DetectionObjective, JointObjective, Objective
from busi_demo.training.recipe import add_run_arguments, listeners_of, load_data, main, parse, run_folder, tune
from busi_demo.training.sources import weights_for
from busi_demo.types import InputError
from busi_demo.weights.config import OF_MULTITASK
from busi_demo.weights.start import identity, load_encoder, load_part
from busi_demo.weights.store import Weights, has_config, read_config


def stages_of(
    arguments: argparse.Namespace, config: TrainConfig, folder: Path
) -> Sequence[tuple[Objective, TrainConfig, Path]]:
    """Objective, settings and run folder of each stage; a given detector is not trained.

    Raises:
        InputError: a setting of the second stage is out of its range.
    """
    own = {"epochs": arguments.classifier_epochs, "start_size": arguments.classifier_start_size}
    try:
        second = replace(config, **{name: value for name, value in own.items() if value is not None})
    except InputError as error:
        raise InputError(str(error).replace("--", "--classifier-", 1)) from error
    joint = JointObjective(smoothing=config.label_smoothing, normal_masks=config.normal_masks)
    detection = (with_teacher(DetectionObjective(joint), config), config, folder / "detection")
    crops = (with_teacher(CropObjective(config.label_smoothing), config), second, folder / "classification")
    return (crops,) if arguments.detector_from else (detection, crops)


def whole_parts(start: Path, model: TwoStage) -> dict[str, nn.Module]:
    """Prefix of the tensors in a folder of two-stage weights -> the part of `model` that starts from them.

    Raises:
        InputError: they have several detectors, or the detector is stored elsewhere.
    """
    config = read_config(start) if has_config(start) else None
    if config is None:
        return {"": model}
    if folds_of(config.architecture.get("detector", {})):
        raise InputError(f"{start} has several detectors: give them, or others, with --detector-from.")
    if config.detector:
        raise InputError(
            f"The detector of {start} is that of {config.detector.approach}: give it, or another, with --detector-from."
        )
    calibrated = {"detector_head": model.detector.head} if config.architecture.get("detector_head") else {}
    return {"": model, **calibrated}  # type: ignore[dict-item]


def build(arguments: argparse.Namespace, config: TrainConfig) -> tuple[TwoStage, TwoStage | None, Weights | None]:
    """Build the network to train. No part of it was trained on the validation fold.

    Returns:
        The network; if the given detector is an ensemble, the whole network that it is a part of; and the weights of
        the given detector.

    Raises:
        InputError: weights to start from are missing, do not fit or were trained on that fold.
    """
    torch.manual_seed(config.seed)
    preprocess, place = Preprocess(size=config.image_size), arguments.detector_from
    detector = load_detector(place, preprocess, config.fold, config.seed) if place else None
    model = TwoStage.fresh(config.encoder_weights)
    if config.init_from:
        start = Path(config.init_from)
        parts = {"encoder": model.encoder, "head": model.head} if detector else whole_parts(start, model)
        for name, part in parts.items():
            load_part(start, name, part, config.fold, config.seed, config.approach)
        model.detector_share = read_config(start).architecture.get("detector_share", 0.0) if has_config(start) else 0.0
    if config.encoder_from:
        load_encoder(Path(config.encoder_from), model, config.fold, config.seed)
    if detector is None:
        return model, None, None
    whole = model.behind(detector.model, calibrated_head(detector))
    part = whole.part((config.fold,))
    return part, None if part is whole else whole, detector


def parts_of(arguments: argparse.Namespace) -> dict[str, Path]:
    """Option -> folder of the weights of a part of the network."""
    return {"detector_from": arguments.detector_from} if arguments.detector_from else {}


def train(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the detector of the two-stage approach, then its classifier.")
    add_arguments(parser, TrainConfig(approach=TwoStage.key), omit=OF_MULTITASK)
    add_run_arguments(parser)
    parser.add_argument("--classifier-epochs", type=int, help="epochs of the second stage (default: --epochs)")
    parser.add_argument("--classifier-start-size", type=int, help="--start-size of the second stage")
    parser.add_argument("--detector-from", type=Path, metavar="DIR",
                        help="weights of multitask_unet as detector: the first stage is left out")  # fmt: skip
    arguments = parse(parser, argv, TwoStage.key)
    config = config_from(arguments, approach=TwoStage.key)
    if arguments.detector_from and config.normal_masks != TrainConfig.normal_masks:
        raise InputError("--normal-masks is of the detector, which --detector-from gives: leave one of them out.")
    stages, parts = stages_of(arguments, config, run_folder(arguments, TwoStage.key)), parts_of(arguments)
    if not arguments.tune:
        for _, settings, folder in stages:  # refuse before anything is overwritten
            RunFolder(folder).load_checkpoint(run_settings(settings, parts), arguments.resume)
    model, whole, detector = build(arguments, config)
    origins = {name: identity(folder) for name, folder in parts.items()}
    preprocess = Preprocess(size=config.image_size)
    data = load_data(config, preprocess, model, parts)

    def run(
        model: TwoStage, stages: Sequence[tuple[Objective, TrainConfig, Path]], resume: bool, *reporters: Listener
    ) -> dict[str, list[dict[str, float]]]:
        """The history of each stage."""
        histories = {}
        for objective, settings, folder in stages:
            if Processes().is_main:
                print(f"stage: {folder.name}", flush=True)
            histories[folder.name] = fit(
                model, objective, data.train, weights_for(settings, data), data.validation, preprocess, settings,
                folder, resume, listeners=(*listeners_of(arguments, folder), *reporters), parts_from=parts,
            )  # fmt: skip
        return histories

    if arguments.tune:
        tune(parser, arguments, config, lambda c, folder, reporter: run(
            build(arguments, c)[0], stages_of(arguments, c, folder), True, reporter
        ))  # fmt: skip
        return
    histories = run(model, stages, arguments.resume)
    if Processes().is_main:
        _, settings, folder = stages[-1]
        history = histories.pop(folder.name)
        finish(model, data, preprocess, settings, history, arguments.output, origins, histories, whole, detector)


if __name__ == "__main__":
    main(train, resumable=True)
