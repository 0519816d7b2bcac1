"""The programs in `tests/reliability`: a few cases of each, and that they notice and save what breaks something."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("hypothesis")
from reliability import fuzz, kills, left_open, record, soak, targets
from reliability.journeys import Reply
from reliability.targets import SOURCES, TARGETS, Finished, Share, Trial

from busi_demo.ui import texts


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


LEFT_OPEN = {"minutes": 130.0, "start": True, "said": texts.EXPIRED, "again": True, "first": True, "page_errors": 0,
             "deleted_after_minutes": 70.0}  # fmt: skip


@pytest.mark.parametrize(("change", "sound"), [
    ({}, True),
    ({"minutes": 5.0, "deleted_after_minutes": None, "said": ""}, True),
    ({"deleted_after_minutes": None, "said": ""}, False),  # images are deleted within two hours
    ({"said": ""}, False),
    ({"deleted_after_minutes": None, "minutes": 5.0}, False),
    ({"again": False}, False),
    ({"first": False}, False),
    ({"start": False}, False),
    ({"page_errors": 1}, False),
])  # fmt: skip
def test_what_a_page_that_was_left_open_must_do(change, sound):
    assert left_open.sound({**LEFT_OPEN, **change}) == sound


@pytest.mark.parametrize(("reply", "outcome"), [
    (Reply("answer", "a"), "right"), (Reply("answer", "b"), "wrong"), (Reply("error", "a"), "error"),
    (Reply("lost", "a"), "lost"), (Reply("full", "a"), "full")])  # fmt: skip
def test_what_a_reply_is_worth(reply, outcome):
    assert soak.came_of(reply, Reply("answer", "a")) == outcome


def test_the_soak_tells_whether_memory_is_flat():
    memory = {"start": 1.0, "end": 2.0, "most": 3.0, "slope_per_minute": 0.0}
    figures = {"clients": 2, "minutes": 10.0, "counts": {}, "jobs": 1, "same_afterwards": 1, "latency": {},
               "engines": {}, "crowd": {"programs": 3, "right": 1, "full": 2, "other": 0}, "left_of_pages": 0,
               "left_over": 0, "tracebacks": 0}  # fmt: skip
    for slope, minutes, verdict in ((4.9, 10.0, "met"), (5.1, 10.0, "missed"), (5.1, 4.0, "not judged")):
        rise = {"memory_mib": {"server": memory, "decoders": memory, "all": memory | {"slope_per_minute": slope}}}
        assert f"{slope:.2f}, target at most 5: {verdict}" in soak.soak_text(figures | rise | {"minutes": minutes})
