"""The benchmark runs and writes what it says; its figures depend on the machine and are not tested."""

from __future__ import annotations

import json
import sys
from collections import Counter

import pytest
from helpers import disc, write_busi

from busi_demo.__main__ import main
from busi_demo.cli.benchmark import agreement, throughput
from busi_demo.cli.benchmark.report import (
    AGREEMENT,
    AGREEMENT_TARGETS,
    PROFILE,
    TARGETS,
    THROUGHPUT,
    Target,
    markdown,
    sections,
    table,
)
from busi_demo.cli.benchmark.timing import in_turns, machine
from busi_demo.imaging import read_image
from busi_demo.models import APPROACHES
from busi_demo.training import sources
from busi_demo.types import InputError

RESULT = {
    "date": "2026-01-02", "commit": "abc", "machine": {**machine(), "load": 0.1},
    "ratios": {"request_over_bare": 0.5, "seed_epoch_over_ours": 2.0, "peak_gib": 123.4},
}  # fmt: skip


def test_functions_are_called_in_turns():
    calls = []
    times = in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 5 and set(times) == {"a", "b"} and min(times.values()) >= 0


def test_targets_have_a_direction():
    assert Target("", 1.0).met(1.0) and not Target("", 1.0).met(1.01)
    assert Target("", 3, at_most=False).met(3) and not Target("", 3, at_most=False).met(2.9)


def test_the_table_has_the_ratios_that_were_measured_beside_their_targets():
    rows = table(RESULT, {"ratios": {"peak_gib": 2.5}}).splitlines()
    assert len(rows) == 2 + len(RESULT["ratios"])
    assert rows[2].startswith("| `request_over_bare` |") and rows[2].endswith("| 0.5 |  | <= 1 | met |")
    assert rows[3].endswith("| 123 | 2.5 | <= 1.5 | missed |") and rows[4].endswith("| 2 |  | >= 3 | missed |")


def test_the_file_names_the_machine_and_keeps_what_was_written_below():
    text = markdown(
        RESULT, f"# Old\n\n## {AGREEMENT}\n\nkept\n\n## Engines\n\nold\n\n## {PROFILE}\n\nWritten by hand.\n"
    )
    assert sections(text)[AGREEMENT] == "kept" and "old" not in text.lower()
    assert RESULT["machine"]["processor"] in text and "commit abc" in text and "## Answers" not in text
    assert text.endswith(f"## {PROFILE}\n\nWritten by hand.\n")


@pytest.mark.usefixtures("stand_in_weights")
def test_answers_and_training_are_measured(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"old\n\n## {PROFILE}\n\nWritten by hand.\n")
    words = ["--only", "answers", "training", "--repeats", "1", "--images", "9", "--engine", "eager"]
    assert main(["benchmark", *words, "--json", str(tmp_path / "all.json"), "--markdown", str(page)]) == 0
    result = json.loads((tmp_path / "all.json").read_text())
    process = {"start_over_imports", "first_over_second", "memory_growth", "peak_gib"}
    assert set(result["ratios"]) == TARGETS.keys() - process and min(result["ratios"].values()) > 0
    assert result["engines"]["used"] == "eager" and set(result["seconds"]) == {"loader", "resident", "notebook"}
    assert "`batch_efficiency`" in capsys.readouterr().out
    assert "## Engines" in page.read_text() and page.read_text().endswith("Written by hand.\n")


def test_other_sections_are_kept_where_only_those_apart_are_measured():
    before = markdown(RESULT, f"\n## {PROFILE}\n\nBy hand.")
    runs = {"batch, 1": {"images_per_second": 4.0, "start_seconds": 9.0}}
    measured = {"engine": "eager", "runs": runs, "cost": throughput.cost(4.0)}
    given = {key: value for key, value in RESULT.items() if key != "ratios"}
    after = sections(markdown({**given, "date": "2026-02-03", "throughput": measured}, before))
    assert {name: after[name] for name in sections(before)} == sections(before)
    assert "2026-02-03" in after[THROUGHPUT] and "1,000,000 images at 4 a second" in after[THROUGHPUT]
    assert "69 hours" in after[THROUGHPUT] and "| batch, 1 | 4 | 9 |" in after[THROUGHPUT]


def test_rates_are_without_the_start(monkeypatch):
    words = []
    monkeypatch.setattr(throughput, "watch", lambda command, count: words.append(command) or [9.0, 10.0, 11.0])
    measured = throughput.throughput(64, "eager")["throughput"]
    assert measured["runs"]["batch, 1"] == {"images_per_second": 1.0, "start_seconds": 9.0}
    assert measured["runs"]["training, 2"] == {"images_per_second": 32.0, "start_seconds": 9.0}
    assert measured["cost"]["images_per_second"] == 1.0 and ["torch.distributed.run" in w for w in words] == [
        0,
        1,
        0,
        1,
    ]


