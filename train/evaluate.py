"""Measure a trained approach: python train/evaluate.py --data DIR --approach KEY --output FILE.json"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from busi_demo.data.busi import FileSample, index_folder, locked_test
from busi_demo.data.locate import find_data
from busi_demo.evaluation.metrics import ImageResult, dice, iou, summarise
from busi_demo.figure import figure_image, five_panels
from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.predictor import Predictor, load_predictor
from busi_demo.training.recipe import main
from busi_demo.types import InputError
from busi_demo.weights import WEIGHTS_FOLDER, read_config


def choose(samples: Sequence[FileSample], images: str, weights: Path) -> list[FileSample]:
    """The samples that --images asks for.

    Raises:
        InputError: none of them lies in the folder, or the list cannot be read.
    """
    if images == "all":
        return list(samples)
    if images == "locked_test":
        wanted = set(locked_test())
    elif images == "validation":
        wanted = {r["image"] for r in _rows(weights / "split.csv") if r["split"] == "validation"}
    else:
        wanted = {row["image"] for row in _rows(Path(images))}
    chosen = [sample for sample in samples if sample.name in wanted]
    if not chosen:
        raise InputError(
            f"None of the {len(wanted)} images of '{images}' lies in the data folder: give another --data."
        )
    if len(chosen) < len(wanted):
        print(f"note: {len(wanted) - len(chosen)} of the {len(wanted)} images of '{images}' are not in the data folder",
              file=sys.stderr)  # fmt: skip
    return chosen


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


def measure(predictor: Predictor, sample: FileSample, figures: Path | None) -> ImageResult:
    """Predict one sample at its own size, and draw it where a folder is given. Incomplete masks are not scored."""
    image, truth = sample.read()
    prediction = predictor.predict(image)
    scored = sample.mask_complete and bool(truth.any())
    if figures:
        heading = f"{predictor.title}, {sample.name} ({sample.label})"
        figure_image(five_panels(prediction, truth, heading)).save(figures / f"{Path(sample.name).stem}.png")
    return ImageResult(
        image=sample.name,
        label=sample.label,
        probabilities=prediction.probabilities,
        mask_dice=dice(prediction.mask, truth) if scored else None,
        mask_iou=iou(prediction.mask, truth) if scored else None,
        predicted_mask_fraction=prediction.lesion_area_fraction,
        seconds=prediction.seconds,
    )


def evaluate() -> None:
    parser = argparse.ArgumentParser(description="Measure one approach on a folder in BUSI layout.")
    parser.add_argument("--data", help="the folder (else $BUSI_DATA, data/Dataset_BUSI_with_GT, a download)")
    parser.add_argument("--approach", choices=list(APPROACHES), default=DEFAULT_APPROACH)
    parser.add_argument("--images", default="all", metavar="all|validation|locked_test|FILE.csv",
                        help="which images: every one of the folder (default), the split kept with the weights, the "
                             "locked test list, or those named in a CSV file")  # fmt: skip
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FOLDER, help="folder of all approaches")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--figures", type=Path, metavar="DIR",
                        help="also draw the five panels of every image there; weights/APPROACH/report/real is kept out "
                             "of git, for pictures of a data set must not be published")  # fmt: skip
    arguments = parser.parse_args()
    root = find_data(arguments.data)
    samples = choose(index_folder(root), arguments.images, arguments.weights / arguments.approach)
    predictor = load_predictor(arguments.approach, arguments.weights)
    if arguments.figures:
        arguments.figures.mkdir(parents=True, exist_ok=True)
    results = [
        measure(predictor, sample, arguments.figures) for sample in tqdm(samples, arguments.approach, disable=None)
    ]
    summary = summarise(results)
    report = {
        "approach": arguments.approach,
        "data": root.name,
        "images": arguments.images if not arguments.images.endswith(".csv") else Path(arguments.images).name,
        "weights_sha256": read_config(arguments.approach, arguments.weights)["sha256"],
        **summary,
        "per_image": [
            {"image": r.image, "class": r.label, "probabilities": dict(r.probabilities), "dice": r.mask_dice,
             "iou": r.mask_iou, "lesion_area_fraction": r.predicted_mask_fraction}
            for r in results
        ],
    }  # fmt: skip
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    partial = arguments.output.with_name(arguments.output.name + ".partial")
    partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, arguments.output)
    print(f"{arguments.approach} on {len(results)} images: accuracy {summary['accuracy']:.3f}, "
          f"macro F1 {summary['macro_f1']:.3f}, lesion Dice {_text(summary['lesion_dice'])}, "
          f"normals with a false mask {_text(summary['normal_false_mask_rate'])}")  # fmt: skip
    print(f"wrote {arguments.output}")


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main(evaluate)
