"""Train the two-stage approach, first its U-Net, then its classifier: python train/train_two_stage.py [--data DIR]"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from busi_demo.models.two_stage import TwoStage
from busi_demo.preprocess import Preprocess
from busi_demo.training.checkpoint import RunFolder
from busi_demo.training.config import TrainConfig, add_arguments, config_from
from busi_demo.training.finish import finish
from busi_demo.training.loop import fit
from busi_demo.training.losses import CropObjective, SegmentationObjective
from busi_demo.training.recipe import add_run_arguments, announce, main, run_folder
from busi_demo.training.sources import load_training_data
from busi_demo.weights import load_part


def train(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the U-Net of the two-stage approach, then its classifier.")
    add_arguments(parser, TrainConfig(approach=TwoStage.key), omit=("approach", "w_seg", "w_cls"))
    add_run_arguments(parser)
    parser.add_argument("--classifier-epochs", type=int, help="epochs of the second stage (default: --epochs)")
    parser.add_argument("--classifier-start-size", type=int, help="--start-size of the second stage")
    parser.add_argument("--segmenter-from", type=Path, metavar="DIR", help="weights of multitask_unet to start from")
    parser.add_argument("--encoder-from", type=Path, metavar="DIR", help="weights of multitask_resnet50 to start from")
    arguments = parser.parse_args(argv)
    config = config_from(arguments, approach=TwoStage.key)
    second = replace(
        config,
        epochs=arguments.classifier_epochs or config.epochs,
        start_size=arguments.classifier_start_size or config.start_size,
    )
    stages = (
        (SegmentationObjective(), config, run_folder(arguments, TwoStage.key) / "segmentation"),
        (CropObjective(config.label_smoothing), second, run_folder(arguments, TwoStage.key) / "classification"),
    )
    for _, settings, folder in stages:
        RunFolder(folder).load_checkpoint(settings.to_dict(), arguments.resume)  # refuse before anything is overwritten
    torch.manual_seed(config.seed)
    model = TwoStage(encoder_weights=config.encoder_weights)
    if config.init_from:
        load_part(Path(config.init_from), "", model)
    if arguments.segmenter_from:
        load_part(arguments.segmenter_from, "", model.segmenter)
    if arguments.encoder_from:
        load_part(arguments.encoder_from, "encoder", model.encoder)
    preprocess = Preprocess(size=config.image_size)
    data = load_training_data(config, preprocess)
    announce(data, model)
    for objective, settings, folder in stages:
        print(f"stage: {folder.name}", flush=True)
        history = fit(
            model, objective, data.train, data.weights, data.validation, preprocess, settings, folder, arguments.resume
        )
    finish(model, data, preprocess, second, history, arguments.output)


if __name__ == "__main__":
    main(train)
