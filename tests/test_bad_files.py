"""Everything that is no good image, as a path, as bytes and in a batch: one sentence, in bounded time and memory."""

from __future__ import annotations

import io
import os
import resource
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_files import encoded, scan
from helpers import pack, picture, png_chunk, save_grey
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit

from busi_demo.batch.analyse import analyse_item
from busi_demo.batch.items import find_items, list_batch
from busi_demo.batch.rows import csv_text
from busi_demo.imaging import read_image, read_mask
from busi_demo.types import InputError
from busi_demo.ui.batch.job import LIMITS

GREY = picture(1, 60, 80)


def encode(form: str, image: np.ndarray | Image.Image = GREY, **options: object) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, form, **options)
    return stream.getvalue()


def png_of_size(width: int, height: int, kind: int = 0) -> bytes:
    """A small PNG file that unpacks to any size."""
    channels = {0: 1, 2: 3, 6: 4}[kind]
    packer, row = zlib.compressobj(9), bytes(1 + width * channels)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", packed) + png_chunk(b"IEND", b"")


def tiff_of_size(width: int, height: int) -> bytes:
    whole = encode("TIFF", np.zeros((64, 64), np.uint8))
    entries = {256: width, 257: height}
    for tag, value in entries.items():
        start = whole.index(struct.pack("<HH", tag, 4 if struct.pack("<HH", tag, 4) in whole else 3))
        whole = whole[: start + 2] + struct.pack("<HII", 4, 1, value) + whole[start + 12 :]
    return whole


def nan_tiff(value: float) -> bytes:
    values = GREY.astype(np.float32)
    values[3, 3] = value
    return encode("TIFF", values)


