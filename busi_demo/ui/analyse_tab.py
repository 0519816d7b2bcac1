"""The main tab: one image, one approach, five panels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from busi_demo.imaging import read_image, read_mask
from busi_demo.models import APPROACHES, DEFAULT_APPROACH
from busi_demo.types import InputError
from busi_demo.ui import cards, texts
from busi_demo.ui.api import declare_analyse_endpoint
from busi_demo.ui.events import MODEL, PRIVATE, QUICK
from busi_demo.ui.gallery import Example
from busi_demo.ui.inputs import image_input, stand_in


@dataclass(frozen=True)
class Analysed:
    """What was analysed last, as paths.

    Attributes:
        shown: what the image input shows.
        original: the upload that `shown` stands in for; the same path in most cases.
        mask: the mask.
    """

    shown: str | None = None
    original: str | None = None
    mask: str | None = None


class AnalyseTab:
    """Components and listeners of the tab, made inside an open `gr.Blocks`.

    The rule: what is shown belongs to the inputs as they stand. A new image, approach or mask is analysed at once, the
    button does so again, and an image that is taken away takes its result along.

    Args:
        examples: the gallery.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples
        with gr.Row(equal_height=True):
            with gr.Column(scale=5, min_width=280):
                self.image = image_input(
                    label=texts.IMAGE, placeholder=texts.IMAGE_PLACEHOLDER, alt_text=texts.IMAGE_ALT,
                    height=400, elem_id="image",
                )  # fmt: skip
            with gr.Column(scale=4, min_width=280):
                self.approach = gr.Radio(
                    [(model.title, key) for key, model in APPROACHES.items()],
                    value=DEFAULT_APPROACH, label=texts.APPROACH, elem_id="approach",
                )  # fmt: skip
                self.summary = gr.Markdown(summary(DEFAULT_APPROACH), elem_id="summary")
                self.button = gr.Button(texts.ANALYSE, variant="primary", size="lg", elem_id="analyse")
                with gr.Accordion(texts.MASK_SECTION, open=False, elem_id="mask-section"):
                    self.mask = image_input(
                        label=texts.MASK, placeholder=texts.MASK_PLACEHOLDER, alt_text=texts.MASK_ALT,
                        height=200, elem_id="mask",
                    )  # fmt: skip
            with gr.Column(scale=5, min_width=280):
                self.card = gr.HTML(cards.hint(texts.WAITING), elem_id="card", padding=False)
        if examples:
            real = any(example.real for example in examples)
            gr.Markdown(texts.EXAMPLES_WITH_REAL if real else texts.EXAMPLES, elem_id="examples")
            self.gallery = gr.Gallery(
                [(example.thumbnail, example.caption) for example in examples],
                show_label=False, columns=len(examples), height="auto", format="png", object_fit="cover",
                allow_preview=False, interactive=False, buttons=[], elem_id="gallery",
            )  # fmt: skip
        with gr.Column(visible=False) as self.results:
            self.wide = _figure("figure-wide")
            self.narrow = _figure("figure-narrow")
        self.analysed = gr.State(Analysed())
        self._listen()
        declare_analyse_endpoint(self.image, self.approach, self.mask)

    def _listen(self) -> None:
        inputs = [self.image, self.approach, self.mask, self.analysed]
        outputs = [self.card, self.results, self.wide, self.narrow, self.image, self.mask, self.analysed]
        slow = {**PRIVATE, **MODEL, "show_progress_on": [self.card, self.wide, self.narrow]}
        wishes = [self.button.click, self.approach.input, self.image.upload, self.mask.upload, self.mask.clear]
        runs = [gr.on(wishes, self.run, inputs, outputs, trigger_mode="always_last", **slow)]
        self.approach.change(summary, self.approach, self.summary, **QUICK)
        if self.examples:
            picked = self.gallery.select(self.pick, None, [self.image, self.mask, self.analysed], **QUICK)
            runs.append(picked.success(self.run, inputs, outputs, **slow))
        self.image.clear(self.reset, None, [self.card, self.results, self.mask, self.analysed], cancels=runs, **QUICK)

    def run(self, image: str | None, approach: str, mask: str | None, analysed: Analysed) -> dict[Any, Any]:
        """Analyse the inputs as they stand.

        Args:
            image, mask: paths of what the inputs show.
            approach: key of the approach.
            analysed: what was analysed last. A mask that was there with another image belongs to that one.
        Returns:
            Component -> what it shows now.
        """
        from busi_demo.ui.analysis import analyse  # loads what the first page need not wait for
        from busi_demo.ui.verdict import answer, verdict

        if image is None:
            return self._refusal(texts.NO_IMAGE)
        original, changed = image, dict[Any, Any]()
        if analysed.original and image == analysed.shown:
            original = analysed.original
        if mask is not None and mask == analysed.mask and image != analysed.shown:
            mask, changed = None, {self.mask: None}
        if not all(Path(path).is_file() for path in (original, mask) if path):
            return self._refusal(texts.EXPIRED) | {self.image: None, self.mask: None}
        try:
            found = analyse(original, approach, mask)
        except InputError as error:
            if not _readable(read_image, original):
                changed[self.image] = None
            if mask and not _readable(read_mask, mask):
                changed[self.mask] = None
            return self._refusal(str(error)) | changed
        if image == original and (picture := stand_in(original, found.prediction.image, self.image.GRADIO_CACHE)):
            image = changed[self.image] = picture
        alt = texts.figure_alt(found.title, answer(found))
        return changed | {
            self.card: verdict(found),
            self.results: gr.Column(visible=True),
            self.wide: gr.Image(found.figure(columns=5), alt_text=alt),
            self.narrow: gr.Image(found.figure(columns=1), alt_text=alt),
            self.analysed: Analysed(image, original, mask),
        }

    def pick(self, event: gr.SelectData) -> tuple[Any, Any, Analysed]:
        """Put an example and its mask into the inputs. The browser names a place in the gallery, never a file."""
        example = self.examples[event.index]
        return example.image, example.mask, Analysed()

    def reset(self) -> tuple[Any, ...]:
        """What is left when the image is taken away."""
        return cards.hint(texts.WAITING), gr.Column(visible=False), None, Analysed()

    def _refusal(self, sentence: str) -> dict[Any, Any]:
        return {self.card: cards.alert(sentence), self.results: gr.Column(visible=False)}


def summary(approach: str) -> str:
    """One sentence on how an approach works."""
    return APPROACHES[approach].summary


def _figure(elem_id: str) -> gr.Image:
    return gr.Image(
        label=texts.FIGURE, show_label=False, format="png", interactive=False, buttons=["download", "fullscreen"],
        elem_id=elem_id,
    )  # fmt: skip


def _readable(read: Callable[[str], Any], path: str) -> bool:
    try:
        read(path)
    except InputError:
        return False
    return True
