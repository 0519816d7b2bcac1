"""Write the model card from the JSON files beside the weights: python train/model_card.py [--output MODEL_CARD.md]"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from busi_demo.data.busi import image_notes, locked_test
from busi_demo.evaluation.autopsy import PUBLISHED
from busi_demo.evaluation.card import ApproachFacts, model_card
from busi_demo.models import APPROACHES, CONSENSUS
from busi_demo.training.recipe import main
from busi_demo.types import InputError
from busi_demo.weights import ROOT, WEIGHTS_FOLDER, read_config

EVALUATION_KEYS = {"approach", "images", "weights_sha256", "per_image"}


def read_json(path: Path) -> Any:
    """Raises: InputError: the file cannot be read, or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}): make it again.") from error


def read_approach(key: str, folder: Path) -> ApproachFacts:
    """The JSON files of one approach."""
    metrics = folder / key / "report" / "metrics.json"
    return ApproachFacts(
        read_config(key, folder), read_json(metrics) if metrics.is_file() else None, read_evaluations(key, folder)
    )


def read_evaluations(key: str, folder: Path) -> dict[str, Any]:
    """The reports of train/evaluate.py in KEY/report; other JSON files there do not count."""
    files = {path.stem: read_json(path) for path in sorted((folder / key / "report").glob("*.json"))}
    return {name: r for name, r in files.items() if isinstance(r, dict) and r.keys() >= EVALUATION_KEYS}


def published_counts() -> dict[str, int]:
    """What is known of the published data set, step by step."""
    notes = image_notes().values()
    return {
        "files": sum(PUBLISHED.values()),
        "mask files among them": PUBLISHED["mask_files"],
        "images": len(notes),
        "groups of near-duplicates known from audits": len({row["known_group"] for row in notes}),
        "images whose near-duplicates carry another class": sum(row["label_conflict"] == "1" for row in notes),
        "images with several masks": sum(row["several_masks"] == "1" for row in notes),
        "locked test images": len(locked_test()),
    }


def write_card() -> None:
    parser = argparse.ArgumentParser(
        description="Write the model card from JSON files alone; equal files, equal bytes."
    )
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS_FOLDER, help="folder of all approaches (default: weights)"
    )
    measured = ROOT / "train" / "results" / "autopsy.json"
    parser.add_argument("--autopsy", type=Path, default=measured, metavar="FILE.json",
                        help="of train/autopsy.py (default: train/results/autopsy.json, if it is there)")  # fmt: skip
    parser.add_argument("--output", type=Path, default=ROOT / "MODEL_CARD.md", help="default: MODEL_CARD.md")
    arguments = parser.parse_args()
    if arguments.autopsy != parser.get_default("autopsy") and not arguments.autopsy.is_file():
        raise InputError(f"{arguments.autopsy} is not there: make it with train/autopsy.py.")
    known = {key: read_approach(key, arguments.weights) for key in APPROACHES
             if (arguments.weights / key / "config.json").is_file()}  # fmt: skip
    sha256 = {key: facts.config["sha256"] for key, facts in known.items()}
    together = ApproachFacts({"sha256": sha256}, None, read_evaluations(CONSENSUS, arguments.weights))
    autopsy = read_json(arguments.autopsy) if arguments.autopsy.is_file() else None
    text = model_card({**known, CONSENSUS: together}, published_counts(), autopsy)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    partial = arguments.output.with_name(arguments.output.name + ".partial")
    partial.write_bytes(text.encode())
    os.replace(partial, arguments.output)
    print(f"wrote {arguments.output}: {', '.join(known) or 'no weights'}")


if __name__ == "__main__":
    main(write_card)
