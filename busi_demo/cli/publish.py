"""The subcommand `publish`: the app and its weights to the Hugging Face Hub."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

from busi_demo.publishing.upload import TO_COME, Upload, outdated_on_hub, space_upload, weights_upload
from busi_demo.publishing.upload import upload as upload_all
from busi_demo.types import InputError
from busi_demo.weights import hub


def add_publish(subcommands: Any) -> None:
    """Define `publish`."""
    parser = subcommands.add_parser("publish", help="put the app and its weights on the Hugging Face Hub")
    parser.add_argument("--space", metavar="OWNER/NAME", help="the Space to create or update; with --weights it loads "
                        "the weights from that repository, otherwise it holds them itself")  # fmt: skip
    parser.add_argument("--weights", metavar="OWNER/NAME", help="the model repository to create or update")
    parser.add_argument("--private", action="store_true", help="a repository that is created is private")
    parser.add_argument("--dry-run", action="store_true",
                        help="show which files would be uploaded and deleted, and stop")  # fmt: skip
    parser.set_defaults(run=publish)


def publish(arguments: argparse.Namespace) -> int:
    """Run `publish`; returns the exit status: 0, or 2 after an error message on standard error."""
    try:
        if not (arguments.space or arguments.weights):
            raise InputError("Nothing to publish: give --space OWNER/NAME, --weights OWNER/NAME, or both.")
        for name in filter(None, (arguments.space, arguments.weights)):
            hub.check_repository(name)
        if arguments.dry_run:
            _show(_planned(arguments.space, arguments.weights))
        else:
            upload_all(arguments.space, arguments.weights, private=arguments.private)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _planned(space: str | None, weights: str | None) -> Iterable[Upload]:
    if weights:
        yield weights_upload(weights)
    if space:
        yield space_upload(space, hub.Pin(weights, TO_COME) if weights else None)


def _show(uploads: Iterable[Upload]) -> None:
    for upload in uploads:
        print(upload.listing())
        try:
            for name in outdated_on_hub(upload):
                print(f"{'delete':>12}  {name}")
        except InputError as error:
            print(f"note: {error} If it holds files of an earlier upload, those not listed here are deleted.")
        for name, source in sorted(upload.files.items()):
            if isinstance(source, bytes):
                print(f"\n--- {name}, made for {upload.repository} ---\n{source.decode()}--- end of {name} ---\n")
    print("dry run: nothing was uploaded")
