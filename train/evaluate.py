"""Measure a trained approach: python train/evaluate.py --data DIR --approach KEY --output FILE.json"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from busi_demo.data.busi import FileSample, index_folder, known_calipers, locked_test
from busi_demo.data.locate import find_data
from busi_demo.data.splits import near_duplicate_groups
from busi_demo.ensemble import Ensemble, load_ensemble
from busi_demo.evaluation.bootstrap import LEVEL, RESAMPLES, draw_resamples, intervals, paired_differences
from busi_demo.evaluation.cam_report import CamResult, examine_cam, summarise_cams
from busi_demo.evaluation.metrics import ImageResult, dice, iou, summarise
from busi_demo.evaluation.record import result_of_row, result_row
from busi_demo.evaluation.subgroups import summarise_subgroups
from busi_demo.figure import figure_image, five_panels
from busi_demo.models import APPROACHES, CONSENSUS, DEFAULT_APPROACH
from busi_demo.predictor import Predictor, load_predictor
from busi_demo.training.recipe import main
from busi_demo.training.sources import fingerprints
from busi_demo.types import InputError
from busi_demo.weights import WEIGHTS_FOLDER, read_config

RANDOM_NETWORKS = 3  # one alone may resemble the trained one by luck


def choose(samples: Sequence[FileSample], source: str, images: str, folders: Sequence[Path]) -> list[FileSample]:
    """The samples that --images asks for. An image is known by its class and name, for two classes may share a name.

    Args:
        samples: all of one data set.
        source: name of that data set.
        images: what --images says. A row of a CSV file that tells no class means the images of that name in each.
        folders: of the approaches that are measured, for their splits; what validates is what none of them trained on.
    Raises:
        InputError: none of them lies in the folder, or the list cannot be read.
    """
    if images == "all":
        return list(samples)
    if images == "locked_test":
        wanted: set[tuple[str | None, str]] = {(row["class"], name) for name, row in locked_test().items()}
    elif images == "validation":
        wanted = set.intersection(*(_validated_on(folder / "split.csv", source) for folder in folders))
    else:
        wanted = {(row.get("class") or None, row["image"]) for row in _rows(Path(images))}
    keys = {sample: {(sample.label, sample.name), (None, sample.name)} & wanted for sample in samples}
    chosen = [sample for sample in samples if keys[sample]]
    if not chosen:
        raise InputError(
            f"None of the {len(wanted)} images of '{images}' lies in the data folder: give another --data."
        )
    if missing := wanted.difference(*keys.values()):
        print(f"note: {len(missing)} of the {len(wanted)} images of '{images}' are not in the data folder",
              file=sys.stderr)  # fmt: skip
    return chosen


def certain(samples: Sequence[FileSample]) -> tuple[list[FileSample], int]:
    """The samples whose class is certain, and how many are not: nothing can be right or wrong of those, so they are
    left out and it is told.

    Raises:
        InputError: none is left.
    """
    kept = [sample for sample in samples if sample.label_certain]
    if not kept:
        raise InputError("The class of every image chosen is uncertain, nothing can be measured: give other --images.")
    if left_out := len(samples) - len(kept):
        print(f"note: left out {left_out} of {len(samples)} images, for near-duplicates carry another class",
              file=sys.stderr)  # fmt: skip
    return kept, len(samples) - len(kept)


def _validated_on(split: Path, source: str) -> set[tuple[str | None, str]]:
    """(class, image) of the images of a data set that a split.csv keeps for validation."""
    rows = [row for row in _rows(split) if row["split"] == "validation"]
    found: set[tuple[str | None, str]] = {(row["class"], row["image"]) for row in rows if row["source"] == source}
    if not found:
        known = " and ".join(sorted({row["source"] for row in rows})) or "nothing"
        raise InputError(f"{split} validates on {known}, not on {source}: give that folder with --data.")
    return found


def weights_sha256(keys: Sequence[str], folder: Path) -> str | dict[str, str]:
    """The sha256 of the weights of an approach; of several, key -> sha256."""
    found = {key: read_config(key, folder)["sha256"] for key in keys}
    return found if len(keys) > 1 else found[keys[0]]


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): --images takes all, validation, locked_test or a "
                         "CSV file with a column image.") from error  # fmt: skip
    if not rows or "image" not in rows[0]:
        raise InputError(f"{path} has no column 'image': expected a CSV file with one image name a row.")
    return rows


def other_report(path: Path, samples: Sequence[FileSample]) -> tuple[str, list[ImageResult]]:
    """The approach of an earlier report, and its results in the order of these samples.

    Raises:
        InputError: the file cannot be read, is no report, or is of other images.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        approach, rows = str(report["approach"]), [result_of_row(row) for row in report["per_image"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a report that can be compared with ({error!r}): --compare takes the --output "
                         "of another approach.") from error  # fmt: skip
    if sorted((r.image, r.label) for r in rows) != sorted((s.name, s.label) for s in samples):
        raise InputError(f"{path} is of other images ({len(rows)}, here {len(samples)}): a paired comparison needs the "
                         "same --data and --images.")  # fmt: skip
    by_name = {(r.image, r.label): r for r in rows}
    return approach, [by_name[s.name, s.label] for s in samples]


def measure(
    predictor: Predictor | Ensemble, samples: Sequence[FileSample], figures: Path | None, faithfulness: bool
) -> tuple[list[ImageResult], list[float | None], list[CamResult]]:
    """Predict every sample at its own size, and draw it where a folder is given. Incomplete masks are not scored.

    Returns:
        How each went; each lesion's share of its image, `None` without a complete mask; with `faithfulness`, what is
        found of each CAM.
    """
    results: list[ImageResult] = []
    area_shares: list[float | None] = []
    cams: list[CamResult] = []
    randomised = [predictor.randomised(seed) for seed in range(RANDOM_NETWORKS if faithfulness else 0)]
    generator = np.random.default_rng(0)
    for sample in tqdm(samples, predictor.key, disable=None):
        image, truth = sample.read()
        prediction = predictor.predict(image)
        scored = sample.mask_complete and bool(truth.any())
        results.append(
            ImageResult(
                image=sample.name,
                label=sample.label,
                probabilities=prediction.probabilities,
                mask_dice=dice(prediction.mask, truth) if scored else None,
                mask_iou=iou(prediction.mask, truth) if scored else None,
                predicted_mask_fraction=prediction.lesion_area_fraction,
                seconds=prediction.seconds,
            )
        )
        area_shares.append(float(truth.mean()) if scored else None)
        if faithfulness:
            random_cams = [other.predict(image).cam for other in randomised]
            known_truth = truth if scored else None
            cams.append(
                examine_cam(sample.name, prediction, known_truth, random_cams, predictor.probabilities, generator)
            )
        if figures:
            heading = f"{predictor.title}, {sample.name} ({sample.label})"
            (figures / sample.label).mkdir(parents=True, exist_ok=True)
            path = figures / sample.label / f"{Path(sample.name).stem}.png"
            figure_image(five_panels(prediction, truth, heading)).save(path)
    return results, area_shares, cams


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure one approach on a folder in BUSI layout.")
    parser.add_argument("--data", help="the folder (else $BUSI_DATA, data/Dataset_BUSI_with_GT, a download)")
    parser.add_argument("--approach", choices=[*APPROACHES, CONSENSUS], default=DEFAULT_APPROACH,
                        help=f"{CONSENSUS}: all of them together (default: %(default)s)")  # fmt: skip
    parser.add_argument("--images", default="all", metavar="all|validation|locked_test|FILE.csv",
                        help="which images: every one of the folder (default), the split kept with the weights, the "
                             "locked test list, or those named in a CSV file")  # fmt: skip
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FOLDER, help="folder of all approaches")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--bootstrap", type=int, default=RESAMPLES, metavar="N",
                        help="resamples for the 95 %% intervals, drawn by near-duplicate group (default "
                             f"{RESAMPLES}); 0 for no intervals")  # fmt: skip
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="FILE.json",
        help="the --output of another approach on the same images: adds the paired differences",
    )
    parser.add_argument("--faithfulness", action="store_true",
                        help="also examine the Grad-CAMs: some 50 runs of the network an image")  # fmt: skip
    parser.add_argument("--figures", type=Path, metavar="DIR",
                        help="also draw the five panels of every image, in DIR/CLASS; weights/APPROACH/report/real is "
                             "kept out of git, for pictures of a data set must not be published")  # fmt: skip
    arguments = parser.parse_args()
    if arguments.bootstrap < 0 or (arguments.compare and not arguments.bootstrap):
        raise InputError("--bootstrap must not be negative, nor 0 where --compare is given.")
    return arguments


