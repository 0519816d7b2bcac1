from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from helpers import disc, picture, save_grey
from scipy.stats import beta

from busi_demo.evaluation.autopsy.classifiers import SmallCNN, largest_class, load_files, nearest_neighbour
from busi_demo.evaluation.autopsy.report import autopsy_figure, table_rows, table_text
from busi_demo.evaluation.autopsy.study import (
    ALL,
    BLACK,
    CLEAN,
    IMAGES,
    LEAKED,
    MASKS,
    QUOTED,
    WAYS,
    Files,
    folds_of,
    quoted,
    run_autopsy,
)
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.types import CLASSES, InputError

SIZE = 32


def made_files(copies: int, groups: int = 30, masks: bool = True) -> Files:
    """Random images that do not show their class, in groups of `copies` near-copies; every third class is normal.

    A mask is a disc that shows its class by its size, black for normals."""
    rng = np.random.RandomState(0)
    pixels, labels, number, is_mask = [], [], [], []
    for group in range(groups):
        label, original = group % 3, rng.randint(0, 250, (SIZE, SIZE))
        for copy in range(copies):
            mask = disc(SIZE, SIZE, 16, 16, 5 + 5 * label) & (CLASSES[label] != "normal")
            for picture_, kind in ((original + copy, False), (mask * 255, True))[: 1 + masks]:
                pixels.append(picture_.astype(np.uint8))
                labels.append(label)
                number.append(100 - group)
                is_mask.append(kind)
    return Files(np.stack(pixels), np.array(labels), np.array(number), np.array(is_mask))


def row(result: dict, classifier: str, way: str, part: str = ALL) -> dict:
    (found,) = [r for r in result["rows"] if (r["classifier"], r["way"], r["part"]) == (classifier, way, part)]
    return found


