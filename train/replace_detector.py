"""Put other detectors before a trained classifier: python train/replace_detector.py --detector-from DIR --data DIR

Nothing is trained: the two-stage approach is calibrated and measured again on the images that it held out. Its input
takes the size of that of the detectors; the crops keep theirs.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import _path  # noqa: F401

from busi_demo.data.busi import index_folder
from busi_demo.data.locate import find_data
from busi_demo.models.two_stage import TwoStage
from busi_demo.project import make_folder
from busi_demo.training.detector import calibrated_head, load_detector, reference_to
from busi_demo.training.finish import write_approach
from busi_demo.training.join import Member, evaluate_held_out, held_out_rows, joined_split
from busi_demo.training.recipe import main
from busi_demo.training.sources import counts
from busi_demo.types import InputError
from busi_demo.weights.alike import EQUAL_DATA
from busi_demo.weights.calibration import UNCALIBRATED
from busi_demo.weights.config import WeightsConfig, not_of_this_version
from busi_demo.weights.split_file import read_split
from busi_demo.weights.start import identity, load_part
from busi_demo.weights.store import CONFIG_FILE, WEIGHTS_FOLDER, Weights, read_config


def replace_detector() -> None:
    parser = argparse.ArgumentParser(
        description="Put the U-Nets of another multi-task approach before the classifier of the two-stage approach, "
        "calibrate them together and write config.json and results again."
    )
    parser.add_argument("--detector-from", type=Path, metavar="DIR", required=True, help="weights of multitask_unet")
    parser.add_argument("--detector-share", type=float, metavar="SHARE",
                        help="weight of the detector's answer on benign or malignant beside the classifier's, in "
                        "[0, 1) (default: as it is)")  # fmt: skip
    parser.add_argument("--data", help="what it was trained on (else $BUSI_DATA, data/Dataset_BUSI_with_GT)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FOLDER, help="folder of all approaches")
    arguments = parser.parse_args()
    share = arguments.detector_share
    if share is not None and not 0 <= share < 1:
        raise InputError(f"--detector-share must be at least 0 and less than 1, got {share}.")
    folder = arguments.weights / TwoStage.key
    config = read_config(folder)
    if config.approach != TwoStage.key or identity(folder)["sha256"] != config.sha256:
        raise InputError(f"The files in {folder} are no weights of {TwoStage.key}: fetch the weights folder again.")
    if (fold := config.fold) is None:
        raise InputError(f"{folder} does not record which fold it held out: train it with train/train_two_stage.py.")
    make_folder(arguments.weights, "--weights")
    origin, seed = identity(arguments.detector_from), config.data.get("seed", 0)
    preprocess = replace(config.preprocess, size=read_config(arguments.detector_from).preprocess.size)
    detector = load_detector(arguments.detector_from, preprocess, fold, seed)
    if detector.config and (other := next((n for n in EQUAL_DATA if _differ(n, config, detector.config)), None)):
        raise InputError(
            f"{arguments.detector_from} was trained on a split of other images than {folder} ({other} is "
            f"{detector.config.data[other]}, not {config.data[other]}): train it on the same data folder."
        )
    # the detector of now may be gone: its folder is where new ones are written
    try:
        model = TwoStage(**{**config.architecture, "detector": detector.model, "detector_head": False})
    except TypeError as error:
        reason = "its architecture is not one that this version can build"
        raise not_of_this_version(f"{folder.name}/{CONFIG_FILE}", reason) from error
    for part in ("encoder", "head"):
        load_part(folder, part, getattr(model, part), fold, seed, TwoStage.key)
    model = model.behind(detector.model, calibrated_head(detector), share).eval()
    raw = Weights(model, preprocess, config.threshold, config.min_area, UNCALIBRATED, config)
    rows = held_out_rows(read_split(folder), fold)
    held_out = Member(folder, replace(raw, model=model.held_out(fold)), config, fold, rows)
    results, calibration = evaluate_held_out([held_out], index_folder(find_data(arguments.data)))
    split = joined_split([held_out]) if model.folds else rows
    facts = {name: config.facts[name] for name in ("training",) if name in config.facts}
    write_approach(
        folder,
        replace(raw, calibration=calibration),
        results,
        facts={"data": {**config.data, **counts(split)}, **facts,
               "learnt_from": {**config.learnt_from, "detector_from": origin}},
        split=split,
        histories={"": held_out.history} | held_out.histories,
        detector=reference_to(detector, folder),
    )  # fmt: skip


def _differ(name: str, *configs: WeightsConfig) -> bool:
    """Whether a fact on the data is recorded in both and differs."""
    values = [config.data[name] for config in configs if name in config.data]
    return len(values) == len(configs) and values[0] != values[1]


if __name__ == "__main__":
    main(replace_detector)
