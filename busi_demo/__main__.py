"""The command line: python -m busi_demo SUBCOMMAND, or busi-demo SUBCOMMAND where the package is installed."""

from __future__ import annotations

import argparse
import io
import sys

from busi_demo.cli import batch, benchmark, examples, predict, publish


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: words after the program name; by default those of the command line.
    Returns:
        The exit status: 0, or 2 after an error message.
    """
    parser = argparse.ArgumentParser(
        prog="busi_demo", description="Breast ultrasound: a research demo, not a medical device."
    )
    subcommands = parser.add_subparsers(dest="command", required=True)
    predict.add_predict(subcommands)
    batch.add_batch(subcommands)
    examples.add_examples(subcommands)
    publish.add_publish(subcommands)
    benchmark.add_benchmark(subcommands)
    arguments = parser.parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
