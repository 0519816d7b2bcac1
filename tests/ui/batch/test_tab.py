"""The Batch tab without a browser: its rows, its downloads, and how it stops."""

from __future__ import annotations

import csv
import errno
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from helpers import disc, picture, save_grey
from PIL import Image

from busi_demo.batch.rows import COLUMNS
from busi_demo.models import ALL, APPROACHES, CONSENSUS_TITLE
from busi_demo.types import CLASSES
from busi_demo.ui import texts
from busi_demo.ui.batch import job as batch_job
from busi_demo.ui.batch.job import run_batch
from busi_demo.ui.batch.tab import BatchTab
from busi_demo.weights import store

WE = SimpleNamespace(session_hash="we")
KEY = "multitask_cnn"

pytestmark = pytest.mark.usefixtures("stand_in_weights")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two images, the mask of the first, and a file that is no image."""
    (tmp_path / "bad.png").write_text("not an image")
    paths = [save_grey(tmp_path / "a.png", picture(1)), save_grey(tmp_path / "a_mask.png", disc(72, 96, 30, 40, 15)),
             save_grey(tmp_path / "b.png", picture(2)), tmp_path / "bad.png"]  # fmt: skip
    return list(map(str, paths))


@pytest.fixture
def tab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BatchTab:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    with gr.Blocks(analytics_enabled=False):
        return BatchTab()


def shown(tab: BatchTab, step: dict[Any, Any]) -> list[list[Any]]:
    return step[tab.table].constructor_args["value"]


def test_a_table_of_other_files_is_marked(tab):
    assert texts.BATCH_CHANGED in tab.mark_as_old("batch.csv", [])
    assert tab.mark_as_old(None, None) == gr.skip()


def test_the_table_fills_and_ends_with_downloads(tab, files, predictors):
    loading, *steps = tab.run(files, KEY, WE)
    assert texts.BATCH_LOADING in loading[tab.card]
    assert [len(shown(tab, step)) for step in steps] == [0, 1, 2, 3]
    assert "0 of 3 images, now a.png" in steps[0][tab.card] and 'value="0"' in steps[0][tab.card]
    assert [step[tab.stop].constructor_args["interactive"] for step in steps] == [True, True, True, False]
    expected = predictors[KEY].predict(files[0])
    first, bad = (next(row for row in shown(tab, steps[-1]) if row[0] == name) for name in ("a.png", "bad.png"))
    assert first[:3] == ["a.png", "Multi-task CNN with Grad-CAM", expected.predicted_class]
    assert first[3] in ("green", "amber", "red") and first[4] == ""  # nothing was fitted to these weights
    assert first[5:8] == pytest.approx([100 * p for p in expected.probabilities.values()], abs=0.06)
    assert 0 <= first[9] <= 1 and bad[1:10] == [*[""] * 4, *[None] * 5]
    assert bad[10].startswith("bad.png cannot be read")
    assert "All 3 images analysed; 1 could not be used" in steps[-1][tab.card]
    assert "of 2 images would be referred to a person" in steps[-1][tab.card]
    table, figures = (steps[-1][button].constructor_args["value"] for button in (tab.csv, tab.figures))
    with Path(table).open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert Path(table).read_text(encoding="utf-8").startswith("\ufeffimage,")  # for Excel
    assert tuple(rows[0]) == COLUMNS and {row["image"] for row in rows} == {"a.png", "b.png", "bad.png"}
    with zipfile.ZipFile(figures) as archive:
        assert archive.namelist() == [f"figures/{name}.png.{KEY}.png" for name in "ab"] + ["batch.csv"]
        assert archive.read("batch.csv") == Path(table).read_bytes()
        with archive.open("figures/a.png.multitask_cnn.png") as member, Image.open(member) as figure:
            assert figure.width > 2 * figure.height


def test_the_card_names_the_approaches_without_weights(tab, files, weights_folder, tmp_path, monkeypatch):
    keys = [KEY, "multitask_resnet50"]
    for key in keys:
        shutil.copytree(weights_folder / key, tmp_path / "weights" / key)
    monkeypatch.setattr(store, "WEIGHTS_FOLDER", tmp_path / "weights")
    _, *steps = tab.run(files[:1], ALL, WE)
    missing = ", ".join(key for key in APPROACHES if key not in keys)
    assert all(f"Left out, because there are no weights: {missing}." in step[tab.card] for step in steps)
    assert [row[1] for row in shown(tab, steps[-1])] == [
        *(APPROACHES[key].title for key in sorted(keys, key=list(APPROACHES).index)),
        CONSENSUS_TITLE,
    ]


def test_files_that_are_no_images_are_listed_with_a_reason(tab, tmp_path):
    with zipfile.ZipFile(tmp_path / "mixed.zip", "w") as archive:
        archive.write(save_grey(tmp_path / "a.png", picture(1)), "a.png")
        archive.writestr("notes <b>.txt", "text")
    *_, end = tab.run([str(tmp_path / "mixed.zip")], KEY, WE)
    assert "1 other file was left out" in end[tab.card] and "notes &lt;b&gt;.txt" in end[tab.card]
    with zipfile.ZipFile(end[tab.figures].constructor_args["value"]) as archive:
        assert archive.read("left_out.csv").decode().splitlines()[1].startswith("notes <b>.txt,")


def test_a_refused_picture_is_analysed_where_a_person_asks(tab, tmp_path):
    mask = str(save_grey(tmp_path / "shape.png", disc(72, 96, 30, 40, 15)))
    *_, refused = tab.run([mask], KEY, WE)
    *_, asked = tab.run([mask], KEY, WE, analyse_anyway=True)
    assert "two grey values" in shown(tab, refused)[0][10]
    assert shown(tab, asked)[0][2] in CLASSES and shown(tab, asked)[0][3] == "red"


def test_figures_of_long_names_can_be_unpacked(tab, tmp_path):
    """An archive may hold names that are longer than a file system allows."""
    with zipfile.ZipFile(tmp_path / "long.zip", "w") as archive:
        for folder in ("\u4e2d" * 100, "b"):
            archive.write(save_grey(tmp_path / "a.png", picture(1)), folder + "/" + "\u4e2d" * 99 + ".png")
    *_, end = tab.run([str(tmp_path / "long.zip")], KEY, WE)
    assert "2 images analysed." in end[tab.card]
    with zipfile.ZipFile(end[tab.figures].constructor_args["value"]) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert len(list((tmp_path / "unpacked").rglob(f"*.{KEY}.png"))) == 2


def test_stop_ends_it_after_the_image_with_what_there_is(tab, files):
    steps = tab.run(files, KEY, WE)
    next(steps), next(steps), next(steps)
    answer = tab.ask_to_stop(WE)
    assert texts.BATCH_STOPPING in answer[tab.card]
    (end,) = steps
    assert len(shown(tab, end)) == 1 and "1 of 3 images analysed." in end[tab.card]
    assert Path(end[tab.csv].constructor_args["value"]).read_text().count("\n") == 2
    assert len(list(tab.run(files, KEY, WE))) == 5  # the earlier stop no longer counts


def test_another_session_is_not_stopped(tab, files):
    steps = tab.run(files, KEY, WE)
    next(steps), next(steps)
    tab.ask_to_stop(SimpleNamespace(session_hash="others"))
    assert len(list(steps)) == 3


def test_what_nobody_waits_for_is_deleted(tmp_path, files):
    steps = run_batch(files, KEY, str(tmp_path / "cache"))
    next(steps), next(steps)
    assert list((tmp_path / "cache").iterdir())
    steps.close()
    assert not list((tmp_path / "cache").iterdir())


def test_wrong_moves_get_a_sentence(tab, files, tmp_path, monkeypatch):
    monkeypatch.setattr(batch_job, "LIMITS", batch_job.Limits(images=2))
    gone = str(tmp_path / "gone.png")
    for given, sentence in ((None, texts.BATCH_NOTHING), ([], texts.BATCH_NOTHING), ([gone], texts.EXPIRED),
                            (files, "at most 2 are taken at a time")):  # fmt: skip
        *_, end = tab.run(given, KEY, WE)
        assert sentence in end[tab.card] and 'role="alert"' in end[tab.card]


def test_a_full_disk_is_a_sentence_without_the_servers_folders(tab, files, monkeypatch):
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/srv/cache/batch_1")

    monkeypatch.setattr(batch_job.tempfile, "mkdtemp", full)
    *_, end = tab.run(files, KEY, WE)
    assert "could not write the results (No space left on device)" in end[tab.card] and "/srv" not in end[tab.card]
    assert end[tab.start].constructor_args["interactive"] is True


def test_the_limits_are_those_that_the_page_states():
    assert batch_job.LIMITS.images == 200 and "200 images" in texts.BATCH_LIMITS
    assert batch_job.LIMITS.archive_bytes == 500_000_000 and "500 MB unpacked" in texts.BATCH_LIMITS
