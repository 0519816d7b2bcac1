"""Which real images may be shown as examples, and that removing them leaves nothing."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, picture, save_grey
from PIL import Image

from busi_demo.__main__ import main
from busi_demo.data.busi import index_folder
from busi_demo.gallery.load import load_examples
from busi_demo.gallery.real import held_out, remove_real_examples, write_real_examples
from busi_demo.types import InputError
from busi_demo.ui.gallery import caption
from busi_demo.weights import store as weights


@pytest.fixture
def splits(tmp_path) -> Path:
    """Two approaches trained on the fixture `busi`. Both validated on benign 2 and 3, malignant 1 and normal 1; one
    trained on benign 1, and the other validated on it."""
    both = ["benign case (2).png", "benign case (3).png", "malignant case (1).png", "normal case (1).png"]
    for key, benign_1 in (("multitask_cnn", "train"), ("two_stage", "validation")):
        path = tmp_path / "weights" / key / "split.csv"
        path.parent.mkdir(parents=True)
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "class", "source", "group", "split"])
            writer.writerow(["benign case (1).png", "benign", "busi", 0, benign_1])
            writer.writerow(["malignant case (2).png", "malignant", "busi", 1, "train"])
            writer.writerow(["malignant case (3).png", "malignant", "another set", 1, "validation"])
            writer.writerows([name, name.split()[0], "busi", 2, "validation"] for name in both)
    return tmp_path / "weights"


def test_only_what_validated_every_approach_and_trained_none(busi, splits):
    names = {s.name for s in held_out(busi, splits, per_class=9)}
    assert names == {"benign case (2).png", "benign case (3).png", "malignant case (1).png", "normal case (1).png"}
    fewer = held_out(busi, splits, per_class=1)
    assert [s.label for s in fewer] == ["benign", "malignant", "normal"]
    assert [s.name for s in held_out(busi, splits, per_class=1)] == [s.name for s in fewer]


def test_a_name_that_two_classes_share_is_known_by_its_class(busi, splits):
    """Both validated on benign case (2).png, but not on a malignant image of the same name."""
    for suffix in ("", "_mask"):
        path = busi / "malignant" / f"malignant case (3){suffix}.png"
        path.rename(path.with_name(f"benign case (2){suffix}.png"))
    chosen = [(s.label, s.name) for s in held_out(busi, splits, per_class=9)]
    assert ("benign", "benign case (2).png") in chosen and ("malignant", "benign case (2).png") not in chosen


def test_locked_test_images_are_never_shown(busi, splits, publish):
    sample = next(s for s in index_folder(busi) if s.name == "malignant case (1).png")
    publish(picture(99), "malignant", sample.name, is_locked=True)
    assert {s.label for s in held_out(busi, splits, per_class=9)} == {"benign", "malignant", "normal"}
    publish(sample.read()[0], "malignant", "other.png", is_locked=True)
    assert {s.label for s in held_out(busi, splits, per_class=9)} == {"benign", "normal"}


def test_a_data_set_that_the_weights_do_not_know_is_refused(busi, splits, tmp_path):
    with pytest.raises(InputError, match="Nothing is known of other in"):
        held_out(busi.rename(tmp_path / "other"), splits, per_class=1)
    with pytest.raises(InputError, match="Nothing is known of busi"):
        held_out(tmp_path / "busi", tmp_path / "no weights", per_class=1)


def test_they_stand_in_the_gallery_until_they_are_removed(busi, splits, tmp_path):
    gallery = tmp_path / "examples"
    gallery.mkdir()
    chosen = held_out(busi, splits, per_class=1)
    assert write_real_examples(chosen, gallery) == gallery / "real"
    write_real_examples(chosen, gallery)  # in the place of the first
    shown = load_examples(gallery)
    assert [caption(e) for e in shown] == ["benign (real)", "malignant (real)", "normal (real)"]
    for example, sample in zip(shown, chosen, strict=True):
        image, mask = sample.read()
        assert np.array_equal(np.asarray(example.image), image)
        assert np.array_equal(np.asarray(example.mask) > 0, mask)
    assert [p.name for p in gallery.iterdir()] == ["real"]
    assert remove_real_examples(gallery) and not remove_real_examples(gallery)
    assert load_examples(gallery) == ()


def test_metadata_stays_behind(busi, splits, tmp_path):
    path = busi / "benign" / "benign case (2).png"
    with Image.open(path) as image:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_text("Patient", "Jane Doe")
        image.save(path, pnginfo=info)
    (tmp_path / "examples").mkdir()
    folder = write_real_examples(held_out(busi, splits, 9), tmp_path / "examples")
    assert not any(b"Jane Doe" in p.read_bytes() for p in folder.iterdir())


def test_git_ignores_the_folder():
    run = subprocess.run(["git", "check-ignore", "-q", "examples/real/benign_1.png"], cwd=ROOT)
    assert run.returncode == 0


def test_the_subcommand(busi, splits, tmp_path, monkeypatch, capsys):
    gallery = tmp_path / "examples"
    gallery.mkdir()
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", splits)
    for function in (write_real_examples, remove_real_examples):
        monkeypatch.setattr(function, "__defaults__", (gallery,))
    assert main(["examples", "--data", str(busi), "--per-class", "2"]) == 0
    assert "4 held-out images are in" in capsys.readouterr().out
    assert len(load_examples(gallery)) == 4
    assert main(["examples", "--remove"]) == 0
    assert load_examples(gallery) == ()
    monkeypatch.delenv("BUSI_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    for words, complaint in (([], "give its folder with --data DIR"), (["--data", "nowhere"], "nowhere"),
                             (["--data", str(busi), "--per-class", "0"], "at least 1")):  # fmt: skip
        assert main(["examples", *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and complaint in line


def test_a_gallery_that_cannot_be_written_is_named(busi, splits, tmp_path):
    save_grey(tmp_path / "file.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match="cannot be written"):
        write_real_examples(held_out(busi, splits, 1), tmp_path / "file.png")