def test_results_are_counted_while_a_command_runs(tmp_path):
    script = "import pathlib, sys; [pathlib.Path(sys.argv[1], str(i)).touch() for i in range(3)]"
    times = throughput.watch([sys.executable, "-c", script, str(tmp_path)], lambda: len(list(tmp_path.iterdir())))
    assert len(times) == 3 and times == sorted(times) and times[0] > 0
    with pytest.raises(InputError, match=r"failed: \['ValueError: no'\]"):
        throughput.watch([sys.executable, "-c", "raise ValueError('no')"], lambda: 2)


def told(mask, *probabilities: float, cam=None) -> agreement.Told:
    named = dict(zip(("benign", "malignant", "normal"), probabilities, strict=True))
    return agreement.Told(mask, mask * 1.0 if cam is None else cam, named, max(named, key=named.__getitem__))


def test_the_worst_of_each_difference_is_told():
    mask = disc(64, 64, 30, 30, 8)
    fewer, cam = mask.copy(), mask * 1.0
    fewer[30, 30], cam[0, 0] = False, 1.0
    same = agreement.difference("same", told(mask, 0.6, 0.3, 0.1), told(mask, 0.6, 0.3, 0.1))
    other = agreement.difference("other", told(mask, 0.6, 0.3, 0.1), told(fewer, 0.4, 0.5, 0.1, cam=cam))
    empty = agreement.difference("empty", *[told(mask & False, 0.1, 0.1, 0.8)] * 2)
    assert (same.dice, same.probability, same.other_class, empty.dice, empty.cam) == (1, 0, False, 1, 1)
    found = agreement.summary([same, other, empty])
    assert found["images"] == 3 and found["classes_changed"] == 1 and found["worst_images"]["dice"]["image"] == "other"
    assert found["worst_images"]["dice"]["changed"] == 1 and 0.99 < found["worst_dice"] < 1 > found["worst_cam"] > 0.9
    assert found["worst_probability"] == pytest.approx(0.2)


def test_images_are_spread_over_the_classes_and_none_is_locked(tmp_path, publish, monkeypatch):
    root = write_busi(tmp_path / "busi", {"benign": 6, "malignant": 4, "normal": 1})
    locked = root / "benign" / "benign case (1).png"
    publish(read_image(locked).pixels, "benign", locked.name, is_locked=True)
    monkeypatch.setattr(agreement, "locked_test", sources.locked_test)
    names = [(sample.label, sample.name) for sample in agreement.chosen_images(root, 9)]
    assert names == [(sample.label, sample.name) for sample in agreement.chosen_images(root, 9)]
    assert ("benign", locked.name) not in names
    assert Counter(label for label, _ in names) == {"benign": 2, "malignant": 3, "normal": 1}


@pytest.mark.usefixtures("stand_in_weights")
def test_engines_agree_on_images_of_a_folder(tmp_path):
    root = write_busi(tmp_path / "busi", {"benign": 2, "malignant": 1, "normal": 1})
    page = tmp_path / "page.md"
    words = ["--only", "agreement", "--repeats", "1", "--images", "3", "--data", str(root), "--engine", "channels_last"]
    assert main(["benchmark", *words, "--json", str(tmp_path / "all.json"), "--markdown", str(page)]) == 0
    approaches = json.loads((tmp_path / "all.json").read_text())["agreement"]["approaches"]
    assert approaches.keys() == APPROACHES.keys()
    for engines in approaches.values():
        found = engines["channels_last"]
        assert found["images"] == 3 and all(target.met(found[key]) for key, target in AGREEMENT_TARGETS.items())
    assert sections(page.read_text())[AGREEMENT].count("| channels_last | 3 |") == len(APPROACHES)


@pytest.mark.parametrize(("words", "sentence"), [
    (("--only", "agreement", "--data", "nowhere"), "nowhere (from --data) is not a folder"),
    (("--repeats", "0"), "--repeats must be at least 1, got 0."),
    (("--engine", "warp", "--only", "answers"), "There is no engine 'warp'"),
    (("--compare", "missing.json"), "missing.json"),
])  # fmt: skip
@pytest.mark.usefixtures("stand_in_weights")
def test_bad_options_get_one_sentence(words, sentence, capsys):
    assert main(["benchmark", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and sentence in error and error.count("\n") == 1
