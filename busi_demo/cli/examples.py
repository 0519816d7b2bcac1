"""The subcommand `examples`: held-out real images for the gallery."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from busi_demo.types import InputError
from busi_demo.weights import store


def add_examples(subcommands: Any) -> None:
    """Add the subcommand `examples`."""
    parser = subcommands.add_parser("examples", help="add held-out real images to the gallery, or remove them")
    parser.add_argument("--data", metavar="DIR", help="the data set that the weights were trained on, in BUSI layout "
                        "(else $BUSI_DATA, data/Dataset_BUSI_with_GT)")  # fmt: skip
    parser.add_argument("--per-class", type=int, default=3, metavar="N", help="images of each class (default: 3)")
    parser.add_argument("--remove", action="store_true", help="remove them")
    parser.set_defaults(run=examples)


def examples(arguments: argparse.Namespace) -> int:
    """Run `examples`; returns the exit status: 0, or 2 after an error message on standard error."""
    from busi_demo.data.locate import data_at_hand, find_data
    from busi_demo.gallery.real import held_out, remove_real_examples, write_real_examples

    try:
        if arguments.remove:
            was_there = remove_real_examples()
            print(
                "removed the real images from the gallery" if was_there else "there were no real images in the gallery"
            )
            return 0
        if arguments.per_class < 1:
            raise InputError(f"--per-class must be at least 1, got {arguments.per_class}.")
        root = find_data(arguments.data) if arguments.data else data_at_hand()
        if root is None:
            raise InputError("There is no data set here: give its folder with --data DIR, or set $BUSI_DATA.")
        chosen = held_out(root, store.WEIGHTS_FOLDER, arguments.per_class)
        folder = write_real_examples(chosen)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(chosen)} held-out images are in {folder}, which git ignores; restart the app to see them.")
    return 0
