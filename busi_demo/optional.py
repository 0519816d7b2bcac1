"""Libraries that only some settings need: imported where they are used, missed in one sentence before a run begins."""

from __future__ import annotations

from importlib.util import find_spec

from busi_demo.types import InputError


def require(package: str, by: str) -> None:
    """Raise an InputError that says how to install `package`, which `by` needs, where it is missing."""
    if find_spec(package) is None:
        raise InputError(f"{by} needs the package {package}: pip install {package}.")
