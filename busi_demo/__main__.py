"""Command line: python -m busi_demo predict IMAGE..., and what else --help lists."""

from __future__ import annotations

import argparse
import sys

from busi_demo.cli import batch, examples, predict, publish


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    parser = argparse.ArgumentParser(prog="busi_demo", description="Breast ultrasound demo, no diagnosis.")
    subcommands = parser.add_subparsers(dest="command", required=True)
    predict.add_predict(subcommands)
    batch.add_batch(subcommands)
    examples.add_examples(subcommands)
    publish.add_publish(subcommands)
    arguments = parser.parse_args(argv)
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
