"""Calibrate an approach again on the images that it held out: python train/calibrate.py --approach KEY --data DIR

Training does this once; do it again after a change of the settings that make the answers, such as thresholds and sizes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import _path  # noqa: F401

from busi_demo.data.busi import index_folder
from busi_demo.data.locate import find_data
from busi_demo.models import APPROACHES
from busi_demo.project import make_folder
from busi_demo.training.finish import write_approach
from busi_demo.training.join import evaluate_held_out, load_member
from busi_demo.training.recipe import main
from busi_demo.weights.store import WEIGHTS_FOLDER

_FACTS = ("data", "training", "learnt_from")


def calibrate() -> None:
    parser = argparse.ArgumentParser(
        description="Fit the calibration of an approach again on its validation images and write its config.json and "
        "results again. An ensemble is calibrated when it is joined, by train/join_folds.py."
    )
    parser.add_argument("--approach", choices=list(APPROACHES), required=True)
    parser.add_argument("--data", help="what it was trained on (else $BUSI_DATA, data/Dataset_BUSI_with_GT)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FOLDER, help="folder of all approaches")
    arguments = parser.parse_args()
    make_folder(arguments.weights, "--weights")
    member = load_member(arguments.weights / arguments.approach, {})
    results, calibration = evaluate_held_out([member], index_folder(find_data(arguments.data)))
    write_approach(
        member.folder,
        replace(member.weights, calibration=calibration),
        results,
        facts={name: value for name, value in member.config.facts.items() if name in _FACTS},
        split=member.split,
        histories={"": member.history} | member.histories,
        detector=member.config.detector,
    )


if __name__ == "__main__":
    main(calibrate)
