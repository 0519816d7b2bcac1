"""The inputs of every tab that takes one image, and from an uploaded file to a session. Each file is decoded once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from busi_demo.gallery.load import Example
from busi_demo.imaging import MaskSizeError, read_ground_truth, read_image
from busi_demo.types import InputError
from busi_demo.ui import held, texts
from busi_demo.ui.events import INPUTS, QUICK
from busi_demo.ui.gallery import example_gallery
from busi_demo.ui.inputs import mask_input, stand_in, ultrasound_input
from busi_demo.ui.session import KEPT_SECONDS, Session, session_state


class Intake:
    """The inputs of a tab that takes one image, and the listeners that fill and empty them.

    The components are not rendered here: the tab calls `render` of each where it belongs in its layout.

    Args:
        examples: the gallery.
        height: of the image input, in pixels.
        prefix: of the `elem_id` of each component, and of the parts of the page that hold the files.
        spacing: the input of the pixel spacing, in a tab that has one. Such a tab keeps a mask and a spacing that are
            given before their image; without it, every new image removes the mask.

    Attributes:
        part, mask_part: the parts of the page that hold the image with what is made of it, and the mask.
        image, file, mask: the image input, the button that opens files of any kind, and the mask input.
        gallery: `None` without examples.
        session: what was opened or analysed last.
        request: the session that an upload or an example started, and when; its change starts the tab's run.
    """

    def __init__(
        self, examples: Sequence[Example], height: int, prefix: str = "", spacing: gr.Number | None = None
    ) -> None:
        self.examples, self.spacing = examples, spacing
        self.part, self.mask_part = prefix, f"{prefix}mask"
        self.image = ultrasound_input(height, elem_id=f"{prefix}image", render=False)
        self.file = gr.UploadButton(texts.OPEN_FILE, size="sm", elem_id=f"{prefix}open-file", render=False)
        self.mask = mask_input(elem_id=f"{prefix}mask", render=False)
        self.gallery = example_gallery(examples, elem_id=f"{prefix}gallery", render=False) if examples else None
        self.session = session_state(render=False)
        self.request = gr.State((Session(), 0), time_to_live=KEPT_SECONDS, render=False)

    @property
    def contents(self) -> list[Any]:
        """The components that `reset` empties."""
        return [self.image, self.mask, *([self.spacing] if self.spacing else []), self.session]

    def listen(
        self,
        reset: Callable[[], dict[Any, Any]] | None = None,
        outputs: Sequence[Any] = (),
        wait: Callable[[], dict[Any, Any]] = dict,
        **options: Any,
    ) -> Any:
        """Wire the upload, the file button, the gallery and the removal of the image. They wait in one queue, so that
        the last of them determines what the inputs hold.

        Args:
            reset: called when the image is removed; by default the method of that name.
            outputs: what `reset` and `wait` change besides `contents`.
            wait: what the tab shows beside a new image, in the same moment, until its run begins.
            options: more keywords for the listener of the removal, such as `cancels`.
        Returns:
            The listener of the removal, for what follows it.
        """
        change = {**INPUTS, "trigger_mode": "multiple"}
        kept = [self.mask, self.spacing, self.session] if self.spacing else []
        placed = [*outputs, *self.contents, self.request]
        place, pick = _together(self.place, wait), _together(self.pick, wait)
        self.image.upload(place, [self.image, *kept], placed, **change)
        self.file.upload(place, [self.file, *kept], placed, **change)
        of_mask = [self.mask.upload, self.mask.clear]
        gr.on(of_mask, self.keep_mask, self.mask, None, trigger_mode="multiple", **QUICK)
        if self.gallery:
            self.gallery.select(pick, None, placed, **change)
        return self.image.clear(reset or self.reset, None, [*outputs, *self.contents], **options, **change)

    def place(
        self, path: str | None, mask: str | None = None, spacing: float | None = None, session: Session | None = None
    ) -> dict[Any, Any]:
        """Put a file of any kind into the inputs.

        Args:
            path: of the upload; `None` where it was removed in the meantime.
            mask, spacing: what the other inputs show.
            session: what was opened or analysed last.
        Returns:
            Component -> its new value, with the request to analyse it.
        """
        held.hold(self.part, path)  # it may be the same as one that was given back before
        opened = open_file(path, self.part, session, mask, spacing) if path else Session()
        held.release(self.part, keep=(opened.original, opened.shown))
        self.keep_mask(opened.mask)
        return self._fill(opened.shown, opened.mask, opened.spacing, opened) | self._request(opened)

    def pick(self, event: gr.SelectData) -> dict[Any, Any]:
        """Put an example and its mask into the inputs. The browser names a place in the gallery, never a file."""
        example = self.examples[event.index]
        image, mask = held.share_png(example.image, "image.png"), held.share_png(example.mask, "mask.png")
        held.hold_only(self.part, image)
        self.keep_mask(mask)
        return self._fill(image, mask, None, Session(pending=True)) | self._request(Session())

    def reset(self) -> dict[Any, Any]:
        """What the inputs hold after the image was removed, and its files with it."""
        held.release(self.part)
        self.keep_mask(None)
        return self._fill(None, None, None, Session())

    def keep_mask(self, mask: str | None) -> None:
        """Note that the input shows this mask from now on. The one before is not needed any more."""
        held.hold_only(self.mask_part, mask)

    def drop(self, image: str | None = None, mask: str | None = None) -> None:
        """Note that the inputs were emptied of files that could not be used."""
        held.give_back(self.part, image)
        held.give_back(self.mask_part, mask)

    def is_outdated(self, mask: str | None, *images: str | None) -> bool:
        """Whether the image was replaced or removed since a run was asked for, or the file of the mask deleted. Another
        run follows, or none is wanted. A mask of an example is everyone's and never deleted: a run goes on with it.

        Args:
            mask: of the run; it may have been uploaded again a moment ago.
            images: of the run.
        """
        mask_gone = mask is not None and not Path(mask).is_file() and held.was_removed(self.mask_part, mask)
        return mask_gone or held.was_removed(self.part, *images)

    def _fill(self, image: Any, mask: Any, spacing: float | None, session: Session) -> dict[Any, Any]:
        given = {self.spacing: spacing} if self.spacing else {}
        return {self.image: image, self.mask: mask, **given, self.session: session}

    def _request(self, session: Session) -> dict[Any, Any]:
        return {self.request: (session, time.monotonic_ns())}


def _together(fill: Callable[..., dict[Any, Any]], wait: Callable[[], dict[Any, Any]]) -> Callable[..., dict[Any, Any]]:
    """A listener that does both; Gradio sees the name and the arguments of the first."""

    @wraps(fill)
    def filled(*arguments: Any) -> dict[Any, Any]:
        return fill(*arguments) | wait()

    return filled


def open_file(
    path: str, part: str, before: Session | None = None, mask: str | None = None, spacing: float | None = None
) -> Session:
    """Read a file of any kind into a session, before it is analysed.

    Args:
        path: the upload.
        part: of the page that holds the file.
        before: the session so far. Where it holds an image, mask and spacing belong to that image and are dropped,
            whether they were given before or after its analysis.
        mask, spacing: what the inputs show.
    Returns:
        A pending session, or one with a refusal. Its `shown`, `mask` and `spacing` are what the inputs show from now
        on; where browsers would not show what was read, `shown` is the path of a PNG copy.
    """
    if before and before.holds_image:
        mask = spacing = None
    if not Path(path).is_file():
        return Session(refusal=texts.EXPIRED)
    try:
        grey = read_image(path)
    except InputError as error:
        return Session(mask=mask, spacing=spacing, refusal=str(error))
    shown = stand_in(path, grey, part) or path
    return Session(shown, path, mask, spacing, grey, pending=True)


def another_frame(session: Session, number: int, part: str) -> Session:
    """The session with another frame or page of its upload.

    Args:
        session: one that holds an image.
        number: of the frame, from 1 on.
        part: of the page that holds the file.
    Returns:
        A pending session whose `shown` is that frame, or one with a refusal.
    """
    if session.original is None or not Path(session.original).is_file():
        return Session(refusal=texts.EXPIRED)
    try:
        grey = read_image(session.original, number)
    except InputError as error:
        return replace(session, refusal=str(error))
    shown = stand_in(session.original, grey, part) or session.original
    return replace(session, shown=shown, grey=grey, pending=True)


def read_inputs(image: str, mask: str | None, spacing: float | None, session: Session) -> Session:
    """Read the files in the inputs, as far as the session does not hold them already.

    Args:
        image, mask: paths of what the inputs show.
        spacing: millimetres per pixel that the person gave.
        session: what was opened or analysed last.
    Returns:
        A session with `grey` and `truth`, or one with a refusal. Its `shown` and `mask` are the paths that stay in the
        inputs; a file that could not be read is `None` there.
    """
    known = session if session.original and image == session.shown else Session()
    original = known.original or image
    if not all(Path(path).is_file() for path in (original, mask) if path):
        return Session(refusal=texts.EXPIRED)
    opened = Session(image, original, mask, spacing)
    try:
        opened = replace(opened, grey=known.grey or read_image(original))
    except InputError as error:
        opened = replace(opened, shown=None, refusal=str(error))
    try:
        if opened.grey and known.truth and mask == known.mask:
            truth = known.truth
        else:
            truth = read_ground_truth(mask, opened.grey.pixels.shape if opened.grey else None)
        opened = replace(opened, truth=truth)
    except MaskSizeError as error:
        opened = replace(opened, refusal=opened.refusal or str(error))
    except InputError as error:
        opened = replace(opened, mask=None, refusal=opened.refusal or str(error))
    return opened
