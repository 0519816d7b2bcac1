"""The page without a browser: its handlers, and its endpoint for programs on a running app."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from helpers import ROOT, disc, picture, save_grey
from PIL import Image

from busi_demo import weights
from busi_demo.evaluation.metrics import dice, iou
from busi_demo.imaging import read_image
from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.predictor import load_predictor
from busi_demo.ui import texts
from busi_demo.ui.analyse_tab import Analysed, AnalyseTab
from busi_demo.ui.gallery import EXAMPLES_FOLDER, load_examples
from busi_demo.ui.page import LAUNCH_OPTIONS, build_page

HEIGHT, WIDTH = 72, 96


@pytest.fixture(autouse=True)
def stand_in_weights(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The app answers with untrained weights."""
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", weights_folder)
    load_predictor.cache_clear()
    yield
    load_predictor.cache_clear()


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
    with gr.Blocks(analytics_enabled=False):
        return AnalyseTab(load_examples(examples_folder))


def text(card: str) -> str:
    """What a person reads in a piece of HTML."""
    return " ".join(re.sub(r"<[^>]+>", " ", card).split())


def refused(tab: AnalyseTab, shown: dict[Any, Any]) -> str:
    """The sentence of an answer that is a refusal: results are hidden and not replaced."""
    assert shown[tab.results].constructor_args["visible"] is False
    assert tab.wide not in shown and tab.narrow not in shown
    assert 'role="alert"' in shown[tab.card]
    return text(shown[tab.card])


# ---- handlers


def test_each_approach_shows_its_own_title_class_and_figures(tab, image, approach, predictors):
    shown = tab.run(image, approach, None, Analysed())
    expected = predictors[approach].predict(image)
    card = text(shown[tab.card])
    assert card.startswith(APPROACHES[approach].title)
    assert f"{expected.predicted_class.capitalize()} {expected.confidence:.1%}" in card
    assert all(f"{name} {share:.1%}" in card for name, share in expected.probabilities.items())
    assert texts.DICE not in card
    wide, narrow = (shown[figure].constructor_args["value"] for figure in (tab.wide, tab.narrow))
    assert wide.width > 2 * wide.height and narrow.height > 2 * narrow.width
    assert APPROACHES[approach].title in shown[tab.wide].constructor_args["alt_text"]
    assert shown[tab.results].constructor_args["visible"] is True
    assert tab.image not in shown and tab.mask not in shown


def test_a_mask_adds_dice_and_iou(tab, image, mask, predictors):
    shown = tab.run(image, DEFAULT_APPROACH, mask, Analysed())
    predicted, truth = predictors[DEFAULT_APPROACH].predict(image).mask, disc(HEIGHT, WIDTH, 30, 40, 15)
    assert f"Dice {dice(predicted, truth):.3f} IoU {iou(predicted, truth):.3f}" in text(shown[tab.card])
    without = tab.run(image, DEFAULT_APPROACH, None, Analysed())
    assert shown[tab.wide].constructor_args["value"] != without[tab.wide].constructor_args["value"]


def test_without_an_image_the_button_says_what_to_do(tab):
    assert refused(tab, tab.run(None, DEFAULT_APPROACH, None, Analysed())) == texts.NO_IMAGE


def test_a_mask_does_not_outlive_its_image(tab, image, mask, tmp_path):
    analysed = tab.run(image, DEFAULT_APPROACH, mask, Analysed())[tab.analysed]
    other = str(save_grey(tmp_path / "other.png", picture(2, HEIGHT, WIDTH)))
    shown = tab.run(other, DEFAULT_APPROACH, mask, analysed)
    assert shown[tab.mask] is None and texts.DICE not in text(shown[tab.card])
    again = tab.run(other, DEFAULT_APPROACH, mask, shown[tab.analysed])  # given once more, on purpose
    assert tab.mask not in again and texts.DICE in text(again[tab.card])


def test_a_file_that_is_no_image_is_named_and_taken_out(tab, tmp_path):
    bad = tmp_path / "notes <b>.png"
    bad.write_text("not an image")
    shown = tab.run(str(bad), DEFAULT_APPROACH, None, Analysed())
    assert refused(tab, shown).startswith("notes &lt;b&gt;.png cannot be read as an image")
    assert shown[tab.image] is None


def test_a_mask_of_another_shape_is_refused_and_both_inputs_stay(tab, image, tmp_path):
    tall = save_grey(tmp_path / "tall.png", disc(90, 50, 30, 20, 10))
    shown = tab.run(image, DEFAULT_APPROACH, str(tall), Analysed())
    assert "tall.png has 50 x 90 pixels, expected 96 x 72" in refused(tab, shown)
    assert tab.image not in shown and tab.mask not in shown


