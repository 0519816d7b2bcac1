"""The subcommand `batch`: a table and the figures of many images, in one process or in several with torchrun."""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from busi_demo.batch.analyse import analyse_items
from busi_demo.batch.items import BatchItem, list_batch
from busi_demo.batch.rows import (
    BOM,
    COLUMNS,
    Result,
    Row,
    counts,
    csv_text,
    error_row,
    left_out_csv,
    referral,
    referred_first,
)
from busi_demo.cli import add_analyse_anyway, print_error
from busi_demo.data.phantom import make_phantom
from busi_demo.inference.accelerate import WORTH_COMPILING, worth_compiling
from busi_demo.inference.predictor import Predictor, choose, load_predictor
from busi_demo.models import ALL, APPROACHES, DEFAULT_APPROACH
from busi_demo.processes import Processes, leave, total
from busi_demo.project import check_file, make_folder, read_json, save_whole
from busi_demo.types import InputError, reason_of
from busi_demo.weights.input_reference import INPUT_CHECK_FILE
from busi_demo.weights.known_images import SEEN_FILE
from busi_demo.weights.store import approach_folder, read_config
from busi_demo.weights.trust_file import TRUST_FILE, answers_sha256

TABLE, SETTINGS, ROWS, FIGURES = "batch.csv", "batch.json", "rows", "figures"
LEFT_OUT = "left_out.csv"
VERSION = 5  # of the files in the output folder
_NAMES = {"answers_sha256": "approach, weights or calibration",
          "judged_sha256": "trust, input check or list of known images"}  # fmt: skip


@dataclass(frozen=True)
class _Plan:
    """What a run does; the main process decides it for all.

    Attributes:
        items: all images.
        pending: those to be analysed: the new, the failed and the changed ones.
        approaches: keys of the approaches that take part.
        left_out: a sentence on those that do not, or `None`.
    """

    items: list[BatchItem]
    pending: list[BatchItem]
    approaches: list[str]
    left_out: str | None


def add_batch(subcommands: Any) -> None:
    """Add the subcommand `batch`."""
    parser = subcommands.add_parser(
        "batch",
        help="segment and classify a folder or a zip archive of images, write a CSV file and the figures",
        description="The same command continues an interrupted run. torchrun --nproc_per_node N -m busi_demo batch ... "
        "divides the images among N processes; the CSV file is the same.",
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="DIR",
        help="folder or .zip archive; ground truth is NAME_mask.png, masks/NAME.png beside images/NAME.png, or what a "
        "CSV file with the columns image and mask names",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR",
                        help=f"receives {TABLE}, {LEFT_OUT} (files that are no images), figures/ and, to continue a "
                             f"run, rows/ and {SETTINGS}")  # fmt: skip
    parser.add_argument("--approach", choices=[*APPROACHES, ALL], default=DEFAULT_APPROACH,
                        help=f"{ALL}: every approach and their consensus (default: %(default)s)")  # fmt: skip
    parser.add_argument("--csv-for", choices=("any", "excel"), default="any",
                        help=f"excel: mark {TABLE} and {LEFT_OUT} as UTF-8 (a byte order mark), without which Excel "
                             "misreads names that are not English (default: %(default)s)")  # fmt: skip
    parser.add_argument("--no-figures", action="store_true", help="write the table only, which is faster")
    parser.add_argument("--engine", metavar="KEY", help="what runs the networks, such as eager or openvino (default: "
                        f"$BUSI_ENGINE, else from {WORTH_COMPILING} images on the fastest one, below that "
                        "PyTorch)")  # fmt: skip
    parser.add_argument("--all-frames", action="store_true", help="analyse each frame or page of a file that has "
                        "several (default: the middle one of a DICOM loop, the first one of others)")  # fmt: skip
    add_analyse_anyway(parser)
    parser.set_defaults(run=batch)


