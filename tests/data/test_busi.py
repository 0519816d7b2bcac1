from __future__ import annotations

import csv

import numpy as np
import pytest
from helpers import disc, picture, save_grey, write_busi
from PIL import Image

from busi_demo.data.busi import FileSample, index_folder
from busi_demo.data.published import image_notes, locked_test
from busi_demo.types import CLASSES, InputError

SEVERAL_MASKS = "benign (100)"  # published with two masks
LABEL_CONFLICT = "benign (433)"  # published as malignant too


def by_name(root) -> dict[str, FileSample]:
    return {sample.name: sample for sample in index_folder(root)}


def test_the_index_holds_each_image_once_and_no_mask(busi):
    samples = index_folder(busi)
    assert [sample.label for sample in samples] == ["benign"] * 4 + ["malignant"] * 3 + ["normal"] * 2
    assert [sample.name for sample in samples[:2]] == ["benign case (1).png", "benign case (2).png"]
    assert not any("_mask" in sample.name for sample in samples)
    assert len({sample.group for sample in samples}) == 9


def test_reading_a_sample(busi):
    sample = by_name(busi)["malignant case (1).png"]
    image, mask = sample.read()
    assert image.dtype == np.uint8 and np.array_equal(image, picture(5))
    assert mask.dtype == np.bool_ and np.array_equal(mask, disc(72, 96, 36, 48, 72 / 5))
    _, empty = by_name(busi)["normal case (1).png"].read()
    assert empty.shape == (72, 96) and not empty.any()


def test_several_masks_are_united(busi):
    second = disc(72, 96, 60, 80, 6)
    save_grey(busi / "benign" / "benign case (1)_mask_1.png", second)
    save_grey(busi / "benign" / "benign case (1)_mask_2.png", disc(72, 96, 8, 8, 4))
    samples = by_name(busi)
    assert len(samples) == 9
    _, mask = samples["benign case (1).png"].read()
    assert np.array_equal(mask, disc(72, 96, 36, 48, 72 / 5) | second | disc(72, 96, 8, 8, 4))


def test_other_formats_and_colour(tmp_path):
    save_grey(tmp_path / "benign" / "a.jpg", picture(1))
    save_grey(tmp_path / "benign" / "a_mask.png", disc(72, 96, 30, 30, 9))
    save_grey(tmp_path / "benign" / "b.webp", np.stack([picture(2)] * 3, axis=-1))
    save_grey(tmp_path / "benign" / "b_mask.webp", disc(72, 96, 40, 50, 9))
    samples = by_name(tmp_path)
    assert set(samples) == {"a.jpg", "b.webp"}
    for sample in samples.values():
        image, mask = sample.read()
        assert image.shape == mask.shape == (72, 96) and 200 < mask.sum() < 300
    assert np.abs(samples["a.jpg"].read()[0].astype(int) - picture(1)).mean() < 5


def test_other_files_are_ignored(busi):
    for name in ("notes.txt", "Thumbs.db", "._benign case (1).png", ".hidden.png"):
        (busi / "benign" / name).write_bytes(b"not an image")
    assert len(index_folder(busi)) == 9


def test_a_class_may_be_missing(tmp_path):
    root = write_busi(tmp_path, {"benign": 1, "malignant": 1})
    assert [sample.label for sample in index_folder(root)] == ["benign", "malignant"]


def test_a_missing_mask_is_named(busi):
    (busi / "malignant" / "malignant case (2)_mask.png").unlink()
    with pytest.raises(InputError, match=r"malignant case \(2\)\.png has no mask: expected .* \(2\)_mask\.png"):
        index_folder(busi)


def test_a_mask_without_an_image_is_named(busi):
    (busi / "benign" / "benign case (3).png").unlink()
    with pytest.raises(InputError, match=r"benign case \(3\)_mask\.png is a mask without an image: expected"):
        index_folder(busi)


def test_a_mask_of_another_size_is_named(busi):
    save_grey(busi / "benign" / "benign case (3)_mask_1.png", disc(70, 96, 30, 30, 9))
    message = r"benign case \(3\)_mask_1\.png is 96 x 70 pixels, but its image benign case \(3\)\.png is 96 x 72"
    with pytest.raises(InputError, match=message):
        index_folder(busi)


def test_an_unreadable_file_is_named(busi):
    (busi / "normal" / "normal case (1).png").write_bytes(b"this is no image")
    with pytest.raises(InputError, match=r"normal case \(1\)\.png cannot be read as an image"):
        index_folder(busi)


def test_a_truncated_file_is_named_when_it_is_read(busi):
    path = busi / "benign" / "benign case (1).png"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"benign case \(1\)\.png is damaged or cut short"):
        by_name(busi)["benign case (1).png"].read()


