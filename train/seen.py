"""Write weights/seen.json, the list of known images, and measure how well it recognises copies:

python train/seen.py --data DIR --extra OTHER_DIR OTHER_DIR
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import _path  # noqa: F401
import numpy as np
from PIL import Image
from tqdm import tqdm

from busi_demo.data.busi import FileSample, index_folder
from busi_demo.data.locate import find_sets
from busi_demo.data.made import MADE
from busi_demo.data.published import image_notes, locked_test
from busi_demo.models import APPROACHES
from busi_demo.project import make_folder
from busi_demo.training.recipe import main
from busi_demo.types import InputError
from busi_demo.weights.known_images import VIEWS, KnownImage, KnownImages, hash_text, image_hashes, save_known
from busi_demo.weights.split_file import TRAIN, VALIDATION, read_split
from busi_demo.weights.store import WEIGHTS_FOLDER

SCALES, STRETCHES, QUALITIES = (0.35, 0.5, 0.75, 1.5), (0.9, 1.0, 1.1), (30, 50, 75)
"""Changes of the test copies: resized, with other proportions, as JPEG of these qualities, and mirrored."""


def trained_on(weights: Path) -> dict[tuple[str, str, str], str]:
    """(source, class, image) -> 'train' or 'validation', from every approach's split.csv; 'train' where any approach
    was trained on the image.

    Raises:
        InputError: an approach has no split.csv.
    """
    splits: dict[tuple[str, str, str], str] = {}
    for key in APPROACHES:
        for row in read_split(weights / key):
            image, split = (row.source, row.label, row.image), TRAIN if row.trained else VALIDATION
            splits[image] = min(split, splits.get(image, split))  # 'train' comes first
    return splits


def hash_all(samples: Sequence[FileSample]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The hashes of every image and of an altered copy of it; on all cores, with a progress bar."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        work = pool.map(_hash_one, samples, range(len(samples)))
        return list(tqdm(work, "hashing", total=len(samples), leave=False, disable=None))


def _hash_one(sample: FileSample, seed: int) -> tuple[np.ndarray, np.ndarray]:
    image, _ = sample.read()
    return image_hashes(image), image_hashes(altered(image, seed))


def altered(image: np.ndarray, seed: int) -> np.ndarray:
    """A copy with random changes: uint8 (H, W) -> uint8 of another size, drawn by the seed."""
    generator = np.random.default_rng(seed)
    scale = generator.choice(SCALES)
    size = round(image.shape[1] * scale * generator.choice(STRETCHES)), round(image.shape[0] * scale)
    view = VIEWS[generator.integers(len(VIEWS))](image)
    stream = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(view)).resize(size)
    picture.save(stream, "JPEG", quality=int(generator.choice(QUALITIES)))
    return np.array(Image.open(stream))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hash the images that the weights were trained and validated on.")
    parser.add_argument("--data", help="BUSI (else $BUSI_DATA, data/Dataset_BUSI_with_GT, a download)")
    parser.add_argument("--extra", nargs="*", default=[], metavar="DIR", help="the further training sets")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FOLDER, help="folder of all approaches")
    arguments = parser.parse_args()
    make_folder(arguments.weights, "--weights")
    return arguments


def write_and_measure() -> None:
    arguments = parse()
    splits = trained_on(arguments.weights)
    roots = find_sets(arguments.data, arguments.extra)
    by_source = {name: index_folder(root) for name, root in roots.items()}
    locked_list = locked_test()
    known: list[KnownImage] = []
    hashed: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for source, samples in by_source.items():
        samples[:] = [s for s in samples if (source, s.label, s.name) in splits]
        if not samples:
            raise InputError(
                f"The split.csv of the weights names no image of {source}: give the data set in a folder with the name "
                "that it had in the training."
            )
        hashed[source] = hash_all(samples)
        for sample, (hashes, _) in zip(samples, hashed[source], strict=True):
            split = splits[source, sample.label, sample.name]
            known.append(KnownImage(sample.name, source, sample.label, split, hash_text(hashes[0])))
    main_name = next(iter(roots))
    known += [KnownImage(n, main_name, row["class"], "locked", row["phash"]) for n, row in locked_list.items()]
    print(f"wrote {save_known(known, arguments.weights)}: {len(known)} images")
    left = [source for source, *_ in splits if source not in (*by_source, *MADE)]
    if left:
        print(f"note: {len(left)} images of {', '.join(sorted(set(left)))} were not given with --extra")
    print_rates(KnownImages(tuple(known)), by_source, hashed, main_name)


def print_rates(
    known: KnownImages,
    by_source: dict[str, list[FileSample]],
    hashed: dict[str, list[tuple[np.ndarray, np.ndarray]]],
    main_name: str,
) -> None:
    """Print how many altered copies are recognised, and how many images match an image that is not a duplicate:
    one of the main set that published audits put into another group, or one of another set."""
    group = {name: row["known_group"] for name, row in image_notes().items()}
    for source, samples in by_source.items():
        hits, false_same, false_other = 0, 0, 0
        for sample, (hashes, copy) in zip(samples, hashed[source], strict=True):
            own = source, sample.label, sample.name
            hits += any((m.source, m.label, m.image) == own for m in known.matches(copy))
            matches = known.matches(hashes)
            false_other += any(m.source != source for m in matches)
            own_group = group.get(sample.name)
            false_same += any(m.source == source and group.get(m.image) != own_group for m in matches)
        print(f"{source}, {len(samples)} images: {hits / len(samples):.2%} of altered copies found; matching another "
              f"data set: {false_other} ({false_other / len(samples):.2%})", end="")  # fmt: skip
        audited = source == main_name
        print(f"; another group: {false_same} ({false_same / len(samples):.2%})" if audited else "")


if __name__ == "__main__":
    main(write_and_measure)