def batch(arguments: argparse.Namespace) -> int:
    """Run `batch`.

    Returns:
        Exit status: 0; 2 if an image could not be used or nothing could be done; 130 after Ctrl+C. The table has the
        rows of all other images.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(arguments)
    except InputError as error:
        return print_error(str(error))
    except OSError as error:
        place = f" at {error.filename}" if error.filename else ""
        return print_error(f"The batch stopped ({reason_of(error)}{place}): mend this, and repeat the command.")
    except KeyboardInterrupt:  # before there was anything to write
        return 130


def _run(arguments: argparse.Namespace) -> int:
    """Analyse what is pending and write the table; returns the exit status."""
    processes = Processes()
    plan = processes.from_main(lambda: _prepare(arguments))
    share = plan.pending[processes.index :: processes.count]
    try:
        bad = _analyse(share, plan, arguments, processes)
        bad = int(total(torch.tensor(bad, device=processes.device)))  # also waits for the other processes
    except KeyboardInterrupt:
        if processes.is_main:
            _write_table(plan.items, arguments)
            print("stopped: the same command continues from here", file=sys.stderr, flush=True)
        return 130
    try:
        if processes.is_main:
            _write_table(plan.items, arguments, finished=True)
    finally:
        leave()  # after the table: torchrun ends all processes once one has failed
    return 2 if bad else 0


def _prepare(arguments: argparse.Namespace) -> _Plan:
    """Plan the run, and check and store the settings. The old results of changed images are deleted.

    Raises:
        InputError: the source is missing, empty or holds the output, or the output is of other settings or cannot be
            written.
    """
    source, output = arguments.source, arguments.output
    if not source.exists():
        raise InputError(f"{source} does not exist: name a folder or a .zip archive of images.")
    if not (source.is_dir() or source.suffix.lower() == ".zip"):
        raise InputError(f"{source} is neither a folder nor a .zip archive: use predict for single images.")
    if source.resolve() in (output.resolve(), *output.resolve().parents):
        raise InputError(
            f"--output {output} lies in {source}, where its figures would be taken for images: give another."
        )
    items, others = list_batch([source], all_frames=arguments.all_frames)
    approaches, left_out = choose(arguments.approach)
    sha256 = {key: answers_sha256(read_config(approach_folder(key)).to_json()) for key in approaches}
    settings = {"version": VERSION, "source": source.resolve().name, "answers_sha256": sha256,
                "judged_sha256": _judged_by(approaches),
                "figures": not arguments.no_figures, "columns": list(COLUMNS),
                "analyse_anyway": arguments.analyse_anyway, "all_frames": arguments.all_frames}  # fmt: skip
    _check_settings(output / SETTINGS, settings)
    for folder in (ROWS,) if arguments.no_figures else (ROWS, FIGURES):
        make_folder(output / folder, "--output")
    _write(output / SETTINGS, json.dumps(settings, indent=2) + "\n")
    _write(output / LEFT_OUT, _bom(arguments) + left_out_csv(others))
    if others:
        example = f"{others[0].name} {others[0].reason.partition(':')[0]}"
        print(f"note: {len(others)} files are left out ({example}), see {output / LEFT_OUT}", file=sys.stderr)
    return _Plan(items, [item for item in items if not _is_done(output, item)], approaches, left_out)


def _judged_by(approaches: Sequence[str]) -> str:
    """A hash of what was fitted to the approaches and to their images, from which trust, refusals and warnings come."""
    folder = approach_folder(approaches[0]).parent
    files = [approach_folder(key) / name for key in approaches for name in (TRUST_FILE, INPUT_CHECK_FILE)]
    digest = hashlib.sha256()
    for path in (*files, folder / INPUT_CHECK_FILE, folder / SEEN_FILE):
        digest.update(hashlib.sha256(path.read_bytes() if path.is_file() else b"").digest())
    return digest.hexdigest()


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    """Raise InputError if the folder has rows of other settings, or if settings or table cannot be written."""
    if path.is_file():
        try:
            earlier = read_json(path)
        except InputError:
            earlier = None
        if not isinstance(earlier, dict):
            raise InputError(f"{path} is damaged, expected the settings of an earlier batch: give another --output.")
        if different := [name for name in settings if earlier.get(name) != settings[name]]:
            names = " and ".join(_NAMES.get(name, name) for name in different)
            raise InputError(f"{path.parent} holds the results of another {names}: give another --output, or repeat "
                             "the command that they were made with.")  # fmt: skip
    for file in (path, path.with_name(TABLE), path.with_name(LEFT_OUT)):
        check_file(file, "--output")


def _analyse(items: Sequence[BatchItem], plan: _Plan, arguments: argparse.Namespace, processes: Processes) -> int:
    """Write the results of each image; returns the number of images that failed."""
    predictors = [load_predictor(key) for key in plan.approaches]
    if plan.left_out and processes.is_main:
        print(f"note: {plan.left_out}", file=sys.stderr, flush=True)
    if worth_compiling(len(plan.items), arguments.engine):
        engines = processes.from_main(lambda: _accelerate(predictors, [arguments.engine] * len(predictors)))
        if not processes.is_main:
            _accelerate(predictors, engines)  # those of the main process: the table has one origin
    bad = 0
    written = analyse_items(items, predictors, arguments.analyse_anyway, partial(_save, arguments))
    shown = tqdm(written, "images", len(items), disable=None if processes.is_main else True)
    for item, rows in zip(items, shown, strict=True):
        if sentence := rows[0]["error"]:
            bad += 1
            print_error(sentence if item.name in sentence else f"{item.name}: {sentence}")
    return bad


def _accelerate(predictors: Sequence[Predictor], engines: Sequence[str | None]) -> list[str]:
    """Compile the networks of each approach by an engine, `None`: the fastest; returns the keys of what runs them."""
    typical = make_phantom("benign", 0, 320, 400).image
    return [one.accelerate(typical, engine).engine for one, engine in zip(predictors, engines, strict=True)]


def _save(arguments: argparse.Namespace, item: BatchItem, sha256: str | None, results: Sequence[Result]) -> list[Row]:
    """Write the figures and then the rows of an image, so that a row means finished work; returns the rows."""
    try:
        for result in results if not arguments.no_figures else ():
            if figure := result.figure_png():
                save_whole(_figure_path(arguments.output, result), figure)
        rows = [result.row for result in results]
    except OSError as error:
        rows = [_unwritten(item, f"could not be written ({reason_of(error)})")]
    try:
        _write(_row_path(arguments.output, item), json.dumps({"sha256": sha256, "rows": rows}) + "\n")
    except OSError as error:
        rows = [_unwritten(item, f"could not be written ({reason_of(error)})")]
    return rows


def _unwritten(item: BatchItem, reason: str) -> Row:
    """The row of an image with a result that could not be written."""
    return error_row(item, f"The result of {item.name} {reason}: mend this, and repeat the command.")


def _write_table(items: Sequence[BatchItem], arguments: argparse.Namespace, finished: bool = False) -> None:
    """Write the table of all rows so far, in the order of the images.

    Args:
        arguments: name the output, and the program that the table is for.
        finished: every image was analysed; one without rows is an error, because they could not be written.
    Raises:
        InputError: the table cannot be written.
    """
    rows, output = list[Row](), arguments.output
    for item in items:
        missing = [_unwritten(item, "is not in the output folder")] if finished else []
        rows += _read_rows(output, item) or missing
    try:
        _write(output / TABLE, _bom(arguments) + csv_text(referred_first(rows)))
    except OSError as error:
        raise InputError(
            f"The table {output / TABLE} cannot be written ({reason_of(error)}): mend this, and repeat the command."
        ) from error
    images, bad = counts(rows)
    print(f"wrote {output / TABLE}: {images} of {len(items)} images, {bad} of them could not be used", flush=True)
    print(referral(rows), flush=True)


def _row_path(output: Path, item: BatchItem) -> Path:
    """A file name that is valid on every file system for any name of an image."""
    return output / ROWS / f"{hashlib.sha256(item.name.encode(errors='surrogateescape')).hexdigest()[:32]}.json"


def _figure_path(output: Path, result: Result) -> Path:
    return output / FIGURES / result.figure_name


def _read_rows(output: Path, item: BatchItem) -> list[Row]:
    """The rows of an image, one per approach; empty if it was not analysed yet or if they cannot be read."""
    _, rows = _stored(output, item)
    return rows


def _stored(output: Path, item: BatchItem) -> tuple[str | None, list[Row]]:
    """The hash of an image's contents and its rows, as stored; no rows if they are missing or damaged."""
    try:
        stored = read_json(_row_path(output, item))
    except InputError:
        return None, []
    sha256, rows = (stored.get("sha256"), stored.get("rows")) if isinstance(stored, dict) else (None, None)
    if not isinstance(rows, list) or not all(_is_row(row, item) for row in rows):
        return None, []
    return sha256, rows


def _is_row(row: Any, item: BatchItem) -> bool:
    return isinstance(row, dict) and tuple(row) == COLUMNS and row["image"] == item.name


def _is_done(output: Path, item: BatchItem) -> bool:
    """Whether there are rows of an image with the same contents. Rows and figures of other contents under its name are
    deleted."""
    sha256, rows = _stored(output, item)
    if rows and sha256 == item.sha256():
        return not rows[0]["error"]
    with suppress(OSError):  # what cannot be deleted cannot be replaced either, and is reported then
        for row in rows:
            _figure_path(output, Result(row)).unlink(missing_ok=True)
        _row_path(output, item).unlink(missing_ok=True)
    return False


def _bom(arguments: argparse.Namespace) -> str:
    """What a CSV file starts with."""
    return BOM if arguments.csv_for == "excel" else ""


def _write(path: Path, text: str) -> None:
    save_whole(path, text.encode(errors="backslashreplace"))