def remember(train: np.ndarray, labels: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Correct for images that differ by at most one grey value from a training image, wrong for all others."""
    distance = np.abs(test[:, None].astype(int) - train[None].astype(int)).max(axis=(2, 3))
    return np.where(distance.min(axis=1) <= 1, labels[distance.argmin(axis=1)], 9)


class TestFolds:
    @pytest.mark.parametrize("way", WAYS)
    def test_each_file_is_tested_once_and_not_trained_on_in_that_fold(self, way):
        files = made_files(2)
        split = folds_of(files, way, 5, 0)
        assert sorted(np.concatenate([test for _, test in split])) == list(range(len(files.labels)))
        assert all(set(train) | set(test) == set(range(len(files.labels))) for train, test in split)
        assert not any(set(train) & set(test) for train, test in split)

    def test_only_the_grouped_split_keeps_groups_together(self):
        files = made_files(2)

        def parted(way: str) -> bool:
            return any(set(files.groups[train]) & set(files.groups[test]) for train, test in folds_of(files, way, 5, 0))

        assert [way for way in WAYS if parted(way)] == ["files", "images"]

    @pytest.mark.parametrize("way", WAYS)
    def test_classes_are_spread_evenly(self, way):
        files = made_files(1)
        for _, test in folds_of(files, way, 5, 0):
            assert np.ptp(np.bincount(files.labels[test])) <= 1

    def test_without_near_duplicates_both_ways_are_the_same(self):
        files = made_files(1, masks=False)
        for one, other in zip(folds_of(files, "images", 5, 3), folds_of(files, "groups", 5, 3), strict=True):
            assert np.array_equal(one[1], other[1])

    def test_the_seed_changes_the_split(self):
        files = made_files(1)
        assert not np.array_equal(folds_of(files, "images", 5, 0)[0][1], folds_of(files, "images", 5, 1)[0][1])


class TestRun:
    def test_memory_shows_as_a_gain_of_the_random_split_only(self):
        result = run_autopsy(made_files(4), {"memory": remember}, resamples=200)
        assert row(result, "memory", "groups")["accuracy"] == 0
        assert row(result, "memory", "images")["accuracy"] > 0.9
        everything, copied, single = result["differences"]
        assert everything["difference"] == pytest.approx(row(result, "memory", "images")["accuracy"])
        assert everything["interval"][0] > 0.8
        assert (copied["n"], single["n"], single["difference"]) == (120, 0, None)

    def test_the_parts_are_separated(self):
        result = run_autopsy(made_files(2), {"memory": remember}, resamples=50)
        assert row(result, "memory", "images", LEAKED)["accuracy"] == 1
        assert row(result, "memory", "images", CLEAN)["accuracy"] == 0
        leaked, clean = (row(result, "memory", "images", part)["n"] for part in (LEAKED, CLEAN))
        assert leaked + clean == row(result, "memory", "images")["n"] == 60 and leaked > clean > 0
        assert row(result, "memory", "groups", LEAKED)["n"] == 0
        assert row(result, "memory", "files", MASKS) | {"part": ""} == {
            "classifier": "memory", "way": "files", "part": "", "n": 60, "accuracy": 1, "interval": [1, 1],
        }  # fmt: skip
        assert row(result, "memory", "files", BLACK)["n"] == 20
        images = row(result, "memory", "files", IMAGES)
        assert images["n"] == 60 and images["accuracy"] < 1
        assert row(result, "memory", "files")["accuracy"] == pytest.approx((1 + images["accuracy"]) / 2)

    def test_a_mask_of_the_same_image_is_no_near_duplicate(self):
        result = run_autopsy(made_files(1), {"memory": remember}, resamples=50)
        assert row(result, "memory", "files", LEAKED)["n"] == 0

    def test_counts(self):
        counts = run_autopsy(made_files(2), {"largest": largest_class}, resamples=10)["counts"]
        assert counts == {"files": 120, "images": 60, "mask_files": 60, "black_mask_files": 20, "groups": 30,
                          "images_with_near_duplicate": 60,
                          "images_by_class": {"benign": 20, "malignant": 20, "normal": 20}}  # fmt: skip

    def test_every_seed_counts(self):
        """The first repetition names benign everything, the second malignant: each is right for 10 of 30."""
        calls = []

        def by_repetition(train, labels, test, seed):
            calls.append(seed)
            return np.full(len(test), seed // 3)

        result = run_autopsy(made_files(1), {"seed": by_repetition}, folds=3, seeds=2, resamples=10)
        assert calls == list(range(6)) * 3
        found = row(result, "seed", "images")
        assert (found["n"], found["accuracy"]) == (30, pytest.approx(1 / 3))
        assert len(found["fold_accuracies"]) == 6
        assert result["settings"] == {"folds": 3, "seeds": 2, "resamples": 10, "level": 0.95}

    def test_the_interval_treats_copies_as_one_group(self):
        def luck(train, labels, test, seed):  # half of the groups are named rightly, with all their copies
            return np.where(test[:, 0, 0] // 8 % 2 == 0, 0, 1)

        def spread(copies: int) -> float:
            files = made_files(copies, masks=False)
            half = Files(files.pixels // 8 * 8, np.zeros_like(files.labels), files.groups, files.is_mask)
            low, high = row(run_autopsy(half, {"luck": luck}), "luck", "groups")["interval"]
            return high - low

        assert spread(6) == pytest.approx(spread(1), rel=0.25)

    def test_unequal_lengths_are_refused(self):
        with pytest.raises(ValueError, match="one length"):
            Files(np.zeros((2, 4, 4), np.uint8), np.zeros(3, int), np.zeros(2, int), np.zeros(2, bool))


def test_the_quoted_accuracy_with_its_exact_interval():
    found = quoted()
    assert (found["accuracy"], found["n"], found["correct"]) == (0.9272, 316, 293)
    assert round(found["correct"] / found["n"], 4) == QUOTED["accuracy"]
    assert found["interval"] == pytest.approx([beta.ppf(0.025, 293, 24), beta.ppf(0.975, 294, 23)])


class TestClassifiers:
    def test_largest_class(self):
        assert largest_class(np.zeros((4, 2, 2)), np.array([2, 1, 2, 0]), np.zeros((3, 2, 2)), 0).tolist() == [2] * 3

    def test_nearest_neighbour(self):
        train = np.stack([picture(seed, SIZE, SIZE) for seed in range(5)])

        assert nearest_neighbour(train, np.array([0, 1, 2, 0, 1]), train[::-1].copy(), 0).tolist() == [1, 0, 2, 1, 0]

    def test_the_network_learns_what_can_be_seen(self):
        files = made_files(1, groups=60)
        masks = files.pixels[files.is_mask], files.labels[files.is_mask]
        network = SmallCNN(Preprocess(size=SIZE), epochs=40)
        assert (network(masks[0][:48], masks[1][:48], masks[0][48:], 0) == masks[1][48:]).mean() == 1

    def test_equal_seeds_give_equal_answers_and_keep_the_random_state(self):
        files = made_files(1).images()
        network = SmallCNN(Preprocess(size=SIZE), epochs=1)
        torch.manual_seed(5)
        before = torch.get_rng_state()
        first, second = (network(files.pixels[:20], files.labels[:20], files.pixels[20:], 1) for _ in range(2))
        assert np.array_equal(first, second)
        assert torch.equal(before, torch.get_rng_state())


class TestLoading:
    @pytest.fixture
    def folder(self, busi, publish):
        """The small BUSI with one more image of each class but benign, one copy and one image of the locked test."""
        locked = "locked.png"
        publish(picture(99), "benign", "benign (2).png", is_locked=True)
        shutil.copy(busi / "benign" / "benign case (1).png", busi / "benign" / "copy.png")
        shutil.copy(busi / "benign" / "benign case (1)_mask.png", busi / "benign" / "copy_mask.png")
        save_grey(busi / "benign" / "copy_mask_1.png", disc(72, 96, 10, 10, 6))
        save_grey(busi / "benign" / locked, picture(99))
        save_grey(busi / "benign" / locked.replace(".png", "_mask.png"), disc(72, 96, 36, 48, 9))
        return busi

    def test_every_file_except_the_locked_ones(self, folder):
        files, facts = load_files(str(folder), Preprocess(size=64), 0, 2)
        assert facts == {"data": "busi", "locked_test_left_out": 1}
        assert (~files.is_mask).sum() == 10 and files.is_mask.sum() == 11
        assert np.bincount(files.labels).tolist() == [11, 6, 4]
        assert files.pixels.shape == (21, 64, 64) and files.pixels.dtype == np.uint8
        masks = files.pixels[files.is_mask]
        assert masks[:, 32, 32].tolist() == [255] * 4 + [255, 0] + [255] * 3 + [0] * 2
        groups = files.groups[~files.is_mask]
        assert len(set(groups)) == 9 and groups[0] == groups[4]

    def test_phantoms(self):
        files, facts = load_files("phantoms", Preprocess(size=32), 5, 5)
        assert facts == {"data": "phantoms", "locked_test_left_out": 0}
        assert len(files.labels) == 30 and files.is_mask.sum() == 15
        assert not files.pixels[files.is_mask & (files.labels == 2)].any()

    def test_too_few_of_a_class(self, busi):
        with pytest.raises(InputError, match="must not exceed 2, the number of images of the smallest class, got 3"):
            load_files(str(busi), Preprocess(size=32), 0, 3)


class TestReport:
    @pytest.fixture
    def result(self):
        return run_autopsy(made_files(2), {"memory": remember, "largest": largest_class}, resamples=50)

    def test_rows_are_the_numbers(self, result):
        rows = table_rows(result)
        assert not any(r["way"] == "groups" and r["part"] == LEAKED for r in rows)
        for written in rows:
            source = row(result, written["classifier"], written["way"], written["part"])
            assert float(written["accuracy"]) == pytest.approx(source["accuracy"], abs=5e-5)
            assert written["n"] == source["n"]
            if source["interval"]:
                assert [float(written[k]) for k in ("low", "high")] == pytest.approx(source["interval"], abs=5e-5)

    def test_text_shows_every_row_and_difference(self, result):
        text = table_text(result)
        for r in table_rows(result):
            assert [line for line in text.splitlines() if line.startswith(r["classifier"]) and f" {r['way']} " in line
                    and f"{r['part']} " in line and r["accuracy"] in line]  # fmt: skip
        assert all(f"{d['difference']:+.4f}" in text for d in result["differences"] if d["n"])
        assert "0.9272 = 293 of n = 316" in text and text.endswith("\n")

    def test_figure_shows_every_number(self, result):
        axes = autopsy_figure(result, title="Three ways").axes[0]
        written = sorted(t.get_text() for t in axes.texts)
        assert written == sorted(f"{r['accuracy']:.3f}" for r in result["rows"] if r["n"])
        assert axes.get_title() == "Three ways"
        assert any("n = 120" in tick.get_text() for tick in axes.get_yticklabels())


class TestScript:
    def test_it_writes_table_numbers_and_plot(self, run_script, busi, tmp_path):
        status, out, _ = run_script("train/autopsy.py", "--data", busi, "--output", tmp_path / "out", "--folds", 2,
                                    "--epochs", 1, "--image-size", 32)  # fmt: skip
        assert status == 0
        assert {p.name for p in (tmp_path / "out").iterdir()} == {"autopsy.json", "autopsy.csv", "autopsy.png"}
        result = json.loads((tmp_path / "out" / "autopsy.json").read_text())
        assert result["data"] == "busi" and str(tmp_path) not in json.dumps(result)
        assert result["settings"]["cnn"]["epochs"] == 1
        assert [r["n"] for r in result["rows"] if r["part"] == ALL] == [18, 9, 9] * 3
        with (tmp_path / "out" / "autopsy.csv").open(encoding="utf-8") as file:
            assert list(csv.DictReader(file)) == [{k: str(v) for k, v in r.items()} for r in table_rows(result)]
        assert table_text(result) in out

    @pytest.mark.parametrize(("words", "message"), [
        (["--data", "nowhere"], "nowhere (from --data) is not a folder"),
        (["--data", "phantoms", "--seeds", 0], "--seeds must be at least 1, got 0"),
        (["--data", "phantoms", "--image-size", 70], "--image-size must be a multiple of 32, got 70"),
    ])  # fmt: skip
    def test_a_wrong_setting_is_one_line_and_status_2(self, run_script, tmp_path, monkeypatch, words, message):
        monkeypatch.chdir(tmp_path)
        status, _, err = run_script("train/autopsy.py", *words, "--output", "out")
        (line,) = err.splitlines()
        assert status == 2 and line.startswith("error: ") and message in line
