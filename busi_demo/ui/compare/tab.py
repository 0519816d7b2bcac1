"""All approaches on one image: their figures one below the other, their consensus, and how far they agree."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from busi_demo.gallery.load import Example
from busi_demo.models import APPROACHES, CONSENSUS
from busi_demo.types import InputError
from busi_demo.ui import html, texts
from busi_demo.ui.endpoints import declare_compare_endpoint
from busi_demo.ui.events import INPUTS, MODEL, PRIVATE
from busi_demo.ui.gallery import example_gallery
from busi_demo.ui.inputs import mask_input, ultrasound_input
from busi_demo.ui.intake import opened, read_inputs
from busi_demo.ui.session import Session, session_state

_NARROW_COLUMNS = 2


class CompareTab:
    """Components and listeners of the tab, made inside an open `gr.Blocks`.

    As in the Analyse tab, what is shown belongs to the inputs as they stand: a new image or mask is compared at once, a
    new image removes the mask of the old one, and removing the image removes its result.

    Args:
        examples: the gallery.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples
        with gr.Row(equal_height=True):
            with gr.Column(scale=5, min_width=280):
                self.image = ultrasound_input(height=330, elem_id="compare-image")
                self.file = gr.UploadButton(texts.OPEN_FILE, size="sm", elem_id="compare-open-file")
            with gr.Column(scale=4, min_width=280):
                gr.Markdown(texts.COMPARE_INTRO, elem_id="compare-intro")
                self.button = gr.Button(texts.COMPARE, variant="primary", size="lg", elem_id="compare")
                with gr.Accordion(texts.COMPARE_MASK_SECTION, open=False, elem_id="compare-mask-section"):
                    self.mask = mask_input(elem_id="compare-mask")
            with gr.Column(scale=5, min_width=280):
                self.card = gr.HTML(html.hint(texts.COMPARE_WAITING), elem_id="compare-card", padding=False)
        if examples:
            gr.Markdown(texts.COMPARE_EXAMPLES, elem_id="compare-examples")
            self.gallery = example_gallery(examples, elem_id="compare-gallery")
        self.tables = gr.HTML(visible=False, elem_id="compare-tables", padding=False)
        self.figures = {key: (_figure(key, "wide"), _figure(key, "narrow")) for key in (*APPROACHES, CONSENSUS)}
        self.session = session_state()
        self.request = gr.State(0)  # a change starts a comparison
        self._listen()
        declare_compare_endpoint(self.image, self.mask)

    def _listen(self) -> None:
        shown = [self.card, self.tables, *(image for pair in self.figures.values() for image in pair)]
        inputs, outputs = [self.image, self.mask, self.session], [*shown, self.image, self.mask]
        slow = {**PRIVATE, **MODEL, "show_progress": "hidden"}
        triggers = [self.button.click, self.mask.upload, self.mask.clear, self.request.change]
        ran = gr.on(triggers, self.run, inputs, outputs, trigger_mode="always_last", **slow)

        change = {**INPUTS, "trigger_mode": "multiple"}
        placed = [self.image, self.mask, self.session, self.request]
        self.image.upload(self.place, self.image, placed, **change)
        self.file.upload(self.place, self.file, placed, **change)
        if self.examples:
            self.gallery.select(self.pick, None, placed, **change)
        self.image.clear(self.reset, None, [*shown, *placed[:-1]], cancels=[ran], **change)

    def run(self, image: str | None, mask: str | None, session: Session) -> Iterator[dict[Any, Any]]:
        """Compare the approaches on the inputs as they stand.

        Args:
            image, mask: paths of what the inputs show.
            session: what was opened last.
        Yields:
            Component -> what it shows now, first of all and after each approach.
        """
        if image is None:
            yield self._refusal(session.refusal or texts.NO_IMAGE)
            return
        found = read_inputs(image, mask, None, session)
        if found.refusal or found.grey is None or found.truth is None:
            expired = {self.image: None, self.mask: None} if found.refusal == texts.EXPIRED else {}
            yield self._refusal(found.refusal or texts.NO_IMAGE) | expired
            return
        yield self._nothing() | {self.card: html.hint(texts.COMPARE_LOADING)}
        from busi_demo.ui.compare import comparison  # loads what the first page need not wait for

        yield {self.card: comparison.progress(None)}
        try:
            for known in comparison.compare(found.grey, *found.truth):
                yield self._show(known)
        except InputError as error:
            yield self._refusal(str(error))

    def _show(self, known: Any) -> dict[Any, Any]:
        """What is new since the last answer: one figure, or at the end also the consensus and the tables."""
        from busi_demo.ui.compare import comparison

        key, latest = list(known.answers.items())[-1]
        changed = {} if isinstance(latest, str) else self._draw(key, latest)
        if not known.finished:
            return changed | {self.card: comparison.progress(known)}
        if known.together:
            changed |= self._draw(CONSENSUS, known.together)
        tables = gr.HTML(comparison.agreement(known), visible=True)
        return changed | {self.card: comparison.verdict(known), self.tables: tables}

    def _draw(self, key: str, answer: Any) -> dict[Any, Any]:
        alt, (wide, narrow) = texts.figure_alt(answer.title, html.named(answer.prediction)), self.figures[key]
        return {
            wide: gr.Image(answer.figure(), alt_text=alt, visible=True),
            narrow: gr.Image(answer.figure(_NARROW_COLUMNS), alt_text=alt, visible=True),
        }

    def place(self, path: str | None) -> tuple[str | None, None, Session, int]:
        """Put a file of any kind into the inputs.

        Args:
            path: of the upload.
        Returns:
            Image, no mask (it belonged to the image before), session, and the request to compare.
        """
        found = opened(path, self.image.GRADIO_CACHE) if path else Session()
        return found.shown, None, found, time.monotonic_ns()

    def pick(self, event: gr.SelectData) -> tuple[Any, Any, Session, int]:
        """Put an example and its mask into the inputs. The browser names a place in the gallery, never a file."""
        example = self.examples[event.index]
        return example.image, example.mask, Session(), time.monotonic_ns()

    def reset(self) -> dict[Any, Any]:
        """What the page shows after the image was removed."""
        waiting = html.hint(texts.COMPARE_WAITING)
        return self._nothing() | {self.card: waiting, self.image: None, self.mask: None, self.session: Session()}

    def _refusal(self, sentence: str) -> dict[Any, Any]:
        return self._nothing() | {self.card: html.alert(sentence)}

    def _nothing(self) -> dict[Any, Any]:
        """Hide tables and figures."""
        images = [image for pair in self.figures.values() for image in pair]
        return {self.tables: gr.HTML(visible=False), **{image: gr.Image(visible=False) for image in images}}


def _figure(key: str, width: str) -> gr.Image:
    return gr.Image(
        label=texts.FIGURE, show_label=False, format="png", interactive=False, buttons=["download", "fullscreen"],
        visible=False, elem_id=f"compare-{key}-{width}", elem_classes=f"figure-{width}",
    )  # fmt: skip
