from __future__ import annotations

import re
import shutil
from collections import Counter

import kagglehub
import pytest
from helpers import disc, picture, save_grey, write_busi

from busi_demo.data import busi
from busi_demo.data.busi import index_folder
from busi_demo.data.phantom import PhantomSample, phantom_samples
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.training.config import TrainConfig
from busi_demo.training.sources import TrainingData, load_training_data
from busi_demo.types import CLASSES, InputError

COUNTS = {"benign": 10, "malignant": 10, "normal": 5}


@pytest.fixture
def root(tmp_path):
    """25 unlike images: a fold of validation has 5 of them."""
    return write_busi(tmp_path / "busi", COUNTS)


def load(**settings) -> TrainingData:
    settings = {"phantom_share": 0.0, "phantoms": 10, "image_size": 64, "start_size": 64} | settings
    return load_training_data(TrainConfig(**settings), Preprocess(size=64))


def names(data: TrainingData, split: str, source: str | None = None) -> set[str]:
    return {row.image for row in data.split if row.split == split and source in (None, row.source)}


def share(data: TrainingData, source: str) -> float:
    """How much of the draws comes from a source."""
    sources = [row.source for row in data.split if row.split == "train"]
    return sum(weight for weight, one in zip(data.weights.tolist(), sources, strict=True) if one == source)


def test_a_folder_is_split_and_counted(root):
    data = load(data=str(root))
    assert len(data.train) == 20 and len(data.validation) == 5
    assert names(data, "train") | names(data, "validation") == {sample.name for sample in index_folder(root)}
    assert Counter(sample.label for sample in data.validation.samples) == {"benign": 2, "malignant": 2, "normal": 1}
    assert data.facts["main"] == "busi" and data.facts["images_indexed"] == 25
    assert data.facts["train"] == {"busi": {"benign": 8, "malignant": 8, "normal": 4}}
    assert data.facts["validation"] == {"busi": {"benign": 2, "malignant": 2, "normal": 1}}
    assert data.weights.sum().item() == pytest.approx(1)
    assert data.train.augmentation is not None and data.validation.augmentation is None


def test_every_file_is_decoded_once(root, tmp_path, monkeypatch):
    """Training, validation, locked and left out images, further folders, their masks, and phantoms."""
    other = write_busi(tmp_path / "other", {"benign": 12})  # as in `root`, so that some are left out
    save_grey(other / "benign" / "benign case (1)_mask_1.png", disc(72, 96, 10, 10, 4))
    opened: Counter[object] = Counter()
    read_image, read_mask, make = busi.read_image, busi.read_mask, PhantomSample.read
    monkeypatch.setattr(busi, "read_image", lambda path: opened.update([path]) or read_image(path))
    monkeypatch.setattr(busi, "read_mask", lambda path: opened.update([path]) or read_mask(path))
    monkeypatch.setattr(PhantomSample, "read", lambda phantom: opened.update([phantom.name]) or make(phantom))
    data = load(data=str(root), extra=(str(other),), phantom_share=0.1)
    assert data.facts["extra_left_out_as_near_duplicates"] > 0
    expected = [*root.glob("*/*.png"), *other.glob("*/*.png"), *(s.name for s in phantom_samples(10, 1_000_000))]
    assert opened == Counter(expected) and len(expected) == 2 * 25 + 2 * 12 + 1 + 30


def test_fold_and_seed_choose_the_validation_images(root):
    chosen = [names(load(data=str(root), **settings), "validation") for settings in ({}, {"fold": 1}, {"seed": 5})]
    assert not chosen[0] & chosen[1] and chosen[0] != chosen[2]


def test_a_share_of_the_training_images_is_part_of_a_larger_share(root):
    half, most, all_ = (load(data=str(root), train_share=share) for share in (0.5, 0.8, 1.0))
    assert names(half, "train") < names(most, "train") < names(all_, "train")
    assert 4 <= len(half.train) <= 16 and len(all_.train) == 20
    assert names(half, "validation") == names(all_, "validation")
    assert half.weights.sum().item() == pytest.approx(1) and half.facts["images_indexed"] == 25


def test_a_share_keeps_groups_whole(tmp_path):
    """Ten images, each twice: near-duplicates; a share has both or neither."""
    root = write_busi(tmp_path / "busi", dict.fromkeys(CLASSES, 10))
    for label in CLASSES:
        for i in range(1, 11):
            for end in (".png", "_mask.png"):
                shutil.copy(root / label / f"{label} case ({i}){end}", root / label / f"{label} case ({i + 50}){end}")
    numbers = [(row.label, int(re.search(r"\d+", row.image)[0])) for row in load(data=str(root), train_share=0.5).split
               if row.split == "train"]  # fmt: skip
    found = Counter((label, number % 50) for label, number in numbers)
    assert 5 <= len(found) <= 20 and set(found.values()) == {2}


def test_phantoms_are_a_small_share_and_never_validate(root):
    data = load(data=str(root), phantom_share=0.1)
    assert share(data, "phantoms") == pytest.approx(0.1) and share(data, "busi") == pytest.approx(0.9)
    assert data.facts["train"]["phantoms"] == dict.fromkeys(CLASSES, 10)
    assert set(data.facts["validation"]) == {"busi"}


