"""Which files of the project may be published: those that git tracks, and no picture of a data set."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from busi_demo.data.busi import IMAGE_SUFFIXES
from busi_demo.data.published import image_notes
from busi_demo.types import InputError

PICTURES = re.compile(r"examples/[^/]+|weights/[^/]+/report/[^/]+|train/results/[^/]+|\.github/screenshots/[^/]+")
"""Where pictures are allowed: simulated ones, plots, and screenshots that show simulated ones."""
_MASK = re.compile(r"_mask(_\d+)?$")


def shipped_files(root: Path, parts: Sequence[str]) -> list[str]:
    """The files of `parts` that git tracks and does not ignore, sorted.

    Args:
        root: the project, a git working copy.
        parts: files and folders directly in `root`; those that do not exist are skipped.
    Returns:
        Paths relative to `root`, with '/'.
    Raises:
        InputError: `root` is not a git working copy, a tracked file is missing, or a picture may come from a data set:
            it is in a folder without simulated pictures or plots, or has the name of an image of BUSI.
    """
    tracked = set(_git(root, parts, "ls-files", "-z"))
    ignored = set(_git(root, parts, "ls-files", "-z", "--cached", "--ignored", "--exclude-standard"))
    names = sorted(tracked - ignored)
    known = {PurePosixPath(name).stem.casefold() for name in image_notes()}
    for name in names:
        if not (root / name).is_file():
            raise InputError(f"{name} is tracked by git but missing: restore it with `git checkout -- '{name}'`.")
        path = PurePosixPath(name)
        if path.suffix.lower() not in (*IMAGE_SUFFIXES, ".dcm", ".webp", ".gif"):
            continue
        if not PICTURES.fullmatch(name) or _MASK.sub("", path.stem).casefold() in known:
            raise InputError(
                f"{name} may be a picture of a data set, and those are not published: take it out of git "
                f"(`git rm --cached '{name}'`), or rename it if it is simulated."
            )
    return names


def _git(root: Path, parts: Sequence[str], *words: str) -> list[str]:
    try:
        run = subprocess.run(["git", *words, "--", *parts], cwd=root, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(
            f"{root} is not a git working copy: publish from a clone, as only files that git tracks are uploaded."
        ) from error
    return [name for name in run.stdout.decode().split("\0") if name]
