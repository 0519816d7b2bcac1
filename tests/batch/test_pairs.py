"""Layouts of images and masks that people have."""

from __future__ import annotations

import csv
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest
from dicom_files import scan
from helpers import disc, pack, picture, save_grey

from busi_demo.batch import items as items_module
from busi_demo.batch.analyse import analyse_item
from busi_demo.batch.files import Candidate, Limits, StoredFile
from busi_demo.batch.items import BatchItem, find_items, list_batch
from busi_demo.batch.pairs import paired


def layout(root: Path, *names: str, content: bytes = b"any") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def masks(items: list[BatchItem]) -> Mapping[str, list[str]]:
    """Image -> masks."""
    assert [item.fault for item in items if item.fault] == []
    return {item.name: [m.member.filename if m.member else m.path.name for m in item.masks] for item in items}


@pytest.mark.parametrize("mask", [
    "a_mask.png", "a_MASK.PNG", "a_Mask.tif", "a-mask.png", "a mask.png", "a.mask.png", "a_masks.png", "a_mask1.png",
    "a_mask (2).png", "a_segmentation.png", "a_seg.png", "a_gt.png", "a-GT.bmp", "a_ground_truth.png", "a_label.png",
    "A_mask.png", "masks/a.png", "Mask/a.bmp", "masks/a_mask.png", "gt/a.png", "labels/a.png",
])  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_names_of_masks(tmp_path, mask, packed):
    root = layout(tmp_path / "in", "a.png", "b.png", mask)
    if packed:
        root = pack(tmp_path / "in.zip", {"a.png": b"", "b.png": b"", mask: b""})
    found = masks(find_items([root]))
    assert list(found) == ["a.png", "b.png"] and len(found["a.png"]) == 1 and found["b.png"] == []


@pytest.mark.parametrize(("images", "folder"), [
    ("images", "masks"), ("Images", "Masks"), ("imgs", "mask"), ("img", "gt"), ("images", "segmentations"),
    ("train/images", "train/masks"), ("images/train", "masks/train"), ("x/images/1", "x/labels/1"),
])  # fmt: skip
def test_a_folder_of_images_beside_one_of_masks(tmp_path, images, folder):
    layout(tmp_path / "in", f"{images}/a.png", f"{images}/b.jpg", f"{folder}/a.png", f"{folder}/b_mask.png")
    found = masks(find_items([tmp_path / "in"]))
    assert found == {f"{images}/a.png": ["a.png"], f"{images}/b.jpg": ["b_mask.png"]}


def test_folders_of_several_sets_are_not_mixed(tmp_path):
    layout(tmp_path / "in", "1/images/a.png", "1/masks/a.png", "2/images/a.png")
    assert masks(find_items([tmp_path / "in"])) == {"1/images/a.png": ["a.png"], "2/images/a.png": []}


def test_the_case_decides_where_two_images_differ_in_it(tmp_path):
    layout(tmp_path / "in", "a.png", "A.png", "A_mask.png")
    assert masks(find_items([tmp_path / "in"])) == {"A.png": ["A_mask.png"], "a.png": []}


def test_an_image_may_be_called_like_a_mask(tmp_path):
    layout(tmp_path / "in", "left_lesion.png", "patient_label.png")
    assert masks(find_items([tmp_path / "in"])) == {"left_lesion.png": [], "patient_label.png": []}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("second", ["P1_lesion.png", "labels/P1.png"])
