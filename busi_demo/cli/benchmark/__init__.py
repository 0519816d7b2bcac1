"""The subcommand `benchmark`: how fast everything is on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from busi_demo.cli import print_error
from busi_demo.types import InputError


def add_benchmark(subcommands: Any) -> None:
    """Add the subcommand `benchmark`."""
    parser = subcommands.add_parser("benchmark", help="measure how fast everything is on this machine, as ratios")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(USUAL),
                        help=f"default: {', '.join(USUAL)}")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=20, metavar="N", help="calls, of which the median counts "
                        "(default: %(default)s); below 20, engines that compile for minutes are left out")  # fmt: skip
    parser.add_argument("--images", type=int, default=200, metavar="N", help="images of the batch, of the training "
                        "epoch and of the comparison of engines (default: %(default)s)")  # fmt: skip
    parser.add_argument("--requests", type=int, default=1000, metavar="N", help="requests while memory is watched "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--data", metavar="DIR", help="real images in BUSI layout for the section agreement (else "
                        "$BUSI_DATA, data/Dataset_BUSI_with_GT); none of the locked test set is taken")  # fmt: skip
    parser.add_argument("--engine", metavar="KEY", help="instead of the one that is chosen")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--compare", type=Path, metavar="FILE.json", help="show the ratios of an earlier run, too")
    parser.add_argument("--markdown", type=Path, metavar="FILE.md", help="write the tables, as in BENCHMARKS.md")
    parser.set_defaults(run=benchmark)


def benchmark(arguments: argparse.Namespace) -> int:
    """Run `benchmark`; returns the exit status: 0, or 2 after an error message on standard error."""
    from busi_demo.cli.benchmark.report import markdown, table
    from busi_demo.project import check_file, json_bytes, read_json, save_whole

    try:
        for name in ("repeats", "images", "requests"):
            if getattr(arguments, name) < 1:
                raise InputError(f"--{name} must be at least 1, got {getattr(arguments, name)}.")
        for name in ("json", "markdown"):
            if path := getattr(arguments, name):
                check_file(path, f"--{name}")
        before = read_json(arguments.compare) if arguments.compare else None
        result = measure(arguments)
    except InputError as error:
        return print_error(str(error))
    print(table(result, before))
    if arguments.json:
        save_whole(arguments.json, json_bytes(result))
    if arguments.markdown:
        old = arguments.markdown.read_text(encoding="utf-8") if arguments.markdown.is_file() else ""
        save_whole(arguments.markdown, markdown(result, old).encode())
    return 0


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the sections that were asked for; returns `machine`, `date`, `commit` and what they measured, joined by name.

    Raises:
        InputError: weights are missing, an engine is not there, or the app does not start.
    """
    from datetime import UTC, datetime

    from busi_demo.cli.benchmark.timing import machine
    from busi_demo.project import git_commit

    commit = git_commit()
    result: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit and commit[:12],
        "machine": machine(),
    }
    for name in arguments.only:
        print(f"measuring: {name} ...", flush=True)
        for key, values in SECTIONS[name](arguments).items():
            result[key] = {**result.get(key, {}), **values}
    return result


def _answers(arguments: argparse.Namespace) -> dict[str, Any]:
    from busi_demo.cli.benchmark.answers import answers

    return answers(arguments.repeats, arguments.images, arguments.engine)


def _start(arguments: argparse.Namespace) -> dict[str, Any]:
    from busi_demo.cli.benchmark.process import start

    return start(3)


def _memory(arguments: argparse.Namespace) -> dict[str, Any]:
    from busi_demo.cli.benchmark.process import memory

    return memory(arguments.requests, arguments.engine)


def _training(arguments: argparse.Namespace) -> dict[str, Any]:
    from busi_demo.cli.benchmark.training import training

    return training(arguments.images)


def _agreement(arguments: argparse.Namespace) -> dict[str, Any]:
    from busi_demo.cli.benchmark.agreement import agreement
    from busi_demo.cli.benchmark.answers import FULL_RUN
    from busi_demo.data.locate import data_at_hand, find_data

    root = find_data(arguments.data) if arguments.data else data_at_hand()
    if root is None:
        raise InputError("There is no data set here: give its folder with --data DIR, or set $BUSI_DATA.")
    return agreement(root, arguments.images, arguments.engine, arguments.repeats >= FULL_RUN)


def _throughput(arguments: argparse.Namespace) -> dict[str, Any]:
    from busi_demo.cli.benchmark.throughput import throughput

    return throughput(arguments.images, arguments.engine)


USUAL = {"start": _start, "memory": _memory, "training": _training, "answers": _answers}
SECTIONS = {**USUAL, "agreement": _agreement, "throughput": _throughput}
