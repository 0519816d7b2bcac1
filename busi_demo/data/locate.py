"""Find the BUSI data set: by option, by environment variable, in the default folder, or by download."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from busi_demo.data.made import MADE
from busi_demo.types import CLASSES, InputError

KAGGLE_DATASET = "aryashah2k/breast-ultrasound-images-dataset"
DEFAULT_FOLDER = Path("data/Dataset_BUSI_with_GT")
ENVIRONMENT_VARIABLE = "BUSI_DATA"


class DataNotFoundError(InputError):
    """No folder was given, the default folder does not exist, and the download failed."""


def find_data(folder: str | Path | None = None, option: str = "--data") -> Path:
    """Return the folder that holds the class folders `benign`, `malignant`, `normal`.

    Searched in this order: `folder` (that of `option` on the command line), the environment variable BUSI_DATA,
    `data/Dataset_BUSI_with_GT` below the current folder, a download with kagglehub. A folder that is given but
    wrong is an error and is not skipped; it may be the parent of the intended folder.

    Raises:
        InputError: a given folder is not in BUSI layout.
        DataNotFoundError: none of the four ways gives a folder; the message names them.
    """
    for name, given in ((option, folder), (f"${ENVIRONMENT_VARIABLE}", os.environ.get(ENVIRONMENT_VARIABLE))):
        if given:
            return _class_root(Path(given).expanduser(), name)
    if DEFAULT_FOLDER.is_dir():
        return _class_root(DEFAULT_FOLDER, "the default")
    return _class_root(_download(), "the download")


def find_further(folders: Sequence[str | Path], main: str, option: str = "--extra") -> dict[str, Path]:
    """Find data sets beside the main one: name -> folder, as `find_data`. Images are told apart by the name of their
    data set, which is that of its folder.

    Args:
        main: name of the main data set.
        option: that names the folders on the command line.
    Raises:
        InputError: a folder is not in BUSI layout, or its name is that of another data set, or of images that this
            project makes.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        root = find_data(folder, option)
        if root.name in (main, *found, *MADE):
            raise InputError(
                f"{root} (from {option}) has the name of another data set, by which images are told apart: rename the "
                "folder."
            )
        found[root.name] = root
    return found


def find_sets(folder: str | Path | None, further: Sequence[str | Path]) -> dict[str, Path]:
    """Find the main data set and those beside it: name -> folder, the main one first.

    Args:
        folder: of the main one, as for `find_data`.
        further: as for `find_further`.
    Raises:
        InputError, DataNotFoundError: as for these two.
    """
    root = find_data(folder)
    return {root.name: root, **find_further(further, root.name)}


def data_at_hand() -> Path | None:
    """The folder that `find_data` returns without an argument, but never by a download; else `None`.

    Raises:
        InputError: the environment variable or the default folder names a folder that is not in BUSI layout.
    """
    return find_data() if os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_FOLDER.is_dir() else None


def _class_root(folder: Path, named_by: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder} (from {named_by}) is not a folder: give the folder Dataset_BUSI_with_GT.")
    for candidate in (folder, *sorted(p for p in folder.iterdir() if p.is_dir())):
        if any((candidate / label).is_dir() for label in CLASSES):
            return candidate
    raise InputError(
        f"{folder} (from {named_by}) is not in BUSI layout: expected folders named {', '.join(CLASSES)} in it."
    )


def _download() -> Path:
    try:
        import kagglehub

        return Path(kagglehub.dataset_download(KAGGLE_DATASET))
    except Exception as error:  # kagglehub raises whatever its HTTP layer does
        raise DataNotFoundError(
            "BUSI was not found. Give its folder with --data DIR, or set $BUSI_DATA, or put it into "
            f"{DEFAULT_FOLDER}, or connect to a network so that kagglehub can download {KAGGLE_DATASET} "
            f"(it said: {str(error).splitlines()[0] if str(error) else type(error).__name__}). "
            "To try without any data set: --data phantoms."
        ) from error
