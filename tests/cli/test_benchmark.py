"""The benchmark runs and writes what it says; its figures depend on the machine and are not tested."""

from __future__ import annotations

import json

import pytest

from busi_demo.__main__ import main
from busi_demo.cli.benchmark import PROFILE
from busi_demo.cli.benchmark.report import TARGETS, Target, markdown, table
from busi_demo.cli.benchmark.timing import in_turns, machine

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
    text = markdown(RESULT, f"{PROFILE}\n\nWritten by hand.")
    assert RESULT["machine"]["processor"] in text and "commit abc" in text and "## Answers" not in text
    assert text.endswith(f"{PROFILE}\n\nWritten by hand.\n")


@pytest.mark.usefixtures("stand_in_weights")
def test_answers_and_training_are_measured(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"old\n\n{PROFILE}\n\nWritten by hand.\n")
    words = ["--only", "answers", "training", "--repeats", "1", "--images", "9", "--engine", "eager"]
    assert main(["benchmark", *words, "--json", str(tmp_path / "all.json"), "--markdown", str(page)]) == 0
    result = json.loads((tmp_path / "all.json").read_text())
    process = {"start_over_imports", "first_over_second", "memory_growth", "peak_gib"}
    assert set(result["ratios"]) == TARGETS.keys() - process and min(result["ratios"].values()) > 0
    assert result["engines"]["used"] == "eager" and set(result["seconds"]) == {"loader", "resident", "notebook"}
    assert "`batch_efficiency`" in capsys.readouterr().out
    assert "## Engines" in page.read_text() and page.read_text().endswith("Written by hand.\n")


@pytest.mark.parametrize(("words", "sentence"), [
    (("--repeats", "0"), "--repeats must be at least 1, got 0."),
    (("--engine", "warp", "--only", "answers"), "There is no engine 'warp'"),
    (("--compare", "missing.json"), "missing.json"),
])  # fmt: skip
@pytest.mark.usefixtures("stand_in_weights")
def test_bad_options_get_one_sentence(words, sentence, capsys):
    assert main(["benchmark", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and sentence in error and error.count("\n") == 1
