"""The main tab: one image, one approach, five panels, and other views of the same answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from busi_demo.gallery.load import Example
from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.types import InputError
from busi_demo.ui import held, html, texts
from busi_demo.ui.analyse.controls import Controls, view_of
from busi_demo.ui.analyse.downloads import Downloads
from busi_demo.ui.analyse.steps import analyse_inputs, loading
from busi_demo.ui.endpoints import declare_analyse_endpoint
from busi_demo.ui.events import DRAW, MODEL, PRIVATE, QUICK
from busi_demo.ui.inputs import TypedSlider
from busi_demo.ui.intake import Intake, another_frame
from busi_demo.ui.outputs import figure_output
from busi_demo.ui.session import Session
from busi_demo.ui.theme import DRAG_CROP, NARROW


class AnalyseTab:
    """Components and listeners of the tab, made inside an open `gr.Blocks`.

    What is shown always belongs to the inputs as they stand. A new image, approach or mask is analysed at once, the
    button analyses again, and removing the image removes its result. `run` runs the network and stores the answer;
    `view` alone decides what is shown, and follows every `run`.

    Args:
        examples: the gallery.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        spacing = gr.Number(label=texts.SPACING, info=texts.SPACING_INFO, step=0.001, elem_id="spacing", render=False)
        self.intake, self.spacing = Intake(examples, height=400, spacing=spacing), spacing
        with gr.Row(equal_height=True):
            with gr.Column(scale=5, min_width=280):
                self.intake.image.render()
                with gr.Column(elem_id="open"):
                    self.intake.file.render()
                    self.drag_crop = gr.Button(texts.DRAG_CROP, size="sm", elem_id="drag")
                self.frame = TypedSlider(
                    1,
                    2,
                    1,
                    step=1,
                    label=texts.FRAME,
                    info=texts.FRAME_INFO,
                    buttons=[],
                    visible=False,
                    elem_id="frame",
                )
            with gr.Column(scale=4, min_width=280):
                self.approach = gr.Radio(
                    [(model.title, key) for key, model in APPROACHES.items()],
                    value=DEFAULT_APPROACH, label=texts.APPROACH, elem_id="approach",
                )  # fmt: skip
                self.summary = gr.Markdown(summary(DEFAULT_APPROACH), elem_id="summary")
                self.button = gr.Button(texts.ANALYSE, variant="primary", size="lg", elem_id="analyse")
                with gr.Accordion(texts.MASK_SECTION, open=False, elem_id="mask-section"):
                    self.intake.mask.render()
                    spacing.render()
                    self.crop = gr.Textbox(label=texts.CROP, info=texts.CROP_INFO, max_lines=1, elem_id="crop")
            with gr.Column(scale=5, min_width=280):
                self.card = gr.HTML(html.hint(texts.WAITING), elem_id="card", padding=False)
                self.anyway = gr.Button(texts.ANYWAY, size="sm", visible=False, elem_id="anyway")
        if self.intake.gallery:
            real = any(example.real for example in examples)
            gr.Markdown(texts.EXAMPLES_WITH_REAL if real else texts.EXAMPLES, elem_id="examples")
            self.intake.gallery.render()
        with gr.Column(visible=False, elem_id="results") as self.results:
            self.controls = Controls()
            self.figure = figure_output(elem_id="figure")
            with gr.Row(elem_id="actions"):
                self.reset_button = gr.Button(texts.RESET, size="sm", min_width=150, scale=0, elem_id="reset")
                self.downloads = Downloads(self.intake.part)
            self.findings = gr.HTML(elem_id="findings", padding=False)
        self.downloads.file.render()
        self.narrow = gr.Checkbox(visible=False)
        self.intake.request.render()
        self.redraw = gr.Button("", elem_id="redraw")
        self.dragged = gr.Textbox(elem_id="dragged")  # changes once a person has dragged a crop
        self.intake.session.render()
        self._listen()
        declare_analyse_endpoint(self.intake.image, self.approach, self.intake.mask)

    def _listen(self) -> None:
        intake, controls, settings = (
            self.intake,
            self.controls,
            [*self.controls.components, self.spacing, self.controls.uncertainty],
        )
        image, mask, session, request = intake.image, intake.mask, intake.session, intake.request
        inputs = [image, self.approach, mask, self.spacing, session, request, self.crop, self.frame]
        outputs = [self.card, session, image, mask, self.spacing, self.crop, self.frame, controls.threshold]
        view_inputs = [self.narrow, image, session, *settings]
        view_outputs = [self.card, self.results, self.figure, self.findings, self.anyway, self.frame]
        slow = {**PRIVATE, **MODEL, "show_progress_on": [self.card, self.figure]}
        draw = {**DRAW, "show_progress": "hidden", "js": NARROW, "trigger_mode": "always_last"}

        drag = [self.crop, self.dragged]
        self.drag_crop.click(None, drag, drag, js=DRAG_CROP, **QUICK)
        cropped = [self.crop.submit, self.dragged.change]
        triggers = [
            self.button.click,
            self.approach.input,
            mask.upload,
            mask.clear,
            *cropped,
            request.change,
            self.frame.input,  # arrow keys release nothing
        ]
        ran = gr.on(triggers, self.run, inputs, outputs, trigger_mode="always_last", **slow)
        ran.success(self.view, view_inputs, view_outputs, **draw)
        overridden = self.anyway.click(self.run_anyway, inputs, outputs, trigger_mode="once", **slow)
        overridden.success(self.view, view_inputs, view_outputs, **draw)

        emptied = intake.listen()
        emptied.success(self.view, view_inputs, view_outputs, **draw)

        changes = [control.input for control in controls.components] + [
            self.spacing.input,
            controls.uncertainty.input,
            self.redraw.click,
        ]
        gr.on(changes, self.view, view_inputs, view_outputs, **draw)
        defaults = self.reset_button.click(controls.defaults, session, controls.components, **QUICK)
        defaults.success(self.view, view_inputs, view_outputs, **draw)
        self.downloads.listen(session, settings)

        self.approach.change(summary, self.approach, self.summary, **QUICK)

    def run(
        self,
        image: str | None,
        approach: str,
        mask: str | None,
        spacing: float | None,
        session: Session,
        request: tuple[Session, int] = (Session(), 0),
        crop: str = "",
        frame: int = 1,
        analyse_anyway: bool = False,
    ) -> Iterator[dict[Any, Any]]:
        """Run the network over the inputs as they stand, and store its answer.

        Args:
            image, mask: paths of what the inputs show.
            approach: key of the approach.
            spacing: millimetres per pixel that the person gave.
            session: what was analysed last.
            request: what was put into the inputs last, and when; a run that came late may have replaced the session.
            crop: the part that the person chose, as text; it belongs to one image and is dropped with it.
            frame: number of the frame that the person chose, of a file with several.
            analyse_anyway: the person wants an answer on a picture that was refused.
        Yields:
            Component -> what it shows now: a message while weights are loaded, then what the inputs have become.
        """
        inputs = self.intake
        if inputs.is_outdated(mask, image):  # while this run waited for its turn
            yield {inputs.session: gr.skip()}
            return
        if image is None:
            yield {inputs.session: session if session.refusal else Session(refusal=texts.NO_IMAGE)}
            return
        if message := loading(approach):
            yield {self.card: html.hint(message)}
        upload, now = request[0].original, session.shown
        if now and image != now and upload and upload == session.original and not session.pending:
            image, mask = now, session.mask  # asked for while another frame of the same file was analysed
        before, given, given_mask = session.analysed, image, mask
        opened = request[0] if image == request[0].shown else session
        known = image == session.shown and not session.pending
        kept = crop if known else ""
        if known and session.grey and frame != session.grey.number and session.grey.frames > 1:
            opened = another_frame(session, frame, inputs.part)
            if opened.refusal or opened.shown is None:
                yield {inputs.session: opened}
                return
            image = opened.shown
            mask = None  # that of another frame
        after = analyse_inputs(image, approach, mask, spacing, opened, kept, analyse_anyway)
        if inputs.is_outdated(given_mask, given, image):  # while the networks ran
            yield {inputs.session: gr.skip()}
            return
        inputs.drop(None if after.shown else given, None if after.mask else given_mask)
        changed: dict[Any, Any] = {inputs.session: after}
        if not known or after.grey is None or after.grey.number != frame:
            changed[self.frame] = _frames(after)  # else it may have been moved on meanwhile
        if kept != crop:
            changed[self.crop] = kept
        for component, old, new in (
            (inputs.image, given, after.shown),
            (inputs.mask, given_mask, after.mask),
            (self.spacing, spacing, after.spacing),
        ):
            if old != new:
                changed[component] = new
        if after.analysed and (before is None or before.forward_pass.approach != approach):
            changed[self.controls.threshold] = after.analysed.forward_pass.threshold
        yield changed

    def run_anyway(
        self,
        image: str | None,
        approach: str,
        mask: str | None,
        spacing: float | None,
        session: Session,
        request: tuple[Session, int],
        crop: str,
        frame: int = 1,
    ) -> Iterator[dict[Any, Any]]:
        """`run` on a picture that was refused."""
        yield from self.run(image, approach, mask, spacing, session, request, crop, frame, analyse_anyway=True)

    def view(self, narrow: bool, image: str | None, session: Session, *settings: Any) -> Any:
        """Decide what is shown.

        Args:
            narrow: whether the window is as narrow as on a phone.
            image: path of what the image input shows.
            session: what was analysed last.
            settings: values of the controls and the spacing.
        Returns:
            Component -> what it shows now.
        """
        from busi_demo.ui.analyse.findings import findings  # loads what the first page need not wait for
        from busi_demo.ui.analyse.verdict import verdict

        hidden = {self.results: gr.Column(visible=False), self.anyway: gr.Button(visible=False)}
        if session.refusal:
            return hidden | {self.card: html.alert(session.refusal)}
        if image is None:
            return hidden | {self.card: html.hint(texts.WAITING), self.frame: _frames(Session())}
        if session.pending or (session.analysed and image != session.shown):
            return gr.skip()  # a newer image is being analysed, and viewed when that is done
        if session.analysed is None:
            return hidden | {self.card: html.alert(texts.FORGOTTEN)}
        try:
            analysis = session.analysed.analysis(view_of(session, *settings))
        except InputError as error:
            return {self.card: html.alert(str(error))}
        if analysis.answer.withheld:
            return hidden | {self.card: html.refusal(analysis.prediction), self.anyway: gr.Button(visible=True)}
        figure = held.save_figure(analysis.figure(1 if narrow else None), self.intake.part, of=image)
        if held.was_removed(self.intake.part, image):  # while the figure was drawn
            return gr.skip()
        return {
            self.anyway: gr.Button(visible=False),
            self.card: verdict(analysis, session.analysed.forward_pass.seconds),
            self.results: gr.Column(visible=True),
            self.figure: gr.Image(figure, alt_text=html.figure_alt(analysis.answer, analysis.view.uncertainty)),
            self.findings: findings(analysis),
        }


def _frames(session: Session) -> gr.Slider:
    """The slider of frames, shown where there are several."""
    grey = session.grey
    if grey is None or grey.frames == 1:
        return gr.Slider(value=1, visible=False)
    return gr.Slider(1, grey.frames, grey.number, visible=True)


def summary(approach: str) -> str:
    """One sentence on how an approach works."""
    return APPROACHES[approach].summary
