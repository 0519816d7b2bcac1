"""The files of a batch, from folders and zip archives: which are images, and why the others are left out.

Archives are never unpacked as a whole. One file at a time is unpacked while it is used, in a temporary folder and
without its path, so that no path in an archive can lead out of it and the space needed is that of the largest file.
"""

from __future__ import annotations

import bz2
import errno
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from busi_demo.batch.zip_names import true_names
from busi_demo.data.busi import IMAGE_SUFFIXES
from busi_demo.imaging.kinds import HEAD, is_dicom, kind_of
from busi_demo.types import InputError, reason_of

SUFFIXES = (*IMAGE_SUFFIXES, ".gif", ".dcm", ".dicom")
"""Suffixes of images in folders and archives; a file that is given directly may have any name."""

TABLE_SUFFIX = ".csv"
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_MEGABYTE = 10**6
_ENCRYPTED = 0x1  # of a member's flags
_CHUNK = 4096  # bytes; LZMA unpacks each to 30 MB at most
_DRIVE = re.compile(r"^[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Limits:
    """Limits of a batch.

    Attributes:
        images: number of images.
        file_bytes: unpacked size of a file in an archive.
        archive_bytes: unpacked size of an archive.
        table_bytes: size of an archive's table of contents, about 100 for each file.
    """

    images: int = 100_000
    file_bytes: int = 200 * _MEGABYTE
    archive_bytes: int = 20_000 * _MEGABYTE
    table_bytes: int = 100 * _MEGABYTE


@dataclass(frozen=True)
class StoredFile:
    """A file, or a member of a zip archive.

    Attributes:
        path: the file or the archive.
        member: entry of the archive's table of contents, because names need not be unique; `None` for a file.
    """

    path: Path
    member: zipfile.ZipInfo | None = None

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """A context manager that gives the path of the file, or of the unpacked member, which is deleted afterwards.

        Raises:
            InputError: the member is damaged or has an unknown compression.
            OSError: the archive cannot be read, or the disk is full.
        """
        if self.member is None:
            yield self.path
            return
        with TemporaryDirectory(prefix="busi_demo_") as folder:
            bare = _bare_name(self.member.filename)
            target = Path(folder) / bare
            try:
                with zipfile.ZipFile(self.path) as archive, _opened(archive, self.member) as packed, \
                        target.open("wb") as f:  # fmt: skip
                    shutil.copyfileobj(packed, f, _CHUNK)  # reads no more than the size that was checked
            except Exception as error:  # zipfile and the decompressors raise many types on damaged members
                if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                    raise  # of the disk; those of bz2 have no number, and EINVAL is a place that no file has
                reason = reason_of(error) or type(error).__name__
                message = f"{bare} is damaged in {self.path.name} ({reason}): pack the archive again."
                raise InputError(message) from error
            yield target


@dataclass(frozen=True)
class Candidate:
    """A file that is an image or a mask.

    Attributes:
        name: its path in the folder or the archive.
        fault: a sentence that says why it cannot be used.
    """

    name: PurePosixPath
    file: StoredFile
    fault: str | None = None


@dataclass(frozen=True)
class LeftOut:
    """A file that is no image of the batch.

    Attributes:
        name: its path in the folder or the archive.
        reason: why, as the end of a sentence that starts with its name.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Contents:
    """What a folder or an archive holds.

    Attributes:
        candidates: images and masks.
        tables: CSV files, which may name pairs of images and masks.
        left_out: all others.
    """

    candidates: list[Candidate] = field(default_factory=list)
    tables: list[Candidate] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def add(self, candidate: Candidate, head: Callable[[], bytes]) -> None:
        """Put a file where it belongs; `head` reads its first bytes and is called where the name does not tell."""
        name = candidate.name
        suffix = name.suffix.lower()
        if any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in name.parts):
            self.leave_out(name, "is hidden")
        elif suffix in SUFFIXES:
            self.candidates.append(candidate)
        elif suffix == TABLE_SUFFIX:
            self.tables.append(candidate)
        elif name.name.casefold() == "dicomdir":
            self.leave_out(name, "is the table of contents of a DICOM folder, not an image")
        elif suffix in _ARCHIVES:
            self.leave_out(name, "is an archive in the batch: give it on its own")
        elif candidate.fault:
            self.leave_out(name, candidate.fault)
        elif is_dicom(start := head()):
            self.candidates.append(candidate)
        elif not start:
            self.leave_out(name, "is empty, or cannot be read")
        else:
            self.leave_out(name, f"is {kind_of(start) or 'no image'}: expected {', '.join(SUFFIXES)} or DICOM")

    def leave_out(self, name: PurePosixPath | str, reason: str) -> None:
        """Add a file to `left_out`."""
        self.left_out.append(LeftOut(str(name), reason))


def in_folder(folder: Path) -> Contents:
    """The files of a folder and its subfolders. Links to folders are not followed, as they may lead in circles."""
    contents = Contents()

    def unreadable(error: OSError) -> None:
        where = Path(error.filename or folder)
        contents.leave_out(_relative(where, folder), f"cannot be looked into ({reason_of(error)})")

    for place, folders, files in os.walk(folder, onerror=unreadable):
        for name in [name for name in folders if name.startswith(".") or name == "__MACOSX"]:
            folders.remove(name)
            contents.leave_out(_relative(Path(place, name), folder), "is a hidden folder")
        folders.sort()
        for name in folders:
            if (path := Path(place, name)).is_symlink():
                contents.leave_out(_relative(path, folder), "is a link to a folder: give that folder on its own")
        for path in (Path(place, name) for name in sorted(files)):
            shown = _relative(path, folder)
            if path.is_file():
                contents.add(Candidate(shown, StoredFile(path)), lambda path=path: _head_of(path))  # type: ignore[misc]
            else:
                broken = "is a link to a file that does not exist" if path.is_symlink() else "is no regular file"
                contents.leave_out(shown, broken)
    return contents


def in_archive(path: Path, limits: Limits) -> Contents:
    """The files of a zip archive.

    Raises:
        InputError: it is not a zip archive, or its unpacked size is too large.
    """
    contents = Contents()
    try:
        if _table_bytes(path) > limits.table_bytes:
            raise zipfile.BadZipFile(f"its table of contents has over {limits.table_bytes / _MEGABYTE:g} MB")
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.filename.endswith("/")]
            names = true_names(members)
            for member in members:
                member.filename = names.get(id(member), member.filename)  # zipfile checks `orig_filename`
                name, bare = _inner_path(member.filename), _bare_name(member.filename)
                shown = name if _leads_inside(name) else PurePosixPath(f"{path.name}: {bare}")
                fault = _fault_of(member, path.name, limits)
                candidate = Candidate(shown, StoredFile(path, member), fault and f"{bare} {fault}")
                contents.add(candidate, lambda member=member: _head_in(archive, member))  # type: ignore[misc]
    except Exception as error:  # zipfile raises many types on damaged archives
        reason = reason_of(error) or type(error).__name__
        message = f"{path.name} cannot be read as a zip archive ({reason}): pack it again."
        raise InputError(message) from error
    unpacked = sum(c.file.member.file_size for c in contents.candidates + contents.tables if c.file.member)
    if unpacked > limits.archive_bytes:
        raise InputError(f"{path.name} unpacks to {unpacked // _MEGABYTE:,} MB, at most "
                         f"{limits.archive_bytes // _MEGABYTE:,} MB are accepted: split it.")  # fmt: skip
    return contents


def _table_bytes(path: Path) -> int:
    """Size of the table of contents of an archive, 0 without one. To open the archive reads all of it, and needs
    twenty times the memory."""
    with path.open("rb") as file:
        record = zipfile._EndRecData(file)  # type: ignore[attr-defined]
        return int(record[zipfile._ECD_SIZE]) if record else 0  # type: ignore[attr-defined]


def _fault_of(member: zipfile.ZipInfo, archive: str, limits: Limits) -> str | None:
    """The end of a sentence that says why a member of an archive cannot be used; `None` if it can."""
    if not _leads_inside(_inner_path(member.filename)):
        return f"has a path that leads out of {archive}: pack it again."
    if stat.S_ISLNK(member.external_attr >> 16):
        return f"is a link in {archive}, not a file: pack the file itself."
    if member.file_size > limits.file_bytes:
        return (f"unpacks to {member.file_size // _MEGABYTE:,} MB, at most {limits.file_bytes // _MEGABYTE:,} MB are "
                "accepted: shrink it.")  # fmt: skip
    if member.flag_bits & _ENCRYPTED:
        return f"is encrypted in {archive}: pack it without a password."
    return None


def _relative(path: Path, folder: Path) -> PurePosixPath:
    return PurePosixPath(path.relative_to(folder).as_posix())


def _head_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


def _head_in(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with _opened(archive, member) as file:
            return file.read(HEAD)
    except Exception:  # zipfile and the decompressors raise many types on damaged members
        return b""


def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    """Open a member. Of bzip2, zipfile unpacks all that a block holds before it cuts it to the size in the table of
    contents: a few bytes become gigabytes."""
    packed = archive.open(member)
    if member.compress_type == zipfile.ZIP_BZIP2:
        packed._decompressor = _BoundedBzip2(member.file_size)  # type: ignore[attr-defined]
    return packed


class _BoundedBzip2:
    """A decompressor as `zipfile` uses them, which gives no more than `size` bytes."""

    def __init__(self, size: int) -> None:
        self._inner, self._left = bz2.BZ2Decompressor(), size

    def decompress(self, data: bytes) -> bytes:
        unpacked = self._inner.decompress(data, max_length=self._left + 1)
        self._left -= len(unpacked)
        if self._left < 0:
            raise zipfile.BadZipFile("it unpacks to more than the table of contents says")
        return unpacked

    @property
    def eof(self) -> bool:
        return self._inner.eof


def _inner_path(name: str) -> PurePosixPath:
    """The path of a member, with `/` and without line breaks and other control characters."""
    return PurePosixPath(_CONTROL.sub("_", name.replace("\\", "/")))


def _leads_inside(name: PurePosixPath) -> bool:
    """Whether a path in an archive stays inside the archive."""
    return not (name.is_absolute() or ".." in name.parts or not name.parts or _DRIVE.match(name.parts[0]))


def _bare_name(name: str) -> str:
    """The last part of a name in an archive as a valid file name with the same suffix."""
    bare = re.sub(r"[^\w.()\- ]|^\.+", "_", _inner_path(name).name)
    return bare.encode()[-100:].decode(errors="ignore") or "image"  # bytes, of which a file name has at most 255
