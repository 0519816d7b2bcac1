"""The subcommand `batch`: a table and the figures of many images, in one process or in several with torchrun."""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from busi_demo.batch.items import BatchItem, find_items
from busi_demo.batch.rows import COLUMNS, Result, Row, analyse_item, counts, csv_text
from busi_demo.inference.predictor import load_predictors
from busi_demo.models import ALL, APPROACHES, DEFAULT_APPROACH, approaches_of
from busi_demo.processes import Processes, leave, total
from busi_demo.project import make_folder, save_whole
from busi_demo.types import InputError
from busi_demo.weights.store import approach_folder, available_approaches, read_config

TABLE, SETTINGS = "batch.csv", "batch.json"
VERSION = 2  # of the files in the output folder


def add_batch(subcommands: Any) -> None:
    """Add the subcommand `batch`."""
    parser = subcommands.add_parser(
        "batch",
        help="segment and classify a folder or a zip archive of images, write a CSV file and the figures",
        description="The same command continues an interrupted run. torchrun --nproc_per_node N -m busi_demo batch ... "
        "divides the images among N processes; the CSV file is the same.",
    )
    parser.add_argument(
        "source", type=Path, metavar="DIR", help="folder or .zip archive; NAME_mask.png is ground truth"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR",
                        help=f"receives {TABLE}, figures/ and, to continue a run, rows/ and {SETTINGS}")  # fmt: skip
    parser.add_argument("--approach", choices=[*APPROACHES, ALL], default=DEFAULT_APPROACH,
                        help=f"{ALL}: every approach and their consensus (default: %(default)s)")  # fmt: skip
    parser.add_argument("--no-figures", action="store_true", help="write the table only, which is faster")
    parser.set_defaults(run=batch)


def batch(arguments: argparse.Namespace) -> int:
    """Run `batch`.

    Returns:
        Exit status: 0; 2 if an image could not be used or nothing could be done; 130 after Ctrl+C. The table has the
        rows of all other images.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    items: list[BatchItem] = []
    try:
        processes = Processes()
        items, pending = processes.from_main(lambda: _prepare(arguments))
        share = pending[processes.index :: processes.count]
        bad = _analyse(share, arguments, quiet=not processes.is_main)
        bad = int(total(torch.tensor(bad, device=processes.device)))  # also waits for the other processes
        if processes.is_main:
            _write_table(items, arguments.output)
        leave()
    except (InputError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        return 2
    except KeyboardInterrupt:
        if items and processes.is_main:
            _write_table(items, arguments.output)
            print("stopped: the same command continues from here", file=sys.stderr, flush=True)
        return 130
    return 2 if bad else 0


def _prepare(arguments: argparse.Namespace) -> tuple[list[BatchItem], list[BatchItem]]:
    """Check and store the settings. The old results of changed images are deleted.

    Returns:
        All images, and those to be analysed: the new, the failed and the changed ones.

    Raises:
        InputError: the source is missing, empty or holds the output, or the output is of other settings.
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
    items = find_items([source])
    sha256 = {key: read_config(approach_folder(key)).sha256 for key in _keys(arguments.approach)}
    settings = {"version": VERSION, "source": source.resolve().name, "weights_sha256": sha256,
                "figures": not arguments.no_figures, "columns": list(COLUMNS)}  # fmt: skip
    _check_settings(output / SETTINGS, settings)
    return items, [item for item in items if not _is_done(output, item)]


def _keys(choice: str) -> list[str]:
    """The approaches of a choice; for `ALL` those with weights."""
    available = available_approaches() if choice == ALL else []
    return available or approaches_of(choice)


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    """Write the settings, or raise InputError if the folder has rows of other settings."""
    if path.is_file():
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} is damaged ({error}): give another --output.") from error
        if different := [name for name in settings if earlier.get(name) != settings[name]]:
            names = " and ".join(name.replace("weights_sha256", "approach or weights") for name in different)
            raise InputError(f"{path.parent} holds the results of another {names}: give another --output, or repeat "
                             "the command that they were made with.")  # fmt: skip
    make_folder(path.parent, "--output")
    _write(path, json.dumps(settings, indent=2) + "\n")


def _analyse(items: Sequence[BatchItem], arguments: argparse.Namespace, quiet: bool) -> int:
    """Write the figures and then the row of each image, so that a row means finished work; returns the number of images
    that failed."""
    predictors, left_out = load_predictors(arguments.approach)
    if left_out and not quiet:
        print(f"note: {left_out}", file=sys.stderr, flush=True)
    bad = 0
    for item in tqdm(items, "images", disable=True if quiet else None):
        sha256, results = item.sha256(), analyse_item(item, predictors)
        for result in results if not arguments.no_figures else ():
            if result.answer:
                save_whole(_figure_path(arguments.output, result), result.answer.figure_png())
        rows = [result.row for result in results]
        _write(_row_path(arguments.output, item), json.dumps({"sha256": sha256, "rows": rows}) + "\n")
        if error := rows[0]["error"]:
            bad += 1
            print(f"error: {error if item.name in error else f'{item.name}: {error}'}", file=sys.stderr, flush=True)
    return bad


def _write_table(items: Sequence[BatchItem], output: Path) -> None:
    """Write the table of all rows so far, in the order of the images."""
    rows = [row for item in items for row in _read_rows(output, item)]
    _write(output / TABLE, csv_text(rows))
    images, bad = counts(rows)
    print(f"wrote {output / TABLE}: {images} of {len(items)} images, {bad} of them could not be used", flush=True)


def _row_path(output: Path, item: BatchItem) -> Path:
    """A file name that is valid on every file system for any name of an image."""
    return output / "rows" / f"{hashlib.sha256(item.name.encode(errors='surrogateescape')).hexdigest()[:32]}.json"


def _figure_path(output: Path, result: Result) -> Path:
    return output / "figures" / result.figure_name


def _read_rows(output: Path, item: BatchItem) -> list[Row]:
    """The rows of an image, one per approach; empty if it was not analysed yet."""
    path = _row_path(output, item)
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []


def _is_done(output: Path, item: BatchItem) -> bool:
    """Whether there are rows of an image with the same contents. Rows and figures of other contents under its name are
    deleted."""
    if not (path := _row_path(output, item)).is_file():
        return False
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored["sha256"] == item.sha256():
        return not stored["rows"][0]["error"]
    for row in stored["rows"]:
        _figure_path(output, Result(row)).unlink(missing_ok=True)
    path.unlink()
    return False


def _write(path: Path, text: str) -> None:
    save_whole(path, text.encode(errors="backslashreplace"))
