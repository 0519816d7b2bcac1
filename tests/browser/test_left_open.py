"""A page that is left open until its images are deleted, and whose server is then started again."""

from __future__ import annotations

import os
from pathlib import Path

from helpers import ROOT, heading, picture, save_grey
from playwright.sync_api import expect
from serving import files_below, free_port, serve_app

from busi_demo.models import DEFAULT_APPROACH
from busi_demo.ui import texts

AN_HOUR_LATER = f"""
import datetime, runpy, sys, time, types
from pathlib import Path

sys.path.insert(0, {str(ROOT)!r})
from gradio import state_holder
from busi_demo.ui import held, session, upkeep

passed = lambda: (session.KEPT_SECONDS + 60) * Path("later").exists()

class Clock(datetime.datetime):
    @classmethod
    def now(cls, *zone):
        return super().now(*zone) + datetime.timedelta(seconds=passed())

state_holder.datetime = types.SimpleNamespace(datetime=Clock, timedelta=datetime.timedelta)
forget = state_holder.StateHolder.delete_all_expired_state

def forget_and_tell(holder):
    late = passed()
    forget(holder)
    if late:
        Path("forgotten").touch()

state_holder.StateHolder.delete_all_expired_state = forget_and_tell
held.time = types.SimpleNamespace(monotonic=lambda: time.monotonic() + passed())
upkeep.time = types.SimpleNamespace(time=lambda: time.time() + passed(), sleep=lambda seconds: time.sleep(seconds / 60))
runpy.run_path({str(ROOT / "app.py")!r}, run_name="__main__")
"""
"""The app. Its clock is beyond the time that files are kept while a file `later` lies in its folder, and it looks every
second for what to delete; `forgotten` is written once expired answers have been deleted. A shorter time instead
would have to be longer than an answer takes, on any machine."""


def _uploads(files: Path) -> list[Path]:
    return [path for path in files_below(files) if path.name == "scan.png"]


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

        with serve_app(tmp_path, environment, program=("-c", AN_HOUR_LATER), port=port) as url:
            page.goto(url)
            page.locator("#gallery img").first.wait_for()
            analyse()
            later, forgotten = tmp_path / "later", tmp_path / "forgotten"
            later.touch()
            for _ in range(120):
                if forgotten.exists() and not _uploads(files):
                    break
                page.wait_for_timeout(500)
            assert forgotten.exists() and not _uploads(files)
            later.unlink()
            page.click("#analyse")
            expect(page.get_by_role("alert")).to_have_text(texts.EXPIRED)
            analyse()
        page.click("#analyse")
        expect(page.locator(".toast-wrap")).to_contain_text("Connection to the server was lost")
        with serve_app(tmp_path, environment, port=port):
            expect(page.locator("#card")).to_have_text(texts.WAITING, timeout=60_000)  # the page has loaded itself anew
            analyse()
