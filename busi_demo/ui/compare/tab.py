"""All approaches on one image: their figures one below the other, their consensus, and how far they agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from busi_demo.gallery.load import Example
from busi_demo.models import APPROACHES, CONSENSUS
from busi_demo.types import InputError
from busi_demo.ui import held, html, texts
from busi_demo.ui.endpoints import declare_compare_endpoint
from busi_demo.ui.events import MODEL, PRIVATE
from busi_demo.ui.intake import Intake, read_inputs
from busi_demo.ui.outputs import figure_output
from busi_demo.ui.session import Session

_NARROW_COLUMNS = 2


class CompareTab:
    """Components and listeners of the tab, made inside an open `gr.Blocks`.

    As in the Analyse tab, what is shown belongs to the inputs as they stand: a new image or mask is compared at once, a
    new image removes the mask and the result of the old one, and removing the image removes its result.

    Args:
        examples: the gallery.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self.intake = Intake(examples, height=330, prefix="compare-")
        with gr.Row(equal_height=True):
            with gr.Column(scale=5, min_width=280):
                self.intake.image.render()
                self.intake.file.render()
            with gr.Column(scale=4, min_width=280):
                gr.Markdown(texts.COMPARE_INTRO, elem_id="compare-intro")
                self.button = gr.Button(texts.COMPARE, variant="primary", size="lg", elem_id="compare")
                with gr.Accordion(texts.COMPARE_MASK_SECTION, open=False, elem_id="compare-mask-section"):
                    self.intake.mask.render()
            with gr.Column(scale=5, min_width=280):
                self.card = gr.HTML(html.hint(texts.COMPARE_WAITING), elem_id="compare-card", padding=False)
                self.anyway = gr.Button(texts.ANYWAY, size="sm", visible=False, elem_id="compare-anyway")
        if self.intake.gallery:
            gr.Markdown(texts.COMPARE_EXAMPLES, elem_id="compare-examples")
            self.intake.gallery.render()
        self.tables = gr.HTML(visible=False, elem_id="compare-tables", padding=False)
        self.figures = {key: (_figure(key, "wide"), _figure(key, "narrow")) for key in (*APPROACHES, CONSENSUS)}
        self.intake.session.render()
        self.intake.request.render()
        self._listen()
        declare_compare_endpoint(self.intake.image, self.intake.mask)

    def _listen(self) -> None:
        image, mask, session = self.intake.image, self.intake.mask, self.intake.session
        shown = [self.card, self.anyway, self.tables, *(figure for pair in self.figures.values() for figure in pair)]
        slow = {**PRIVATE, **MODEL, "show_progress": "hidden"}
        triggers = [self.button.click, mask.upload, mask.clear, self.intake.request.change]
        inputs, outputs = [image, mask, session], [*shown, image, mask]
        ran = gr.on(triggers, self.run, inputs, outputs, trigger_mode="always_last", **slow)
        overridden = self.anyway.click(self.run_anyway, inputs, outputs, trigger_mode="once", **slow)
        self.intake.listen(self.reset, shown, self.wait, cancels=[ran, overridden])

    def run(
        self, image: str | None, mask: str | None, session: Session, analyse_anyway: bool = False
    ) -> Iterator[dict[Any, Any]]:
        """Compare the approaches on the inputs as they stand.

        Args:
            image, mask: paths of what the inputs show.
            session: what was opened last.
            analyse_anyway: the person wants answers on a picture that was refused.
        Yields:
            Component -> what it shows now, first of all and after each approach; nothing more once the image was
            replaced or removed, or the file of the mask deleted.
        """
        for shown in self._compared(image, mask, session, analyse_anyway):
            if self.intake.is_outdated(mask, image):  # while this run waited for its turn, or an approach answered
                yield {self.card: gr.skip()}
                return
            yield shown

    def _compared(
        self, image: str | None, mask: str | None, session: Session, analyse_anyway: bool
    ) -> Iterator[dict[Any, Any]]:
        """`run`, whatever becomes of the image meanwhile."""
        if image is None:
            yield self._refusal(session.refusal or texts.NO_IMAGE)
            return
        read = read_inputs(image, mask, None, session)
        if read.refusal or read.grey is None or read.truth is None:
            unread = None if read.shown else image, None if read.mask else mask
            inputs = zip((self.intake.image, self.intake.mask), unread, strict=True)
            yield self._refusal(read.refusal or texts.NO_IMAGE) | {taken: None for taken, file in inputs if file}
            self.intake.drop(*unread)
            return
        yield self.wait()
        from busi_demo.ui.compare import comparison  # loads what the first page need not wait for

        yield {self.card: comparison.progress(None)}
        try:
            for known in comparison.compare(read.grey, read.truth, analyse_anyway):
                yield self._show(known, image)
        except InputError as error:
            yield self._refusal(str(error))

    def run_anyway(self, image: str | None, mask: str | None, session: Session) -> Iterator[dict[Any, Any]]:
        """`run` on a picture that was refused."""
        yield from self.run(image, mask, session, analyse_anyway=True)

    def wait(self) -> dict[Any, Any]:
        """What the page shows until the first approach runs, which may wait for the answers of other people."""
        return self._nothing() | {self.card: html.hint(texts.COMPARE_LOADING)}

    def _show(self, known: Any, image: str) -> dict[Any, Any]:
        """What is new since the last answer: one figure, or at the end also the consensus and the tables."""
        from busi_demo.ui.compare import comparison

        key, latest = list(known.answers.items())[-1]
        changed = {} if isinstance(latest, str) else self._draw(key, latest, image)
        if not known.finished:
            return changed | {self.card: comparison.progress(known)}
        if known.together:
            changed |= self._draw(CONSENSUS, known.together, image)
            changed[self.anyway] = gr.Button(visible=known.together.withheld)
        tables = gr.HTML(comparison.agreement(known), visible=True)
        return changed | {self.card: comparison.verdict(known), self.tables: tables}

    def _draw(self, key: str, answer: Any, image: str) -> dict[Any, Any]:
        alt, part = html.figure_alt(answer), self.intake.part
        files = (held.save_figure(answer.figure(columns), part, image) for columns in (None, _NARROW_COLUMNS))
        return {
            figure: gr.Image(file, alt_text=alt, visible=True)
            for figure, file in zip(self.figures[key], files, strict=True)
        }

    def reset(self) -> dict[Any, Any]:
        """What the page shows after the image was removed."""
        return self._nothing() | {self.card: html.hint(texts.COMPARE_WAITING)} | self.intake.reset()

    def _refusal(self, sentence: str) -> dict[Any, Any]:
        return self._nothing() | {self.card: html.alert(sentence)}

    def _nothing(self) -> dict[Any, Any]:
        """Hide tables, figures and the button that overrides a refusal."""
        images = [image for pair in self.figures.values() for image in pair]
        hidden = {self.tables: gr.HTML(visible=False), self.anyway: gr.Button(visible=False)}
        return hidden | {image: gr.Image(visible=False) for image in images}


def _figure(key: str, width: str) -> gr.Image:
    return figure_output(visible=False, elem_id=f"compare-{key}-{width}", elem_classes=f"figure-{width}")
