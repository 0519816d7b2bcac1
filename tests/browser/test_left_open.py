"""A page that is left open until its images are deleted, and whose server is then started again."""

from __future__ import annotations

import os

from helpers import ROOT, heading, picture, save_grey
from playwright.sync_api import expect
from serving import files_below, free_port, serve_app

from busi_demo.models import DEFAULT_APPROACH
from busi_demo.ui import texts

KEPT = 4
"""Seconds instead of an hour."""
SHORT = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
from busi_demo.ui import session
session.KEPT_SECONDS = {KEPT}
runpy.run_path({str(ROOT / "app.py")!r}, run_name="__main__")
"""


def test_what_was_deleted_is_told_and_so_is_a_server_that_is_gone(browser, weights_folder, predictors, tmp_path):
    scan = save_grey(tmp_path / "scan.png", picture(1))
    prediction = predictors[DEFAULT_APPROACH].predict(scan)
    answer = heading(prediction)
    files, port = tmp_path / "files", free_port()
    own = {"BUSI_DEMO_WEIGHTS": str(weights_folder), "GRADIO_TEMP_DIR": str(files), "BUSI_ENGINE": "eager"}
    environment = {**os.environ, **own}
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()

        def analyse() -> None:
            page.set_input_files("#image input[type=file]", scan)
            expect(page.locator("#card h2")).to_have_text(answer, timeout=60_000)

        with serve_app(tmp_path, environment, program=("-c", SHORT), port=port) as url:
            page.goto(url)
            page.locator("#gallery img").first.wait_for()
            analyse()
            for _ in range(120):
                if not any(path.name == "scan.png" for path in files_below(files)):
                    break
                page.wait_for_timeout(500)
            assert not any(path.name == "scan.png" for path in files_below(files))
            page.wait_for_timeout(2000 * KEPT)  # for what the session holds
            page.click("#analyse")
            expect(page.get_by_role("alert")).to_have_text(texts.EXPIRED)
            analyse()
        page.click("#analyse")
        expect(page.locator(".toast-wrap")).to_contain_text("Connection to the server was lost")
        with serve_app(tmp_path, environment, port=port):
            expect(page.locator("#card")).to_have_text(texts.WAITING, timeout=60_000)  # the page has loaded itself anew
            analyse()
