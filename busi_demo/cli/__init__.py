"""The command line, one file per subcommand."""

from __future__ import annotations

import sys


def print_error(message: str) -> int:
    """Print an error on standard error as one line; returns the exit status 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return 2