def test_one_name_in_two_formats_is_refused(busi):
    save_grey(busi / "benign" / "benign case (1).jpg", picture(1))
    with pytest.raises(InputError, match=r"benign case \(1\)\.png and benign case \(1\)\.jpg share one name"):
        index_folder(busi)


def test_a_folder_without_class_folders(tmp_path):
    with pytest.raises(InputError, match="is not a data set in BUSI layout: expected folders named benign, m"):
        index_folder(tmp_path)


def test_empty_class_folders(tmp_path):
    for label in CLASSES:
        (tmp_path / label).mkdir()
    with pytest.raises(InputError, match=r"holds no image: expected NAME\.png with NAME_mask\.png"):
        index_folder(tmp_path)


@pytest.mark.parametrize("column", ["case", "patient"])
def test_cases_csv_gives_the_groups(busi, column):
    with (busi / "cases.csv").open("w", newline="") as file:
        rows = [("image", column), ("benign/benign case (1)", "7"), ("benign/benign case (2)", "7")]
        csv.writer(file).writerows(rows)
    samples = by_name(busi)
    groups = [samples[f"benign case ({i}).png"].group for i in (1, 2, 3)]
    assert groups[0] == groups[1] == "busi/7"
    assert groups[2] != groups[0]


def test_a_cases_csv_without_its_columns_is_refused(busi):
    (busi / "cases.csv").write_text("file,person\na,b\n")
    with pytest.raises(InputError, match=r"cases\.csv lists no cases: expected the columns image and case"):
        index_folder(busi)


@pytest.mark.parametrize(("masks", "complete"), [(("_mask",), False), (("_mask", "_mask_1"), True)])
def test_a_mask_known_to_be_one_of_several_is_incomplete(tmp_path, publish, masks, complete):
    save_grey(tmp_path / "benign" / f"{SEVERAL_MASKS}.png", picture(1))
    for suffix in masks:
        save_grey(tmp_path / "benign" / f"{SEVERAL_MASKS}{suffix}.png", disc(72, 96, 30, 30, 9))
    (sample,) = index_folder(tmp_path)
    assert sample.mask_complete and sample.label_certain  # another picture of that name
    publish(picture(1), "benign", f"{SEVERAL_MASKS}.png", several_masks="1")
    (sample,) = index_folder(tmp_path)
    assert sample.mask_complete is complete and sample.label_certain


def test_a_class_is_uncertain_if_near_duplicates_have_another(tmp_path, publish):
    save_grey(tmp_path / "benign" / f"{LABEL_CONFLICT}.png", picture(1))
    save_grey(tmp_path / "benign" / f"{LABEL_CONFLICT}_mask.png", disc(72, 96, 30, 30, 9))
    publish(picture(2), "benign", f"{LABEL_CONFLICT}.png", label_conflict="1")
    assert index_folder(tmp_path)[0].label_certain
    publish(picture(1), "benign", f"{LABEL_CONFLICT}.png", label_conflict="1")
    (sample,) = index_folder(tmp_path)
    assert not sample.label_certain and sample.mask_complete


def test_an_image_turned_by_exif_has_the_size_that_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "benign").mkdir()
    Image.fromarray(picture(1, 80, 120)).save(tmp_path / "benign" / "a.jpg", exif=exif)
    save_grey(tmp_path / "benign" / "a_mask.png", disc(120, 80, 30, 30, 9))
    (sample,) = index_folder(tmp_path)
    image, mask = sample.read()
    assert image.shape == mask.shape == (120, 80)


def test_masks_that_cannot_be_meant_are_refused(busi):
    samples = by_name(busi)
    save_grey(busi / "normal" / "normal case (1)_mask.png", disc(72, 96, 30, 30, 9))
    save_grey(busi / "benign" / "benign case (1)_mask.png", ~disc(72, 96, 30, 30, 9))
    with pytest.raises(InputError, match=r"\(1\)_mask\.png marks a lesion, but its image is in the folder normal"):
        samples["normal case (1).png"].read()
    with pytest.raises(InputError, match=r"\(1\)_mask\.png marks 96\..% of its image and most of its border"):
        samples["benign case (1).png"].read()


def test_the_published_notes():
    notes, locked = image_notes(), locked_test()
    assert len(notes) == 780 and len(locked) == 156
    assert locked.keys() <= notes.keys()
    assert [name for name, note in notes.items() if not note["phash"]] == ["benign (253).png"]  # in no copy at hand
    assert all(notes[name]["phash"] == row["phash"] for name, row in locked.items())
    assert sum(note["several_masks"] == "1" for note in notes.values()) == 17
    assert [sum(row["class"] == label for row in locked.values()) for label in CLASSES] == [87, 42, 27]