def gif_with_a_huge_screen() -> bytes:
    content = bytearray(encode("GIF"))
    content[6:10] = struct.pack("<HH", 65535, 65535)
    return bytes(content)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.png": (lambda: b"", "is empty (0 bytes)"),
    "zeros.png": (lambda: bytes(1000), "cannot be read as an image"),
    "text.png": (lambda: b"hello", "cannot be read as an image"),
    "page.png": (lambda: b"<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
    "page.jpg": (lambda: b"\n  <html>", "is a web page"),
    "drawing.svg": (lambda: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "is an SVG drawing"),
    "drawing.png": (lambda: b"<svg width='9'></svg>", "is an SVG drawing"),
    "scan.pdf": (lambda: b"%PDF-1.7\n1 0 obj", "is a PDF document"),
    "scan.heic": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0", "is a HEIC photo"),
    "scan.mp4": (lambda: b"\0\0\0\x18ftypisom\0\0\0\0", "is a video"),
    "scan.eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "is a PostScript file"),
    "scan.zip.png": (lambda: b"PK\x03\x04" + bytes(50), "is a zip archive"),
    "pixel.png": (lambda: encode("PNG", GREY[:1, :1]), "is 1 x 1 pixels, expected at least 32 a side"),
    "line.png": (lambda: png_of_size(20000, 1), "is 20000 x 1 pixels, expected at least 32 a side"),
    "column.png": (lambda: png_of_size(1, 20000), "is 1 x 20000 pixels, expected at least 32 a side"),
    "bomb.png": (lambda: png_of_size(20000, 20000), "more than 25 million pixels"),
    "colour bomb.png": (lambda: png_of_size(8000, 8000, kind=6), "more than 25 million pixels"),
    "bomb.tif": (lambda: tiff_of_size(60000, 60000), "more than 25 million pixels"),
    "screen.gif": (gif_with_a_huge_screen, "more than 25 million pixels"),
    "nan.tif": (lambda: nan_tiff(float("nan")), "not numbers (NaN or infinite)"),
    "infinite.tif": (lambda: nan_tiff(float("inf")), "not numbers (NaN or infinite)"),
    "cut.dcm": (lambda: scan()[:600], "DICOM"),
    "head.dcm": (lambda: bytes(128) + b"DICM", "damaged DICOM"),
    "huge.dcm": (lambda: scan(Rows=60000, Columns=60000), "more than 25 million pixels"),
    **{f"cut.{form.lower()}": (lambda form=form: encode(form)[: len(encode(form)) // 2], "is damaged")
       for form in ("PNG", "JPEG", "BMP", "TIFF", "GIF")},
    "cut.webp": (lambda: encode("WEBP")[: len(encode("WEBP")) // 2], "cut.webp"),
    "start.png": (lambda: encode("PNG")[:20], "start.png"),
    "start.jpg": (lambda: encode("JPEG")[:3], "start.jpg"),
}  # fmt: skip


@pytest.fixture
def bounded():
    """The test needs under 20 seconds and 400 MB of Python's memory."""
    start = time.monotonic()
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.monotonic() - start < 20 and peak < 400 * 10**6


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_sentence(tmp_path, bounded, name):
    make, words = BAD[name]
    path = tmp_path / name
    path.write_bytes(make())
    for reader in (read_image, read_mask):
        if reader is read_mask and "pixels, expected at least" in words:
            continue  # a mask may be as small as it likes
        for source in (path, path.read_bytes()):
            with pytest.raises(InputError) as caught:
                reader(source)
            message = str(caught.value)
            assert "\n" not in message and str(tmp_path) not in message and message.endswith((".", "!"))
            assert words.replace(name, "") in message or isinstance(source, bytes)
            assert not isinstance(source, Path) or name in message


@pytest.mark.parametrize(("width", "height"), [(20000, 33), (33, 20000), (400_000, 32)])
def test_a_long_strip_is_read_with_a_note(bounded, width, height):
    noise = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    image = read_image(encode("PNG", noise))
    assert image.pixels.shape == (height, width) and any("is a strip of" in note for note in image.notes)


def damaged_icc(form: str) -> bytes:
    if form == "PNG":
        plain = encode("PNG")
        return plain[:33] + png_chunk(b"iCCP", b"profile\0\0" + b"no zlib data") + plain[33:]
    return encode(form, icc_profile=b"this is no profile" * 9)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_damaged_colour_profile_costs_nothing(form):
    lossless = {"lossless": True} if form == "WEBP" else {}
    content = damaged_icc(form) if form != "WEBP" else encode("WEBP", icc_profile=b"no profile", **lossless)
    assert np.abs(read_image(content).pixels.astype(int) - GREY).max() <= 12


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_picture_is_used_with_a_note(form, bounded):
    frames = [Image.fromarray(np.roll(GREY, i)) for i in range(30)]
    lossless = {"lossless": True} if form == "WEBP" else {}
    image = read_image(encode(form, frames[0], save_all=True, append_images=frames[1:], **lossless))
    np.testing.assert_array_equal(image.pixels, GREY)
    assert "first of 30 pages or frames" in image.notes[0]


def test_a_picture_that_is_renamed_is_read(tmp_path):
    for form, name in (("JPEG", "a.png"), ("PNG", "b.dcm"), ("TIFF", "c.jpg"), ("BMP", "d")):
        (tmp_path / name).write_bytes(encode(form))
        assert np.abs(read_image(tmp_path / name).pixels.astype(int) - GREY).max() <= 12
    (tmp_path / "e.png").write_bytes(scan())
    assert read_image(tmp_path / "e.png").format == "DICOM"


@pytest.mark.parametrize("content", [
    *map(encode, ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP")), scan(), scan(encoded("JPEG"), syntax=JPEGBaseline8Bit),
])  # fmt: skip
def test_changed_bytes_never_break_the_reader(content, bounded):
    generator = np.random.default_rng(0)
    for turn in range(150):
        changed = bytearray(content)
        for place in generator.integers(0, len(content) if turn % 2 else min(300, len(content)), 4):
            changed[place] = generator.integers(256)
        try:
            read_image(bytes(changed))
        except InputError as error:
            assert "\n" not in str(error)


def test_a_batch_of_bad_files_has_a_row_for_each(tmp_path, predictors, bounded):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, (make, _) in BAD.items():
        (folder / name).write_bytes(make())
    save_grey(folder / "good.png", picture(1))
    items, left_out = list_batch([folder])
    assert {item.name for item in items} | {other.name for other in left_out} == {*BAD, "good.png"}
    rows = [result.row for item in items for result in analyse_item(item, [predictors["multitask_cnn"]])]
    assert [row["image"] for row in rows if not row["error"]] == ["good.png"]
    assert all("\n" not in row["error"] for row in rows if row["error"])
    assert len(csv_text(rows).splitlines()) == len(rows) + 1
    assert {other.name for other in left_out} == {"drawing.svg", "scan.pdf", "scan.heic", "scan.mp4", "scan.eps"}


def test_archives_that_are_traps(tmp_path, predictors, bounded):
    inner = pack(tmp_path / "inner.zip", {"x.png": encode("PNG")}).read_bytes()
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "trap.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("good.png", "../../up.png", "/etc/absolute.png", "C:\\windows\\drive.png", "a/../../b.png"):
            archive.writestr(name, encode("PNG"))
        archive.writestr(link, "/etc/passwd")
        archive.writestr("inner.zip", inner)
        archive.writestr("bomb.png", bytes(300 * 10**6))
        archive.writestr("picture bomb.png", png_of_size(20000, 20000))
    before = {path for path in tmp_path.rglob("*")}
    items, left_out = list_batch([tmp_path / "trap.zip"])
    rows = [result.row for item in items for result in analyse_item(item, [predictors["multitask_cnn"]])]
    assert [row["image"] for row in rows if not row["error"]] == ["good.png"] and len(rows) == 8
    assert [other.name for other in left_out] == ["inner.zip"]
    assert {path for path in tmp_path.rglob("*")} == before and not Path("/etc/absolute.png").exists()


def test_links_and_other_things_in_a_folder(tmp_path, bounded):
    folder = tmp_path / "in"
    save_grey(folder / "good.png", GREY)
    (folder / "link.png").symlink_to(folder / "good.png")
    (folder / "gone.png").symlink_to(tmp_path / "gone")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    items, left_out = list_batch([folder])
    assert [item.name for item in items] == ["good.png", "link.png"]
    assert [other.name for other in left_out] == ["gone.png", "loop", "pipe.png"]


@pytest.mark.parametrize("packed", [False, True])
def test_ten_thousand_files(tmp_path, bounded, packed):
    names = [f"{i // 100}/{i}{suffix}" for i in range(5000) for suffix in (".png", "_mask.png")]
    if packed:
        source = pack(tmp_path / "many.zip", dict.fromkeys(names, b""))
    else:
        source = tmp_path / "many"
        for name in names:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).touch()
    items = find_items([source])
    assert len(items) == 5000 and all(len(item.masks) == 1 for item in items)


@pytest.mark.parametrize("name", ["a.png", "a"])
def test_a_bzip2_bomb_in_an_archive_is_stopped_early(tmp_path, name):
    """The table of contents says 1000 bytes; a few bytes of bzip2 hold 100 MB."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr(name, bytes(10**8))
    content = path.read_bytes()
    path.write_bytes(content.replace((10**8).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (item, *rest), left_out = list_batch([path, save_grey(tmp_path / "b.png", GREY)])
    if name == "a":
        assert not rest and [other.name for other in left_out] == ["a.zip/a"]
    else:
        with pytest.raises(InputError, match="unpacks to more than the table of contents says"), item.image.on_disk():
            pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_an_archive_with_a_huge_table_of_contents_is_refused_unread(tmp_path):
    path = tmp_path / "a.zip"
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    table = entry * 300_000
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(table), 0, 0)
    path.write_bytes(table + end)
    (item,), _ = list_batch([path], LIMITS)
    assert "(its table of contents has over 10 MB): pack it again." in item.fault


def traps() -> dict[str, dict[str, bytes]]:
    """Members of archives of a few hundred kilobytes, whose pairs of images and masks cost much to find."""
    image, mask = encode("PNG"), encode("PNG", GREY > 100)
    wide = ",".join(f"c{i}" for i in range(10_000)) + "\n" + "y\n" * 10_000
    same = "image,mask\n" + "q.png,q.png\n" * 20_000
    others = "image,mask\n" + "".join(f"{'d/' * (i % 40)}q.png,{i}.png\n" for i in range(20_000))
    repeated = "image,mask\n" + "a.png,m.png\n" * 20_000
    folders = {f"{'images/' * (i + 1)}a.png": image for i in range(200)}
    return {
        "many columns": {"a.png": image, "x.csv": wide.encode()},
        "long line": {"a.png": image, "x.csv": b"image,mask\n" + b"," * 3_000_000},
        "one name in all folders": {**{f"{i}/q.png": b"1" for i in range(2000)}, "x.csv": same.encode()},
        "many endings": {**{f"{i}/d/d/q.png": b"1" for i in range(2000)}, "x.csv": others.encode()},
        "one pair again and again": {"a.png": image, "m.png": mask, "x.csv": repeated.encode()},
        "many masks": {"a.png": image} | {f"a_mask_{i}.png": mask for i in range(300)},
        "everything belongs to everything": folders | {f"{'masks/' * (i + 1)}a.png": mask for i in range(200)},
    }


@pytest.mark.parametrize("trap", traps())
def test_pairs_that_cost_much_to_find(trap, tmp_path, bounded):
    archive = pack(tmp_path / "a.zip", traps()[trap])
    items, _ = list_batch([archive])
    assert all(len(item.masks) <= 100 for item in items)
    if trap == "one pair again and again":
        assert [(item.name, len(item.masks)) for item in items] == [("a.png", 1)]
    if trap == "many masks":
        assert [item.fault for item in items] == ["a.png has 300 masks, at most 100 are taken: join them into one."]
