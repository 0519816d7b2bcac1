from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import ROOT, picture, save_grey, write_busi
from PIL import Image
from trusted import FIT

from busi_demo.__main__ import main
from busi_demo.batch import analyse
from busi_demo.batch.items import find_items
from busi_demo.cli import batch as batch_cli
from busi_demo.inference.accelerate import ENGINE_VARIABLE
from busi_demo.inference.predictor import Predictor
from busi_demo.models import APPROACHES, CONSENSUS
from busi_demo.weights import store as weights
from busi_demo.weights.trust_file import save_trust

FAST = ("--approach", "multitask_cnn")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three images with masks and a file that is no image."""
    root = write_busi(tmp_path / "busi", {"benign": 2, "normal": 1})
    (root / "bad.png").write_text("not an image")
    return root


@pytest.fixture
def batch(weights_folder, tmp_path, monkeypatch, capsys) -> Callable[..., tuple[int, list[dict], list[str]]]:
    """Run `batch` into `out`; returns exit status, the table and the lines of standard error."""
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", weights_folder)

    def run(*words: object) -> tuple[int, list[dict], list[str]]:
        status = main(["batch", *map(str, words), "--output", str(tmp_path / "out")])
        table = tmp_path / "out" / "batch.csv"
        with table.open(newline="") if table.is_file() else open(os.devnull) as file:
            rows = list(csv.DictReader(file))
        return status, rows, capsys.readouterr().err.splitlines()

    return run


def test_a_folder_becomes_a_table_and_figures(batch, source, tmp_path):
    status, rows, complaints = batch(source, "--approach", "all")
    assert status == 2  # for the bad file
    names = ["bad.png", "benign/benign case (1).png", "benign/benign case (2).png", "normal/normal case (1).png"]
    assert [row["image"] for row in rows] == [names[0], *(name for name in names[1:] for _ in range(5))]
    assert [row["approach"] for row in rows[1:6]] == [*APPROACHES, CONSENSUS]
    assert [c for c in complaints if c.startswith("error: ")] == [f"error: {rows[0]['error']}"]
    assert 0 <= float(rows[1]["dice"]) <= 1
    figures = {p.relative_to(tmp_path / "out" / "figures").as_posix() for p in (tmp_path / "out").rglob("*.png")}
    assert figures == {f"{row['image']}.{row['approach']}.png" for row in rows[1:]}
    with Image.open(tmp_path / "out" / "figures" / "benign" / "benign case (1).png.consensus.png") as figure:
        assert figure.width > 2 * figure.height
    assert not list((tmp_path / "out").rglob("*.partial"))


def test_approaches_without_weights_are_named_and_left_out(batch, weights_folder, source, tmp_path, monkeypatch):
    keys = ["multitask_cnn", "multitask_resnet50"]
    for key in keys:
        shutil.copytree(weights_folder / key, tmp_path / "weights" / key)
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path / "weights")
    (source / "bad.png").unlink()
    status, rows, messages = batch(source, "--approach", "all", "--no-figures")
    missing = ", ".join(key for key in APPROACHES if key not in keys)
    assert f"note: Left out, because there are no weights: {missing}." in messages
    assert status == 0 and {row["approach"] for row in rows} == {*keys, CONSENSUS}


def test_an_archive_gives_the_same_table_as_its_folder(batch, source, tmp_path):
    _, rows, _ = batch(source, *FAST, "--no-figures")
    with zipfile.ZipFile(tmp_path / "busi.zip", "w") as archive:
        for path in source.rglob("*.png"):
            archive.write(path, path.relative_to(source))
    main(["batch", str(tmp_path / "busi.zip"), *FAST, "--no-figures", "--output", str(tmp_path / "zip")])
    assert (tmp_path / "zip" / "batch.csv").read_bytes() == (tmp_path / "out" / "batch.csv").read_bytes()
    assert len(rows) == 4 and not (tmp_path / "out" / "figures").exists()


def test_an_interrupted_run_continues(batch, source, monkeypatch):
    """Ctrl+C in the third image; the next run analyses the failed image, now repaired, and the remaining ones only."""
    seen, run = [], analyse._run

    def stumbling(step, *rest):
        seen.append(step.item.name)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return run(step, *rest)

    monkeypatch.setattr(analyse, "_run", stumbling)
    status, rows, complaints = batch(source, *FAST, "--no-figures")
    del seen[3:]  # the networks may have run on the next image, too
    assert status == 130 and [row["image"] for row in rows] == ["bad.png", "benign/benign case (1).png"]
    assert complaints[-1] == "stopped: the same command continues from here"
    save_grey(source / "bad.png", picture(9))
    status, rows, _ = batch(source, *FAST, "--no-figures")
    assert status == 0 and len(rows) == 4 and not any(row["error"] for row in rows)
    assert seen[3:] == ["bad.png", "benign/benign case (2).png", "normal/normal case (1).png"]
    assert batch(source, *FAST, "--no-figures")[:2] == (0, rows) and len(seen) == 6


def test_each_frame_of_a_loop_has_a_row_and_a_figure_on_request(batch, tmp_path, predictors):
    pages = [Image.fromarray(picture(seed)) for seed in range(3)]
    (tmp_path / "in").mkdir()
    pages[0].save(tmp_path / "in" / "loop.tiff", save_all=True, append_images=pages[1:])
    status, rows, _ = batch(tmp_path / "in", *FAST, "--all-frames")
    names = [f"loop.tiff [frame {number} of 3]" for number in (1, 2, 3)]
    assert status == 0 and sorted(row["image"] for row in rows) == names
    for name, page in zip(names, pages, strict=True):
        (row,) = (row for row in rows if row["image"] == name)
        expected = predictors["multitask_cnn"].predict(page).probabilities["benign"]
        assert float(row["p_benign"]) == pytest.approx(expected, abs=1e-3)
        assert (tmp_path / "out" / "figures" / f"{name}.multitask_cnn.png").is_file()
    status, _, complaints = batch(tmp_path / "in", *FAST)
    assert status == 2 and "of another all_frames" in complaints[-1]


def test_results_of_another_image_of_that_name_are_deleted(batch, tmp_path):
    """A/images/1.png and B/images/1.png; the second one is then damaged, and its figure is deleted."""
    for number, person in enumerate("AB"):
        save_grey(tmp_path / person / "images" / "1.png", picture(number, 72 + number, 96))
    figure = tmp_path / "out" / "figures" / "1.png.multitask_cnn.png"
    first, second = (batch(tmp_path / person / "images", *FAST)[1][0] for person in "AB")
    assert (first["height"], second["height"]) == ("72", "73") and figure.is_file()
    (tmp_path / "B" / "images" / "1.png").write_text("not an image")
    _, (row,), _ = batch(tmp_path / "B" / "images", *FAST)
    assert row["error"] and not figure.exists()


def test_only_changed_images_and_masks_are_analysed_again(batch, source, tmp_path, monkeypatch):
    seen, run = [], analyse._run
    monkeypatch.setattr(analyse, "_run", lambda step, *rest: seen.append(step.item.name) or run(step, *rest))
    (source / "bad.png").unlink()
    before = batch(source, *FAST, "--no-figures")[1]
    del seen[:]
    moved = Path(shutil.copytree(source, tmp_path / "elsewhere" / source.name, copy_function=shutil.copyfile))
    assert batch(moved, *FAST, "--no-figures")[1] == before and seen == []  # the same files with other dates
    save_grey(moved / "benign" / "benign case (1)_mask.png", picture(1) < 0)
    after = batch(moved, *FAST, "--no-figures")[1]
    assert seen == ["benign/benign case (1).png"] and after[1:] == before[1:]
    assert float(after[0]["dice"]) == 0 < float(before[0]["dice"])


def test_failed_images_are_analysed_again(batch, source, monkeypatch):
    seen, run = [], analyse._run
    monkeypatch.setattr(analyse, "_run", lambda step, *rest: seen.append(step.item.name) or run(step, *rest))
    first = batch(source, *FAST, "--no-figures")
    del seen[:]
    assert batch(source, *FAST, "--no-figures")[:2] == first[:2] and seen == ["bad.png"]


@pytest.mark.parametrize("text", ['{"sha256": "', "[]", '{"sha256": "", "rows": 1}', '{"rows": [{}]}'])
def test_images_with_damaged_rows_are_analysed_again(batch, source, tmp_path, text):
    (source / "bad.png").unlink()
    before = batch(source, *FAST, "--no-figures")
    for path in (tmp_path / "out" / "rows").iterdir():
        path.write_text(text)
    assert batch(source, *FAST, "--no-figures") == before and before[0] == 0


@pytest.mark.parametrize("text", ["[]", "{"])
def test_damaged_settings_are_one_sentence(batch, source, tmp_path, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "batch.json").write_text(text)
    status, _, (complaint,) = batch(source, *FAST)
    assert status == 2 and complaint == (
        f"error: {tmp_path / 'out' / 'batch.json'} is damaged, expected the settings of an earlier batch: give another "
        "--output."
    )


@pytest.mark.parametrize("letter", ["a", "\u4e2d"])
def test_figures_of_long_names_are_written(batch, source, tmp_path, letter):
    """Two names as long as a file system allows that begin with the same letters."""
    stem = letter * (249 // len(letter.encode()))
    for number in "12":
        save_grey(source / "benign" / f"{stem}{number}.png", picture(int(number)))
    (source / "bad.png").unlink()
    status, rows, _ = batch(source, *FAST)
    figures = [path.name for path in (tmp_path / "out" / "figures" / "benign").iterdir()]
    assert status == 0 and len(rows) == 5 and len(figures) == 4
    assert all(len(name.encode()) <= 255 and name.endswith(".multitask_cnn.png") for name in figures)


@pytest.mark.parametrize("place", ["figures", "rows"])
def test_a_result_that_cannot_be_written_costs_that_image_alone(batch, source, tmp_path, monkeypatch, place):
    (source / "bad.png").unlink()
    name = "benign/benign case (1).png"
    (item,) = (item for item in find_items([source]) if item.name == name)
    taken = {"figures": tmp_path / "out" / "figures" / f"{name}.multitask_cnn.png",
             "rows": batch_cli._row_path(tmp_path / "out", item)}[place]  # fmt: skip
    taken.mkdir(parents=True)
    status, rows, complaints = batch(source, *FAST)
    assert status == 2 and [bool(row["error"]) for row in rows] == [True, False, False]
    assert f"error: The result of {name} could not be written (Is a directory): mend this" in complaints[-1]
    taken.rmdir()
    assert batch(source, *FAST)[0] == 0


@pytest.mark.parametrize(("place", "is_folder"), [
    ("rows", False), ("figures", False), ("batch.csv", True), ("batch.json", True),
])  # fmt: skip
def test_an_output_that_cannot_be_written_is_one_sentence_before_the_work(
    batch, source, tmp_path, monkeypatch, place, is_folder
):
    monkeypatch.setattr(batch_cli, "analyse_items", None)
    taken = tmp_path / "out" / place
    taken.mkdir(parents=True) if is_folder else (taken.parent.mkdir(), taken.write_text(""))
    status, _, (complaint,) = batch(source, *FAST)
    assert status == 2 and str(taken) in complaint and complaint.endswith("name another with --output.")
    assert "Errno" not in complaint


def test_a_table_that_cannot_be_written_is_one_sentence(batch, source, tmp_path, monkeypatch):
    save = batch_cli.save_whole

    def full(path: Path, content: bytes) -> Path:
        if path.name == "batch.csv":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return save(path, content)

    monkeypatch.setattr(batch_cli, "save_whole", full)
    status, _, complaints = batch(source, *FAST, "--no-figures")
    table = tmp_path / "out" / "batch.csv"
    assert status == 2 and complaints[-1] == (
        f"error: The table {table} cannot be written (No space left on device): mend this, and repeat the command."
    )


@pytest.mark.parametrize(("words", "named"), [
    (("--approach", "multitask_resnet50", "--no-figures"), "approach, weights or calibration"),
    (FAST, "figures"),
])  # fmt: skip
def test_other_settings_are_refused(batch, source, words, named, tmp_path):
    batch(source, *FAST, "--no-figures")
    table = (tmp_path / "out" / "batch.csv").read_bytes()
    status, _, complaints = batch(source, *words)
    assert status == 2 and (tmp_path / "out" / "batch.csv").read_bytes() == table
    assert f"holds the results of another {named}: give another --output" in complaints[-1]


def test_rows_of_another_calibration_are_not_continued(batch, weights_folder, source, tmp_path, monkeypatch):
    """The weights are the same; temperature, sizes and thresholds change the answers as well."""
    config = shutil.copytree(weights_folder / FAST[1], tmp_path / "weights" / FAST[1]) / "config.json"
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path / "weights")
    batch(source, *FAST, "--no-figures")
    before = config.read_text()
    config.write_text(json.dumps(json.loads(before) | {"temperature": 2.5}))
    status, _, complaints = batch(source, *FAST, "--no-figures")
    assert status == 2 and "holds the results of another approach, weights or calibration" in complaints[-1]
    config.write_text(before)
    save_trust(FIT, config.parent)
    status, _, complaints = batch(source, *FAST, "--no-figures")
    assert status == 2 and "results of another trust, input check or list of known images: give" in complaints[-1]


def test_wrong_arguments_get_one_line(batch, source, tmp_path):
    (tmp_path / "empty").mkdir()
    image = save_grey(tmp_path / "a.png", picture(1))
    for place, message in ((tmp_path / "nowhere", "nowhere does not exist"), (tmp_path / "empty", "There is no image"),
                           (image, "neither a folder nor a .zip archive"), (tmp_path, "lies in")):  # fmt: skip
        status, rows, (complaint,) = batch(place)
        assert (status, rows) == (2, []) and complaint.startswith("error: ") and message in complaint
    assert not (tmp_path / "out").exists()


def test_two_processes_write_the_same_table_as_one(source, weights_folder, tmp_path):
    environment = {**os.environ, "BUSI_DEMO_WEIGHTS": str(weights_folder), "PYTHONPATH": str(ROOT)}
    words = ["-m", "busi_demo", "batch", str(source), *FAST, "--no-figures", "--output"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    runs = {}
    for name, start in (("one", [sys.executable]), ("two", torchrun)):
        command = [*start, *words, str(tmp_path / name)]
        runs[name] = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    one, two = (tmp_path / name / "batch.csv" for name in runs)
    assert one.read_bytes() == two.read_bytes(), runs["two"].stderr
    assert one.read_text().count("\n") == 5
    assert [run.stdout.count("wrote ") for run in runs.values()] == [1, 1]
    assert runs["one"].returncode == 2 and runs["two"].stderr.count("error: bad.png cannot be read") == 1
    assert sorted(p.name for p in (tmp_path / "one" / "rows").iterdir()) == sorted(
        p.name for p in (tmp_path / "two" / "rows").iterdir()
    )
    assert json.loads((tmp_path / "two" / "batch.json").read_text())["figures"] is False


def test_what_is_left_out_is_listed_and_excel_gets_a_mark(batch, source, tmp_path):
    (source / "notes.txt").write_text("hello")
    (source / "DICOMDIR").write_bytes(b"any")
    (source / "bad.png").rename(source / '=cmd\n"quoted", \u4e73\u817a.png')
    status, _, err = batch(source, "--csv-for", "excel", "--no-figures")
    note = "note: 2 files are left out (DICOMDIR is the table of contents of a DICOM folder"
    assert status == 2 and any(line.startswith(note) for line in err)
    for name in ("batch.csv", "left_out.csv"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\xef\xbb\xbf")
    with (tmp_path / "out" / "left_out.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["DICOMDIR", "notes.txt"] and "is no image" in rows[1]["reason"]
    with (tmp_path / "out" / "batch.csv").open(encoding="utf-8-sig", newline="") as file:
        assert '\'=cmd\n"quoted", \u4e73\u817a.png' in [row["image"] for row in csv.DictReader(file)]


def test_the_engine_is_chosen_for_many_images_and_the_one_that_is_named_is_used(batch, source, tmp_path, monkeypatch):
    asked, accelerate = [], Predictor.accelerate
    monkeypatch.setattr(
        Predictor, "accelerate", lambda self, image, key: asked.append(key) or accelerate(self, image, "eager")
    )
    monkeypatch.delenv(ENGINE_VARIABLE)
    monkeypatch.setattr("busi_demo.inference.accelerate.WORTH_COMPILING", 5)
    first = batch(source, *FAST, "--no-figures")[1]
    assert asked == []  # there are four images
    save_grey(source / "z.png", picture(3))
    shutil.rmtree(tmp_path / "out")
    assert batch(source, *FAST, "--no-figures")[1][:4] == first and asked == [None]
    shutil.rmtree(tmp_path / "out")
    batch(source, "--approach", "all", "--no-figures", "--engine", "openvino")
    assert asked[1:] == ["openvino"] * len(APPROACHES)


def test_an_engine_that_is_not_there_is_one_sentence(batch, source):
    status, _, complaints = batch(source, *FAST, "--engine", "warp")
    assert status == 2 and complaints[-1].startswith("error: There is no engine 'warp': choose one of eager,")
