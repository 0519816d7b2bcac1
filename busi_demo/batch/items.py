"""The images of a batch, from folders, zip archives and single files, with their ground truth.

Archives are never unpacked as a whole. One file at a time is unpacked while it is used, in a temporary folder and
without its path, so that no path in an archive can lead out of it and the space needed is that of the largest file.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from busi_demo.data.busi import IMAGE_SUFFIXES, MASK_STEM
from busi_demo.types import CLASSES, InputError, reason_of

SUFFIXES = (*IMAGE_SUFFIXES, ".gif", ".dcm", ".dicom")
"""Suffixes of images in folders and archives; a file that is given directly may have any name."""

_ORPHAN = "{} is a mask without an image: expected {}.png beside it."
_TWICE = "{} is there more than once in the batch: rename one of them."
_MEGABYTE = 10**6
_ENCRYPTED = 0x1  # of a member's flags


@dataclass(frozen=True)
class Limits:
    """Limits of a batch.

    Attributes:
        images: number of images.
        file_bytes: unpacked size of a file in an archive.
        archive_bytes: unpacked size of an archive.
    """

    images: int = 100_000
    file_bytes: int = 200 * _MEGABYTE
    archive_bytes: int = 20_000 * _MEGABYTE


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
        """
        if self.member is None:
            yield self.path
            return
        with TemporaryDirectory(prefix="busi_demo_") as folder:
            bare = _bare_name(self.member.filename)
            target = Path(folder) / bare
            try:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as packed, target.open("wb") as f:
                    shutil.copyfileobj(packed, f)  # reads no more than the size that was checked
            except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, KeyError) as error:
                raise InputError(f"{bare} is damaged in {self.path.name} ({error}): pack the archive again.") from error
            yield target


@dataclass(frozen=True)
class BatchItem:
    """One image of a batch.

    Attributes:
        name: its path in the folder or the archive, with `/`; if the batch has several sources, the name of the source
            is the first part. Unique in the batch.
        image: the file; `None` if there is a fault.
        masks: the true masks, one per lesion; empty if there are none.
        true_class: the name of its folder if that is a class, else `None`.
        fault: a sentence that says why it cannot be used.
    """

    name: str
    image: StoredFile | None = None
    masks: tuple[StoredFile, ...] = ()
    true_class: str | None = None
    fault: str | None = None

    def sha256(self) -> str | None:
        """Hash of the contents of the image and its masks; `None` if they cannot be read."""
        if self.image is None:
            return None
        contents = hashlib.sha256()
        try:
            for file in (self.image, *self.masks):
                with file.on_disk() as path, path.open("rb") as stream:
                    contents.update(hashlib.file_digest(stream, "sha256").digest())
        except (InputError, OSError):
            return None
        return contents.hexdigest()


@dataclass(frozen=True)
class _Candidate:
    """A file that is an image or a mask.

    Attributes:
        name: its path in the folder or the archive.
        fault: a sentence that says why it cannot be used.
    """

    name: PurePosixPath
    file: StoredFile
    fault: str | None = None


def find_items(sources: Sequence[Path], limits: Limits = Limits()) -> list[BatchItem]:
    """List the images of a batch, sorted by name. Image data is not read.

    Hidden files, `__MACOSX`, and files in folders and archives without one of `SUFFIXES` are left out.
    `NAME_mask.png`, `NAME_mask_1.png`, ... are the ground truth of `NAME.png`, as in BUSI, if they are in the same
    folder or archive, or all given as single files.

    Args:
        sources: folders, .zip archives and image files.
    Returns:
        The images. Files that cannot be used are items with a fault: a damaged archive, a mask without an image, a name
        that occurs twice, a path that leads out of its archive, a file that is too large.
    Raises:
        InputError: there is no image, or there are more than `limits.images`.
    """
    items, single = list[BatchItem](), list[_Candidate]()
    for source in sources:
        within = f"{source.name}/" if len(sources) > 1 else ""  # two archives may have different images "1.png"
        try:
            if source.is_dir():
                items += [replace(item, name=within + item.name) for item in _paired(_in_folder(source))]
            elif source.suffix.lower() == ".zip":
                items += [replace(item, name=within + item.name) for item in _paired(_in_archive(source, limits))]
            else:
                single.append(_Candidate(PurePosixPath(source.name), StoredFile(source)))
        except InputError as error:
            items.append(BatchItem(source.name, fault=str(error)))
    items += _paired(single)
    if not items:
        raise InputError(f"There is no image in {', '.join(s.name for s in sources) or 'the batch'}: expected files "
                         f"named {', '.join('*' + suffix for suffix in SUFFIXES)}.")  # fmt: skip
    if len(items) > limits.images:
        raise InputError(f"The batch has {len(items):,} images, at most {limits.images:,} are taken at a time: split "
                         "it.")  # fmt: skip
    return sorted(_unique(items), key=lambda item: item.name)