def test_an_ultrasound_given_as_mask_is_taken_out(tab, image):
    shown = tab.run(image, DEFAULT_APPROACH, image, Analysed())
    assert "is not a mask" in refused(tab, shown)
    assert shown[tab.mask] is None and tab.image not in shown


def test_missing_weights_are_one_sentence_and_the_image_stays(tab, image, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path)
    shown = tab.run(image, DEFAULT_APPROACH, None, Analysed())
    assert refused(tab, shown).startswith(f"The weights of {DEFAULT_APPROACH} are missing")
    assert tab.image not in shown


def test_what_browsers_cannot_show_gets_a_stand_in_but_the_upload_is_analysed(tab, tmp_path):
    path = tmp_path / "scan.tif"
    Image.fromarray(picture(1, HEIGHT, WIDTH).astype(np.uint16) * 16).save(path)
    shown = tab.run(str(path), DEFAULT_APPROACH, None, Analysed())
    with Image.open(shown[tab.image]) as stand_in:
        assert stand_in.format == "PNG"
        np.testing.assert_array_equal(np.asarray(stand_in), read_image(path).pixels)
    again = tab.run(shown[tab.image], DEFAULT_APPROACH, None, shown[tab.analysed])
    assert "16-bit grey values were scaled" in text(again[tab.card])
    assert again[tab.card] == shown[tab.card] and again[tab.analysed] == shown[tab.analysed]


def test_an_upload_that_was_deleted_meanwhile(tab, image, tmp_path):
    shown = tab.run(str(tmp_path / "gone.png"), DEFAULT_APPROACH, None, Analysed())
    assert refused(tab, shown) == texts.EXPIRED and shown[tab.image] is None


def test_an_example_brings_its_mask_from_the_server(tab, examples_folder):
    image, mask, analysed = tab.pick(SimpleNamespace(index=0))
    np.testing.assert_array_equal(np.asarray(image), picture(10, HEIGHT, WIDTH))
    np.testing.assert_array_equal(np.asarray(mask) == 255, disc(HEIGHT, WIDTH, 30, 40, 15))
    assert analysed == Analysed()


def test_taking_the_image_away_takes_the_result_along(tab):
    card, results, mask, analysed = tab.reset()
    assert text(card) == texts.WAITING and mask is None and analysed == Analysed()
    assert results.constructor_args["visible"] is False


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
    assert named["/compare"] == ["image", "mask"] and named["/batch"] == ["files", "approach"]
    (_, choice) = endpoints["named_endpoints"]["/batch"]["parameters"]
    assert choice["type"]["enum"] == [*APPROACHES, "all"] and choice["parameter_default"] == DEFAULT_APPROACH
    parameters = {p["parameter_name"]: p for p in endpoints["named_endpoints"]["/analyse"]["parameters"]}
    assert list(parameters) == ["image", "approach", "mask"]
    assert [p["parameter_has_default"] for p in parameters.values()] == [False, True, True]
    assert parameters["approach"]["type"]["enum"] == list(APPROACHES)
    assert parameters["approach"]["parameter_default"] == DEFAULT_APPROACH


def test_the_endpoint_answers_with_figure_class_and_numbers(url, image, mask, predictors):
    client = Client(url, verbose=False)
    figure, answer, record = client.predict(handle_file(image), api_name="/analyse")
    expected = predictors[DEFAULT_APPROACH].predict(image)
    with Image.open(figure) as panels:
        assert panels.format == "PNG" and panels.width > 2 * panels.height
    assert answer["label"] == record["predicted_class"] == expected.predicted_class
    assert record["approach"] == DEFAULT_APPROACH and record["dice"] is None
    assert record["probabilities"] == pytest.approx(dict(expected.probabilities), abs=1e-6)

    keywords = {"image": handle_file(image), "approach": "two_stage", "mask": handle_file(mask)}
    _, _, record = client.predict(**keywords, api_name="/analyse")
    predicted = predictors["two_stage"].predict(image).mask
    assert record["approach"] == "two_stage"
    assert record["dice"] == pytest.approx(dice(predicted, disc(HEIGHT, WIDTH, 30, 40, 15)))


@pytest.mark.parametrize(("keywords", "sentence"), [
    ({"image": "bad"}, "bad.png cannot be read as an image"),
    ({"image": None}, texts.API_NO_IMAGE),
    ({"image": "image", "approach": "nonsense"}, "not in the list of choices"),
    ({"image": "image", "mask": "image"}, "is not a mask"),
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


def test_manners(url):
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


def test_importing_the_app_loads_no_network():
    """Explanations and plots come with the first analysis: the first page does not wait for them."""
    code = "import app, sys; sys.exit(any(m in sys.modules for m in ('pytorch_grad_cam', 'busi_demo.predictor')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
