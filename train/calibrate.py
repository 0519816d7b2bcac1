"""Calibrate an approach anew on the images that it held out: python train/calibrate.py --approach KEY --data DIR

Training does it once; after a change of what makes the answers (thresholds, sizes) it is due again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _path  # noqa: F401

from busi_demo.data.busi import index_folder
from busi_demo.data.locate import find_data
from busi_demo.models import APPROACHES
from busi_demo.training.finish import write_approach
from busi_demo.training.join import calibrated, judge_held_out, load_member
from busi_demo.training.recipe import main
from busi_demo.weights.store import WEIGHTS_FOLDER

_FACTS = ("data", "training", "learnt_from")


def calibrate() -> None:
    parser = argparse.ArgumentParser(
        description="Fit the calibration of an approach anew on its validation images. Its config.json and report are "
        "written anew; an ensemble is calibrated where it is joined, by train/join_folds.py."
    )
    parser.add_argument("--approach", choices=list(APPROACHES), required=True)
    parser.add_argument("--data", help="what it was trained on (else $BUSI_DATA, data/Dataset_BUSI_with_GT)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FOLDER, help="folder of all approaches")
    arguments = parser.parse_args()
    member = load_member(arguments.weights / arguments.approach, {})
    results, calibration = judge_held_out([member], index_folder(find_data(arguments.data)))
    write_approach(
        member.folder,
        calibrated(member.weights, calibration),
        results,
        facts={name: member.weights.config[name] for name in _FACTS if name in member.weights.config},
        split=member.split,
        histories={"": member.history} | member.histories,
    )


if __name__ == "__main__":
    main(calibrate)
