"""The page without a browser: its handlers, and its endpoint for programs on a running app."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from helpers import disc, picture, save_grey, write_dicom
from PIL import Image
from reliability.journeys import Visitor

from busi_demo.analysis.analysis import Analysis
from busi_demo.analysis.view import View
from busi_demo.gallery.load import EXAMPLES_FOLDER, load_examples
from busi_demo.imaging import read_image
from busi_demo.imaging.masks import dice, iou
from busi_demo.inference.cam_methods import CAM_METHODS
from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.types import CLASSES
from busi_demo.ui import guard, held, texts
from busi_demo.ui.analyse import steps as analyse_steps
from busi_demo.ui.analyse import tab as analyse_tab
from busi_demo.ui.analyse.controls import view_of
from busi_demo.ui.analyse.downloads import maker
from busi_demo.ui.analyse.tab import AnalyseTab
from busi_demo.ui.endpoints import analyse_endpoint
from busi_demo.ui.guard import guarded
from busi_demo.ui.page import LAUNCH_OPTIONS, build_page
from busi_demo.ui.session import Session
from busi_demo.weights import store as weights

HEIGHT, WIDTH = 72, 96

pytestmark = pytest.mark.usefixtures("stand_in_weights")


@pytest.fixture
def image(tmp_path: Path) -> str:
    return str(save_grey(tmp_path / "scan.png", picture(1, HEIGHT, WIDTH)))


@pytest.fixture
def mask(tmp_path: Path) -> str:
    return str(save_grey(tmp_path / "truth.png", disc(HEIGHT, WIDTH, 30, 40, 15)))


@pytest.fixture
def examples_folder(tmp_path: Path) -> Path:
    folder, rows = tmp_path / "examples", []
    for i, label in enumerate(("benign", "normal")):
        save_grey(folder / f"{label}.png", picture(10 + i, HEIGHT, WIDTH))
        save_grey(folder / f"{label}_mask.png", disc(HEIGHT, WIDTH, 30, 40, 15) & (label != "normal"))
        rows.append(
            {"id": label, "image": f"{label}.png", "mask": f"{label}_mask.png", "label": label, "description": "Test"}
        )
    (folder / "examples.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture
def tab(examples_folder: Path) -> AnalyseTab:
    with gr.Blocks(analytics_enabled=False) as blocks:
        tab = AnalyseTab(load_examples(examples_folder))
    tab.blocks = blocks
    return tab


def text(card: str) -> str:
    """What a person reads in a piece of HTML."""
    return " ".join(re.sub(r"<[^>]+>", " ", card).split())


def ask(tab: AnalyseTab, image: str | None, approach: str = DEFAULT_APPROACH, mask: str | None = None,
        session: Session | None = None, spacing: float | None = None, crop: str = "") -> dict[Any, Any]:  # fmt: skip
    """What `run` leaves in the components."""
    *_, shown = tab.run(image, approach, mask, spacing, session or Session(), crop=crop)
    return shown


DEFAULTS = (0.5, 0.55, "predicted", "grad_cam", None)


def see(tab: AnalyseTab, session: Session, *settings: Any, narrow: bool = False) -> dict[Any, Any]:
    """What `view` shows of it, with the image still in the input."""
    return tab.view(narrow, session.shown, session, *(settings or DEFAULTS))


def refused(tab: AnalyseTab, session: Session) -> str:
    """The sentence of an answer that is a refusal: results are hidden and not replaced."""
    shown = see(tab, session)
    assert shown[tab.results].constructor_args["visible"] is False
    assert tab.figure not in shown and session.analysed is None
    assert 'role="alert"' in shown[tab.card]
    return text(shown[tab.card])


def value(figure: gr.Image) -> Image.Image:
    with Image.open(figure.constructor_args["value"]) as picture:
        return picture.convert("RGB")


# ---- handlers


def test_each_approach_shows_its_own_title_class_and_figure(tab, image, approach, predictors):
    changed = ask(tab, image, approach)
    shown = see(tab, changed[tab.intake.session])
    expected = predictors[approach].predict(image)
    card = text(shown[tab.card])
    assert card.startswith(APPROACHES[approach].title)
    assert f"{expected.predicted_class.capitalize()} {expected.confidence:.1%}" in card
    assert all(f"{name} {share:.1%}" in card for name, share in expected.probabilities.items())
    assert texts.DICE not in card
    wide, narrow = (value(see(tab, changed[tab.intake.session], narrow=n)[tab.figure]) for n in (False, True))
    assert wide.width > 2 * wide.height and narrow.height > 2 * narrow.width
    assert APPROACHES[approach].title in shown[tab.figure].constructor_args["alt_text"]
    assert shown[tab.results].constructor_args["visible"] is True
    assert tab.intake.image not in changed and tab.intake.mask not in changed


def test_a_refused_picture_gets_reasons_and_no_class_until_a_person_asks(tab, tmp_path):
    mask = str(save_grey(tmp_path / "mask.png", disc(200, 300, 90, 140, 40)))
    session = ask(tab, mask)[tab.intake.session]
    shown = see(tab, session)
    card = text(shown[tab.card])
    assert card.startswith(f"{texts.REFUSED_TITLE} Expected was a B-mode ultrasound") and "mask or a drawing" in card
    assert not any(name in card.lower() for name in CLASSES) and "%" not in card
    assert shown[tab.results].constructor_args["visible"] is False and tab.figure not in shown
    assert shown[tab.anyway].constructor_args["visible"] is True

    *_, changed = tab.run_anyway(mask, DEFAULT_APPROACH, None, None, session, (Session(), 0), "")
    shown = see(tab, changed[tab.intake.session])
    card = text(shown[tab.card])
    assert f"{texts.OVERRIDDEN}. Expected was" in card and any(name in card.lower() for name in CLASSES)
    assert shown[tab.results].constructor_args["visible"] is True
    assert shown[tab.anyway].constructor_args["visible"] is False
    assert changed[tab.intake.session].analysed.facts.trust.level.name == "RED"


def test_a_message_while_weights_are_loaded_and_none_later(tab, image, monkeypatch):
    monkeypatch.setattr(analyse_steps, "_answered", set())
    first = list(tab.run(image, DEFAULT_APPROACH, None, None, Session()))
    assert "Loading the weights of Multi-task U-Net" in text(first[0][tab.card]) and len(first) == 2
    assert len(list(tab.run(image, DEFAULT_APPROACH, None, None, Session()))) == 1


def test_a_mask_adds_dice_and_iou(tab, image, mask, predictors):
    shown = see(tab, ask(tab, image, mask=mask)[tab.intake.session])
    predicted, truth = predictors[DEFAULT_APPROACH].predict(image).mask, disc(HEIGHT, WIDTH, 30, 40, 15)
    assert f"Dice {dice(predicted, truth):.3f} IoU {iou(predicted, truth):.3f}" in text(shown[tab.card])
    assert value(shown[tab.figure]) != value(see(tab, ask(tab, image)[tab.intake.session])[tab.figure])


def test_the_controls_change_what_is_shown_and_run_no_network(tab, image, predictors, monkeypatch):
    """Threshold, opacity, class, method and spacing: each shows what `ForwardPass` says, from the one forward pass."""
    session = ask(tab, image)[tab.intake.session]
    look, before = session.analysed.forward_pass, value(see(tab, session)[tab.figure])
    monkeypatch.setattr(
        type(predictors[DEFAULT_APPROACH]), "forward_pass", lambda *_: pytest.fail("the network ran again")
    )
    share = look.prediction(threshold=0.4).lesion_area_fraction
    lower = see(tab, session, 0.4, 0.55, "predicted", "grad_cam", None)
    assert f"({share:.1%} of the image)" in text(lower[tab.findings])
    figures = [value(lower[tab.figure])]
    settings = (
        (0.5, 0.9, "predicted", "grad_cam"),
        (0.5, 0.55, "benign", "grad_cam"),
        (0.5, 0.55, "normal", "layer_cam"),
    )
    figures += [value(see(tab, session, *request, None)[tab.figure]) for request in settings]
    seen = see(tab, session, 0.4, 0.55, "normal", "eigen_cam", 0.25)
    assert "Eigen-CAM" in text(seen[tab.findings])
    findings = text(seen[tab.findings])
    assert f"Area {share * HEIGHT * WIDTH * 0.0625:,.1f} mm²" in findings and "not a BI-RADS" in findings
    pictures = [np.asarray(figure).tobytes() for figure in (before, *figures, value(seen[tab.figure]))]
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize("spacing", [1e300, 1e-9, -1, 5.1, float("nan")])
def test_a_spacing_that_no_ultrasound_has_is_refused_with_a_sentence(tab, image, spacing):
    session = ask(tab, image)[tab.intake.session]
    card = text(see(tab, session, *DEFAULTS[:4], spacing)[tab.card])
    assert "pixel spacing must lie between 0.001 and 5 mm per pixel, got" in card
    make = maker("report.pdf", lambda analysis: pytest.fail("a report was made"), "")
    with pytest.raises(gr.Error, match="pixel spacing must lie between"):
        make(session, *DEFAULTS[:4], spacing)


@pytest.mark.parametrize(("typed", "meant"), [(0.42, 0.42), (5, 0.99), (-1, 0.01), (0, 0.01), (None, 0.01)])
def test_the_threshold_box_means_what_it_shows_once_it_is_left(tab, typed, meant):
    assert tab.controls.threshold.preprocess(typed) == meant


def test_reset_brings_the_defaults_back(tab, image):
    session = ask(tab, image)[tab.intake.session]
    assert tab.controls.defaults(session) == DEFAULTS[:4]
    assert view_of(session, *DEFAULTS) == View()
    assert view_of(session, 0.3, 0.2, "benign", "layer_cam", 0.1) == View(0.3, "benign", "layer_cam", 0.2, 0.1)


def test_another_approach_brings_its_own_threshold(tab, image):
    changed = ask(tab, image)
    assert changed[tab.controls.threshold] == changed[tab.intake.session].analysed.forward_pass.threshold
    assert tab.controls.threshold not in ask(tab, image, session=changed[tab.intake.session])
    assert tab.controls.threshold in ask(tab, image, "multitask_cnn", session=changed[tab.intake.session])


def test_what_is_found_has_words_beside_the_colours(tab, image):
    session = ask(tab, image)[tab.intake.session]
    shown = see(tab, session)
    findings = text(shown[tab.findings])
    word = texts.LEVELS[session.analysed.facts.trust.level.name.lower()][1]
    assert word in text(shown[tab.card]) and word in findings
    assert all(check.sentence in unescape(findings) for check in session.analysed.facts.trust.checks)
    assert texts.SEEN_UNKNOWN in findings and texts.NOT_SEEN not in findings  # there is no list beside these weights


def test_of_an_image_that_is_on_no_list_the_page_says_what_it_would_not_recognise(tab, image, monkeypatch):
    monkeypatch.setattr("busi_demo.analysis.analysis.known_images_available", lambda: True)
    findings = text(see(tab, ask(tab, image)[tab.intake.session])[tab.findings])
    assert texts.NOT_SEEN in findings and texts.SEEN_UNKNOWN not in findings
    assert "No match found" in findings and "Crops and quarter turns are not recognised." in findings


def test_every_download_is_a_file_of_its_kind(tab, image, mask):
    session = ask(tab, image, mask=mask)[tab.intake.session]
    made = {}
    for button, (ending, make) in tab.downloads.files.items():
        made[ending] = make(session.analysed.analysis(View(threshold=0.4, cam_method="layer_cam")))
        assert button.elem_id
    assert made["figure.png"].startswith(b"\x89PNG") and made["figure.pdf"].startswith(b"%PDF")
    assert made["report.pdf"].startswith(b"%PDF")
    report = json.loads(made["report.json"])
    assert report["settings"] == {
        "mask_threshold": 0.4, "cam_class": report["answer"]["predicted_class"], "cam_method": "layer_cam",
        "cam_opacity": 0.55,
    }  # fmt: skip
    assert report["ground_truth"]["dice"] is not None and report["trust"]["level"] in texts.LEVELS


def test_a_download_says_what_became_of_the_image_since_its_button_was_pressed(tab, image, tmp_path):
    """The buttons wait in a queue, and read the session when it is their turn."""
    make, other = maker("figure.pdf", lambda _: pytest.fail("a file was made"), ""), tmp_path / "other.png"
    other.write_text("not an image")
    first = ask(tab, image)[tab.intake.session]
    pending, unreadable = (tab.intake.place(p, None, None, first)[tab.intake.session] for p in (image, str(other)))
    wrong_crop = ask(tab, image, session=first, crop="left half")[tab.intake.session]
    for session, sentence in (
        (pending, texts.STILL_ANALYSED), (unreadable, "other.png cannot be read"), (wrong_crop, "four whole numbers"),
        (replace(first, refusal="There is no frame 9."), "no frame 9"), (Session(), texts.FORGOTTEN),
    ):  # fmt: skip
        with pytest.raises(gr.Error, match=re.escape(sentence)):
            make(session, *DEFAULTS)


def test_without_an_image_the_button_says_what_to_do(tab):
    assert refused(tab, ask(tab, None)[tab.intake.session]) == texts.NO_IMAGE


def test_a_mask_and_a_spacing_do_not_outlive_their_image(tab, image, mask, tmp_path):
    session = ask(tab, image, mask=mask, spacing=0.1)[tab.intake.session]
    other = str(save_grey(tmp_path / "other.png", picture(2, HEIGHT, WIDTH)))
    shown, *kept, opened, _ = tab.intake.place(other, mask, 0.1, session).values()
    assert shown == other and kept == [None, None] and opened.pending
    assert texts.DICE not in text(see(tab, ask(tab, shown, session=opened)[tab.intake.session])[tab.card])
    filled = tab.intake.place(other, "given first.png", 0.2, Session())  # before any image: they belong to it
    assert (filled[tab.intake.mask], filled[tab.spacing]) == ("given first.png", 0.2)


def test_an_image_that_is_taken_away_while_it_is_analysed_does_not_come_back(tab, image, page, monkeypatch):
    page("ada")
    upload = held.save(Path(image).read_bytes(), "scan.png", tab.intake.part)

    def analyse(*arguments: Any) -> Session:
        tab.intake.reset()  # meanwhile
        return Session(upload, upload)

    monkeypatch.setattr(analyse_tab, "analyse_inputs", analyse)
    assert ask(tab, upload) == {tab.intake.session: gr.skip()}
    assert not Path(upload).exists() and ask(tab, upload) == {tab.intake.session: gr.skip()}


def test_what_is_drawn_of_an_image_that_was_replaced_meanwhile_is_neither_shown_nor_kept(
    tab, image, page, folder, monkeypatch
):
    page("ada")
    content = Path(image).read_bytes()
    upload = held.save(content, "scan.png", tab.intake.part)
    other = held.save(content, "other.png", "compare-")  # nothing removes it in between
    session = ask(tab, upload)[tab.intake.session]

    def png_bytes(pixels: np.ndarray) -> bytes:
        tab.intake.place(other, None, None, session)
        return b"a figure"

    monkeypatch.setattr("busi_demo.analysis.png.png_bytes", png_bytes)
    assert see(tab, session) == gr.skip()
    tab.intake.place(held.save(content, "scan.png", tab.intake.part), None, None, session)
    with pytest.raises(gr.Error, match=re.escape(texts.REPLACED)):
        maker("figure.png", Analysis.figure_png, tab.intake.part)(session, *DEFAULTS)
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"other.png"}


def test_a_mask_is_kept_as_long_as_the_input_shows_it(tab, image, mask, page, folder):
    """Taken away, replaced, refused, of another frame, or gone with its image: it is removed at once."""
    page("ada")
    inputs, (scan, truth) = tab.intake, (Path(path).read_bytes() for path in (image, mask))

    def give(name: str = "truth.png", content: bytes = truth) -> str:
        path = held.save(content, name, None)
        inputs.keep_mask(path)
        return path

    upload, first = held.save(scan, "scan.png", None), give("first.png")
    shown, kept, _, session, _ = inputs.place(upload, first, None, Session()).values()
    assert kept == first and Path(first).exists() and Path(give("second.png")).exists() and not Path(first).exists()
    run = ask(tab, shown, mask=first, session=session)  # was waiting for its turn, and another run follows
    assert run == {inputs.session: gr.skip()}
    session = ask(tab, shown, mask=give("first.png"), session=session)[inputs.session]  # the same once more
    assert session.truth.mask is not None
    wrong = give("scan.png", scan)
    assert wrong == upload and ask(tab, shown, mask=wrong, session=session)[inputs.mask] is None
    wrong = give("wrong.png", scan)
    assert ask(tab, shown, mask=wrong, session=session)[inputs.mask] is None
    assert not Path(wrong).exists() and Path(shown).exists()
    last = give()
    inputs.keep_mask(None)
    assert not Path(last).exists()
    for leave in (inputs.reset, lambda: inputs.pick(SimpleNamespace(index=0)), lambda: inputs.place(upload)):
        last = give()
        leave()
        assert not Path(last).exists()
    listeners = [fn for fn in tab.blocks.fns.values() if fn.fn == inputs.keep_mask]
    assert [fn.targets for fn in listeners] == [[(inputs.mask._id, "upload"), (inputs.mask._id, "clear")]]
    assert {path.name for path in folder.rglob("*.png")} <= {"image.png", "mask.png", "figure.png"}


def test_an_upload_is_there_for_everyone_who_uploaded_the_same(tab, image, page, folder):
    """Uploads are named by their content: the file stays when the first who shows it leaves before the second does."""
    upload = held.save(Path(image).read_bytes(), "scan.png", None)
    held.arrive([upload])  # by Bob, too
    for name in ("ada", "bob"):
        page(name)
        tab.intake.place(upload, None, None, Session())
        tab.intake.reset()
        assert Path(upload).exists() is (name == "ada")


def test_a_file_that_was_refused_is_not_kept(tab, page, folder):
    page("ada")
    bad = held.save(b"not an image", "bad.png", tab.intake.part)
    assert "cannot be read" in tab.intake.place(bad, None, None, Session())[tab.intake.session].refusal
    assert not Path(bad).exists()


def test_a_frame_is_read_once_and_shown_and_a_new_image_starts_at_its_own(tab, image, tmp_path, decoded):
    path, pages = tmp_path / "loop.tiff", [Image.fromarray(picture(seed, HEIGHT, WIDTH)) for seed in (1, 2, 3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    changed = ask(tab, str(path))
    first = changed[tab.intake.session]
    assert changed[tab.frame].constructor_args == {"minimum": 1, "maximum": 3, "value": 1, "visible": True}
    *_, changed = tab.run(first.shown, DEFAULT_APPROACH, None, None, first, frame=3)
    third = changed[tab.intake.session]
    assert (third.grey.number, third.grey.frames) == (3, 3) and changed[tab.intake.image] == third.shown != first.shown
    assert np.array_equal(np.asarray(Image.open(third.shown)), np.asarray(pages[2]))
    assert tab.frame not in changed  # it shows that number, or has been moved on
    *_, changed = tab.run(third.shown, "multitask_cnn", None, None, third, frame=3)
    assert changed[tab.intake.session].analysed.forward_pass.grey is third.grey and len(decoded) == 2
    *_, changed = tab.run(image, DEFAULT_APPROACH, None, None, changed[tab.intake.session], frame=3)
    assert changed[tab.intake.session].grey.number == 1
    assert changed[tab.frame].constructor_args == {"value": 1, "visible": False}


def test_a_frame_that_was_chosen_while_another_was_analysed_is_analysed_next(tab, mask, tmp_path):
    """The browser sends the inputs as they stood when it was chosen: with the picture of the frame before."""
    path, pages = tmp_path / "loop.tiff", [Image.fromarray(picture(seed, HEIGHT, WIDTH)) for seed in (1, 2, 3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    first, given, _, opened, request = tab.intake.place(str(path), mask, None, Session()).values()
    session = ask(tab, first, mask=given, session=opened)[tab.intake.session]
    *_, changed = tab.run(first, DEFAULT_APPROACH, given, None, session, request, frame=2)
    second = changed[tab.intake.session]
    for frame, pixels in ((3, pages[2]), (2, pages[1])):
        *_, changed = tab.run(first, DEFAULT_APPROACH, given, None, second, request, frame=frame)
        after = changed[tab.intake.session]
        assert after.grey.number == frame and after.truth.mask is None and tab.frame not in changed
        assert np.array_equal(np.asarray(Image.open(after.shown)), np.asarray(pixels))


def test_a_frame_beyond_the_range_does_not_keep_a_run_from_beginning(tab):
    """Gradio forgets the range of a file once it forgets the page, but the browser does not."""
    assert tab.frame.preprocess(25) == tab.frame.maximum == 2


@pytest.mark.parametrize("order", ["before its image", "while it is analysed", "after its analysis", "example"])
def test_a_typed_spacing_goes_with_its_image_whenever_it_was_typed(tab, image, tmp_path, order):
    """The spacing is no part of a run: it may be typed before or after the network has answered."""
    typed = 0.1
    other = str(save_grey(tmp_path / "other.png", picture(2, HEIGHT, WIDTH)))
    if order == "example":
        *_, session, _ = tab.intake.pick(SimpleNamespace(index=0)).values()
    else:
        first = typed if order == "before its image" else None
        shown, _, spacing, session, _ = tab.intake.place(image, None, first, Session()).values()
        assert (shown, spacing) == (image, first)
        if order != "while it is analysed":
            session = ask(tab, image, session=session, spacing=first)[tab.intake.session]
    _, _, spacing, session, _ = tab.intake.place(other, None, typed, session).values()
    assert spacing is None and session.spacing is None


def test_a_spacing_that_was_typed_for_an_expired_image_is_taken_out_with_it(tab, tmp_path):
    changed = ask(tab, str(tmp_path / "gone.png"), spacing=0.1)
    assert changed[tab.spacing] is None and changed[tab.intake.image] is None


def test_a_typed_crop_is_what_is_analysed(tab, image):
    session = ask(tab, image)[tab.intake.session]
    changed = ask(tab, image, session=session, crop="10, 5, 60, 45")
    session = changed[tab.intake.session]
    assert session.analysed.forward_pass.grey.frame == (10, 5, 60, 45) and tab.crop not in changed
    assert "Only the chosen part was used, x 10 to 60 and y 5 to 45." in text(see(tab, session)[tab.card])
    session = ask(tab, image, session=session)[tab.intake.session]
    assert session.analysed.forward_pass.grey.frame is None


def test_a_crop_that_cannot_be_read_gets_a_sentence_and_can_be_corrected(tab, image):
    session = ask(tab, image)[tab.intake.session]
    wrong = ask(tab, image, session=session, crop="left half")[tab.intake.session]
    assert "four whole numbers" in refused(tab, wrong)
    assert ask(tab, image, session=wrong, crop="0,0,40,40")[tab.intake.session].analysed.forward_pass.grey.frame


def test_a_typed_crop_does_not_outlive_its_image(tab, image, tmp_path):
    session = ask(tab, image, session=ask(tab, image)[tab.intake.session], crop="0,0,40,40")[tab.intake.session]
    other = str(save_grey(tmp_path / "other.png", picture(2, HEIGHT, WIDTH)))
    shown, *_, opened, _ = tab.intake.place(other, None, None, session).values()
    changed = ask(tab, shown, session=opened, crop="0,0,40,40")
    assert changed[tab.crop] == "" and changed[tab.intake.session].analysed.forward_pass.grey.frame is None


def test_an_upload_and_its_mask_are_decoded_once(tab, image, mask, decoded):
    shown, _, _, session, _ = tab.intake.place(image, None, None, Session()).values()
    session = ask(tab, shown, session=session)[tab.intake.session]
    session = ask(tab, shown, mask=mask, session=session)[tab.intake.session]
    session = ask(tab, shown, "multitask_cnn", mask=mask, session=session)[tab.intake.session]
    see(tab, session)
    assert decoded == [image, mask]


@pytest.mark.parametrize("name", ["scan.tif", "IM_0001"])
def test_an_upload_with_a_stand_in_is_decoded_once(tab, tmp_path, name, decoded):
    path = tmp_path / name
    if name == "IM_0001":
        write_dicom(path, picture(1, HEIGHT, WIDTH), spacing=0.2)
    else:
        save_grey(path, picture(1, HEIGHT, WIDTH))
    shown, _, _, session, _ = tab.intake.place(str(path), None, None, Session()).values()
    assert shown != str(path) and ask(tab, shown, session=session)[tab.intake.session].analysed
    assert decoded == [str(path)]


def test_a_file_that_is_no_image_is_named_and_taken_out(tab, tmp_path):
    bad = tmp_path / "notes <b>.png"
    bad.write_text("not an image")
    shown, _, _, opened, request = tab.intake.place(str(bad), None, None, Session()).values()
    assert shown is None and request != tab.intake.request.value
    session = ask(tab, shown, session=opened)[tab.intake.session]
    assert refused(tab, session).startswith("notes &lt;b&gt;.png cannot be read as an image")


def test_a_mask_of_another_shape_is_refused_and_both_inputs_stay(tab, image, tmp_path):
    tall = save_grey(tmp_path / "tall.png", disc(90, 50, 30, 20, 10))
    changed = ask(tab, image, mask=str(tall))
    assert "tall.png has 50 x 90 pixels, expected 96 x 72" in refused(tab, changed[tab.intake.session])
    assert tab.intake.image not in changed and tab.intake.mask not in changed


def test_an_ultrasound_given_as_mask_is_taken_out(tab, image):
    changed = ask(tab, image, mask=image)
    assert "is not a mask" in refused(tab, changed[tab.intake.session])
    assert changed[tab.intake.mask] is None and tab.intake.image not in changed


def test_missing_weights_are_one_sentence_and_the_image_stays(tab, image, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path)
    changed = ask(tab, image)
    assert refused(tab, changed[tab.intake.session]).startswith(f"The weights of {DEFAULT_APPROACH} are missing")
    assert tab.intake.image not in changed


@pytest.mark.parametrize("name", ["scan.tif", "scan.png"])  # browsers show the upper byte of the PNG: nearly black
def test_what_browsers_cannot_show_gets_a_stand_in_but_the_upload_is_analysed(tab, tmp_path, name):
    path = tmp_path / name
    Image.fromarray(picture(1, HEIGHT, WIDTH).astype(np.uint16) * 16).save(path)
    shown, _, _, session, _ = tab.intake.place(str(path), None, None, Session()).values()
    with Image.open(shown) as stand_in:
        assert stand_in.format == "PNG"
        np.testing.assert_array_equal(np.asarray(stand_in), read_image(path).pixels)
    assert (session.shown, session.original, session.pending) == (shown, str(path), True)
    changed = ask(tab, shown, session=session)
    assert changed[tab.intake.session].original == str(path)
    assert tab.intake.image not in changed  # what comes late must not replace a newer image
    assert "16-bit grey values were scaled" in text(see(tab, changed[tab.intake.session])[tab.card])


def test_an_image_that_is_transparent_all_over_is_shown_as_it_is_read(tab, tmp_path):
    path, grey = tmp_path / "clear.png", picture(1, HEIGHT, WIDTH)
    Image.fromarray(np.dstack([grey, grey, grey, 0 * grey])).save(path)
    with Image.open(tab.intake.place(str(path))[tab.intake.image]) as shown:
        assert shown.mode == "L" and np.array_equal(np.asarray(shown), grey)
    Image.fromarray(np.dstack([grey, grey, grey, 0 * grey + 255])).save(path)
    assert tab.intake.place(str(path))[tab.intake.image] == str(path)


@pytest.mark.parametrize("name", ["clip.gif", "clip.webp", "clip.png"])
def test_of_a_clip_the_frame_is_shown_that_is_analysed(tab, tmp_path, name):
    path = tmp_path / name
    first, second = (Image.fromarray(picture(seed, HEIGHT, WIDTH)) for seed in (1, 2))
    first.save(path, save_all=True, append_images=[second], lossless=True)
    opened = tab.intake.place(str(path))
    with Image.open(opened[tab.intake.image]) as shown:
        assert getattr(shown, "n_frames", 1) == 1
        np.testing.assert_array_equal(np.asarray(shown), read_image(path).pixels)
    assert opened[tab.intake.session].grey.frames == 2


def test_a_dicom_is_opened_by_the_button_beside_the_image(tab, tmp_path):
    path = write_dicom(tmp_path / "IM_0001", picture(1, HEIGHT, WIDTH), spacing=0.2)
    shown, mask, _, session, _ = tab.intake.place(str(path), None, None, Session()).values()
    assert mask is None and session.original == str(path)
    with Image.open(shown) as stand_in:
        assert stand_in.format == "PNG" and stand_in.size == (WIDTH, HEIGHT)
    found = ask(tab, shown, session=session)[tab.intake.session]
    assert found.original == str(path) and found.analysed.forward_pass.grey.spacing == pytest.approx((0.2, 0.2))


def test_an_upload_that_was_deleted_meanwhile(tab, tmp_path):
    gone = str(tmp_path / "gone.png")
    changed = ask(tab, gone)
    assert refused(tab, changed[tab.intake.session]) == texts.EXPIRED and changed[tab.intake.image] is None
    assert tab.intake.place(gone, None, None, Session())[tab.intake.session].refusal == texts.EXPIRED


def test_an_example_brings_its_mask_from_the_server(tab):
    image, mask, _, session, request = tab.intake.pick(SimpleNamespace(index=0)).values()
    np.testing.assert_array_equal(np.asarray(Image.open(image)), picture(10, HEIGHT, WIDTH))
    np.testing.assert_array_equal(np.asarray(Image.open(mask)) == 255, disc(HEIGHT, WIDTH, 30, 40, 15))
    assert session.shown is None and session.analysed is None and request != tab.intake.request.value
    assert tab.view(False, "example.png", session, *DEFAULTS) == gr.skip()  # it has still to be analysed


def test_taking_the_image_away_takes_the_result_along(tab):
    no_image, no_mask, no_spacing, session = tab.intake.reset().values()
    assert no_image is no_mask is no_spacing is session.analysed is None
    empty = tab.view(False, no_image, session, *DEFAULTS)
    assert text(empty[tab.card]) == texts.WAITING and empty[tab.results].constructor_args["visible"] is False


def test_an_answer_that_comes_late_is_not_shown(tab, image):
    """The example was clicked and cleared before the network had answered: the input is empty, and so is the page."""
    session = ask(tab, image)[tab.intake.session]
    late = tab.view(False, None, session, *DEFAULTS)
    assert text(late[tab.card]) == texts.WAITING and late[tab.results].constructor_args["visible"] is False
    newer = tab.view(False, "another.png", session, *DEFAULTS)  # that one is still being analysed
    assert newer == gr.skip()


def test_clicks_and_clears_are_answered_in_their_order(tab):
    """All that changes the inputs waits in one queue, so that the last request wins, and none is lost."""
    fns = [fn for fn in tab.blocks.fns.values() if fn.fn]
    events = [fn for fn in fns if fn.fn.__name__ in ("place", "pick", "reset")]
    assert len(events) == 4 and all(fn.queue and fn.trigger_mode == "multiple" for fn in events)
    assert {(fn.concurrency_id, fn.concurrency_limit) for fn in events} == {("inputs", 1)}
    (run,) = [fn for fn in fns if fn.fn.__name__ == "run"]
    views = [fn for fn in fns if fn.fn.__name__ == "view"]
    assert (tab.intake.request._id, "change") in run.targets and any(fn.trigger_after == run._id for fn in views)
    assert all(fn.trigger_mode == "always_last" for fn in (run, *views))
    # Gradio forgets what is put off while its predecessor is being cancelled.
    assert not any(fn.cancels for fn in tab.blocks.fns.values())
    (emptied,) = [fn for fn in events if fn.fn.__name__ == "reset"]
    assert any(fn.trigger_after == emptied._id for fn in views)


def test_what_the_server_remembers_is_bounded_and_deleted(tab):
    states = [block for block in tab.blocks.blocks.values() if isinstance(block, gr.State)]
    assert tab.intake.session in states and tab.intake.request in states  # both hold the image
    assert {state.time_to_live for state in states} == {3600}
    assert LAUNCH_OPTIONS["state_session_capacity"] <= 500


def test_a_session_that_was_forgotten_says_so(tab, image):
    shown = tab.view(False, image, Session(), *DEFAULTS)
    assert text(shown[tab.card]) == texts.FORGOTTEN


def test_the_shipped_gallery_has_every_class_and_fitting_masks():
    examples = load_examples(EXAMPLES_FOLDER)
    assert {example.label for example in examples} == {"benign", "malignant", "normal"}
    for example in examples:
        assert example.image.size == example.mask.size
        assert (np.asarray(example.mask).max() == 0) == (example.label == "normal")


# ---- served


def serve(demo: gr.Blocks) -> str:
    return demo.launch(server_name="127.0.0.1", prevent_thread_lock=True, **LAUNCH_OPTIONS)[1]


@pytest.fixture
def url(examples_folder: Path) -> Iterator[str]:
    demo = build_page(examples_folder)
    yield serve(demo)
    demo.close()


def test_the_endpoints_are_the_only_ones_and_documented(url):
    endpoints = Client(url, verbose=False).view_api(return_format="dict", print_info=False)
    assert (
        set(endpoints["named_endpoints"]) == {"/analyse", "/compare", "/batch"} and not endpoints["unnamed_endpoints"]
    )
    named = {
        name: [p["parameter_name"] for p in endpoint["parameters"]]
        for name, endpoint in endpoints["named_endpoints"].items()
    }
    assert named["/compare"] == ["image", "mask", "analyse_anyway"]
    assert named["/batch"] == ["files", "approach", "analyse_anyway", "all_frames"]
    (_, choice, *_) = endpoints["named_endpoints"]["/batch"]["parameters"]
    assert choice["type"]["enum"] == [*APPROACHES, "all"] and choice["parameter_default"] == DEFAULT_APPROACH
    parameters = {p["parameter_name"]: p for p in endpoints["named_endpoints"]["/analyse"]["parameters"]}
    assert list(parameters) == ["image", "approach", "mask", "threshold", "cam_class", "cam_method", "opacity",
                                "spacing", "crop", "analyse_anyway"]  # fmt: skip
    assert [p["parameter_has_default"] for p in parameters.values()] == [False, *[True] * 9]
    assert [p["parameter_default"] for p in parameters.values()][2:] == [
        None,
        None,
        "predicted",
        "grad_cam",
        0.55,
        None,
        None,
        False,
    ]
    assert parameters["cam_method"]["type"]["enum"] == list(CAM_METHODS)
    assert parameters["approach"]["type"]["enum"] == list(APPROACHES)
    assert parameters["approach"]["parameter_default"] == DEFAULT_APPROACH


def test_the_documentation_of_the_endpoint_names_every_key():
    documentation = str(analyse_endpoint.__doc__)
    assert all(key in documentation for key in (*APPROACHES, *CAM_METHODS)) and "_KEYS" not in documentation
    assert f"{DEFAULT_APPROACH} (the default)" in documentation


def test_the_endpoint_answers_with_figure_class_and_numbers(url, image, mask, predictors):
    client = Client(url, verbose=False)
    figure, answer, record = client.predict(handle_file(image), api_name="/analyse")
    expected = predictors[DEFAULT_APPROACH].predict(image)
    with Image.open(figure) as panels:
        assert panels.format == "PNG" and panels.width > 2 * panels.height
    assert answer["label"] == record["predicted_class"] == expected.predicted_class
    assert record["approach"] == DEFAULT_APPROACH and record["dice"] is None
    assert record["probabilities"] == pytest.approx(dict(expected.probabilities), abs=1e-6)
    assert (
        record["seen"] is None
        and record["known_images_available"] is False
        and record["trust"]["level"] in {"green", "amber", "red"}
    )
    assert [check["level"] for check in record["trust"]["checks"]]

    keywords = {"threshold": 0.3, "cam_class": "normal", "cam_method": "layer_cam", "opacity": 0.9}
    other, _, record = client.predict(handle_file(image), **keywords, api_name="/analyse")
    look = predictors[DEFAULT_APPROACH].forward_pass(image)
    assert record["lesion_area_fraction"] == look.prediction(threshold=0.3).lesion_area_fraction
    assert Path(other).read_bytes() != Path(figure).read_bytes()

    keywords = {"image": handle_file(image), "approach": "two_stage", "mask": handle_file(mask)}
    _, _, record = client.predict(**keywords, spacing=0.1, threshold=0.01, api_name="/analyse")
    predicted = predictors["two_stage"].forward_pass(image).prediction(threshold=0.01).mask
    assert predicted.any()
    assert record["measurements"]["unit"] == "mm"
    assert record["measurements"]["area"] == pytest.approx(predicted.sum() * 0.1**2)
    assert record["approach"] == "two_stage"
    assert record["dice"] == pytest.approx(dice(predicted, disc(HEIGHT, WIDTH, 30, 40, 15)))


@pytest.mark.parametrize(("keywords", "sentence"), [
    ({"image": "bad"}, "bad.png cannot be read as an image"),
    ({"image": None}, texts.API_NO_IMAGE),
    ({"image": "image", "approach": "nonsense"}, "not in the list of choices"),
    ({"image": "image", "mask": "image"}, "is not a mask"),
    ({"image": "image", "threshold": 1.5}, "mask threshold must lie strictly between 0 and 1, got 1.5"),
    ({"image": "image", "spacing": -1}, "pixel spacing must lie between 0.001 and 5 mm per pixel, got -1"),
    ({"image": "image", "crop": "1, 2, 3"}, "A crop is four whole numbers x0, y0, x1, y1 in pixels of the image"),
    ({"image": "image", "crop": "0,0,9999,40"}, "The crop must lie within the image of"),
    ({"image": "image", "opacity": -1}, "opacity of the CAM must lie between 0 and 1, got -1"),
])  # fmt: skip
def test_the_endpoint_says_what_is_wrong(url, image, tmp_path, keywords, sentence):
    (tmp_path / "bad.png").write_text("not an image")
    files = {"bad": handle_file(tmp_path / "bad.png"), "image": handle_file(image)}
    with pytest.raises(AppError, match=re.escape(sentence)):
        Client(url, verbose=False).predict(
            **{name: files.get(value, value) for name, value in keywords.items()}, api_name="/analyse"
        )


def test_files_of_the_server_stay_there(url):
    """Neither served, nor analysed when a program names one instead of uploading."""
    inside = next(EXAMPLES_FOLDER.glob("*.png"))
    assert httpx.get(f"{url}gradio_api/file={inside}").status_code == 403
    call = f"{url}gradio_api/call/analyse"
    data = [{"path": str(inside), "meta": {"_type": "gradio.FileData"}}, DEFAULT_APPROACH, None]
    event = httpx.post(call, json={"data": data}).json()["event_id"]
    assert httpx.get(f"{call}/{event}", timeout=60).text.startswith("event: error")


def test_no_analytics_no_history_and_no_request_to_other_servers(url):
    config = httpx.get(f"{url}config").json()
    assert config["analytics_enabled"] is False and config["run_history"] is False
    assert httpx.get(f"{url}monitoring").status_code == 403
    assert "http" not in config["theme"] and not re.search("https?://", LAUNCH_OPTIONS["css_paths"].read_text())


def test_the_page_lives_without_examples(tmp_path, image):
    demo = build_page(tmp_path)
    try:
        assert Client(serve(demo), verbose=False).predict(handle_file(image), api_name="/analyse")[1]["label"]
    finally:
        demo.close()


# ---- app.py


def test_the_address_comes_from_the_environment(run_script, monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7999")
    monkeypatch.setenv("SPACE_ID", "someone/something")
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    status, help_text, _ = run_script("app.py", "--help")
    assert status == 0 and "default: 7999" in help_text and "default: 0.0.0.0" in help_text


def test_a_port_in_use_is_one_sentence(run_script):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, _, _ = run_script("app.py", "--host", "127.0.0.1", "--port", taken.getsockname()[1])
    assert re.match(r"error: 127\.0\.0\.1:\d+ cannot be served", str(status)) and "--port" in status


def test_the_uncertainty_is_a_sixth_panel_that_a_person_switches_on(tab, image):
    session = ask(tab, image)[tab.intake.session]
    plain, further = (see(tab, session, *DEFAULTS, shown)[tab.figure] for shown in (False, True))
    assert value(further).width > 1.1 * value(plain).width
    assert further.constructor_args["alt_text"].count("uncertainty") == 1
    assert "uncertainty" not in plain.constructor_args["alt_text"]


def test_nothing_of_a_page_is_kept_once_it_is_closed(examples_folder, image, predictors):
    demo = build_page(examples_folder)
    _, url, _ = demo.launch(server_name="127.0.0.1", prevent_thread_lock=True, app_kwargs=guarded(), **LAUNCH_OPTIONS)
    sessions, seen = demo.app.state_holder.session_data, list[str]()
    try:
        visitor = Visitor(url, httpx.get(f"{url}config").json())
        on_page = visitor._on_page
        visitor._on_page = lambda session, *rest: (on_page(session, *rest), seen.extend(sessions))[0]
        reply = visitor.ask_page(Path(image), "multitask_cnn")
        assert reply.kind == "answer" and len(seen) == 1
        end = time.monotonic() + 30
        while sessions and time.monotonic() < end:
            time.sleep(0.1)
        assert not sessions
        again = on_page(seen[0], Path(image), "multitask_cnn")  # only the connection was lost, and the page goes on
        assert again == reply
    finally:
        demo.close()


def test_of_programs_only_the_latest_are_kept(examples_folder, image, predictors, monkeypatch):
    monkeypatch.setattr(guard, "_PROGRAMS", 2)
    demo = build_page(examples_folder)
    _, url, _ = demo.launch(server_name="127.0.0.1", prevent_thread_lock=True, app_kwargs=guarded(), **LAUNCH_OPTIONS)
    sessions, on_page = demo.app.state_holder.session_data, list[str]()
    try:
        visitor = Visitor(url, httpx.get(f"{url}config").json())
        with visitor.http.stream("GET", "gradio_api/heartbeat/a_page"):
            reply = visitor._on_page("a_page", Path(image), "multitask_cnn")
            for _ in range(5):
                assert visitor.ask_api(Path(image), "multitask_cnn").kind == "answer"
                on_page = list(sessions)
            assert "a_page" in on_page and len(on_page) <= 1 + 2 + 1  # the one that is being answered
            assert len(demo._queue.pending_event_ids_session) <= 1 + 2 + 1
            assert visitor._on_page("a_page", Path(image), "multitask_cnn") == reply
    finally:
        demo.close()
