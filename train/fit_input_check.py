"""Fit the input check to pictures that the weights know, and write it beside the weights with what was measured.
Run it again when weights change:

python train/fit_input_check.py --data DIR --extra OTHER_DIR ... [--others FOLDER ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import _path  # noqa: F401
import numpy as np
import torch
from tqdm import tqdm

from busi_demo.data.busi import IMAGE_SUFFIXES, FileSample, Sample, index_folder
from busi_demo.data.duplicates import Fingerprint, fingerprint, matches_hash
from busi_demo.data.locate import find_sets
from busi_demo.data.phantom import PHANTOMS, PhantomSample, phantom_samples
from busi_demo.data.published import locked_test
from busi_demo.data.splits import near_duplicate_groups
from busi_demo.evaluation.input_fit import (
    FOLDS,
    Pictures,
    changed_properties,
    collect,
    corrupted_copy,
    fit_network,
    fit_reference,
    measure,
)
from busi_demo.imaging import read_image
from busi_demo.inference.input_check import Known, check_input
from busi_demo.training.recipe import main
from busi_demo.types import InputError, Verdict
from busi_demo.weights.input_reference import InputReference, NetworkReference, save_input_reference
from busi_demo.weights.store import WEIGHTS_FOLDER, Weights, available_approaches, load_weights

PHANTOMS_EACH = 50


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fit what the app takes for a B-mode ultrasound of a breast.")
    parser.add_argument("--data", help="BUSI (else $BUSI_DATA, data/Dataset_BUSI_with_GT, a download)")
    parser.add_argument("--extra", nargs="*", default=[], metavar="DIR", help="further breast ultrasound, as BUSI")
    parser.add_argument(
        "--others", nargs="*", default=[], type=Path, metavar="DIR",
        help="folders of other pictures (photographs, documents, ...), to measure on and never to fit",
    )  # fmt: skip
    parser.add_argument("--per-set", type=int, default=450, help="pictures of each data set (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the pictures drawn (default: %(default)s)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FOLDER, help="receives the file")
    return parser.parse_args()


def fit() -> None:
    arguments = parse()
    other_files = readable_pictures(arguments.others)
    samples: dict[str, Sequence[FileSample | PhantomSample]] = {
        name: drawn(index_folder(root), arguments.per_set, arguments.seed)
        for name, root in find_sets(arguments.data, arguments.extra).items()
    }
    samples[PHANTOMS] = phantom_samples(PHANTOMS_EACH, first_seed=2_000_000)
    sets = {name: pictures_of(chosen, name) for name, chosen in samples.items()}
    reference = fit_reference(sets)
    rates = measure(sets, reference) | others(other_files, Known(reference), None)
    write(replace(reference, measured=rates), arguments.weights)
    for key in available_approaches(arguments.weights):
        weights = load_weights(arguments.weights / key)
        own = dict[str, Pictures]()
        for name, chosen in samples.items():
            if (descriptors := described_by(weights, chosen, key)) is not None:
                own[name] = replace(sets[name], descriptors=descriptors)
        if not own:
            print(f"{key} makes no descriptor: its pictures are compared by their properties alone")
            continue
        network = fit_network(own, weights.config.sha256 if weights.config else "")
        rates = measure(own, reference, network) | others(other_files, Known(reference, network), weights)
        write(replace(network, measured=rates), arguments.weights / key)


def pictures_of(samples: Sequence[FileSample | PhantomSample], title: str) -> Pictures:
    """Measure the pictures of one data set, on all cores."""
    with ProcessPoolExecutor() as pool:
        work = pool.map(measured, samples, range(len(samples)), chunksize=8)
        rows, prints = zip(*tqdm(work, title, total=len(samples), leave=False, disable=None), strict=True)
    return collect(rows, near_duplicate_groups(samples, prints) % FOLDS)


def write(reference: InputReference | NetworkReference, folder: Path) -> None:
    path = save_input_reference(reference, folder)
    print(f"wrote {path}: distances {reference.doubtful:.2f} (doubtful), {reference.refused:.2f} (refused)")
    for part, by_name in reference.measured.items():
        for name, counts in by_name.items():
            shares = ", ".join(f"{counts[v] / counts['n']:.1%} {v}" for v in ("doubtful", "refused"))
            print(f"{part:8} {name:24} {counts['n']:5} pictures: {shares}", flush=True)


@torch.no_grad()
def described_by(weights: Weights, samples: Sequence[Sample], title: str) -> np.ndarray | None:
    """Descriptors of pictures and then of their corrupted copies, float32 (2 * N, D)."""
    rows: list[list[np.ndarray]] = [[], []]
    for seed, sample in enumerate(tqdm(samples, title, leave=False, disable=None)):
        image, _ = sample.read()
        for copy, into in zip((image, corrupted_copy(image, seed)), rows, strict=True):
            descriptor = weights.model.descriptor(weights.preprocess(copy))
            if descriptor is None:
                return None
            into.append(descriptor[0].numpy())
    return np.stack(rows[0] + rows[1])


def drawn(samples: Sequence[FileSample], count: int, seed: int) -> list[FileSample]:
    """At most `count` samples that are not of the locked test set."""
    hashes = [row["phash"] for row in locked_test().values()]
    keep: list[int] = []
    for i in np.random.default_rng(seed).permutation(len(samples)).tolist():
        if len(keep) == count:
            break
        if not matches_hash([fingerprint(samples[i].read()[0])], hashes).any():
            keep.append(i)
    return [samples[i] for i in sorted(keep)]


def measured(sample: FileSample | PhantomSample, seed: int) -> tuple[dict[str, list[np.ndarray]], Fingerprint]:
    image, _ = sample.read()
    return changed_properties(image, seed), fingerprint(image)


def readable_pictures(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """The pictures of folders, by the name of the folder. Each is read, so that a bad one is told before minutes of
    fitting, not after them.

    Raises:
        InputError: a folder has no picture, two have one name, or a picture cannot be read.
    """
    found: dict[str, list[Path]] = {}
    for folder in folders:
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES) if folder.is_dir() else []
        if not files:
            raise InputError(f"{folder} holds no picture: name folders of PNG, JPEG or other pictures with --others.")
        if folder.name in found:
            raise InputError(f"Two folders of --others are called {folder.name}, which tells them apart: rename one.")
        for path in files:
            read_image(path)
        found[folder.name] = files
    return found


@torch.no_grad()
def others(found: Mapping[str, Sequence[Path]], known: Known, weights: Weights | None) -> dict[str, dict[str, Any]]:
    """Count the verdicts on pictures, by the folder that they are in."""
    counted = {}
    for name, files in found.items():
        verdicts = []
        for path in files:
            grey = read_image(path)
            pixels = grey.framed
            seen = weights.model.descriptor(weights.preprocess(pixels)) if weights else None
            descriptor = None if seen is None else seen[0].numpy()
            verdicts.append(check_input(pixels, known, descriptor=descriptor, coloured=grey.coloured).verdict)
        counted[name] = {
            "n": len(files),
            "doubtful": verdicts.count(Verdict.DOUBTFUL),
            "refused": verdicts.count(Verdict.REFUSED),
        }
    return {"others": counted}


if __name__ == "__main__":
    main(fit)
