"""What the training scripts share around the loop: run options, the first words, and how errors are told."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from busi_demo.models.base import ApproachModel
from busi_demo.training.sources import PHANTOMS, TrainingData
from busi_demo.types import InputError
from busi_demo.weights import WEIGHTS_FOLDER


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of where a run writes and whether it goes on; none of them changes the result."""
    parser.add_argument("--output", type=Path, default=WEIGHTS_FOLDER, help="receives <approach>/ (default: weights)")
    parser.add_argument("--run-dir", type=Path, help="checkpoints and history.csv (default: runs/<approach>)")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")


def run_folder(arguments: argparse.Namespace, name: str) -> Path:
    """Where this run's checkpoints lie."""
    return arguments.run_dir or Path("runs") / name


def announce(data: TrainingData, model: ApproachModel) -> None:
    """Say what is trained and where the images come from, before the first step."""
    print(f"training {model.key} ({model.parameter_count() / 1e6:.1f} million parameters)")
    if data.facts["main"] == PHANTOMS:
        print("DATA: simulated phantoms alone. The result knows no real ultrasound; give --data for that.")
    for split in ("train", "validation"):
        for source, counts in data.facts[split].items():
            print(f"{split} on {source}: " + ", ".join(f"{n} {label}" for label, n in counts.items()))
    print(f"{data.facts['locked_test_left_out']} images of the locked test set left out", flush=True)


def main(train: Callable[[], None]) -> None:
    """Run a training script: what a person can mend becomes one line and exit status 2, an interruption status 130."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        train()
    except (InputError, FloatingPointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
