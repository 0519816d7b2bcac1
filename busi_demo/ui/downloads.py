"""Files that a person takes along; each is made when its button is pressed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from busi_demo.ui import texts
from busi_demo.ui.controls import settings
from busi_demo.ui.events import DRAW, PRIVATE
from busi_demo.ui.session import Session
from busi_demo.ui.settings import Settings

if TYPE_CHECKING:
    from busi_demo.ui.analysis import Examined

_PRESS = "() => setTimeout(() => document.querySelector('#download-file')?.click(), 200)"


class Downloads:
    """Buttons, made inside an open row.

    Attributes:
        file: the link behind all of them, which nobody sees; to be rendered outside of what is shown and hidden.
        files: button -> ending of its file's name, and what makes the file.
    """

    def __init__(self) -> None:
        self.files: dict[gr.Button, tuple[str, Callable[[Examined, Settings], bytes]]] = {
            _button(texts.FIGURE_PNG, "figure-png"): ("figure.png", lambda seen, wish: seen.view(wish).figure_png()),
            _button(texts.FIGURE_PDF, "figure-pdf"): ("figure.pdf", lambda seen, wish: seen.view(wish).figure_pdf()),
            _button(texts.REPORT_PDF, "report-pdf"): ("report.pdf", lambda seen, wish: seen.report_pdf(wish)),
            _button(texts.REPORT_JSON, "report-json"): ("report.json", lambda seen, wish: seen.report_json(wish)),
        }
        self.file = gr.DownloadButton(elem_id="download-file", render=False)

    def listen(self, session: gr.State, controls: Sequence[Any]) -> None:
        """Make and hand out a file at the press of its button.

        Args:
            session: of the page.
            controls: what `settings` takes behind the session.
        """
        for button, (ending, make) in self.files.items():
            made = button.click(_maker(ending, make, self.file.GRADIO_CACHE), [session, *controls], self.file, **DRAW)
            made.success(None, None, None, js=_PRESS, **PRIVATE)


def _button(text: str, elem_id: str) -> gr.Button:
    return gr.Button(text, size="sm", min_width=150, scale=0, elem_id=elem_id)


def _maker(ending: str, make: Callable[[Examined, Settings], bytes], folder: str) -> Callable[..., str]:
    def file(session: Session, *controls: Any) -> str:
        if session.examined is None or session.original is None:
            raise gr.Error(texts.EXPIRED, print_exception=False)
        content = make(session.examined, settings(session, *controls))
        name = f"{Path(session.original).stem}.{session.examined.look.approach}.{ending}"
        return save_bytes_to_cache(content, name, folder)

    return file
