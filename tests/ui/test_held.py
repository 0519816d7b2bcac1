"""Files of people are removed when their page does not need them any more. The page itself is in tests/browser."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from busi_demo.ui import held

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(autouse=True)
def new(monkeypatch):
    """Nothing is left of other tests of this process."""
    for name in ("_closed", "_used", "_arrived"):
        monkeypatch.setattr(held, name, {})
    for name in ("_parts", "_removed"):
        monkeypatch.setattr(held, name, defaultdict(lambda: defaultdict(set)))


def close(session: str) -> None:
    with held.open_page(session):
        pass


def test_a_part_gives_its_files_back_and_what_it_keeps_stays(page):
    page("ada")
    figure, mask, report = (held.save(name.encode(), name, "analyse") for name in ("figure", "mask", "report"))
    other = held.save(b"other", "other", "compare")
    held.release("analyse", keep=[mask, None])
    assert [Path(path).exists() for path in (figure, mask, report, other)] == [False, True, False, True]
    assert not Path(figure).parent.exists()
    assert held.was_removed("analyse", figure) and held.was_removed("analyse", mask, figure)
    assert not held.was_removed("analyse", mask, None) and not held.was_removed("compare", figure)
    page("bob")
    assert not held.was_removed("analyse", figure)


def test_a_file_that_two_people_hold_stays_until_the_last_leaves(page):
    page("ada")
    path = held.save(b"the same", "scan.png", "analyse")
    page("bob")
    assert held.save(b"the same", "scan.png", "analyse") == path
    close("bob")
    close("bob")  # twice does not count twice
    assert Path(path).exists()
    page("ada")
    held.hold_only("analyse", held.save(b"another", "scan.png", "analyse"))
    assert not Path(path).exists()
    held.hold("analyse", held.save(b"the same", "scan.png", "analyse"))
    assert not held.was_removed("analyse", path)


def test_a_file_that_two_parts_of_a_page_hold_is_removed_from_one(page):
    page("ada")
    path = held.save(b"1", "scan.png", "analyse")
    held.hold("compare", path)
    held.release("compare")
    assert Path(path).exists() and held.was_removed("compare", path) and not held.was_removed("analyse", path)


def test_an_equal_file_that_somebody_has_just_uploaded_stays(page):
    page("ada")
    path = held.save(b"the same", "scan.png", "analyse")
    held.arrive([path])  # of bob, whose page will name it in a moment
    held.release("analyse")
    assert Path(path).exists()
    page("bob")
    held.hold("analyse", path)
    close("bob")
    assert not Path(path).exists()


def test_a_file_that_is_there_is_not_written_again_as_somebody_may_be_reading_it(page, folder):
    page("ada")
    path = Path(held.save(b"the same", "a<b>.png", "analyse"))
    before = path.stat()
    assert Path(held.save(b"the same", "a<b>.png", "compare")) == path and path.name == "ab.png"
    assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)
    assert [file.name for file in folder.rglob("*") if file.is_file()] == ["ab.png"]  # nothing half-written beside it


def test_an_upload_may_be_given_back_before_its_page_has_held_it(page):
    """The listener that holds it, and the one that refuses it, start at the same time."""
    page("ada")
    kept, path = held.save(b"1", "kept", "analyse"), held.save(b"2", "scan.png", None)
    held.give_back("analyse", path, None)
    assert not Path(path).exists() and held.was_removed("analyse", path) and Path(kept).exists()
    path = held.save(b"2", "scan.png", "analyse")
    held.arrive([path])  # of bob
    held.give_back("analyse", path)
    assert Path(path).exists()


def test_what_is_made_of_a_file_that_was_given_back_meanwhile_is_removed_at_once(page):
    page("ada")
    scan = held.save(b"1", "scan.png", "analyse")
    before, late = (held.save(name, "figure.png", "analyse", of=scan) for name in (b"2", b"3"))
    held.hold_only("analyse", held.save(b"4", "scan.png", "analyse"), before)
    assert Path(before).exists() and not Path(late).exists()
    assert not Path(held.save(b"3", "figure.png", "analyse", of=scan)).exists()
    held.save(b"2", "figure.png", "analyse", of=scan)
    assert Path(before).exists()  # the other image needs it
    assert Path(held.save(b"3", "figure.png", "compare", of=scan)).exists()  # that part gave nothing back


def test_what_is_everyones_or_lies_elsewhere_is_never_removed(page, folder, tmp_path):
    example, elsewhere = folder / "hash" / "example.png", tmp_path / "weights.json"
    example.parent.mkdir(parents=True)
    example.write_bytes(b"1")
    elsewhere.write_bytes(b"2")
    held.share()
    page("ada")
    held.hold("analyse", example, elsewhere, None)
    held.release("analyse")
    assert held.was_removed("analyse", str(example))  # another has taken its place on this page
    held.hold("analyse", example, elsewhere)
    assert not held.was_removed("analyse", str(example))
    close("ada")
    assert example.exists() and elsewhere.exists()


def test_outside_of_a_listener_nothing_is_held(page):
    page(None)
    path = held.save(b"1", "1.png", "analyse")
    held.release("analyse")
    assert Path(path).exists() and not held.was_removed("analyse", path)


def test_what_a_run_makes_after_its_page_was_closed_is_removed_until_the_page_is_open_again(page):
    page("ada")
    with held.open_page("ada"):
        with held.open_page("ada"):  # a second connection, before the first is known to be broken
            pass
        figure = held.save(b"1", "figure.png", "analyse")
        assert Path(figure).exists() and not held.was_removed("analyse", figure)
    late = held.save(b"2", "figure.png", "analyse")
    assert not Path(figure).exists() and not Path(late).exists() and held.was_removed("analyse", "another.png")
    held.release("analyse", keep=[late])
    assert not held._parts["ada"] and not held._removed
    held.reopen("ada")  # it asks for more: its connection was lost, not the page
    more = held.save(b"4", "figure.png", "analyse")
    assert Path(more).exists() and not held.was_removed("analyse", "another.png")
    with held.open_page("ada"):
        figure = held.save(b"3", "figure.png", "analyse")
        assert Path(figure).exists() and not held.was_removed("analyse", figure)


def test_what_nobody_came_back_for_is_forgotten(page, monkeypatch):
    """A client without a page, one whose page is open, one whose page was closed, and an upload that nobody named."""
    paths = {}
    for name in ("program", "ada"):
        page(name)
        paths[name] = Path(held.save(name.encode(), "scan.png", "analyse"))
    close("bob")
    held.arrive(["never named"])
    with held.open_page("ada"):
        held.expire()
        assert all(path.exists() for path in paths.values()) and held.is_closed("bob") and held._arrived
        monkeypatch.setattr(held, "KEPT_SECONDS", 0.0)
        held.expire()
        assert paths["ada"].exists() and not paths["program"].exists()
        assert not held.is_closed("bob") and not held._arrived and set(held._parts) == {"ada"}
