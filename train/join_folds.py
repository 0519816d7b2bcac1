"""Join networks that were trained alike, each without another fold, into one approach:

python train/join_folds.py runs/fold_0/multitask_unet runs/fold_1/multitask_unet ... --data DIR
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import _path  # noqa: F401

from busi_demo.data.busi import index_folder
from busi_demo.data.locate import find_data
from busi_demo.evaluation.history import mean_history
from busi_demo.project import make_folder
from busi_demo.training.finish import write_approach
from busi_demo.training.join import (
    evaluate_held_out,
    joined,
    joined_facts,
    joined_split,
    load_members,
)
from busi_demo.training.recipe import add_view_arguments, changes_of, main
from busi_demo.weights.store import WEIGHTS_FOLDER


def join() -> None:
    parser = argparse.ArgumentParser(
        description="Join networks trained with train/train_multitask.py --fold 0, 1, ... into one that answers with "
        "their mean. It is validated on the images of all these folds, each predicted by the network that was not "
        "trained on it, and the calibration is fitted to these predictions."
    )
    parser.add_argument("members", type=Path, nargs="+", metavar="DIR", help="the trained networks' folders")
    parser.add_argument("--data", help="what they were trained on (else $BUSI_DATA, data/Dataset_BUSI_with_GT)")
    add_view_arguments(parser, default="as trained")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FOLDER, help="receives <approach>/ (default: weights)")
    arguments = parser.parse_args()
    members = load_members(arguments.members, changes_of(arguments), arguments.image_size)
    model, split = joined(members), joined_split(members)
    make_folder(arguments.output, "--output")
    results, calibration = evaluate_held_out(members, index_folder(find_data(arguments.data)))
    write_approach(
        arguments.output / model.key,
        replace(members[0].weights, model=model, calibration=calibration),
        results,
        joined_facts(members, split),
        split,
        {"": mean_history([member.history for member in members])}
        | {f"{name}_fold_{m.fold}": rows for m in members for name, rows in m.histories.items()},
    )


if __name__ == "__main__":
    main(join)
