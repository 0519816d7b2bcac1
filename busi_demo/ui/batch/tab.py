"""Many images at a time: a table that fills while they are analysed, as CSV too, and their figures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from busi_demo.models import ALL, APPROACHES, DEFAULT_APPROACH
from busi_demo.types import InputError, reason_of
from busi_demo.ui import held, html, texts
from busi_demo.ui.endpoints import declare_batch_endpoint
from busi_demo.ui.events import LONG, PRIVATE, QUICK

_FILES, _RUN, _RESULTS = "batch-files", "batch-run", "batch-results"  # what `held` keeps apart
_NUMBERS = ("number",) * 5
_WIDTHS = [
    "150px",
    "135px",
    "105px",
    "70px",
    "135px",
    "85px",
    "105px",
    "85px",
    "80px",
    "60px",
    "220px",
]  # as wide as the page


class BatchTab:
    """Components and listeners of the tab, made inside an open `gr.Blocks`."""

    def __init__(self) -> None:
        self._stopping: dict[str, bool] = {}  # session whose batch runs -> whether it asked for the end
        with gr.Row():
            with gr.Column(scale=5, min_width=280):
                self.files = gr.File(label=texts.BATCH_FILES, file_count="multiple", height=200, elem_id="batch-files")
                self.folder = gr.UploadButton(
                    texts.BATCH_FOLDER, file_count="directory", size="sm", elem_id="batch-folder"
                )
            with gr.Column(scale=5, min_width=280):
                self.approach = gr.Dropdown(
                    [*((model.title, key) for key, model in APPROACHES.items()), (texts.BATCH_ALL, ALL)],
                    value=DEFAULT_APPROACH, label=texts.APPROACH, filterable=False, elem_id="batch-approach",
                )  # fmt: skip
                self.anyway = gr.Checkbox(label=texts.BATCH_ANYWAY, elem_id="batch-anyway")
                self.frames = gr.Checkbox(label=texts.BATCH_FRAMES, elem_id="batch-frames")
                with gr.Row():
                    self.start = gr.Button(texts.BATCH_START, variant="primary", elem_id="batch-start")
                    self.stop = gr.Button(texts.BATCH_STOP, variant="stop", interactive=False, elem_id="batch-stop")
                gr.Markdown(texts.BATCH_LIMITS, elem_id="batch-limits")
        self.card = gr.HTML(html.hint(texts.BATCH_WAITING), elem_id="batch-card", padding=False)
        with gr.Row():
            self.csv = gr.DownloadButton(texts.BATCH_CSV, visible=False, elem_id="batch-csv")
            self.figures = gr.DownloadButton(texts.BATCH_FIGURES, visible=False, elem_id="batch-figures")
        self.table = gr.Dataframe(
            headers=list(texts.BATCH_COLUMNS), datatype=[*["str"] * 5, *_NUMBERS, "str"],
            label=texts.BATCH_TABLE, interactive=False, visible=False, max_height=520, wrap=True, column_widths=_WIDTHS,
            buttons=["fullscreen"], elem_id="batch-table",
        )  # fmt: skip
        self._listen()
        declare_batch_endpoint(self.files, self.approach)

    def _listen(self) -> None:
        outputs = [self.card, self.table, self.csv, self.figures, self.start, self.stop]
        self.start.click(
            self.run, [self.files, self.approach, self.anyway, self.frames], outputs, trigger_mode="once",
            show_progress="hidden", **PRIVATE, **LONG,
        )  # fmt: skip
        self.files.change(self.mark_as_old, [self.csv, self.files], self.card, **QUICK)
        self.folder.upload(lambda files: files, self.folder, self.files, **QUICK)
        self.stop.click(self.ask_to_stop, None, [self.card, self.stop], **QUICK)

    def run(
        self,
        files: list[str] | None,
        approach: str,
        request: gr.Request,
        analyse_anyway: bool = False,
        all_frames: bool = False,
    ) -> Iterator[dict[Any, Any]]:
        """Analyse the files, and tell how far it is after each.

        Args:
            files: paths of the uploads.
            approach: key of the approach, or `ALL`.
            request: tells the session, which may ask to stop.
            analyse_anyway: as for `Predictor.predict`.
            all_frames: as for `list_batch`.
        Yields:
            Component -> what it shows now.
        """
        if refusal := _refusal(files):
            yield {self.card: html.alert(refusal)}
            return
        yield {self.card: html.hint(texts.BATCH_LOADING), self.start: gr.Button(interactive=False)}
        from busi_demo.ui.batch.job import cells, progress_card, run_batch  # loads what the first page need not

        session = str(request.session_hash)
        self._stopping[session] = False
        held.hold(_RUN, *(files or []))
        try:
            batch = run_batch(
                files or [], approach, self.csv.GRADIO_CACHE, lambda: self._stopping.get(session, False),
                analyse_anyway, all_frames,
            )  # fmt: skip
            for now in batch:
                if now.table:
                    held.hold_only(_RESULTS, now.table, now.figures)
                changed = {} if self._stopping.get(session) and not now.table else {self.card: progress_card(now)}
                yield changed | {
                    self.table: gr.Dataframe([cells(row) for row in now.rows], visible=True),
                    self.csv: gr.DownloadButton(value=now.table, visible=now.table is not None),
                    self.figures: gr.DownloadButton(value=now.figures, visible=now.figures is not None),
                    self.start: gr.Button(interactive=now.table is not None),
                    self.stop: gr.Button(interactive=now.table is None),
                }
        except (InputError, OSError) as error:  # a full disk, say
            logging.getLogger(__name__).warning("a batch ended with %s", type(error).__name__)
            sentence = texts.batch_failed(reason_of(error)) if isinstance(error, OSError) else str(error)
            buttons = {self.start: gr.Button(interactive=True), self.stop: gr.Button(interactive=False)}
            yield {self.card: html.alert(sentence), **buttons}
        finally:
            self._stopping.pop(session, None)
            held.release(_RUN)

    def mark_as_old(self, table: str | None, files: list[str] | None) -> Any:
        """Say, once files are added or taken away, that the table that may stand below is of others. What was taken
        away is removed."""
        held.hold_only(_FILES, *(files or []))
        return html.hint(texts.BATCH_CHANGED) if table else gr.skip()

    def ask_to_stop(self, request: gr.Request) -> dict[Any, Any]:
        """Let the batch of this session end after the image that is being looked at."""
        session = str(request.session_hash)
        if session in self._stopping:
            self._stopping[session] = True
        return {self.card: html.hint(texts.BATCH_STOPPING), self.stop: gr.Button(interactive=False)}


def _refusal(files: list[str] | None) -> str | None:
    if not files:
        return texts.BATCH_NOTHING
    return None if all(Path(path).is_file() for path in files) else texts.EXPIRED
