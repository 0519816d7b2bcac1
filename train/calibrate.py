"""Calibrate an approach again on the images that it held out: python train/calibrate.py --approach KEY --data DIR

Training and joining do this once; do it again with the sizes that the networks are to see, or after a change of the
thresholds.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

import _path  # noqa: F401

from busi_demo.data.busi import index_folder
from busi_demo.data.locate import find_data
from busi_demo.models import APPROACHES
from busi_demo.project import make_folder
from busi_demo.training.finish import write_approach
from busi_demo.training.join import evaluate_held_out, load_parts
from busi_demo.training.recipe import add_view_arguments, add_weights_argument, changes_of, main
from busi_demo.types import InputError
from busi_demo.weights.alike import check_alike
from busi_demo.weights.split_file import read_split
from busi_demo.weights.store import read_config

_FACTS = ("data", "training", "learnt_from", "members")


def calibrate() -> None:
    parser = argparse.ArgumentParser(
        description="Fit the calibration of an approach again on the images that it held out, each predicted by the "
        "network that was not trained on it, and write its config.json and results again. Put new sizes of the "
        "U-Net before the two-stage approach with train/replace_detector.py; fit the input check and trust anew then."
    )
    parser.add_argument("--approach", choices=list(APPROACHES), required=True)
    parser.add_argument("--data", help="what it was trained on (else $BUSI_DATA, data/Dataset_BUSI_with_GT)")
    add_weights_argument(parser, "one calibration is fitted to all their images and written to each")
    add_view_arguments(parser, default="as now")
    arguments = parser.parse_args()
    folders = [weights / arguments.approach for weights in arguments.weights]
    if arguments.image_size is not None and (detector := read_config(folders[0]).detector):
        raise InputError(
            f"{arguments.approach} sees what its detectors see: give --image-size with --approach {detector.approach}, "
            "then run train/replace_detector.py."
        )
    check_alike(folders)
    parts = [load_parts(folder, changes_of(arguments), arguments.image_size) for folder in folders]
    for weights in arguments.weights:
        make_folder(weights, "--weights")
    members = sorted((member for _, own in parts for member in own), key=lambda member: member.fold)
    calibrated_with = {}
    if len(folders) > 1:
        calibrated_with = {"calibrated_with": [{"fold": m.fold, "sha256": m.config.sha256} for m in members]}
    elif before := members[0].config.facts.get("calibrated_with"):
        print(f"note: the calibration before was fitted to {len(before)} networks, this one is fitted to those in "
              f"{folders[0]} alone; give all folders with --weights to fit to all again", file=sys.stderr)  # fmt: skip
    results, calibration = evaluate_held_out(members, index_folder(find_data(arguments.data)))
    for folder, (whole, own) in zip(folders, parts, strict=True):
        first, images = own[0], {image for member in own for image in member.held_out}
        write_approach(
            folder,
            replace(whole, calibration=calibration),
            [result for result in results if (result.label, result.image) in images],
            facts={name: value for name, value in first.config.facts.items() if name in _FACTS} | calibrated_with,
            split=read_split(folder),
            histories={"": first.history} | first.histories,
            detector=first.config.detector,
        )


if __name__ == "__main__":
    main(calibrate)
