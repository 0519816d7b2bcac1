"""Which mask belongs to which image: by their names, by the names of their folders, or by a table."""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile
from pathlib import PurePosixPath

from busi_demo.batch.files import Candidate, LeftOut
from busi_demo.project import table_rows
from busi_demo.types import InputError

MASK_FOLDERS = ("mask", "masks")
"""Names of folders that hold masks only."""

_PERHAPS_MASK_FOLDERS = ("gt", "ground_truth", "groundtruth", "segmentation", "segmentations", "seg", "label", "labels",
                         "annotation", "annotations")  # fmt: skip
_IMAGE_FOLDERS = ("image", "images", "img", "imgs", "picture", "pictures", "scan", "scans", "original", "originals")
_MASK = re.compile(r"^(?P<name>.+?)[ _.-]masks?([ _.-]?\(?\d+\)?)?$", re.IGNORECASE)
_PERHAPS_MASK = re.compile(
    r"^(?P<name>.+?)[ _.-](segmentation|seg|gt|ground[ _-]?truth|label|annotation|tumou?r|lesion)([ _.-]?\(?\d+\)?)?$",
    re.IGNORECASE,
)
_ORPHAN = "{} is a mask without an image: expected {}.png beside it."
_ORPHAN_IN_FOLDER = "{} is a mask without an image: expected {}.png in a folder images beside that of the masks."
TWICE = "{} is there more than once in the batch: rename one of them."
_TABLE_BYTES = 50 * 10**6
_MOST_PAIRS = 200_000
_MOST_MASKS = 100  # of one image
_MOST_OWNERS = 20  # images that a mask may belong to, by its name
_DRIVE = re.compile(r"[A-Za-z]:/")
_DEEPEST = 32  # parts of a path in a table
_TOO_MANY_MASKS = "{} has {:,} masks, at most {} are taken: join them into one."


@dataclass(frozen=True)
class Pair:
    """An image with its masks, or a file with a fault.

    Attributes:
        name: path of the image in the folder or the archive.
        image: the image; `None` if there is a fault.
        masks: its true masks.
        fault: a sentence that says why it cannot be used.
    """

    name: PurePosixPath
    image: Candidate | None = None
    masks: tuple[Candidate, ...] = ()
    fault: str | None = None


class _NoPairs(Exception):
    """A CSV file is no table of pairs; the text is the end of a sentence that starts with its name."""


def table_of(candidate: Candidate) -> list[tuple[str, str]]:
    """The pairs (image, mask) of a CSV file, each once. A mask may be empty.

    Raises:
        _NoPairs: it is too large, or has no columns image and mask.
        InputError: the file cannot be unpacked or read.
    """
    with candidate.file.on_disk() as path:
        if path.stat().st_size > _TABLE_BYTES:
            raise _NoPairs(f"is a CSV file of over {_TABLE_BYTES // 10**6} MB")
        columns, rows = table_rows(path)
        if not {"image", "mask"} <= set(columns):
            raise _NoPairs("is a CSV file without the columns image and mask")
        place = {name: i for i, name in enumerate(columns)}
        pairs = dict[tuple[str, str], None]()
        for row in rows:
            image, mask = (row[place[name]] if place[name] < len(row) else "" for name in ("image", "mask"))
            if image:
                pairs[image, mask] = None
            if len(pairs) > _MOST_PAIRS:
                raise _NoPairs(f"is a CSV file of over {_MOST_PAIRS:,} pairs")
    return list(pairs)


def paired(
    candidates: Sequence[Candidate],
    tables: Mapping[PurePosixPath, Sequence[tuple[str, str]]] | None = None,
    is_picture: Callable[[Candidate], bool] = lambda candidate: False,
) -> Iterator[Pair]:
    """The images with their masks. An image with a faulty mask, and a mask without an image, become faults.

    Args:
        candidates: files of one folder or archive.
        tables: path of a CSV file in it -> its pairs; paths in it are relative to its folder.
        is_picture: asked of a file whose name may, but need not, be that of a mask: whether it is an image instead.
    """
    times = Counter(file.name for file in candidates)
    files = [replace(file, fault=TWICE.format(file.name.name)) if times[file.name] > 1 else file for file in candidates]
    named, missing = _named_pairs(files, tables or {})
    yield from missing.values()
    taken = {mask.name for masks in named.values() for mask in masks} | missing.keys()
    images, masks = _by_name([file for file in files if file.name not in taken], is_picture)
    for image in images:
        own = named.get(image.name, ()) or masks.pop(image.name, ())
        if len(own) > _MOST_MASKS:
            yield Pair(image.name, fault=_TOO_MANY_MASKS.format(image.name.name, len(own), _MOST_MASKS))
        elif fault := next((file.fault for file in (image, *own) if file.fault), None):
            yield Pair(image.name, fault=fault)
        else:
            yield Pair(image.name, image, tuple(own))
    for name, orphans in masks.items():
        for mask in orphans:
            sentence = _ORPHAN_IN_FOLDER if _folder_word(mask.name, MASK_FOLDERS) else _ORPHAN
            yield Pair(mask.name, fault=mask.fault or sentence.format(mask.name.name, name.stem))