def test_tissue_beside_lesions_is_a_share_of_normal_images_that_never_validate(root):
    for label in ("benign", "malignant"):
        for path in (root / label).glob("*_mask.png"):
            save_grey(path, disc(72, 96, 36, 14, 10))  # the right part has no lesion
    plain, data = load(data=str(root)), load(data=str(root), tissue_share=0.2)
    lesions = {row.image for row in plain.split if row.split == "train" and row.label != "normal"}
    tissue = [row for row in data.split if row.source == "tissue"]
    assert {row.image for row in tissue} == lesions
    assert {(row.label, row.split) for row in tissue} == {("normal", "train")}
    assert share(data, "tissue") == pytest.approx(0.2) and share(data, "busi") == pytest.approx(0.8)
    assert data.facts["train"]["tissue"] == {"benign": 0, "malignant": 0, "normal": len(tissue)}
    assert names(data, "validation") == names(plain, "validation")


def test_pasted_lesions_are_a_share_of_the_draws_and_never_validate(root):
    plain, data = load(data=str(root)), load(data=str(root), paste_share=0.3)
    pasted = [row for row in data.split if row.source == "pasted"]
    assert pasted and {row.split for row in pasted} == {"train"} and "normal" not in {row.label for row in pasted}
    assert share(data, "pasted") == pytest.approx(0.3) and share(data, "busi") == pytest.approx(0.7)
    origins = {name for row in pasted for name in row.image.split(" with ")}
    assert origins <= names(plain, "train")
    assert names(data, "validation") == names(plain, "validation")


def test_phantoms_alone():
    data = load(data="phantoms")
    assert (len(data.train), len(data.validation)) == (24, 6)
    assert data.facts["main"] == "phantoms"
    assert not names(data, "train") & names(data, "validation")


def test_without_data_phantoms_are_used_with_a_message(tmp_path, monkeypatch, capsys):
    def offline(name: str) -> str:
        raise ConnectionError("no network")

    monkeypatch.setattr(kagglehub, "dataset_download", offline)
    monkeypatch.delenv("BUSI_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert load().facts["main"] == "phantoms"
    said = capsys.readouterr().err
    assert "BUSI was not found" in said and "phantoms" in said


def test_a_given_folder_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        load(data=str(tmp_path / "nowhere"))


def test_phantoms_of_other_seeds_are_other_images():
    first, second = phantom_samples(2, first_seed=0), phantom_samples(2, first_seed=2)
    assert [sample.label for sample in first] == ["benign", "benign", "malignant", "malignant", "normal", "normal"]
    assert len({sample.name for sample in first + second}) == 12
    assert (first[0].read()[0] != second[0].read()[0]).any()
    assert (first[0].read()[0] == first[0].read()[0]).all()


def test_further_folders_train_but_never_validate(root, tmp_path):
    extra = tmp_path / "other"
    for i in range(6):
        save_grey(extra / "benign" / f"extra {i}.png", picture(500 + i))
        save_grey(extra / "benign" / f"extra {i}_mask.png", disc(72, 96, 30, 30, 9))
    data = load(data=str(root), extra=(str(extra),), main_share=0.4)
    assert len(names(data, "train", "other")) == 6
    assert names(data, "validation") == names(load(data=str(root)), "validation")
    assert share(data, "busi") == pytest.approx(0.4) and share(data, "other") == pytest.approx(0.6)


def test_near_duplicates_of_validation_images_are_left_out_of_further_folders(root, tmp_path):
    held_out = load(data=str(root)).validation.samples[0]
    extra = tmp_path / "other"
    for name, pixels in (("copy", held_out.read()[0][:, ::-1]), ("unlike", picture(500))):
        save_grey(extra / "benign" / f"{name}.png", pixels)
        save_grey(extra / "benign" / f"{name}_mask.png", disc(72, 96, 30, 30, 9))
    data = load(data=str(root), extra=(str(extra),))
    assert names(data, "train", "other") == {"unlike.png"}
    assert data.facts["extra_left_out_as_near_duplicates"] == 1


def test_patients_with_a_near_duplicate_of_a_validation_image_are_left_out_of_further_folders(root, tmp_path):
    """`copy` leaks; `frame` is the same patient's, `copy of frame` looks like `frame` only; `unlike` is unrelated."""
    held_out = load(data=str(root)).validation.samples[0]
    extra = tmp_path / "other"
    frame, unlike = picture(600), picture(500)
    pictures = {"copy": held_out.read()[0][:, ::-1], "frame": frame, "copy of frame": frame[:, ::-1], "unlike": unlike}
    for name, pixels in pictures.items():
        save_grey(extra / "benign" / f"{name}.png", pixels)
        save_grey(extra / "benign" / f"{name}_mask.png", disc(72, 96, 30, 30, 9))
    (extra / "cases.csv").write_text("image,case\nbenign/copy,7\nbenign/frame,7\n")
    data = load(data=str(root), extra=(str(extra),))
    assert names(data, "train", "other") == {"unlike.png"}
    assert data.facts["extra_left_out_as_near_duplicates"] == 3


def test_an_uncertain_class_never_validates(root, publish):
    publish(picture(400), "benign", "benign (7).png", label_conflict="1")
    save_grey(root / "benign" / "benign (433).png", picture(400))
    save_grey(root / "benign" / "benign (433)_mask.png", disc(72, 96, 30, 30, 9))
    trained = 0
    for fold in range(5):
        data = load(data=str(root), fold=fold)
        assert "benign (433).png" not in names(data, "validation")
        trained += "benign (433).png" in names(data, "train")
        left_out = data.facts["uncertain_class_left_out_of_validation"]
        assert left_out == ("benign (433).png" not in names(data, "train"))
    assert trained == 4


def test_a_class_without_training_images_is_named(tmp_path):
    root = write_busi(tmp_path / "busi", {"benign": 10, "malignant": 10})
    with pytest.raises(InputError, match="no image of the class normal to train on"):
        load(data=str(root))
