"""Names, classes and hashes of the published BUSI images and what audits found out; see `resources/README.md`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib import resources


def image_notes() -> dict[str, dict[str, str]]:
    """Notes of published audits on BUSI images, by file name; see `resources/README.md` for the columns."""
    return {row["image"]: row for row in _read_resource("image_notes.csv")}


def locked_test() -> dict[str, dict[str, str]]:
    """The locked test images by file name, with `class` and `phash` (64 bits, hexadecimal)."""
    return {row["image"]: row for row in _read_resource("locked_test.csv")}


def _read_resource(name: str) -> Sequence[dict[str, str]]:
    text = resources.files("busi_demo.data").joinpath("resources", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
