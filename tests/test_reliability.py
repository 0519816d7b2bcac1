"""The programs in `tests/reliability`: a few cases of each, and that they notice and save what breaks something."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("hypothesis")
from reliability import fuzz, kills, record, targets
from reliability.targets import SOURCES, TARGETS, Finished, Share, Trial


def tried(target: str, source: str, cases: int, folder) -> list[float]:
    """Try cases in this process; returns the state of the trial."""
    state = [0.0] * 5
    with pytest.raises(Finished):
        SOURCES[source](Trial(Share(target, source, 1, cases, 60, folder), state))
    return state


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", ["structure", "bytes"])
def test_damaged_files_are_read_or_refused_with_one_sentence(target, source, tmp_path):
    state = tried(target, source, 60, tmp_path)
    assert state[0] == 60 and fuzz.failures(tmp_path) == []


def test_what_breaks_something_is_saved_and_counted(tmp_path, monkeypatch):
    def broken(case: bytes) -> None:
        raise KeyError(case[:1])

    monkeypatch.setitem(TARGETS, "image", broken)
    tried("image", "bytes", 7, tmp_path)
    (failure,) = fuzz.failures(tmp_path)
    assert (failure["kind"], failure["count"], len(failure["files"])) == ("exception", 7, 3)
    assert "KeyError in broken" in failure["place"]
    assert all((tmp_path / name).stat().st_size > 10 for name in failure["files"])


def test_a_case_may_end_its_process(tmp_path):
    share = Share("image", "bytes", 1, 1, 60, tmp_path)
    share.current.write_bytes((3).to_bytes(8, "little") + b"abc and what was there before")
    targets.keep(share, fuzz._current(share), "crash", "", "crash -11")
    (failure,) = fuzz.failures(tmp_path)
    assert (tmp_path / failure["files"][0]).read_bytes() == b"abc"


def test_weights_that_are_saved_by_a_killed_process_are_whole(tmp_path):
    assert kills.kill_saving(1, tmp_path, random.Random(1))["outcomes"] == {"whole": 1}


def test_a_section_of_the_report_leaves_the_others_as_they_are():
    one = record.placed("# Head\n", "fuzz", "first\n")
    both = record.placed(one, "soak", "second \\1\n")
    again = record.placed(both, "fuzz", "third\n")
    assert "first" in both and "second \\1" in both
    assert again == both.replace("first", "third") and again.startswith("# Head\n\n<!-- fuzz -->")
