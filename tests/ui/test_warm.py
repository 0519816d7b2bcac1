"""Loading and compiling networks behind the page."""

from __future__ import annotations

import logging
import shutil

import pytest

from busi_demo.models import APPROACHES
from busi_demo.ui.warm import warm, warm_in_background
from busi_demo.weights import store

pytestmark = pytest.mark.usefixtures("stand_in_weights")


def test_every_approach_is_loaded_and_its_engine_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="busi_demo.ui.warm"):
        warm_in_background().join()
    assert all(f"{key} runs with the engine eager." in caplog.text for key in APPROACHES)
    assert len(caplog.records) == len(APPROACHES)


def test_what_cannot_be_loaded_or_compiled_costs_the_others_nothing(caplog, monkeypatch, tmp_path, weights_folder):
    shutil.copytree(weights_folder / "multitask_cnn", tmp_path / "multitask_cnn")
    monkeypatch.setattr(store, "WEIGHTS_FOLDER", tmp_path)
    monkeypatch.setenv("BUSI_ENGINE", "warp")
    with caplog.at_level(logging.INFO, logger="busi_demo.ui.warm"):
        warm()
    assert caplog.text.count("is not warmed") == len(APPROACHES) - 1
    assert "multitask_cnn runs in PyTorch: There is no engine 'warp'" in caplog.text
