"""Where the project is, optional packages, and reading and writing whole files."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from busi_demo.types import InputError, reason_of

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: the folder that holds `busi_demo`, `weights` and `examples`."""

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
TEMPORARY = Path(tempfile.gettempdir())
"""The system's folder of temporary files. A server puts its own elsewhere, see `ui.uploads`."""

_LONGEST_LINE = 10**6  # characters, of a table
_LONGEST_NAME = 255  # bytes of a file name on the usual file systems


def save_whole(path: Path, content: bytes) -> Path:
    """Write a file completely or not at all: a reader sees the old content or the new one, never a part of it.

    Args:
        path: the file; its folder is created if it is missing. An existing file is replaced.
        content: the whole file.
    Returns:
        `path`.
    Raises:
        OSError: the folder cannot be written, or the disk is full. It names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without `path.name` in it, which may be as long as the file system allows.
    partial = path.with_name(f".{os.getpid()}-{threading.get_ident()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        if error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error  # that of a full disk names no file
    finally:
        partial.unlink(missing_ok=True)
    return path


def make_folder(path: Path, option: str) -> None:
    """Make a folder for results where it is missing, and check that it can be written.

    Args:
        option: the command line option that names it, for the message.
    Raises:
        InputError: it cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise InputError(
            f"The folder {path} cannot be written ({reason_of(error)}): name another with {option}."
        ) from error


def check_file(path: Path, option: str) -> None:
    """Check before the work that a file for results can be written; its folder is made where it is missing.

    Args:
        option: the command line option that names it, for the message.
    Raises:
        InputError: it is a folder, or its folder cannot be made or written.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, expected a file that can be written: name another with {option}.")
    make_folder(path.parent, option)


def file_name(name: str, ending: str = "") -> str:
    """`name` and `ending` as one file name of at most 255 bytes. A name that is too long for that is cut, and a hash
    of the whole name follows, so that different names stay different."""
    raw = name.encode(errors="surrogateescape")
    room = _LONGEST_NAME - len(ending.encode())
    if len(raw) <= room:
        return name + ending
    mark = f"~{hashlib.sha256(raw).hexdigest()[:16]}"
    return raw[: room - len(mark)].decode(errors="ignore") + mark + ending


def json_bytes(value: Any) -> bytes:
    """A JSON value as an indented UTF-8 file that ends with a line break.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file cannot be read or is not JSON; the message has the last three parts of its path.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        name = "/".join(path.parts[-3:])  # a page may show the message: it must not name folders of the server
        raise InputError(f"{name} cannot be read as JSON ({reason_of(error)}): make it again.") from error


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV file as people have them: in UTF-8, with a byte order mark or not, or as old spreadsheets write it;
    separated by commas, semicolons or tabs. Names of columns are in lower case, values without white space around.

    Raises:
        InputError: the file cannot be read.
    """
    columns, rows = table_rows(path)
    return [dict(zip(columns, (*row, *[""] * len(columns)), strict=False)) for row in rows]


def table_rows(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    """The names of the columns of a CSV file, and its rows one after the other; see `read_table`. A row may be shorter
    or longer than the names.

    Raises:
        InputError: the file cannot be read, or has a line of over a million characters; from the iterator, too.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _no_table(path, error) from error
    try:
        text = raw.decode("utf-16" if raw.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")
    stream = io.StringIO(text.replace("\0", ""))
    if not stream.readline(_LONGEST_LINE).lower().startswith("sep="):  # of Excel
        stream.seek(0)
    start = stream.tell()
    heading = stream.readline()
    stream.seek(start)
    found = csv.reader(_lines(stream), delimiter=max(",;\t", key=heading.count))

    def rows() -> Iterator[list[str]]:
        try:
            for row in found:
                if row:
                    yield [value.strip() for value in row]
        except csv.Error as error:
            raise _no_table(path, error) from error

    remaining = rows()
    return [name.lower() for name in next(remaining, [])], remaining


def _lines(stream: io.StringIO) -> Iterator[str]:
    while line := stream.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise csv.Error("a line is too long")
        yield line


def _no_table(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read as a table ({reason_of(error)}): save it as a CSV file.")


def require(package: str, by: str) -> None:
    """Check that an optional package is installed.

    Args:
        package: its import name.
        by: the setting that needs it, for the message.
    Raises:
        InputError: it is not installed; the message says how to install it.
    """
    if find_spec(package) is None:
        raise InputError(f"{by} needs the package {package}: pip install {package}.")


def git_commit() -> str | None:
    """The commit of the checkout, with `-dirty` if files are changed; `None` outside of git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()
