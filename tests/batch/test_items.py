from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from dicom_files import GREY, scan
from helpers import pack, picture, save_grey, write_busi
from PIL import Image

from busi_demo.batch.items import BatchItem, Limits, StoredFile, find_items, list_batch
from busi_demo.types import InputError


def names(items: list[BatchItem]) -> list[str]:
    return [item.name for item in items]


@pytest.fixture
def png(tmp_path: Path) -> bytes:
    return save_grey(tmp_path / "bytes" / "a.png", picture(1)).read_bytes()


def test_a_folder_in_busi_layout(tmp_path):
    root = write_busi(tmp_path / "busi", {"benign": 2, "normal": 1})
    save_grey(root / "benign" / "benign case (1)_mask_1.png", picture(3) > 128)
    items = find_items([root])
    assert names(items) == ["benign/benign case (1).png", "benign/benign case (2).png", "normal/normal case (1).png"]
    assert [item.true_class for item in items] == ["benign", "benign", "normal"]
    assert [mask.path.name for mask in items[0].masks] == ["benign case (1)_mask.png", "benign case (1)_mask_1.png"]
    assert len(items[1].masks) == 1 and not any(item.fault for item in items)


def test_files_that_are_not_images_are_left_out(tmp_path, png):
    for name in ("a.png", "notes.txt", ".hidden.png", ".git/b.png", "__MACOSX/a.png", "deep/er/c.JPG", "cases.csv"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
    items = find_items([tmp_path / "in"])
    assert names(items) == ["a.png", "deep/er/c.JPG"] and [item.true_class for item in items] == [None, None]


def test_a_single_file_may_have_any_name(tmp_path):
    assert names(find_items([tmp_path / "notes.txt"])) == ["notes.txt"]


def test_an_archive_gives_the_same_items_as_its_folder(tmp_path, png):
    members = {
        "set/benign/x.png": png,
        "set\\benign\\x_mask.png": png,
        "__MACOSX/set/benign/._x.png": b"",
        "set/.DS": b"",
    }
    (item,) = find_items([pack(tmp_path / "a.zip", members)])
    assert (item.name, item.true_class, len(item.masks)) == ("set/benign/x.png", "benign", 1)
    with item.image.on_disk() as path:
        assert path.name == "x.png" and path.read_bytes() == png
    assert not path.exists()


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/etc/evil.png", "a/../../evil.png", "C:\\evil.png", "..\\evil.png"]
)
def test_a_path_out_of_the_archive_is_a_fault(tmp_path, png, name):
    good, evil = find_items([pack(tmp_path / "a.zip", {"good.png": png, name: png})])[::-1]
    assert (good.name, good.fault) == ("good.png", None)
    assert evil.image is None and evil.fault == "evil.png has a path that leads out of a.zip: pack it again."


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, png):
    archive = pack(tmp_path / "a.zip", {"small.png": png, "zeros.png": bytes(5_000_000)})
    assert archive.stat().st_size < 50_000
    small, zeros = find_items([archive], Limits(file_bytes=4_000_000))
    assert zeros.image is None or small.image is None
    faults = [item.fault for item in (small, zeros) if item.fault]
    assert faults == ["zeros.png unpacks to 5 MB, at most 4 MB are accepted: shrink it."]
    (whole,) = find_items([archive], Limits(archive_bytes=3_000_000))
    assert whole.name == "a.zip" and "a.zip unpacks to 5 MB, at most 3 MB are accepted" in whole.fault


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_that_share_a_name_are_faults(tmp_path, png):
    twins = find_items([pack(tmp_path / "a.zip", [("a.png", png), ("b.png", png), ("a.png", png + b" other")])])
    assert [item.name for item in twins if item.image] == ["b.png"]
    assert {item.fault for item in twins if not item.image} == {
        "a.png is there more than once in the batch: rename one of them."
    }


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_size_check_is_for_the_member_that_is_unpacked(tmp_path, png):
    """By name, zipfile opens the last member, even if another one was checked."""
    archive = pack(tmp_path / "a.zip", [("a.png", png), ("a.png", bytes(5_000_000))])
    for item in find_items([archive], Limits(file_bytes=1_000_000)):
        assert item.fault, item.name
    with zipfile.ZipFile(archive) as opened, StoredFile(archive, opened.infolist()[0]).on_disk() as path:
        assert path.read_bytes() == png


def test_an_image_with_a_faulty_mask_is_a_fault(tmp_path, png):
    archive = pack(tmp_path / "a.zip", {"a.png": png, "a_mask.png": png, "a_mask_1.png": bytes(2_000_000)})
    (item,) = find_items([archive], Limits(file_bytes=1_000_000))
    assert (item.name, item.image) == ("a.png", None)
    assert item.fault == "a_mask_1.png unpacks to 2 MB, at most 1 MB are accepted: shrink it."