def evaluate() -> None:
    arguments = parse()
    root = find_data(arguments.data)
    keys = list(APPROACHES) if arguments.approach == CONSENSUS else [arguments.approach]
    samples = choose(index_folder(root), root.name, arguments.images, [arguments.weights / key for key in keys])
    samples, uncertain = certain(samples)
    compared = other_report(arguments.compare, samples) if arguments.compare else None
    predictor = load_ensemble(arguments.weights) if len(keys) > 1 else load_predictor(keys[0], arguments.weights)
    results, area_shares, cams = measure(predictor, samples, arguments.figures, arguments.faithfulness)
    summary = summarise(results)
    more: dict[str, Any] = {}
    weights = None
    if arguments.bootstrap:
        groups = near_duplicate_groups(samples, fingerprints(samples))
        weights = draw_resamples(groups, arguments.bootstrap)
        facts = {"level": LEVEL, "resamples": arguments.bootstrap, "groups": int(groups.max()) + 1}
        more["intervals"] = {**facts, **intervals(results, weights)}
        if compared:
            more["difference"] = {"minus": compared[0], **paired_differences(results, compared[1], weights)}
    calipers = known_calipers([sample.name for sample in samples])
    more["subgroups"] = summarise_subgroups(results, area_shares, calipers, weights)
    if arguments.faithfulness:
        more["cam"] = summarise_cams(cams, weights)
    report = {
        "approach": arguments.approach,
        "data": root.name,
        "images": arguments.images if not arguments.images.endswith(".csv") else Path(arguments.images).name,
        "weights_sha256": weights_sha256(keys, arguments.weights),
        "uncertain_class_left_out": uncertain,
        **summary,
        **more,
        "per_image": [result_row(r) for r in results],
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    partial = arguments.output.with_name(arguments.output.name + ".partial")
    partial.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(partial, arguments.output)
    print(f"{arguments.approach} on {len(results)} images: accuracy {summary['accuracy']:.3f}, "
          f"macro F1 {summary['macro_f1']:.3f}, lesion Dice {_text(summary['lesion_dice'])}, "
          f"normals with a false mask {_text(summary['normal_false_mask_rate'])}")  # fmt: skip
    print(f"wrote {arguments.output}")


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main(evaluate)
