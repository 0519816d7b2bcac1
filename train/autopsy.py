"""Study an often quoted accuracy: python train/autopsy.py [--data DIR] --output DIR"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import _path  # noqa: F401

from busi_demo.evaluation.autopsy.classifiers import SmallCNN, largest_class, load_files, nearest_neighbour
from busi_demo.evaluation.autopsy.report import autopsy_figure, table_rows, table_text
from busi_demo.evaluation.autopsy.study import Classifier, run_autopsy
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.project import json_bytes, make_folder, save_whole
from busi_demo.training.recipe import main
from busi_demo.types import InputError

# option -> default, smallest value, what it is
NUMBERS = {
    "seeds": (1, 1, "repetitions of the whole cross-validation"),
    "folds": (5, 2, "each file is tested once a seed; a fifth of 1578 files are the quoted 316"),
    "epochs": (30, 1, "of the CNN, the same in each way"),
    "image-size": (64, 32, "side of the CNN's input, pixels, a multiple of 32"),
    "phantoms": (40, 5, "images a class, with --data phantoms"),
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Score one small classifier three ways: mask files counted as images, images split at random, "
        "near-duplicates kept on one side. Locked test images take no part. Minutes on two cores."
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder in BUSI layout, or 'phantoms' (else $BUSI_DATA, data/Dataset_BUSI_with_GT, a download)",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="receives autopsy.json, autopsy.csv and autopsy.png"
    )
    for name, (default, _, text) in NUMBERS.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default: {default})")
    arguments = parser.parse_args()
    for name, (_, low, _) in NUMBERS.items():
        if (value := getattr(arguments, name.replace("-", "_"))) < low:
            raise InputError(f"--{name} must be at least {low}, got {value}.")
    if arguments.image_size % 32:
        raise InputError(f"--image-size must be a multiple of 32, got {arguments.image_size}.")
    make_folder(arguments.output, "--output")
    return arguments


def autopsy() -> None:
    arguments, start = parse(), time.monotonic()
    preprocess = Preprocess(size=arguments.image_size)
    files, facts = load_files(arguments.data, preprocess, arguments.phantoms, arguments.folds)
    print(
        f"{facts['data']}: {len(files.labels)} files, {facts['locked_test_left_out']} locked images left out",
        flush=True,
    )
    cnn = SmallCNN(preprocess, epochs=arguments.epochs)
    classifiers: dict[str, Classifier] = {
        "largest class": largest_class,
        "nearest neighbour": nearest_neighbour,
        "small CNN": cnn,
    }
    result = facts | run_autopsy(
        files, classifiers, arguments.folds, arguments.seeds, say=lambda line: print(line, flush=True)
    )
    result["settings"] |= {"cnn": cnn.settings()}
    save_whole(arguments.output / "autopsy.json", json_bytes(result))
    rows = table_rows(result)
    with (arguments.output / "autopsy.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    autopsy_figure(result, title=f"One classifier, scored three ways: {facts['data']}").savefig(
        arguments.output / "autopsy.png", dpi=110
    )
    print(f"\n{table_text(result)}\nwrote {arguments.output} in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main(autopsy)
