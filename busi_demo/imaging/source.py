"""Sources of images: paths, bytes and images in memory; their names in messages, and how they are opened."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from busi_demo.types import InputError, reason_of

Undecoded = str | Path | bytes | Image.Image | np.ndarray
"""A path, the bytes of a file, or an image in memory."""

EXPECTED = "a PNG, JPEG, BMP, TIFF, WebP, GIF or DICOM image"

MAX_PIXELS = 25_000_000
"""Largest number of pixels that is decoded; larger images are refused, as they may be decompression bombs."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # as a path, which has one of its two slashes left


def name_of(source: Undecoded) -> str:
    """Name of a source for messages: only the last part of a path, as messages must not show folders of a server."""
    return Path(source).name or str(source) if isinstance(source, str | Path) else "The given image"


def open_stream(source: str | Path | bytes) -> BinaryIO:
    """Open a file or wrap its bytes for reading, from the start.

    Raises:
        InputError: there is no such file, it cannot be opened, or it is empty.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else _open_file(Path(source))
    if not stream.read(1):
        stream.close()
        raise InputError(f"{name_of(source)} is empty (0 bytes), expected {EXPECTED}: copy or upload it again.")
    stream.seek(0)
    return stream


def too_large(name: str) -> InputError:
    """The error for an image of more than `MAX_PIXELS`."""
    return InputError(f"{name} has more than {MAX_PIXELS // 10**6} million pixels, the most that is read: shrink it.")


def too_costly(name: str) -> InputError:
    """The error for a file that takes more time or memory to decode than there is, or that a decoder breaks down on."""
    return InputError(
        f"{name} could not be decoded in the time and memory that there are for one file: make it smaller, or export "
        "it again."
    )


def frame_index(number: int | None, count: int, name: str, middle: bool = False) -> int:
    """Position of the frame or page to read, from 0 on.

    Args:
        number: the one that a person asks for, from 1 on; `None`: the first, or the middle one.
        count: how many there are.
        name: of the file, for the message.
    Raises:
        InputError: there is no such frame.
    """
    if number is None:
        return count // 2 if middle else 0
    if not 1 <= number <= count:
        has = f"{count} frames, expected a number from 1 to {count}" if count > 1 else "one frame only, expected 1"
        raise InputError(f"{name} has {has}, got frame {number}: give another number.")
    return number - 1


def _open_file(path: Path) -> BinaryIO:
    name = name_of(path)
    if os.path.isdir(path):  # False without permission to look
        raise InputError(f"{name} is a folder, expected one file: name {EXPECTED} in it.")
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe may have no end
        raise InputError(f"{name} is no regular file, expected {EXPECTED}: save it as a file first.")
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        if _ADDRESS.match(str(path)):
            message = f"{name} is an address, expected the path of a file: download it first, and name that file."
            raise InputError(message) from error
        raise InputError(f"{name} does not exist, expected {EXPECTED}: check the path.") from error
    except (OSError, ValueError) as error:
        message = f"{name} cannot be opened ({reason_of(error)}), expected {EXPECTED}: check the path."
        raise InputError(message) from error
