"""The tab 'How good is it?': what was measured, read and drawn when the tab is opened."""

from __future__ import annotations

from typing import Any

import gradio as gr

from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.types import InputError
from busi_demo.ui import html, texts
from busi_demo.ui.events import MODEL, PRIVATE


class QualityTab:
    """Components and listeners of the tab, made inside its open `gr.Tab`.

    Args:
        tab: that `gr.Tab`; nothing is read before it is selected.
    """

    def __init__(self, tab: gr.Tab) -> None:
        gr.Markdown(texts.QUALITY_INTRO)
        self.overview = gr.HTML(html.hint(texts.QUALITY_WAITING), elem_id="quality-overview", padding=False)
        self.approach = gr.Radio(
            [(model.title, key) for key, model in APPROACHES.items()],
            value=DEFAULT_APPROACH, label=texts.QUALITY_APPROACH, elem_id="quality-approach",
        )  # fmt: skip
        self.numbers = gr.HTML(elem_id="quality-numbers", padding=False)
        with gr.Row(elem_id="quality-plots"):
            self.plots = {name: _picture(f"quality-{name}", label) for name, label in texts.PLOT_LABELS.items()}
        gr.Markdown(texts.CASES)
        self.cases = gr.HTML(elem_id="quality-cases", padding=False)
        self.cases_hint = gr.Markdown(elem_id="quality-cases-hint")
        self.gallery = gr.Gallery(
            visible=False, show_label=False, columns=5, height="auto", format="png", object_fit="cover",
            allow_preview=False, interactive=False, buttons=[], elem_id="quality-gallery",
        )  # fmt: skip
        self.case_note = gr.HTML(visible=False, elem_id="quality-case-note", padding=False)
        self.wide, self.narrow = (_picture(f"quality-{name}", texts.FIGURE) for name in ("wide", "narrow"))
        with gr.Accordion(texts.AUTOPSY, open=False, elem_id="quality-autopsy") as self.autopsy:
            self.autopsy_figure = _picture("quality-autopsy-figure", texts.AUTOPSY_TITLE)
            self.autopsy_text = gr.Markdown(elem_classes="scrolling-tables")
        with gr.Accordion(texts.CARD, open=False, elem_id="quality-model-card") as self.card:
            self.card_text = gr.Markdown(elem_classes="scrolling-tables")
        self._listen(tab)

    def _listen(self, tab: gr.Tab) -> None:
        shown = [self.overview, self.approach, self.numbers, *self.plots.values(), self.cases, self.cases_hint,
                 self.gallery, self.case_note, self.wide, self.narrow]  # fmt: skip
        progress = {"show_progress": "minimal", "show_progress_on": [self.overview, self.numbers]}
        gr.on(
            [tab.select, self.approach.input], self.show, self.approach, shown, trigger_mode="always_last",
            **PRIVATE, **progress,
        )  # fmt: skip
        self.gallery.select(
            self.show_case, self.approach, [self.case_note, self.wide, self.narrow], **PRIVATE, **MODEL,
            show_progress_on=[self.gallery],
        )  # fmt: skip
        self.autopsy.expand(self.show_autopsy, None, [self.autopsy_figure, self.autopsy_text], **PRIVATE)
        self.card.expand(self.show_card, None, self.card_text, **PRIVATE)

    def show(self, approach: str) -> dict[Any, Any]:
        """Everything of one approach; the files are read each time.

        Args:
            approach: its key.
        """
        from busi_demo.ui.quality import measured as quality  # load what the first page need not wait for
        from busi_demo.ui.quality import numbers as quality_html
        from busi_demo.ui.quality.cases import case_pictures

        hidden = {component: _hide() for component in (*self.plots.values(), self.wide, self.narrow, self.case_note)}
        try:
            known = quality.read_quality()
        except InputError as error:
            return {self.overview: html.alert(str(error)), **hidden}
        if approach not in known:
            approach = next(iter(known), DEFAULT_APPROACH)
        choices = [(measured.title, key) for key, measured in known.items()]
        updates: dict[Any, Any] = {
            **hidden,
            self.overview: quality_html.overview(list(known.values()), approach),
            self.approach: gr.Radio(choices, value=approach) if choices else gr.Radio(visible=False),
        }
        if not known:
            return updates
        chosen = known[approach]
        for name, image in chosen.plots().items():
            alt = texts.plot_alt(name, chosen.title, chosen.report)
            updates[self.plots[name]] = gr.Image(image, alt_text=alt, visible=True)
        pictures = case_pictures(chosen.cases())
        hint = texts.CASES_HINT if pictures else texts.CASES_ELSEWHERE
        return updates | {
            self.numbers: quality_html.numbers(chosen),
            self.cases: quality_html.cases(chosen),
            self.cases_hint: hint if chosen.cases() else "",
            self.gallery: gr.Gallery(pictures, visible=bool(pictures), selected_index=None),
        }

    def show_case(self, approach: str, event: gr.SelectData) -> dict[Any, Any]:
        """The panels of the case that was clicked. The browser names a place in the gallery, never a file."""
        from busi_demo.ui.quality.cases import case_figures
        from busi_demo.ui.quality.measured import read_quality

        try:
            _, result = read_quality()[approach].cases()[event.index]
            wide, narrow, alt = case_figures(approach, result)
        except InputError as error:
            note = gr.HTML(html.alert(str(error)), visible=True)
            return {self.case_note: note, self.wide: _hide(), self.narrow: _hide()}
        return {
            self.case_note: _hide(),
            self.wide: gr.Image(wide, alt_text=alt, visible=True),
            self.narrow: gr.Image(narrow, alt_text=alt, visible=True),
        }

    def show_autopsy(self) -> tuple[Any, str]:
        """Figure and tables of the autopsy."""
        from busi_demo.evaluation.card.tables import autopsy_table
        from busi_demo.ui.quality.measured import draw_autopsy

        try:
            drawn = draw_autopsy()
        except InputError as error:
            return _hide(), str(error)
        if drawn is None:
            return _hide(), texts.NO_AUTOPSY
        result, image = drawn
        return gr.Image(image, alt_text=texts.autopsy_alt(result["quoted"]), visible=True), autopsy_table(result)

    def show_card(self) -> str:
        """The model card, as Markdown."""
        from busi_demo.ui.quality.measured import read_card

        return read_card()


def _picture(elem_id: str, label: str) -> gr.Image:
    return gr.Image(
        label=label, visible=False, format="png", interactive=False, buttons=["download", "fullscreen"],
        elem_id=elem_id, elem_classes="quality-picture", min_width=260,
    )  # fmt: skip


def _hide() -> Any:
    return gr.update(visible=False)
