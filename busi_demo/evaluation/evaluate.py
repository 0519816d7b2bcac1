"""Evaluation of an approach on labelled images: choice of the images, their results, and comparison with a report."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from busi_demo.analysis.answer import Answer
from busi_demo.data.busi import FileSample
from busi_demo.data.facts import locked_samples
from busi_demo.data.published import locked_test
from busi_demo.data.splits import fingerprints
from busi_demo.evaluation.cams import CamResult, examine_cam
from busi_demo.evaluation.held_out import PredictorFor
from busi_demo.evaluation.results import ImageResult, image_result, result_of_row
from busi_demo.imaging import GroundTruth
from busi_demo.project import read_table
from busi_demo.types import InputError
from busi_demo.weights.split_file import has_split, read_split
from busi_demo.weights.store import approach_folder, read_config
from busi_demo.weights.trust_file import answers_sha256

RANDOM_NETWORKS = 3  # a single one may resemble the trained network by chance


def choose(
    samples: Sequence[FileSample], source: str, images: str, held_out: Collection[tuple[str, str]]
) -> list[FileSample]:
    """The samples of the option --images. Images are identified by class and name, as two classes may share a name;
    those of the locked test by their pixels.

    Args:
        samples: all samples of a data set.
        source: name of the data set.
        images: value of --images. A row without a class in a CSV file selects the images of that name in each class.
        held_out: (class, image) of those that the approaches held out.
    Raises:
        InputError: no such image is in the folder, or the list cannot be read.
    """
    if images == "all":
        return list(samples)
    if images == "locked_test":
        return _locked(samples)
    if images == "validation":
        names: set[tuple[str | None, str]] = set(held_out)
    else:
        names = {(row.get("class") or None, row["image"]) for row in _rows(Path(images))}
    keys = {sample: {(sample.label, sample.name), (None, sample.name)} & names for sample in samples}
    chosen = [sample for sample in samples if keys[sample]]
    if not chosen:
        raise InputError(f"None of the {len(names)} images of '{images}' lies in the data folder: give another --data.")
    if missing := names.difference(*keys.values()):
        print(f"note: {len(missing)} of the {len(names)} images of '{images}' are not in the data folder",
              file=sys.stderr)  # fmt: skip
    return chosen


def _locked(samples: Sequence[FileSample]) -> list[FileSample]:
    expected = len(locked_test())
    chosen = locked_samples(samples, fingerprints(samples))
    if not chosen:
        raise InputError(
            f"None of the {expected} images of 'locked_test' lies in the data folder: give another --data."
        )
    if missing := expected - len(chosen):
        print(f"note: {missing} of the {expected} images of 'locked_test' are not in the data folder", file=sys.stderr)
    return chosen


def with_certain_class(samples: Sequence[FileSample]) -> tuple[list[FileSample], int]:
    """The samples with a certain class, and the number of the others, with a note on standard error on these.

    Raises:
        InputError: no sample has a certain class.
    """
    kept = [sample for sample in samples if sample.label_certain]
    if not kept:
        raise InputError("The class of every image chosen is uncertain, nothing can be measured: give other --images.")
    if left_out := len(samples) - len(kept):
        print(f"note: left out {left_out} of {len(samples)} images, because near-duplicates have another class",
              file=sys.stderr)  # fmt: skip
    return kept, len(samples) - len(kept)


def note_unscored(samples: Sequence[FileSample], results: Sequence[ImageResult]) -> None:
    """Print a note with the number of lesions whose mask is empty: their outlines are not scored."""
    empty = [s for s, r in zip(samples, results, strict=True)
             if s.mask_complete and s.label != "normal" and r.mask_dice is None]  # fmt: skip
    if empty:
        print(f"note: {len(empty)} of {len(samples)} images have a lesion and an empty mask, {empty[0].label}/"
              f"{empty[0].name} for example: only their class is scored", file=sys.stderr)  # fmt: skip


def count_trained(samples: Sequence[FileSample], folders: Sequence[Path], source: str) -> int:
    """The number of these images of the data set `source` that an approach was trained on."""
    splits = [read_split(folder) for folder in folders if has_split(folder)]
    trained = {(row.label, row.image) for rows in splits for row in rows if row.source == source and row.trained}
    return sum((sample.label, sample.name) in trained for sample in samples)


def note_trained(samples: Sequence[FileSample], folders: Sequence[Path], source: str) -> None:
    """Print a note with the number of these images that an approach was trained on; scores on those are too high."""
    if count := count_trained(samples, folders, source):
        print(f"note: {count} of the {len(samples)} images were trained on; --images validation measures without that",
              file=sys.stderr)  # fmt: skip


def identity_of(keys: Sequence[str], *folders: Path) -> Mapping[str, Any]:
    """What a report says of the weights that it belongs to.

    Args:
        keys: of the approaches that were measured.
        folders: weights folders with these.
    Returns:
        `weights_sha256`, of the model file, and `answers_sha256`, see `weights.trust_file.answers_sha256`, which sizes,
        thresholds and calibration change as well; of several approaches each is key -> sha256, of several folders a
        list of these.
    """
    if len(folders) > 1:
        each = [identity_of(keys, folder) for folder in folders]
        return {name: [own[name] for own in each] for name in each[0]}
    (folder,) = folders
    configs = {key: read_config(approach_folder(key, folder)) for key in keys}
    hashes = {
        "weights_sha256": {key: config.sha256 for key, config in configs.items()},
        "answers_sha256": {key: answers_sha256(config.to_json()) for key, config in configs.items()},
    }
    return hashes if len(keys) > 1 else {name: by_key[keys[0]] for name, by_key in hashes.items()}


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(f"{path} cannot be read (No such file or directory): --images takes all, validation, "
                         "locked_test or a CSV file with a column image.")  # fmt: skip
    rows = read_table(path)
    if not rows or "image" not in rows[0]:
        raise InputError(f"{path} has no column 'image': expected a CSV file with one image name per row.")
    return rows


def other_report(path: Path, samples: Sequence[FileSample]) -> tuple[dict[str, Any], list[ImageResult]]:
    """Read an earlier report for a comparison.

    Returns:
        Its approach and weights, as values of the new report, and its results of these samples in their order.
    Raises:
        InputError: the file cannot be read, is not a report, or lacks one of these images.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        other = {
            "minus": str(report["approach"]),
            "minus_sha256": report.get("weights_sha256"),
            "minus_answers_sha256": report.get("answers_sha256"),
        }
        rows = [result_of_row(row) for row in report["per_image"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a report that can be compared with ({error!r}): --compare takes the --output "
                         "of another approach.") from error  # fmt: skip
    by_name = {(r.image, r.label): r for r in rows}
    if missing := sum((s.name, s.label) not in by_name for s in samples):
        raise InputError(f"{path} lacks {missing} of the {len(samples)} images: a paired comparison needs a report of "
                         "the same images, or of more.")  # fmt: skip
    return other, [by_name[s.name, s.label] for s in samples]


def measure(
    predictor_for: PredictorFor, samples: Sequence[FileSample], figures: Path | None, examined: Sequence[FileSample]
) -> tuple[list[ImageResult], list[float | None], list[CamResult]]:
    """Predict every sample at its own size. Incomplete masks are not scored.

    Args:
        predictor_for: chooses the predictor of a sample.
        figures: folder for the panels of every sample; `None` writes none.
        examined: the samples for which the CAMs are examined.
    Returns:
        The result of each image; the share of each lesion in its image, `None` without a complete mask; the results
        of the CAMs.
    """
    results: list[ImageResult] = []
    area_shares: list[float | None] = []
    cams: list[CamResult] = []
    randomised = cache(lambda predictor: [predictor.randomised(seed) for seed in range(RANDOM_NETWORKS)])
    generator = np.random.default_rng(0)
    for sample in tqdm(samples, "measuring", disable=None):
        predictor = predictor_for(sample)
        image, truth = sample.read()
        answer = Answer(predictor.predict(image), GroundTruth(truth))
        results.append(image_result(answer, sample))
        scored = results[-1].mask_dice is not None
        area_shares.append(float(truth.mean()) if scored else None)
        if sample in examined:
            random_cams = [other.predict(image).cam for other in randomised(predictor)]
            known_truth = truth if scored else None
            cams.append(
                examine_cam(
                    sample.name, answer.prediction, known_truth, random_cams, predictor.probabilities, generator
                )
            )
        if figures:
            heading = f"{predictor.title}, {sample.name} ({sample.label})"
            (figures / sample.label).mkdir(parents=True, exist_ok=True)
            path = figures / sample.label / f"{Path(sample.name).stem}.png"
            answer.figure(title=heading).save(path)
    return results, area_shares, cams


def random_subset(samples: Sequence[FileSample], count: int | None) -> list[FileSample]:
    """A random subset of the samples, the same in every call.

    Args:
        count: size of the subset; 0 takes all samples, `None` takes none."""
    if count is None or count == 0 or count >= len(samples):
        return [] if count is None else list(samples)
    positions = np.random.default_rng(0).permutation(len(samples))[:count]
    return [samples[i] for i in sorted(positions)]
