"""The Compare tab without a browser: what it shows after each approach, and at the end."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
from helpers import disc, picture, save_grey
from PIL import Image

from busi_demo.analysis.answer import Answer
from busi_demo.gallery.load import Example
from busi_demo.imaging import GroundTruth, read_image
from busi_demo.imaging.masks import dice
from busi_demo.inference.consensus import DISAGREEMENT, consensus
from busi_demo.models import APPROACHES, CONSENSUS
from busi_demo.types import CLASSES, InputError
from busi_demo.ui import held, texts
from busi_demo.ui.compare import comparison
from busi_demo.ui.compare.tab import CompareTab
from busi_demo.ui.endpoints import compare_endpoint
from busi_demo.ui.session import Session
from busi_demo.weights import store

NOBODY = Session()

pytestmark = pytest.mark.usefixtures("stand_in_weights")


@pytest.fixture
def image(tmp_path: Path) -> str:
    return str(save_grey(tmp_path / "scan.png", picture(1)))


@pytest.fixture
def mask(tmp_path: Path) -> str:
    return str(save_grey(tmp_path / "truth.png", disc(72, 96, 30, 40, 15)))


@pytest.fixture
def tab() -> CompareTab:
    example = Example(Image.fromarray(picture(5)), Image.fromarray(disc(72, 96, 30, 40, 15)), "benign", "Test")
    with gr.Blocks(analytics_enabled=False) as blocks:
        tab = CompareTab([example])
    tab.blocks = blocks
    return tab


def text(html: Any) -> str:
    """What a person reads in a piece of HTML, or in the update of an HTML component."""
    html = html if isinstance(html, str) else html.constructor_args["value"]
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_results_come_one_by_one(tab, image, predictors):
    start, first, *steps = tab.run(image, None, NOBODY)
    assert text(start[tab.card]) == texts.COMPARE_LOADING
    assert text(first[tab.card]).count(texts.WAITS) == 3 and text(first[tab.card]).count(texts.LOOKS) == 1
    assert all(start[image].constructor_args["visible"] is False for pair in tab.figures.values() for image in pair)
    for i, (key, step) in enumerate(zip(APPROACHES, steps, strict=False)):
        wide, narrow = (step[figure].constructor_args for figure in tab.figures[key])
        (wide_size, narrow_size) = (Image.open(figure["value"]).size for figure in (wide, narrow))
        assert wide["visible"] and wide_size[0] > 2 * wide_size[1]
        assert narrow_size[1] > narrow_size[0]
        assert APPROACHES[key].title in wide["alt_text"]
        if i < 3:
            named = comparison.named(predictors[key].predict(image))
            assert f"{APPROACHES[key].title} {named}" in text(step[tab.card])
            assert f'value="{i + 1}"' in step[tab.card] and tab.tables not in step
    assert len(steps) == 4 and tab.figures[CONSENSUS][0] in steps[3]


def test_the_end_is_the_consensus_and_the_tables(tab, image, mask, predictors):
    *_, end = tab.run(image, mask, NOBODY)
    found = consensus([predictors[key].predict(image) for key in APPROACHES])
    card, tables = text(end[tab.card]), text(end[tab.tables])
    assert f"{found.prediction.predicted_class.capitalize()} {found.prediction.confidence:.1%}" in card
    assert (DISAGREEMENT in card) == found.disagree and (texts.APPROACHES_AGREE in card) != found.disagree
    assert card.count(DISAGREEMENT) <= 1
    truth = disc(72, 96, 30, 40, 15)
    assert f"Dice {dice(found.prediction.mask, truth):.3f}" in card
    for member in found.members:
        assert comparison.named(member) in tables and f"{dice(member.mask, truth):.3f}" in tables
    assert f"{found.overlap[0, 1]:.2f}" in tables and f"{found.median_dice:.2f}." in tables


def test_a_refused_picture_is_compared_where_a_person_asks(tab, mask):
    def names_a_class(end: dict[Any, Any]) -> bool:
        return any(name in text(end[tab.tables]).split() for name in CLASSES)

    *_, refused = tab.run(mask, None, NOBODY)
    assert texts.REFUSED_TITLE in refused[tab.card] and not names_a_class(refused)
    assert refused[tab.anyway].constructor_args["visible"] is True
    *_, asked = tab.run_anyway(mask, None, NOBODY)
    assert texts.OVERRIDDEN in asked[tab.card] and names_a_class(asked)
    assert asked[tab.anyway].constructor_args["visible"] is False


@pytest.mark.parametrize("agree", [True, False])
def test_the_warning_stands_where_they_disagree(agree, image, predictors):
    one = predictors["two_stage"].predict(image)
    shares = one.probabilities if agree else dict(zip(one.probabilities, (0.0, 0.0, 1.0), strict=True))
    if not agree and one.predicted_class == "normal":
        shares = dict(zip(one.probabilities, (1.0, 0.0, 0.0), strict=True))
    other = replace(one, approach="multitask_cnn", probabilities=shares)
    found = consensus([one, other])
    known = comparison.Comparison(
        {"two_stage": Answer(one), "multitask_cnn": Answer(other)}, found, Answer(found.prediction)
    )
    card = comparison.verdict(known)
    assert (f'<p class="alert">{DISAGREEMENT}</p>' in card) != agree and (texts.APPROACHES_AGREE in card) == agree
    assert "do not rely on any of them" in DISAGREEMENT


def test_an_image_that_was_used_in_training_is_named_on_the_card_and_in_the_record(tab, image, put_on_list):
    known = put_on_list(picture(1))
    *_, end = tab.run(image, None, NOBODY)
    assert text(end[tab.card]).count(known.sentence) == 1
    _, record = compare_endpoint(image)
    assert all(known.sentence in answer["warnings"] for answer in (record["consensus"], *record["approaches"]))


def test_the_ground_truth_of_another_image_is_refused_once():
    with pytest.raises(InputError, match=r"must be bool \(72, 96\) like the image, got bool \(3, 3\)"):
        next(comparison.compare(read_image(picture(1, 72, 96)), GroundTruth(np.zeros((3, 3), dtype=bool))))


def test_an_approach_without_weights_costs_its_own_answer(tab, image, monkeypatch):
    load = comparison.load_predictor
    broken = {"multitask_cnn": comparison.InputError("The weights of multitask_cnn are missing.")}

    def loaded(key):
        if key in broken:
            raise broken[key]
        return load(key)

    monkeypatch.setattr(comparison, "load_predictor", loaded)
    *_, end = tab.run(image, None, NOBODY)
    assert texts.consensus_by(3) in text(end[tab.card])
    assert "The weights of multitask_cnn are missing." in text(end[tab.tables])
    broken.update(dict.fromkeys(list(APPROACHES)[:3], broken["multitask_cnn"]))
    *_, end = tab.run(image, None, NOBODY)
    assert texts.NO_CONSENSUS in text(end[tab.card]) and tab.figures[CONSENSUS][0] not in end
    with pytest.raises(gr.Error, match="Fewer than two"):
        compare_endpoint(image)


def test_the_table_names_the_approaches_without_weights(tab, image, weights_folder, tmp_path, monkeypatch):
    keys = ["multitask_cnn", "multitask_resnet50"]
    for key in keys:
        shutil.copytree(weights_folder / key, tmp_path / "weights" / key)
    monkeypatch.setattr(store, "WEIGHTS_FOLDER", tmp_path / "weights")
    *_, end = tab.run(image, None, NOBODY)
    assert texts.consensus_by(2) in text(end[tab.card])
    for key in APPROACHES.keys() - keys:
        assert f"{APPROACHES[key].title} The weights of {key} are missing" in text(end[tab.tables])


def test_wrong_moves_get_a_sentence_and_no_result(tab, image, tmp_path, monkeypatch):
    (tmp_path / "bad.png").write_text("not an image")
    gone, bad, inputs = str(tmp_path / "gone.png"), str(tmp_path / "bad.png"), (tab.intake.image, tab.intake.mask)
    tall = str(save_grey(tmp_path / "tall.png", disc(90, 50, 30, 20, 10)))
    for given, sentence, taken in (((None, None), texts.NO_IMAGE, ()), ((gone, None), texts.EXPIRED, inputs[:1]),
                                   ((image, gone), texts.EXPIRED, inputs),
                                   ((bad, None), "bad.png cannot be read as an image", inputs[:1]),
                                   ((image, image), "is not a mask", inputs[1:]),
                                   ((image, tall), "tall.png has 50 x 90 pixels", ())):  # fmt: skip
        dropped: list[Any] = []
        monkeypatch.setattr(tab.intake, "drop", lambda *files, into=dropped: into.extend(filter(None, files)))
        shown: dict[Any, Any] = {}
        for step in tab.run(*given, NOBODY):
            shown |= step
        end = shown
        assert dropped == [file for file, component in zip(given, inputs, strict=True) if component in taken]
        assert sentence in text(end[tab.card]) and 'role="alert"' in end[tab.card]
        assert end[tab.tables].constructor_args["visible"] is False
        assert {component: end[component] for component in inputs if component in end} == dict.fromkeys(taken)


def test_what_browsers_cannot_show_gets_a_stand_in_but_the_upload_is_compared(tab, tmp_path):
    path = tmp_path / "scan.tif"
    Image.fromarray(picture(1).astype(np.uint16) * 16).save(path)
    shown, mask, session, request = tab.intake.place(str(path)).values()
    assert mask is None and session.original == str(path) and request != tab.intake.request.value
    with Image.open(shown) as picture_shown:
        assert picture_shown.format == "PNG"
    steps = list(tab.run(shown, None, session))
    assert "16-bit grey values were scaled" in text(steps[-1][tab.card])
    assert not any(tab.intake.image in step for step in steps)  # what comes late must not replace a newer image


def test_a_file_that_is_no_image_is_named_and_taken_out(tab, tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    shown, mask, session, _ = tab.intake.place(str(tmp_path / "notes.txt")).values()
    (refusal,) = tab.run(shown, mask, session)
    assert shown is None and "notes.txt cannot be read as an image" in text(refusal[tab.card])


def test_the_image_and_the_mask_are_decoded_once_for_all_approaches(tab, image, mask, decoded):
    shown, _, session, _ = tab.intake.place(image).values()
    *_, end = tab.run(shown, mask, session)
    assert texts.consensus_by(len(APPROACHES)) in text(end[tab.card])
    assert decoded == [image, mask]


def test_the_endpoint_decodes_once_as_well(image, mask, decoded):
    compare_endpoint(image, mask)
    assert decoded == [image, mask]


def test_the_last_request_is_answered_last(tab):
    """Upload, file, example and clear wait in one line; there is one run, which clearing the image stops."""
    (run,) = [fn for fn in tab.blocks.fns.values() if fn.fn and fn.fn.__name__ == "run"]
    events = [fn for fn in tab.blocks.fns.values() if fn.fn and fn.fn.__name__ in ("place", "pick", "reset")]
    assert (tab.intake.request._id, "change") in run.targets and run.trigger_mode == "always_last"
    assert len(events) == 4 and all(fn.trigger_mode == "multiple" for fn in events)
    (stopped,) = [fn for fn in tab.blocks.fns.values() if fn.cancels]
    assert run._id in stopped.cancels and stopped.targets == [(tab.intake.image._id, "clear")]
    assert {(fn.concurrency_id, fn.concurrency_limit) for fn in events} == {("inputs", 1)}


@pytest.mark.parametrize("first", ["upload", "example"])
def test_a_run_ends_as_soon_as_another_image_is_in_its_place(tab, folder, page, first):
    page("ada")
    if first == "example":
        shown, mask, session, _ = tab.intake.pick(SimpleNamespace(index=0)).values()
    else:
        upload = held.save(save_grey(folder / "scan.png", picture(1)).read_bytes(), "scan.png", tab.intake.part)
        shown, mask, session, _ = tab.intake.place(upload).values()
    run = tab.run(shown, mask, session)
    *_, answered = (next(run) for _ in range(3))
    (drawn, _) = (answered[figure].constructor_args["value"] for figure in tab.figures[next(iter(APPROACHES))])
    assert Path(drawn).exists()
    other = held.save(save_grey(folder / "other.png", picture(2)).read_bytes(), "other.png", tab.intake.part)
    tab.intake.place(other)
    assert not Path(drawn).exists() and list(run) == [{tab.card: gr.skip()}]
    assert not list(folder.rglob("figure.png")) and Path(other).exists()
    assert list(tab.run(shown, mask, session)) == [{tab.card: gr.skip()}]


def test_a_new_image_takes_the_answer_on_the_old_one_away_before_its_own_turn(tab, image):
    """The networks may be busy with the images of others: its run comes later."""
    placed = [fn for fn in tab.blocks.fns.values() if fn.fn and fn.fn.__name__ in ("place", "pick")]
    assert len(placed) == 3
    for listener in placed:
        shown = listener.fn(SimpleNamespace(index=0) if listener.fn.__name__ == "pick" else image)
        assert text(shown[tab.card]) == texts.COMPARE_LOADING and shown[tab.tables].constructor_args["visible"] is False
        figures = [figure for pair in tab.figures.values() for figure in pair]
        assert not any(shown[figure].constructor_args["visible"] for figure in figures)
        assert shown.keys() <= set(listener.outputs) and shown[tab.intake.request]


def test_an_example_and_the_way_back(tab):
    image, mask, session, request = tab.intake.pick(SimpleNamespace(index=0)).values()
    assert session.shown is None and request != tab.intake.request.value
    np.testing.assert_array_equal(np.asarray(Image.open(image)), picture(5))
    assert np.asarray(Image.open(mask)).any()
    shown = tab.reset()
    assert text(shown[tab.card]) == texts.COMPARE_WAITING and shown[tab.intake.mask] is None
    assert shown[tab.tables].constructor_args["visible"] is False
