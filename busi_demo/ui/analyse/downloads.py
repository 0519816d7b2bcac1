"""Files to download; each is made when its button is pressed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from busi_demo.types import InputError
from busi_demo.ui import held, texts
from busi_demo.ui.analyse.controls import view_of
from busi_demo.ui.events import DRAW, PRIVATE
from busi_demo.ui.session import Session

if TYPE_CHECKING:
    from busi_demo.analysis.analysis import Analysis

_SAVE = """
file => Object.assign(document.createElement("a"), { href: file.url, download: file.orig_name }).click()
"""


class Downloads:
    """Buttons, made inside an open row.

    Args:
        part: of the page that holds the files, as in `held.hold`.

    Attributes:
        file: the hidden links behind the buttons; to be rendered outside of what is shown and hidden.
        files: button -> ending of its file's name, and what makes the file.
    """

    def __init__(self, part: str) -> None:
        self._part = part
        self.files: dict[gr.Button, tuple[str, Callable[[Analysis], bytes]]] = {
            _button(texts.FIGURE_PNG, "figure-png"): ("figure.png", lambda analysis: analysis.figure_png()),
            _button(texts.FIGURE_PDF, "figure-pdf"): ("figure.pdf", lambda analysis: analysis.figure_pdf()),
            _button(texts.REPORT_PDF, "report-pdf"): ("report.pdf", _pdf_report),
            _button(texts.REPORT_JSON, "report-json"): ("report.json", _json_report),
        }
        with gr.Column(render=False, elem_id="download-file") as self.file:
            # One each, so that files made at the same time do not replace each other.
            self._links = [gr.DownloadButton() for _ in self.files]

    def listen(self, session: gr.State, controls: Sequence[Any]) -> None:
        """Make and send a file when its button is pressed.

        Args:
            session: of the page.
            controls: what `view_of` takes after the session.
        """
        for (button, (ending, make)), link in zip(self.files.items(), self._links, strict=True):
            made = button.click(maker(ending, make, self._part), [session, *controls], link, **DRAW)
            made.success(None, link, None, js=_SAVE, **PRIVATE)


def _json_report(analysis: Analysis) -> bytes:
    from busi_demo.analysis.report import report, report_json

    return report_json(report(analysis))


def _pdf_report(analysis: Analysis) -> bytes:
    from busi_demo.analysis.report import report
    from busi_demo.analysis.report_pdf import report_pdf

    return report_pdf(report(analysis), analysis.figure(columns=3))


def _button(text: str, elem_id: str) -> gr.Button:
    return gr.Button(text, size="sm", min_width=150, scale=0, elem_id=elem_id)


def maker(ending: str, make: Callable[[Analysis], bytes], part: str) -> Callable[..., str]:
    """The listener behind a button.

    Args:
        ending: of the file's name.
        make: makes the file's bytes.
        part: of the page that holds the file.
    """

    def file(session: Session, *controls: Any) -> str:
        if session.refusal or session.analysed is None or session.original is None:  # since the button was pressed
            without = texts.STILL_ANALYSED if session.pending else texts.FORGOTTEN
            raise gr.Error(session.refusal or without, print_exception=False)
        try:
            content = make(session.analysed.analysis(view_of(session, *controls)))
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error
        name = f"{Path(session.original).stem}.{session.analysed.forward_pass.approach}.{ending}"
        path = held.save(content, name, part, of=session.shown)
        if held.was_removed(part, session.shown):  # while the file was made
            raise gr.Error(texts.REPLACED, print_exception=False)
        return path

    return file
