"""While the networks run, other images are read and written; order and content are those of one after the other."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from helpers import picture, save_grey

from busi_demo.batch.analyse import AHEAD, ahead, analyse_item, analyse_items
from busi_demo.batch.items import BatchItem, find_items


@pytest.fixture
def items(tmp_path: Path) -> list[BatchItem]:
    """Eight images and a file that is none."""
    for i in range(8):
        save_grey(tmp_path / f"{i}.png", picture(i, 72 + i, 96))
    (tmp_path / "4b.png").write_text("not an image")
    return find_items([tmp_path])


@pytest.mark.parametrize("count", [1, 2])
def test_rows_and_figures_are_those_of_one_image_after_the_other(items, predictors, count):
    used = [predictors["multitask_cnn"], predictors["multitask_resnet50"]][:count]

    def content(results):
        return [(result.row, result.figure_png()) for result in results]

    alone = [(item, item.sha256(), content(analyse_item(item, used))) for item in items]
    threads = set()

    def finish(item, sha256, results):
        threads.add(threading.current_thread())
        return item, sha256, content(results)

    assert list(analyse_items(items, used, False, finish)) == alone
    assert len(threads) == 1 and threading.current_thread() not in threads
    assert [bool(rows[0][0]["error"]) for _, _, rows in alone] == [item.name == "4b.png" for item in items]


def test_an_image_that_is_interrupted_leaves_those_before_it_finished(items, predictors, monkeypatch):
    predictor, ran, finished = predictors["multitask_cnn"], [], []
    forward_pass = type(predictor).forward_pass

    def stop(self, *words):
        ran.append(words)
        if len(ran) == 4:
            raise KeyboardInterrupt
        return forward_pass(self, *words)

    monkeypatch.setattr(type(predictor), "forward_pass", stop)
    with pytest.raises(KeyboardInterrupt):
        for _ in analyse_items(items, [predictor], False, lambda item, *rest: finished.append(item.name)):
            pass
    assert finished == ["0.png", "1.png", "2.png"]


def test_no_more_than_a_few_calls_are_made_ahead():
    calls, taken = [], 0
    for value in ahead(lambda x: calls.append(x) or -x, range(20)):
        assert value == -taken and len(calls) <= taken + AHEAD + 1
        taken += 1
    assert taken == 20 and calls == list(range(20))


def test_an_error_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda x: 1 // x, [1, 0, 1]))
