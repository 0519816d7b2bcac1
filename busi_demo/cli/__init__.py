"""The command line, one file per subcommand."""

from __future__ import annotations

import argparse
import sys


def print_error(message: str) -> int:
    """Print an error on standard error as one line; returns the exit status 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return 2


def add_analyse_anyway(parser: argparse.ArgumentParser) -> None:
    """Add the option that overrides the refusal of the input check."""
    parser.add_argument(
        "--analyse-anyway", action="store_true",
        help="tell the answer on pictures that do not look like a breast ultrasound, too; the warning stays",
    )  # fmt: skip