def _named_pairs(
    files: Sequence[Candidate], tables: Mapping[PurePosixPath, Sequence[tuple[str, str]]]
) -> tuple[dict[PurePosixPath, list[Candidate]], dict[PurePosixPath, Pair]]:
    """Image -> masks that the tables name, and image -> fault where they name what is not there."""
    by_path = {file.name: file for file in files}
    by_end = dict[int, dict[tuple[str, ...], list[Candidate]]]()  # number of parts -> last parts of a path -> files

    def ends_of(length: int) -> dict[tuple[str, ...], list[Candidate]]:
        if length not in by_end:
            by_end[length] = defaultdict(list)
            for file in files:
                by_end[length][file.name.parts[-length:]].append(file)
        return by_end[length]

    def find(text: str, table: PurePosixPath, is_mask: bool) -> Candidate | None:
        """The file of a name in a table: beside the table, or else the only one with that name in any folder. Of a
        path on the computer where the table was made, as many of its last parts count as lead to a file here."""
        written = text.replace("\\", "/")
        if beside := by_path.get(PurePosixPath(posixpath.normpath(table.parent / written))):
            return beside
        parts = posixpath.normpath(written).strip("/").split("/")
        wanted = tuple(dropwhile(lambda part: part == "..", parts))
        if written.startswith("/") or _DRIVE.match(written):
            choices = [wanted[-length:] for length in range(min(len(wanted), _DEEPEST), 0, -1)]
        else:
            choices = [wanted] if 0 < len(wanted) <= _DEEPEST else []
        for last in choices:
            if len(last) == 1 < len(wanted):  # a name alone says little: only beside all folders
                return by_path.get(PurePosixPath(last[0]))
            ends = ends_of(len(last)).get(last, [])
            if 1 < len(ends) <= _MOST_OWNERS:
                ends = [file for file in ends if bool(_folder_word(file.name, MASK_FOLDERS)) is is_mask]
            if ends:
                return ends[0] if len(ends) == 1 else None
        return None

    named, faults = defaultdict[PurePosixPath, list[Candidate]](list), dict[PurePosixPath, Pair]()
    for table, rows in tables.items():
        for image_text, mask_text in rows:
            image = find(image_text, table, is_mask=False)
            mask = find(mask_text, table, is_mask=True) if mask_text else None
            mask = None if mask is image else mask
            lacking = image_text if image is None else mask_text if mask_text and mask is None else None
            if lacking is not None:
                fault = f"{table.name} names {lacking}, which is not there: mend the table, or add the file."
                name = image.name if image else PurePosixPath(posixpath.normpath(table.parent / image_text))
                faults[name] = Pair(name, fault=fault)
            elif image is not None and mask is not None:
                named[image.name].append(mask)
    return {name: masks for name, masks in named.items() if name not in faults}, faults


def _by_name(
    files: Sequence[Candidate], is_picture: Callable[[Candidate], bool]
) -> tuple[list[Candidate], dict[PurePosixPath, list[Candidate]]]:
    """The images, and image -> masks; the key of a mask without an image is the image that is expected."""
    images, perhaps, certain = [], [], []
    for file in files:
        if _MASK.match(file.name.stem) or _folder_word(file.name, MASK_FOLDERS):
            certain.append(file)
        elif _PERHAPS_MASK.match(file.name.stem) or _folder_word(file.name, _PERHAPS_MASK_FOLDERS):
            perhaps.append(file)
        else:
            images.append(file)
    places = _places(images)
    for file in perhaps:  # an image of a patient may have such a name too
        if not _owners(file, places) or is_picture(file):
            images.append(file)
    places = _places(images)
    masks = defaultdict[PurePosixPath, list[Candidate]](list)
    by_path = {image.name for image in images}
    for file in [*certain, *(file for file in perhaps if file.name not in by_path)]:
        owners = _owners(file, places)
        for owner in owners or [file.name.with_name(_stems(file.name)[0] + file.name.suffix)]:
            masks[owner].append(file)
    return images, masks


def _places(images: Sequence[Candidate]) -> dict[tuple[str, ...], list[PurePosixPath]]:
    """Folders without those words that only say 'images', and stem, without case -> the images there."""
    places = defaultdict[tuple[str, ...], list[PurePosixPath]](list)
    for image in images:
        places[_place(image.name, image.name.stem, _IMAGE_FOLDERS)].append(image.name)
    return places


def _owners(mask: Candidate, places: Mapping[tuple[str, ...], list[PurePosixPath]]) -> list[PurePosixPath]:
    """The images that a mask belongs to; several only if they differ in the suffix alone."""
    name = mask.name
    for stem in _stems(name):
        found = places.get(_place(name, stem, (*MASK_FOLDERS, *_PERHAPS_MASK_FOLDERS, *_IMAGE_FOLDERS)), [])
        if len(found) > _MOST_OWNERS:  # folders that are made so that everything belongs to everything
            return []
        same_case = [image for image in found if image.stem == stem]
        if found:
            return same_case or found
    return []


def _stems(name: PurePosixPath) -> list[str]:
    """The stems that the image of a mask may have, the most probable first."""
    match = _MASK.match(name.stem) or _PERHAPS_MASK.match(name.stem)
    return [match["name"], name.stem] if match else [name.stem]


def _place(name: PurePosixPath, stem: str, words: Sequence[str]) -> tuple[str, ...]:
    folders = [part.casefold() for part in name.parts[:-1]]
    return (*(part for part in folders if part not in words), stem.casefold())


def _folder_word(name: PurePosixPath, words: Sequence[str]) -> str | None:
    """The first folder of a path with one of these names."""
    return next((part for part in name.parts[:-1] if part.casefold() in words), None)


def read_tables(tables: Sequence[Candidate]) -> tuple[dict[PurePosixPath, list[tuple[str, str]]], list[LeftOut]]:
    """Path -> pairs of those CSV files that name pairs, and the others."""
    found, others = {}, []
    for table in tables:
        try:
            if table.fault:
                raise InputError(table.fault)
            found[table.name] = table_of(table)
        except _NoPairs as error:
            others.append(LeftOut(str(table.name), str(error)))
        except (InputError, OSError):
            others.append(LeftOut(str(table.name), "is a CSV file that cannot be read"))
    return found, others
