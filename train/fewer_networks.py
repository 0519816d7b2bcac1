"""Measure what fewer networks of the ensembles would give and cost, for the model card:
python train/fewer_networks.py --data DIR

The folder must hold images that no network was trained on. Times are of record only on a machine where nothing else
runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import _path  # noqa: F401
import torch

from busi_demo.data.busi import index_folder
from busi_demo.data.locate import find_data
from busi_demo.evaluation.card.sources import FEWER_FILE
from busi_demo.evaluation.evaluate import count_trained, random_subset
from busi_demo.evaluation.fewer import measure_fewer
from busi_demo.project import check_file, json_bytes, save_whole
from busi_demo.training.recipe import main, trained_approaches
from busi_demo.types import InputError
from busi_demo.weights.store import WEIGHTS_FOLDER, load_weights, read_config
from busi_demo.weights.trust_file import answers_sha256

TIMED, THREADS = 20, 1


def measure() -> None:
    parser = argparse.ArgumentParser(description="Measure one, two, ... and all networks of each approach.")
    parser.add_argument("--data", required=True, help="folder in BUSI layout that no network was trained on")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="random images; 0: all (default)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FOLDER, help="folder of all approaches")
    parser.add_argument("--output", type=Path, default=FEWER_FILE, metavar="FILE.json",
                        help="default: train/results/fewer_networks.json")  # fmt: skip
    arguments = parser.parse_args()
    if arguments.count < 0:
        raise InputError(f"--count must not be negative, got {arguments.count}.")
    check_file(arguments.output, "--output")
    torch.set_num_threads(THREADS)  # before a network runs: what runs them keeps the number of then
    root = find_data(arguments.data)
    keys = trained_approaches(arguments.weights)
    samples = [s for s in random_subset(index_folder(root), arguments.count) if s.label_certain]
    if not samples:
        raise InputError(f"{root} holds no image of certain class: give another folder with --data.")
    if trained := count_trained(samples, [arguments.weights / key for key in keys], root.name):
        raise InputError(
            f"{trained} of the {len(samples)} images were trained on: give a data set that no network knows."
        )
    approaches = {}
    for key in keys:
        config = read_config(arguments.weights / key).to_json()
        rows = measure_fewer(load_weights(arguments.weights / key), samples, TIMED)
        approaches[key] = {"answers_sha256": answers_sha256(config), "rows": rows}
        for row in rows:
            print(key, "  ".join(f"{k} {v:.4g}" for k, v in row.items() if v is not None), flush=True)
    facts = {"data": root.name, "n": len(samples), "timed": min(TIMED, len(samples)), "threads": THREADS}
    save_whole(arguments.output, json_bytes({**facts, "approaches": approaches}))
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main(measure)
