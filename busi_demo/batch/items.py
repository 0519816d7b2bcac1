"""The images of a batch, from folders, zip archives and single files, with their ground truth."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from busi_demo.batch.files import SUFFIXES, Candidate, Contents, LeftOut, Limits, StoredFile, in_archive, in_folder
from busi_demo.batch.pairs import TWICE, paired, read_tables
from busi_demo.imaging import PictureError, read_mask
from busi_demo.imaging.apart import frames_in
from busi_demo.types import CLASSES, InputError

__all__ = ["SUFFIXES", "BatchItem", "LeftOut", "Limits", "StoredFile", "find_items", "list_batch"]
_LIMITS = Limits()


@dataclass(frozen=True)
class BatchItem:
    """One image of a batch.

    Attributes:
        name: its path in the folder or the archive, with `/`; if the batch has several sources, the name of the source
            is the first part. Unique in the batch.
        image: the file; `None` if there is a fault.
        masks: the true masks, one per lesion; empty if there are none.
        true_class: the class whose name a folder of its path has, else `None`.
        fault: a sentence that says why it cannot be used.
        frame: number of the frame or page that is meant, from 1 on; `None`: the one that `read_image` takes by default.
    """

    name: str
    image: StoredFile | None = None
    masks: tuple[StoredFile, ...] = ()
    true_class: str | None = None
    fault: str | None = None
    frame: int | None = None

    def sha256(self) -> str | None:
        """Hash of the contents of the image and its masks; `None` if they cannot be read."""
        if self.image is None:
            return None
        contents = hashlib.sha256()
        try:
            for file in (self.image, *self.masks):
                state = file.path.stat()
                contents.update(_digest(file, state.st_mtime_ns, state.st_size))
        except (InputError, OSError):
            return None
        return contents.hexdigest()


@lru_cache(8)  # the frames of a loop, one after the other, are of one file
def _digest(file: StoredFile, changed: int, size: int) -> bytes:
    with file.on_disk() as path, path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def find_items(sources: Sequence[Path], limits: Limits = _LIMITS) -> list[BatchItem]:
    """The images of `list_batch`; arguments and errors are the same."""
    return list_batch(sources, limits)[0]


def list_batch(
    sources: Sequence[Path], limits: Limits = _LIMITS, all_frames: bool = False
) -> tuple[list[BatchItem], list[LeftOut]]:
    """List the images of a batch, sorted by name, and the files that are left out. Image data are read only of files
    that may be masks by their names, and may be images.

    Of folders and archives, files with one of `SUFFIXES` are taken, and DICOM files of any name; hidden ones are left
    out. The ground truth of `NAME.png` is, in the same folder or archive:

    - `NAME_mask.png`, also with a number, as in BUSI; case and separator do not matter;
    - `NAME_segmentation.png`, `NAME_lesion.png` and the like, if `NAME.png` is there;
    - `masks/NAME.png`, beside the folder `images` or beside the image; other names of these folders are in `pairs`;
      of the last two kinds, a file that is no mask but a picture of many grey values is an image of its own, except in
      folders that are called mask or masks;
    - what a CSV file with the columns `image` and `mask` names.

    Single files are matched among themselves.

    Args:
        sources: folders, .zip archives and image files.
        all_frames: each frame or page of a file counts as an image; its ground truth belongs to the frame that is read
            by default.
    Returns:
        The images. Files that cannot be used are items with a fault: a damaged archive, a mask without an image, a name
        that occurs twice, a path that leads out of its archive, a file that is too large. And all other files.
    Raises:
        InputError: there is no image, or there are more than `limits.images`.
    """
    items, single, left_out = list[BatchItem](), list[Candidate](), list[LeftOut]()
    looks = iter(range(limits.images))  # more files are not opened before the batch starts

    def is_picture(candidate: Candidate) -> bool:
        return next(looks, None) is not None and _is_picture(candidate)

    for source in sources:
        within = f"{source.name}/" if len(sources) > 1 else ""  # two archives may have different images "1.png"
        try:
            if source.is_dir():
                contents = in_folder(source)
            elif source.suffix.lower() == ".zip":
                contents = in_archive(source, limits)
            else:
                single.append(Candidate(PurePosixPath(source.name), StoredFile(source)))
                continue
        except InputError as error:
            items.append(BatchItem(source.name, fault=str(error)))
            continue
        found, others = _items(contents, is_picture)
        items += [replace(item, name=within + item.name) for item in found]
        left_out += [replace(other, name=within + other.name) for other in others]
    items += _items(Contents(single), is_picture)[0]
    if not items:
        raise InputError(_nothing_in(sources, left_out))
    if all_frames:
        items = [frame for item in items for frame in _frames_of(item, limits)]
    if len(items) > limits.images:
        raise InputError(f"The batch has {len(items):,} images, at most {limits.images:,} are taken at a time: split "
                         "it.")  # fmt: skip
    return sorted(_unique(items), key=lambda item: item.name), sorted(left_out, key=lambda other: other.name)


def _items(contents: Contents, is_picture: Callable[[Candidate], bool]) -> tuple[list[BatchItem], list[LeftOut]]:
    """The images of one folder or archive, and what was left out; `is_picture` as for `paired`."""
    tables, others = read_tables(contents.tables)
    left_out = [*contents.left_out, *others]
    items = []
    for pair in paired(contents.candidates, tables, is_picture):
        if pair.image is None:
            items.append(BatchItem(str(pair.name), fault=pair.fault))
        else:
            masks = tuple(mask.file for mask in pair.masks)
            items.append(BatchItem(str(pair.name), pair.image.file, masks, _class_of(pair.name)))
    return items, left_out


def _is_picture(candidate: Candidate) -> bool:
    """Whether a file is a picture of many grey values, which no mask has; not if it cannot be read."""
    try:
        if not candidate.fault:
            with candidate.file.on_disk() as path:
                read_mask(path)
    except PictureError:
        return True
    except (InputError, OSError):  # reading it again will tell
        pass
    return False


def _frames_of(item: BatchItem, limits: Limits) -> list[BatchItem]:
    """An item for each frame of a file that has several; the item itself for any other file."""
    if item.image is None:
        return [item]
    try:
        with item.image.on_disk() as path:
            default, count = frames_in(path)
    except (InputError, OSError):  # reading it will tell
        return [item]
    if count == 1:
        return [item]
    if count > limits.images:  # a damaged file may announce any number
        fault = (
            f"{item.name} has {count:,} frames, at most {limits.images:,} are taken at a time: choose single ones of "
            "it instead."
        )
        return [BatchItem(item.name, true_class=item.true_class, fault=fault)]
    digits = len(str(count))
    return [
        replace(
            item,
            name=f"{item.name} [frame {number:0{digits}} of {count}]",
            masks=item.masks if number == default else (),
            frame=number,
        )
        for number in range(1, count + 1)
    ]


def _class_of(name: PurePosixPath) -> str | None:
    folders = (part.casefold() for part in reversed(name.parts[:-1]))
    return next((folder for folder in folders if folder in CLASSES), None)


def _nothing_in(sources: Sequence[Path], left_out: Sequence[LeftOut]) -> str:
    places = ", ".join(source.name for source in sources) or "the batch"
    wanted = ", ".join("*" + suffix for suffix in SUFFIXES)
    example = f" ({left_out[0].name} {left_out[0].reason.partition(':')[0]})" if left_out else ""
    return f"There is no image in {places}{example}: expected files named {wanted}, or DICOM files."


def _unique(items: Sequence[BatchItem]) -> Iterator[BatchItem]:
    """The items; those that share a name become faults with unique names."""
    times, count = Counter(item.name for item in items), Counter[str]()
    for item in items:
        count[item.name] += 1
        if times[item.name] == 1:
            yield item
        else:
            name = item.name if count[item.name] == 1 else f"{item.name} [{count[item.name]}]"
            yield BatchItem(name, fault=item.fault or TWICE.format(PurePosixPath(item.name).name))
