"""What the server remembers of one open page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

if TYPE_CHECKING:
    from busi_demo.analysis.analysis import AnalysedImage
    from busi_demo.imaging import GreyImage, GroundTruth

KEPT_SECONDS = 3600
"""How long files and answers are kept at most, but for the minute until `upkeep` looks again."""


@dataclass(frozen=True, eq=False)
class Session:
    """What was analysed last.

    Attributes:
        shown: path of what the image input shows.
        original: path of the upload that `shown` stands in for; the same in most cases.
        mask: path of the mask.
        spacing: millimetres per pixel that the person gave.
        grey: the upload as read, so that it is decoded once; `None` where it was not read yet.
        truth: the mask as read for this image; `None` where it was not read yet.
        analysed: the image after the forward pass; `None` where there is nothing, or it could not be used.
        refusal: a sentence why not.
        pending: whether another image was put into the inputs since, which has still to be analysed.
    """

    shown: str | None = None
    original: str | None = None
    mask: str | None = None
    spacing: float | None = None
    grey: GreyImage | None = None
    truth: GroundTruth | None = None
    analysed: AnalysedImage | None = None
    refusal: str | None = None
    pending: bool = False

    @property
    def holds_image(self) -> bool:
        """Whether an image stands in the inputs; the mask and the spacing beside it belong to it."""
        return self.shown is not None or self.pending


def session_state(**options: Any) -> gr.State:
    """A `Session` kept on the server, deleted an hour after it was last changed, or after its page was closed."""
    return gr.State(Session(), time_to_live=KEPT_SECONDS, **options)
