from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from helpers import picture, save_grey, write_busi
from imagehash import phash
from PIL import Image

from busi_demo.data.busi import index_folder
from busi_demo.data.published import locked_test
from busi_demo.models import APPROACHES
from busi_demo.project import ROOT
from busi_demo.types import InputError
from busi_demo.weights.known_images import (
    SEEN_FILE,
    VIEWS,
    KnownImage,
    KnownImages,
    hash_text,
    image_hashes,
    known_images_available,
    load_known,
    save_known,
    seen_before,
)


def row(seed: int, split: str = "train", name: str = "") -> KnownImage:
    """Its hash is made as that of the locked list was."""
    return KnownImage(name or f"{seed}.png", "set", "benign", split, str(phash(Image.fromarray(picture(seed)))))


@pytest.fixture
def folder(tmp_path):
    """A weights folder that knows the pictures 0 (train), 1 (validation) and 2 (locked)."""
    save_known([row(0), row(1, "validation"), row(2, "locked")], tmp_path)
    return tmp_path


def copy(seed: int, view: int) -> np.ndarray:
    """Resized to other proportions, recompressed and mirrored."""
    stream = io.BytesIO()
    mirrored = Image.fromarray(np.ascontiguousarray(VIEWS[view](picture(seed))))
    mirrored.resize((150, 120)).save(stream, "JPEG", quality=40)
    return np.array(Image.open(stream))


@pytest.mark.parametrize("view", range(4))
@pytest.mark.parametrize(("seed", "split", "words"), [
    (0, "train", "used in training"), (1, "validation", "not to train"), (2, "locked", "locked test set"),
])  # fmt: skip
def test_copies_are_recognised_with_their_split(folder, seed, split, words, view):
    found = seen_before(copy(seed, view), folder)
    assert (found.image, found.split) == (f"{seed}.png", split)
    assert words in found.sentence


def test_other_images_are_not(folder):
    assert [seed for seed in range(3, 40) if seen_before(picture(seed), folder)] == []


def test_training_images_come_first_among_equal_matches():
    known = KnownImages((row(0, "locked"), row(0, "validation"), row(0, name="trained.png")))
    assert [match.split for match in known.matches(image_hashes(picture(0)))] == ["train", "validation", "locked"]


def test_hashes_are_those_of_imagehash():
    """The locked list was made with it."""
    assert hash_text(image_hashes(picture(5))[0]) == row(5).hash


def test_a_folder_without_the_file_knows_nothing(tmp_path):
    assert load_known(tmp_path).images == () and seen_before(picture(0), tmp_path) is None


def test_a_missing_file_is_distinguished_from_no_match(folder, tmp_path_factory):
    assert known_images_available(folder) and seen_before(picture(9), folder) is None
    assert not known_images_available(tmp_path_factory.mktemp("empty"))


def test_what_was_written_is_read(folder):
    assert load_known(folder).images[0] == row(0)


@pytest.mark.parametrize("damage", [
    lambda c: c | {"version": 2}, lambda c: c | {"columns": []}, lambda c: {},
    lambda c: c | {"images": [["a", "set", "benign", "train", "zz"]]},
    lambda c: c | {"images": [["a", "set", "benign", "train", "z" * 16]]},
    lambda c: c | {"images": [["a", "set", "benign", "test", "0" * 16]]},
    lambda c: c | {"images": [["a"]]},
])  # fmt: skip
def test_a_damaged_file_is_an_input_error(folder, damage):
    path = folder / SEEN_FILE
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(InputError, match="cannot be used"):
        load_known(folder)


def test_the_script_hashes_what_was_trained_on(tmp_path, run_script):
    data = write_busi(tmp_path / "main", {"benign": 3, "malignant": 2, "normal": 2})
    extra = write_busi(tmp_path / "more", {"benign": 2})
    for suffix in ("", "_mask"):  # the name of a training image, in another class: not trained on
        save_grey(extra / "malignant" / f"benign case (1){suffix}.png", picture(50))
    for key in APPROACHES:
        (tmp_path / key).mkdir()
        with (tmp_path / key / "split.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["image", "class", "source", "group", "split"])
            for i, sample in enumerate(index_folder(data)):
                # the first approach trains on all of them, the others validate on the first
                split = "validation" if i == 0 and key != next(iter(APPROACHES)) else "train"
                rows.writerow([sample.name, sample.label, "main", i, split])
            rows.writerow(["benign case (1).png", "benign", "more", 9, "train"])
    status, out, err = run_script("train/seen.py", "--data", data, "--extra", extra, "--weights", tmp_path)
    assert status == 0, err
    assert "main, 7 images: 100.00% of altered copies found" in out
    known = load_known(tmp_path).images
    assert {k.split for k in known if k.source == "main"} == {"train", "locked"}
    assert sum(k.split == "train" for k in known) == 8 and sum(k.source == "more" for k in known) == 1
    assert {k.image for k in known if k.split == "locked"} == set(locked_test())
    before = (tmp_path / "seen.json").read_bytes()
    data.rename(data.with_name("renamed"))
    status, _, err = run_script("train/seen.py", "--data", data.with_name("renamed"), "--weights", tmp_path)
    assert status == 2 and "names no image of renamed: give the data set in a folder with the name" in err
    assert (tmp_path / "seen.json").read_bytes() == before  # nothing known is lost


def test_the_shipped_file_knows_what_the_weights_were_made_with():
    known = load_known(ROOT / "weights").images
    assert {(k.image, k.hash) for k in known if k.split == "locked"} == {
        (name, row["phash"]) for name, row in locked_test().items()
    }
    listed = {(k.source, k.image): k.split for k in known}
    for key in APPROACHES:
        with (ROOT / "weights" / key / "split.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["source"] != "phantoms":
                    assert listed[row["source"], row["image"]] in (row["split"], "train")
