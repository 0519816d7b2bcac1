"""Write the model card from the JSON files of the weights: python train/model_card.py [--output MODEL_CARD.md]"""

from __future__ import annotations

import argparse
from pathlib import Path

import _path  # noqa: F401

from busi_demo.data.published import image_notes, locked_test
from busi_demo.evaluation.autopsy.study import PUBLISHED
from busi_demo.evaluation.card.card import model_card
from busi_demo.evaluation.card.sources import (
    AUTOPSY_FILE,
    CARD_FILE,
    read_autopsy,
    read_external,
    read_fewer,
    read_reports,
)
from busi_demo.models import APPROACHES
from busi_demo.project import check_file, save_whole
from busi_demo.training.recipe import main
from busi_demo.types import InputError
from busi_demo.weights.store import WEIGHTS_FOLDER


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
    parser.add_argument("--autopsy", type=Path, default=AUTOPSY_FILE, metavar="FILE.json",
                        help="of train/autopsy.py (default: train/results/autopsy.json, if it is there)")  # fmt: skip
    parser.add_argument("--output", type=Path, default=CARD_FILE, help="default: MODEL_CARD.md")
    arguments = parser.parse_args()
    check_file(arguments.output, "--output")
    if arguments.autopsy != parser.get_default("autopsy") and not arguments.autopsy.is_file():
        raise InputError(f"{arguments.autopsy} is not there: make it with train/autopsy.py.")
    known = read_reports(arguments.weights)
    if not any(key in known for key in APPROACHES):
        raise InputError(f"{arguments.weights} holds the weights of no approach: name their folder with --weights.")
    autopsy = read_autopsy(arguments.autopsy) if arguments.autopsy.is_file() else None
    text = model_card(known, published_counts(), autopsy, read_external(), read_fewer())
    save_whole(arguments.output, text.encode())
    print(f"wrote {arguments.output}: {', '.join(key for key in APPROACHES if key in known)}")


if __name__ == "__main__":
    main(write_card)