def _in_folder(folder: Path) -> list[_Candidate]:
    files = [(PurePosixPath(path.relative_to(folder).as_posix()), path) for path in sorted(folder.rglob("*"))]
    return [_Candidate(name, StoredFile(path)) for name, path in files if _is_visible_image(name) and path.is_file()]


def _in_archive(path: Path, limits: Limits) -> list[_Candidate]:
    """The files of a zip archive.

    Raises:
        InputError: it is not a zip archive, or its unpacked size is too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir() and _is_visible_image(_inner_path(m.filename))]
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        message = f"{path.name} cannot be read as a zip archive ({reason_of(error)}): pack it again."
        raise InputError(message) from error
    unpacked = sum(member.file_size for member in members)
    if unpacked > limits.archive_bytes:
        raise InputError(f"{path.name} unpacks to {unpacked // _MEGABYTE:,} MB, at most "
                         f"{limits.archive_bytes // _MEGABYTE:,} MB are accepted: split it.")  # fmt: skip
    candidates = []
    for member in members:
        name, bare = _inner_path(member.filename), _bare_name(member.filename)
        shown = name if _leads_inside(name) else PurePosixPath(f"{path.name}: {bare}")
        fault = _fault_of(member, path.name, limits)
        candidates.append(_Candidate(shown, StoredFile(path, member), fault and f"{bare} {fault}"))
    return candidates


def _fault_of(member: zipfile.ZipInfo, archive: str, limits: Limits) -> str | None:
    """The end of a sentence that says why a member of an archive cannot be used; `None` if it can."""
    if not _leads_inside(_inner_path(member.filename)):
        return f"has a path that leads out of {archive}: pack it again."
    if member.file_size > limits.file_bytes:
        return (f"unpacks to {member.file_size // _MEGABYTE:,} MB, at most {limits.file_bytes // _MEGABYTE:,} MB are "
                "accepted: shrink it.")  # fmt: skip
    if member.flag_bits & _ENCRYPTED:
        return f"is encrypted in {archive}: pack it without a password."
    return None


def _is_visible_image(name: PurePosixPath) -> bool:
    """Whether a file of a folder or an archive is an image and not hidden."""
    hidden = any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in name.parts)
    return not hidden and name.suffix.lower() in SUFFIXES


def _inner_path(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))


def _leads_inside(name: PurePosixPath) -> bool:
    """Whether a path in an archive stays inside the archive and is printable."""
    return not name.is_absolute() and ".." not in name.parts and ":" not in name.parts[0] and str(name).isprintable()


def _bare_name(name: str) -> str:
    """The last part of a name in an archive as a valid file name with the same suffix."""
    bare = re.sub(r"[^\w.()\- ]|^\.+", "_", _inner_path(name).name)
    return bare.encode()[-100:].decode(errors="ignore") or "image"  # bytes, of which a file name has at most 255


def _paired(candidates: Sequence[_Candidate]) -> Iterator[BatchItem]:
    """The images with their masks. An image with a faulty mask, and a mask without an image, become faults."""
    times = Counter(file.name for file in candidates)
    images, masks = list[_Candidate](), defaultdict[PurePosixPath, list[_Candidate]](list)
    for file in candidates:
        if times[file.name] > 1:
            file = replace(file, fault=_TWICE.format(file.name.name))
        if match := MASK_STEM.match(file.name.stem):
            masks[file.name.with_name(match["name"])].append(file)
        else:
            images.append(file)
    for image in images:
        own = masks.get(image.name.with_name(image.name.stem), [])
        name, folder = str(image.name), image.name.parent.name
        if fault := next((file.fault for file in (image, *own) if file.fault), None):
            yield BatchItem(name, fault=fault)
        else:
            true_class = folder if folder in CLASSES else None
            yield BatchItem(name, image.file, tuple(mask.file for mask in own), true_class)
    stems = {image.name.with_name(image.name.stem) for image in images}
    for missing in masks.keys() - stems:
        for mask in masks[missing]:
            yield BatchItem(str(mask.name), fault=mask.fault or _ORPHAN.format(mask.name.name, missing.name))


def _unique(items: Sequence[BatchItem]) -> Iterator[BatchItem]:
    """The items; those that share a name become faults with unique names."""
    times, count = Counter(item.name for item in items), Counter[str]()
    for item in items:
        count[item.name] += 1
        if times[item.name] == 1:
            yield item
        else:
            name = item.name if count[item.name] == 1 else f"{item.name} [{count[item.name]}]"
            yield BatchItem(name, fault=item.fault or _TWICE.format(PurePosixPath(item.name).name))