def test_a_member_is_unpacked_up_to_its_stated_size(tmp_path):
    """The size in the table of contents is forged from 5,000,000 to 1000."""
    archive = pack(tmp_path / "a.zip", {"a.png": bytes(5_000_000)})
    forged = archive.read_bytes().replace((5_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    archive.write_bytes(forged)
    (item,) = find_items([archive])
    with pytest.raises(InputError, match=r"a\.png is damaged in a\.zip"), item.image.on_disk():
        pass


def test_an_encrypted_member_is_a_fault(tmp_path, png):
    archive = pack(tmp_path / "a.zip", {"a.png": png})
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    assert find_items([archive])[0].fault == "a.png is encrypted in a.zip: pack it without a password."


def test_a_damaged_archive_and_a_damaged_member(tmp_path, png):
    (tmp_path / "no.zip").write_bytes(b"PK no archive")
    assert find_items([tmp_path / "no.zip"])[0].fault.startswith("no.zip cannot be read as a zip archive")
    (gone,) = find_items([tmp_path / "gone.zip"])
    assert gone.fault == "gone.zip cannot be read as a zip archive (No such file or directory): pack it again."
    archive = pack(tmp_path / "a.zip", {"a.png": png})
    data = bytearray(archive.read_bytes())
    data[60:80] = bytes(20)
    archive.write_bytes(data)
    (item,) = find_items([archive])
    with pytest.raises(InputError, match=r"a\.png is damaged in a\.zip"), item.image.on_disk():
        pass


def test_a_mask_without_an_image_and_a_name_given_twice(tmp_path):
    sources = [tmp_path / "1" / "a.png", tmp_path / "2" / "a.png", tmp_path / "b_mask.png"]
    items = find_items(sources)
    assert names(items) == ["a.png", "a.png [2]", "b_mask.png"]
    assert [item.fault for item in items] == [
        *["a.png is there more than once in the batch: rename one of them."] * 2,
        "b_mask.png is a mask without an image: expected b.png beside it."]  # fmt: skip


def test_images_get_masks_from_their_own_archive(tmp_path, png):
    """Both have an image 1.png with a mask, of different people."""
    for name in "AB":
        folder = write_busi(tmp_path / name, {"benign": 1}) / "benign"
        pack(tmp_path / f"{name}.zip", {"1.png": png, "1_mask.png": (folder / "benign case (1)_mask.png").read_bytes()})
    items = find_items([tmp_path / "A.zip", tmp_path / "B.zip", tmp_path / "A"])
    assert names(items) == ["A.zip/1.png", "A/benign/benign case (1).png", "B.zip/1.png"]
    assert [item.true_class for item in items] == [None, "benign", None]
    for item, place in zip(items, ("A.zip", "A/benign/benign case (1)_mask.png", "B.zip"), strict=True):
        assert item.fault is None and [mask.path for mask in item.masks] == [tmp_path / place]
        assert item.image.path.is_relative_to(tmp_path / place.partition("/")[0])


def test_a_mask_in_another_archive_is_not_used(tmp_path, png):
    items = find_items([pack(tmp_path / "A.zip", {"1.png": png}), pack(tmp_path / "B.zip", {"1_mask.png": png})])
    assert [(item.name, item.masks) for item in items] == [("A.zip/1.png", ()), ("B.zip/1_mask.png", ())]
    assert items[1].fault == "1_mask.png is a mask without an image: expected 1.png beside it."


def test_single_files_of_one_name_are_faults_with_their_image(tmp_path):
    sources = [tmp_path / "A" / "1.png", tmp_path / "A" / "1_mask.png", tmp_path / "B" / "1_mask.png"]
    (item,) = find_items(sources)
    assert item.fault == "1_mask.png is there more than once in the batch: rename one of them."
    items = find_items([*sources, tmp_path / "B" / "1.png", tmp_path / "2.png"])
    assert [(item.name, item.fault) for item in items] == [
        ("1.png", "1.png is there more than once in the batch: rename one of them."),
        ("1.png [2]", "1.png is there more than once in the batch: rename one of them."), ("2.png", None)]  # fmt: skip


def test_an_archive_that_is_given_twice(tmp_path, png):
    items = find_items([pack(tmp_path / "A.zip", {"1.png": png})] * 2)
    assert names(items) == ["A.zip/1.png", "A.zip/1.png [2]"]
    assert all(item.fault.startswith("1.png is there more than once in the batch") for item in items)


def test_no_images_and_too_many_images_are_refused(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match=r"There is no image in in: expected files named \*\.png"):
        find_items([tmp_path / "in"])
    with pytest.raises(InputError, match="There is no image in the batch"):
        find_items([])
    with pytest.raises(InputError, match="The batch has 3 images, at most 2 are taken at a time"):
        find_items([tmp_path / f"{i}.png" for i in range(3)], Limits(images=2))


def damaged(archive: bytes, what: str) -> bytes:
    """An archive of one member with its data, the place of its data, or its name in front of them changed."""
    data, start = bytearray(archive), archive.index(b"PK\1\2")
    if what == "data":
        data[40:start] = b"\xff" * (start - 40)
    elif what == "place":
        data[start + 42 : start + 46] = b"\xf0\xff\xff\xff"
    else:
        data[6:8], data[30:35] = (0x800).to_bytes(2, "little"), b"\xff.png"
    return bytes(data)


@pytest.mark.parametrize("what", ["data", "place", "name"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_of_any_compression_is_one_sentence(tmp_path, png, method, what):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.png", png)
    path.write_bytes(damaged(path.read_bytes(), what))
    (item,) = find_items([path])
    with pytest.raises(InputError, match=r"^a\.png is damaged in a\.zip \(.*\): pack the archive again\.$"), \
            item.image.on_disk():  # fmt: skip
        pass


def test_a_full_disk_is_not_taken_for_a_damaged_member(tmp_path, png, monkeypatch):
    (item,) = find_items([pack(tmp_path / "a.zip", {"a.png": png})])
    monkeypatch.setattr("shutil.copyfileobj", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"), item.image.on_disk():
        pass


def test_a_member_without_a_name_is_left_out(tmp_path, png):
    path = pack(tmp_path / "a.zip", {"a.png": png, "b": png})
    data = bytearray(path.read_bytes())
    start = data.rindex(b"PK\1\2")
    data[start + 28 : start + 32] = (0).to_bytes(2, "little") + (1).to_bytes(2, "little")
    path.write_bytes(data)
    items, left_out = list_batch([path])
    assert names(items) == ["a.png"] and "leads out of a.zip" in left_out[0].reason


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    """A folder with a TIFF of eleven pages, its mask, one page alone, and a file that is no image."""
    pages = [Image.fromarray(picture(seed)) for seed in range(11)]
    (tmp_path / "in").mkdir()
    pages[0].save(tmp_path / "in" / "loop.tiff", save_all=True, append_images=pages[1:])
    save_grey(tmp_path / "in" / "loop_mask.png", picture(0) > 128)
    save_grey(tmp_path / "in" / "one.png", picture(3))
    (tmp_path / "in" / "bad.png").write_text("not an image")
    return tmp_path / "in"


def test_each_frame_is_an_image_on_request(loop):
    assert names(find_items([loop])) == ["bad.png", "loop.tiff", "one.png"]
    items, _ = list_batch([loop], all_frames=True)
    frames = [f"loop.tiff [frame {number:02} of 11]" for number in range(1, 12)]
    assert names(items) == ["bad.png", *frames, "one.png"]
    assert [item.frame for item in items] == [None, *range(1, 12), None]
    assert [len(item.masks) for item in items] == [0, 1, *[0] * 11]  # that of the page which is read by default
    with zipfile.ZipFile(loop.parent / "a.zip", "w") as archive:
        archive.write(loop / "loop.tiff", "loop.tiff")
    assert names(list_batch([loop.parent / "a.zip"], all_frames=True)[0]) == frames


def test_more_frames_than_are_taken_are_a_fault(loop):
    items, _ = list_batch([loop], Limits(images=10), all_frames=True)
    assert names(items) == ["bad.png", "loop.tiff", "one.png"]
    assert (
        items[1].fault == "loop.tiff has 11 frames, at most 10 are taken at a time: choose single ones of it instead."
    )
    with pytest.raises(InputError, match="has 13 images, at most 12"):
        list_batch([loop], Limits(images=12), all_frames=True)


def test_the_middle_frame_of_a_dicom_loop_has_the_mask(tmp_path):
    (tmp_path / "loop").write_bytes(scan(np.stack([GREY] * 5), NumberOfFrames=5))
    save_grey(tmp_path / "loop_mask.png", picture(0) > 128)
    items, _ = list_batch([tmp_path], all_frames=True)
    assert [(item.frame, len(item.masks)) for item in items] == [(1, 0), (2, 0), (3, 1), (4, 0), (5, 0)]
