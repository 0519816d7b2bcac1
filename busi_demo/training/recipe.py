"""What the training scripts share around the loop: run options, loading and announcing the data, error messages."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from busi_demo.data.phantom import PHANTOMS
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.models.base import ApproachModel
from busi_demo.models.multitask import VIEWS
from busi_demo.processes import Processes, leave
from busi_demo.project import check_file, make_folder, require
from busi_demo.training.config import TrainConfig, weights_to_learn_from
from busi_demo.training.listeners import Listener, TensorBoard
from busi_demo.training.sources import TrainingData, load_training_data
from busi_demo.training.tune import search
from busi_demo.types import InputError, reason_of
from busi_demo.weights.results import results_folder
from busi_demo.weights.split_file import VALIDATION
from busi_demo.weights.start import check_unseen
from busi_demo.weights.store import CONFIG_FILE, MODEL_FILE, WEIGHTS_FOLDER, available_approaches

_RUNS = Path("runs")
_RUN_OPTIONS = ("output", "run_dir", "resume", "tensorboard", "tune", "help")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for output, resuming and logging; none of them changes the result of a run."""
    parser.add_argument("--output", type=Path, default=WEIGHTS_FOLDER, help="receives <approach>/ (default: weights)")
    parser.add_argument("--run-dir", type=Path, help="checkpoints and history.csv (default: runs/<approach>)")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run or search")
    parser.add_argument("--tensorboard", action="store_true", help="write scalars to <run-dir>/tensorboard as well")
    parser.add_argument("--tune", type=int, metavar="N", help="try N settings, print the best, train nothing else")


def add_view_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the options for how a trained network sees an image.

    Args:
        default: how it sees one without them, for the help.
    """
    parser.add_argument("--scales", type=float, nargs="+", metavar="SHARE",
                        help="sizes of the image that the network sees, as shares of the input's "
                        f"(default: {default})")  # fmt: skip
    parser.add_argument("--mirrored", type=float, nargs="*", metavar="SHARE",
                        help="sizes of its mirror image that the network sees as well; no number: none "
                        f"(default: {default})")  # fmt: skip
    parser.add_argument("--image-size", type=int, help=f"side of the network input, pixels (default: {default})")


def changes_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of the architecture that the options of `add_view_arguments` change.

    Raises:
        InputError: a share is not a number above 0.
    """
    given = {name: sizes for name in VIEWS if (sizes := getattr(arguments, name)) is not None}
    if wrong := [share for sizes in given.values() for share in sizes if not 0 < share < math.inf]:
        raise InputError(
            f"--scales and --mirrored take shares of the input's side above 0, got {wrong[0]:g}: give others; "
            "--mirrored without a number lets the network see no mirror image."
        )
    return given


def add_weights_argument(parser: argparse.ArgumentParser, use: str) -> None:
    """Add `--weights`, which takes several folders where approaches were trained alike, each without another fold.

    Args:
        use: what the script does with several folders, a clause.
    """
    parser.add_argument(
        "--weights", type=Path, nargs="+", default=[WEIGHTS_FOLDER], metavar="DIR",
        help="folder of all approaches; or several, of networks that were trained alike without another fold each, "
        f"first the one that is to be used: {use}",
    )  # fmt: skip


def trained_approaches(weights_folder: Path) -> list[str]:
    """Keys of the approaches in a folder.

    Raises:
        InputError: there are none.
    """
    if not (keys := available_approaches(weights_folder)):
        raise InputError(f"{weights_folder} holds the weights of no approach: name their folder with --weights.")
    return keys


