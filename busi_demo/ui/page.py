"""The whole page, and how it is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from busi_demo.gallery.load import EXAMPLES_FOLDER, load_examples
from busi_demo.ui import held, texts
from busi_demo.ui.analyse.tab import AnalyseTab
from busi_demo.ui.batch.tab import BatchTab
from busi_demo.ui.compare.tab import CompareTab
from busi_demo.ui.faults import Blocks
from busi_demo.ui.limits import LARGEST_UPLOAD_MB, QUEUE_SIZE
from busi_demo.ui.quality.tab import QualityTab
from busi_demo.ui.theme import CSS_FILE, SCRIPT, make_theme

LAUNCH_OPTIONS: dict[str, Any] = {
    "theme": make_theme(),
    "css_paths": CSS_FILE,
    "head": SCRIPT,
    # Uploads are pictures of people: nothing of them is kept longer than it is needed, or sent anywhere.
    "run_history": False,
    "enable_monitoring": False,
    "share": False,
    "state_session_capacity": 200,
    "max_file_size": f"{LARGEST_UPLOAD_MB}mb",
    "footer_links": ["api"],
    "quiet": True,
}
"""Keywords for `launch`: appearance and privacy."""


def build_page(examples_folder: Path = EXAMPLES_FOLDER) -> gr.Blocks:
    """The app as a `gr.Blocks`, to be launched with `LAUNCH_OPTIONS`.

    Args:
        examples_folder: what the gallery shows; without an examples.json there is no gallery.
    """
    with Blocks(title=texts.TITLE, analytics_enabled=False) as demo:
        gr.HTML(
            f'<header><h1>{texts.TITLE}</h1><p>{texts.INTRO}</p><p class="disclaimer">{texts.DISCLAIMER}</p></header>',
            elem_id="header",
            padding=False,
        )
        examples = load_examples(examples_folder)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab(texts.TAB_ANALYSE, id="analyse"):
                AnalyseTab(examples)
            with gr.Tab(texts.TAB_COMPARE, id="compare"):
                CompareTab(examples)
            with gr.Tab(texts.TAB_BATCH, id="batch"):
                BatchTab()
            with gr.Tab(texts.TAB_QUALITY, id="quality") as quality:
                QualityTab(quality)
    held.share()
    return demo.queue(max_size=QUEUE_SIZE)
