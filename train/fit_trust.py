"""Fit how far to trust the answers of the trained approaches, and write trust.json beside their weights. Run it again
when weights change:

python train/fit_trust.py --data DIR [--elsewhere OTHER_DIR ...] [--approach KEY ...] [--weights DIR ...]
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import _path  # noqa: F401
from tqdm import tqdm

from busi_demo.data.busi import FileSample, index_folder
from busi_demo.data.locate import find_data, find_further
from busi_demo.evaluation.evaluate import count_trained
from busi_demo.evaluation.held_out import held_out_by, held_out_once, predictors_of_folds
from busi_demo.evaluation.trust_fit import Case, fit_trust
from busi_demo.imaging import read_image
from busi_demo.imaging.masks import dice
from busi_demo.inference.consensus import ConsensusPredictor
from busi_demo.inference.predictor import Predictor, load_predictor
from busi_demo.models import APPROACHES
from busi_demo.training.recipe import add_weights_argument, main, trained_approaches
from busi_demo.types import InputError
from busi_demo.weights.alike import check_alike
from busi_demo.weights.split_file import read_split
from busi_demo.weights.store import approach_folder
from busi_demo.weights.trust_file import answers_sha256, save_trust

FOLDS = 5


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fit trust to the errors on images that networks do not know.")
    parser.add_argument("--data", help="BUSI (else $BUSI_DATA, data/Dataset_BUSI_with_GT, a download)")
    parser.add_argument("--elsewhere", nargs="*", default=[], metavar="DIR",
                        help="data sets that no network was trained on: trust is measured there, too")  # fmt: skip
    parser.add_argument("--approach", nargs="*", choices=list(APPROACHES), help="default: all that have weights")
    add_weights_argument(parser, "trust is fitted to all their answers and written there")
    return parser.parse_args()


def fit() -> None:
    arguments = parse()
    shipped = arguments.weights[0]
    if len(arguments.weights) > 1 and not arguments.approach:
        raise InputError("Several --weights folders hold networks of single approaches: name these with --approach.")
    keys = arguments.approach or trained_approaches(shipped)
    root = find_data(arguments.data)
    others = {
        name: index_folder(folder, facts=False)
        for name, folder in find_further(arguments.elsewhere, root.name, "--elsewhere").items()
    }
    folders = [approach_folder(key, shipped) for key in keys]
    for name, samples in others.items():
        if trained := count_trained(samples, folders, name):
            raise InputError(
                f"{trained} of the {len(samples)} images of {name} (from --elsewhere) were trained on: give a data set "
                "that no network knows."
            )
    for key in keys:
        cases = cases_of(key, root, arguments.weights)
        predictor = load_predictor(key, shipped)
        elsewhere = {name: cases_elsewhere(predictor, samples, name) for name, samples in others.items()}
        fitted = fit_trust(cases, answers_sha256(predictor.config), elsewhere)
        measured = fitted.measured
        print(f"wrote {save_trust(fitted, shipped / key)} from {len(cases)} images")
        for name, rates in {root.name: measured, **measured["elsewhere"]}.items():
            print_rates(name, rates)


def print_rates(name: str, rates: Mapping[str, Any]) -> None:
    """Print what trust was worth on a data set."""
    n = sum(row["n"] for row in rates["levels"].values())
    print(name)
    for level, row in rates["levels"].items():
        share = row["right"] / row["n"] if row["n"] else float("nan")
        missed = f"{row['missed']} of {rates['malignant']} malignant missed"
        print(f"  {level}: {row['n'] / n:.1%} of the answers, {share:.1%} right, {missed}")
    for level, by_class in rates["sets"].items():
        parts = (f"{name} {row['covered'] / row['n']:.3f}" for name, row in by_class.items())
        print(f"  sets at {level}: {', '.join(parts)}, mean size {by_class['all']['mean_size']:.2f}")
    print(f"  kept: {rates['kept']['at']}; Dice: {rates['dice']}", flush=True)


def cases_of(key: str, root: Path, weights: Sequence[Path]) -> list[Case]:
    """The answers to all images that a network of the approach was not trained on. Those of a single network are put
    into folds of their own, with near-duplicates in one.

    Args:
        weights: folders of networks that were trained alike, each without another fold, and calibrated together.
    Raises:
        InputError: there are none, or the networks were not trained alike or not calibrated together.
    """
    folders = [approach_folder(key, folder) for folder in weights]
    check_alike(folders, calibrated=True)
    held_out = [held_out_by([folder], root.name) for folder in folders]
    position = held_out_once(weights, held_out)
    predictors = [load_predictor(key, folder) for folder in weights]
    groups = {(row.label, row.image): row.group for row in read_split(folders[0]) if row.source == root.name}
    predictor_for = predictors_of_folds(predictors, held_out, position)
    samples = [s for s in index_folder(root) if (s.label, s.name) in position and s.label_certain]
    if not samples:
        raise InputError(f"{root} holds no image that {key} was not trained on: name the data set of the training.")
    part_of = {image: (i, folds) for i, images in enumerate(held_out) for image, folds in images.items()}
    parts = sorted({part_of[s.label, s.name] for s in samples})
    cases = []
    for sample in tqdm(samples, key, leave=False, disable=None):
        image = sample.label, sample.name
        fold = parts.index(part_of[image]) if len(parts) > 1 else zlib.crc32(groups[image].encode())
        cases.append(case_of(sample, predictor_for(sample), fold % FOLDS))
    return cases


def cases_elsewhere(predictor: Predictor, samples: Sequence[FileSample], name: str) -> list[Case]:
    """The answers of all that ships to the images of another data set."""
    shown = tqdm(samples, f"{predictor.key}, {name}", leave=False, disable=None)
    return [case_of(sample, predictor, fold=0) for sample in shown]


def case_of(sample: FileSample, predictor: Predictor | ConsensusPredictor, fold: int) -> Case:
    """The answer to an image, beside its truth; the mask of a lesion that was not drawn is unknown."""
    _, mask = sample.read()
    prediction = predictor.predict(read_image(sample.image_path))
    known = sample.mask_complete and (bool(mask.any()) or sample.label == "normal")
    overlap = dice(prediction.mask, mask) if known else None
    return Case(prediction, sample.label, overlap, fold)


if __name__ == "__main__":
    main(fit)