def test_a_picture_that_may_be_a_mask_by_its_name_is_an_image_of_its_own(tmp_path, predictors, second, packed):
    root = tmp_path / "in"
    for seed, name in enumerate(["P1.png", second, "P2.png", "P2_seg.png"]):
        pixels = disc(72, 96, 30, 40, 15) if name == "P2_seg.png" else picture(seed)
        save_grey(root / name, pixels if name != second else pixels // 3 + 1)  # dark ones too
    if packed:
        root = pack(tmp_path / "in.zip", {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.png")})
    items = find_items([root])
    assert masks(items) == {"P1.png": [], second: [], "P2.png": ["P2_seg.png"]}
    for item in items:
        (result,) = analyse_item(item, [predictors["multitask_cnn"]])
        assert result.row["predicted_class"] and (result.row["dice"] is not None) is bool(item.masks)


_DISC = disc(72, 96, 30, 40, 15)
_DRAWING = _DISC * 60  # in the wrong values
_LABELS = _DISC * 100 + disc(72, 96, 30, 40, 9) * 100  # of a lesion and its margin


@pytest.mark.parametrize(("name", "pixels"), [
    ("P1_mask.png", picture(2)), ("masks/P1.png", picture(2)), ("P1_lesion.png", _DRAWING), ("P1_seg.png", _LABELS),
])  # fmt: skip
def test_a_name_that_is_certain_and_a_drawing_in_the_wrong_values_stay_masks(tmp_path, name, pixels):
    save_grey(tmp_path / "P1.png", picture(1))
    save_grey(tmp_path / name, pixels.astype("uint8"))
    assert masks(find_items([tmp_path])) == {"P1.png": [Path(name).name]}


def test_no_more_files_than_a_batch_has_images_are_opened_to_tell_masks_from_images(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(items_module, "read_mask", opened.append)
    names = ["a.png", *(f"a_seg{number}.png" for number in range(5))]
    folders = [layout(tmp_path / folder, *names) for folder in ("one", "two")]
    found = masks(find_items(folders, Limits(images=2)))
    assert [len(found[f"{folder}/a.png"]) for folder in ("one", "two")] == [5, 5] and len(opened) == 2


def test_masks_without_images_are_faults(tmp_path):
    layout(tmp_path / "in", "images/a.png", "masks/a.png", "masks/b.png", "c_mask.png")
    faults = {item.name: item.fault for item in find_items([tmp_path / "in"]) if item.fault}
    assert faults == {
        "c_mask.png": "c_mask.png is a mask without an image: expected c.png beside it.",
        "masks/b.png": "b.png is a mask without an image: expected b.png in a folder images beside that of the masks.",
    }


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("first", ["", "sep={}\r\n"])
def test_a_table_names_pairs(tmp_path, separator, encoding, first):
    root = layout(tmp_path / "in", "scan é.png", "two.png", "three.png", "drawn/1.png", "drawn/2.png", "drawn/3.png")
    rows = [("patient", "Image", "mask"), ("1", "scan é.png", "drawn/1.png"), ("2", "two.png", "drawn\\2.png"),
            ("2", "two.png", "3.png"), ("3", "three.png", "")]  # fmt: skip
    with (root / "pairs.csv").open("w", encoding=encoding, newline="") as file:
        file.write(first.format(separator))
        csv.writer(file, delimiter=separator).writerows(rows)
    found = masks(find_items([root]))
    assert found == {"scan é.png": ["1.png"], "two.png": ["2.png", "3.png"], "three.png": []}
    archive = pack(tmp_path / "in.zip", {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.*")})
    assert {name: len(own) for name, own in masks(find_items([archive])).items()} == {
        name: len(own) for name, own in found.items()
    }


@pytest.mark.parametrize("before", ["../{}/", "/home/a/data/{}/", "C:\\data\\{}\\", "./../{}/"])
def test_a_table_in_a_folder_of_its_own_names_pairs_in_others(tmp_path, before):
    """Relative to it, or as they lay on another computer."""
    root = layout(tmp_path / "in", "images/1.png", "images/2.png", "drawn/1.png", "drawn/2.png")
    rows = [[before.format(folder) + f"{number}.png" for folder in ("images", "drawn")] for number in (1, 2)]
    (root / "labels").mkdir()
    (root / "labels" / "pairs.csv").write_text("\n".join(["image,mask", *map(",".join, rows)]))
    assert masks(find_items([root])) == {"images/1.png": ["1.png"], "images/2.png": ["2.png"]}
    path = before.format("images").replace("\\", "/")
    (root / "labels" / "pairs.csv").write_text(f"image,mask\n{path}3.png,{path}1.png\n{path}1.png,{path}masks/1.png")
    faults = " ".join(item.fault for item in find_items([root]) if item.fault)
    assert all(f"names {path}{lacking}, which is not there" in faults for lacking in ("3.png", "masks/1.png"))


def test_paths_of_very_many_parts_are_looked_for_in_time(tmp_path):
    root = layout(tmp_path / "in", "a.png")
    for path in ("../" * 300_000, "a/" * 450_000, "/a" * 450_000):
        (root / "pairs.csv").write_text(f"image,mask\n{path}a.png,{path}b.png")
        start = time.process_time()
        find_items([root])
        assert time.process_time() - start < 10


def test_very_many_files_of_one_name_are_looked_for_in_time():
    """An archive may list them, and a table name each on another computer."""
    files = [Candidate(PurePosixPath(f"{i}/1.png"), StoredFile(Path("a.zip"))) for i in range(20_000)]
    rows = [(f"/{i}/q/1.png", f"/{i}/q/2.png") for i in range(20_000)]
    start = time.process_time()
    list(paired(files, {PurePosixPath("pairs.csv"): rows}))
    assert time.process_time() - start < 10


def test_a_table_that_names_what_is_not_there(tmp_path):
    root = layout(tmp_path / "in", "a.png", "a_drawn.png", "b.png")
    (root / "pairs.csv").write_text("image,mask\na.png,a_drawn.png\nb.png,gone.png\ngone.png,a_drawn.png\n")
    fault = "pairs.csv names gone.png, which is not there: mend the table, or add the file."
    items = find_items([root])
    assert [(item.name, item.fault) for item in items] == [("a.png", None), ("b.png", fault), ("gone.png", fault)]


def test_dicom_files_without_suffix_and_what_is_left_out(tmp_path):
    root = layout(tmp_path / "in", "DICOM/S001/IM000001", "1.2.840.113", "scan.dcm_old", content=scan())
    layout(root, "DICOM/S001/IM000002", content=scan()[132:])  # without preamble
    layout(root, "DICOMDIR", "notes.txt", "inner.zip", "table.csv", ".hidden.png", ".git/x.png", "a.png")
    layout(root, "report.pdf", content=b"%PDF-1.4")
    layout(root, "empty", content=b"")
    (root / "broken").symlink_to(root / "gone")
    (root / "circle").symlink_to(root)
    items, left_out = list_batch([root])
    names = ["1.2.840.113", "DICOM/S001/IM000001", "DICOM/S001/IM000002", "a.png", "scan.dcm_old"]
    assert [item.name for item in items] == names
    reasons = {other.name: other.reason for other in left_out}
    assert set(reasons) == {"DICOMDIR", "notes.txt", "inner.zip", "table.csv", ".hidden.png", ".git", "report.pdf",
                            "empty", "broken", "circle"}  # fmt: skip
    assert "table of contents" in reasons["DICOMDIR"] and "PDF" in reasons["report.pdf"]
    assert "archive in the batch" in reasons["inner.zip"] and "empty" in reasons["empty"]
    packed = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    assert [item.name for item in find_items([pack(tmp_path / "in.zip", packed)])] == names


def test_a_folder_of_anything_else_names_an_example(tmp_path):
    layout(tmp_path / "in", "notes.txt")
    with pytest.raises(ValueError, match=r"There is no image in in \(notes.txt is no image\): expected files named"):
        find_items([tmp_path / "in"])


@pytest.mark.parametrize("name", ["a\u200cb.png", "12:30.png", "line\nbreak.png", "乳腺.png", "=cmd|' /C calc'!A0.png",
                                  "x" * 251 + ".png", "é" * 125 + ".png", '"quoted".png', "a\u202eb.png"])  # fmt: skip
def test_any_name_is_one_item(tmp_path, name):
    layout(tmp_path / "in", name)
    (item,) = find_items([tmp_path / "in"])
    assert (item.name, item.fault) == (name, None)
    (item,) = find_items([pack(tmp_path / "in.zip", {name: b"any"})])
    assert item.fault is None and item.name == name.replace("\n", "_")


def test_a_link_in_an_archive_is_a_fault(tmp_path):
    member = zipfile.ZipInfo("link.png")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    (item,) = find_items([tmp_path / "a.zip"])
    assert item.fault == "link.png is a link in a.zip, not a file: pack the file itself."


@pytest.mark.parametrize("drawing", [disc(80, 100, 40, 50, 20), ~disc(80, 100, 40, 50, 20)])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_of_two_values_is_no_ultrasound(tmp_path, predictors, drawing, suffix):
    (item,) = find_items([save_grey(tmp_path / f"x{suffix}", drawing)])
    (result,) = analyse_item(item, [predictors["multitask_cnn"]])
    assert result.answer is None and "two grey values" in result.row["error"]


def test_an_inverted_mask_is_named(tmp_path, predictors):
    save_grey(tmp_path / "x.png", picture(1, 80, 100))
    save_grey(tmp_path / "x_mask.png", ~disc(80, 100, 40, 50, 20))
    (item,) = find_items([tmp_path / "x.png", tmp_path / "x_mask.png"])
    (result,) = analyse_item(item, [predictors["multitask_cnn"]])
    assert "most of its border as lesion: if it is inverted" in result.row["warnings"]