def parse(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, approach: str | None = None
) -> argparse.Namespace:
    """Parse the command line and check the run options before anything is loaded.

    Args:
        parser: of the script.
        argv: words after the program name; `None`: those of the command line.
        approach: the key of the only approach that the script trains; `None`: it has an option --approach.
    Raises:
        InputError: a run option is invalid, needs a library that is not installed, or names a folder that cannot be
            written.
    """
    arguments = parser.parse_args(argv)
    if arguments.tune is None:
        make_folder(arguments.output, "--output")
        place = arguments.output / (approach or arguments.approach)
        if place.exists():
            for name in (CONFIG_FILE, MODEL_FILE):
                check_file(place / name, "--output")
            if (results := results_folder(place)).exists():
                make_folder(results, "--output")
    make_folder(arguments.run_dir or _RUNS, "--run-dir")
    if arguments.tensorboard:
        require("tensorboard", by="--tensorboard")
    if arguments.tune is not None:
        require("optuna", by="--tune")
        if arguments.tune < 1:
            raise InputError(f"--tune must be at least 1, got {arguments.tune}.")
        if Processes().count > 1:
            raise InputError("--tune runs in one process: start it without torchrun.")
    return arguments


def run_folder(arguments: argparse.Namespace, name: str) -> Path:
    """The folder for the checkpoints of this run."""
    return arguments.run_dir or _RUNS / name


def listeners_of(arguments: argparse.Namespace, folder: Path) -> tuple[Listener, ...]:
    """The listeners that the command line asks for."""
    return (TensorBoard(folder),) if arguments.tensorboard else ()


def load_data(
    config: TrainConfig, preprocess: Preprocess, model: ApproachModel, parts_from: Mapping[str, Path] | None = None
) -> TrainingData:
    """Load the data and announce the run. The main process goes first, because it may have to download the data.

    Args:
        parts_from: further options that name weights -> their folders, beside those of the config.
    Raises:
        InputError: as for `load_training_data`, or weights to learn from were trained on images that validate here.
    """
    processes = Processes()
    with processes.main_first():
        data = load_training_data(config, preprocess)
    validating = [row for row in data.split if row.split == VALIDATION]
    for option, folder in weights_to_learn_from(config, parts_from).items():
        check_unseen(option, folder, config.fold, validating)
    if processes.is_main:
        announce(data, model)
        print(f"{processes.count} process{'es' if processes.count > 1 else ''} on {processes.device.type}", flush=True)
    return data


def announce(data: TrainingData, model: ApproachModel) -> None:
    """Print what is trained and where the images come from."""
    print(f"training {model.key} ({model.parameter_count() / 1e6:.1f} million parameters)")
    if data.facts["main"] == PHANTOMS:
        print("DATA: simulated phantoms alone. The result knows no real ultrasound; give --data for that.")
    for split in ("train", "validation"):
        for source, counts in data.facts[split].items():
            print(f"{split} on {source}: " + ", ".join(f"{n} {label}" for label, n in counts.items()))
    print(f"{data.facts['locked_test_left_out']} images of the locked test set left out", flush=True)


def tune(
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    config: TrainConfig,
    run: Callable[[TrainConfig, Path, Listener], object],
) -> None:
    """Run the search of `--tune` in `tune/` of the run folder; `run` is the argument of `tune.search`."""
    folder = run_folder(arguments, config.approach) / "tune"
    search(config, arguments.tune, folder, run, lambda v: command_line(parser, arguments, v), arguments.resume)


def command_line(parser: argparse.ArgumentParser, arguments: argparse.Namespace, values: Mapping[str, Any]) -> str:
    """The command line of a training script with these arguments, the settings `values` and no run options."""
    words = ["python", f"train/{parser.prog}"]
    for action in parser._actions:
        value = values.get(action.dest, getattr(arguments, action.dest, None))
        if action.dest not in _RUN_OPTIONS and value != action.default and value != ():
            words += [action.option_strings[-1], *map(str, value if isinstance(value, list | tuple) else [value])]
    return shlex.join(words)


def main(work: Callable[[], None], resumable: bool = False) -> None:
    """Run a script of `train/`. An error that the user can correct becomes one line and exit status 2, an interruption
    status 130.

    Args:
        work: of the script.
        resumable: whether the script has `--resume`.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        work()
        leave()
    except (InputError, FloatingPointError, OSError) as error:
        rank, message = int(os.environ.get("RANK", "0")), str(error)
        if isinstance(error, OSError):
            place = f" at {error.filename}" if error.filename else ""
            again = " with --resume" if resumable else ""
            message = f"Stopped ({reason_of(error)}{place}): mend this, and repeat the command{again}."
        print(f"error{f' in process {rank}' if rank else ''}: {message}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
