"""One app and one browser for all tests."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from serving import CHROMIUM, CHROMIUM_ARGUMENTS, files_below, serve_app

PATIENCE = 120_000  # milliseconds; on a busy machine libraries and weights take minutes to load
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def app_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the app runs and keeps the files of people."""
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="session")
def url(weights_folder: Path, app_folder: Path) -> Iterator[str]:
    """Address of `python app.py`, started from another folder with untrained weights."""
    environment = {**os.environ, "BUSI_DEMO_WEIGHTS": str(weights_folder), "GRADIO_TEMP_DIR": str(app_folder)}
    with serve_app(app_folder, environment) as url:
        yield url


@pytest.fixture
def files_left(app_folder: Path) -> Callable[..., set[str]]:
    """Which of these names are files of the app: files_left(*names). Waits a while until there are none."""

    def files_left(*names: str) -> set[str]:
        for _ in range(200):
            if not (left := {path.name for path in files_below(app_folder)}.intersection(names)):
                break
            time.sleep(0.1)
        return left

    return files_left


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        stop = pytest.fail if os.environ.get("BUSI_REQUIRE_BROWSER") else pytest.skip
        stop("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, url: str) -> Iterator[Callable[..., Page]]:
    """Open the page in a window of a given width; afterwards, check that no request left this machine,
    and that the page did nothing that its own headers forbid."""
    requests, errors, contexts = [], [], []

    def open_page(width: int, height: int = 900, colours: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=colours)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if "Content Security" in said.text else None)
        page.goto(url)
        page.locator("#gallery img").first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    outside = [u for u in requests if not re.match(r"data:|blob:|https?://127\.0\.0\.1[:/]", u)]
    assert requests and outside == [] and errors == []
