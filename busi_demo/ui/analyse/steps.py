"""From the files in the inputs to an analysed session, without components."""

from __future__ import annotations

from dataclasses import replace

from busi_demo.imaging.crop import parse_crop, with_crop
from busi_demo.models import APPROACHES
from busi_demo.types import InputError
from busi_demo.ui import texts
from busi_demo.ui.intake import read_inputs
from busi_demo.ui.session import Session

_answered: set[str] = set()


def loading(approach: str) -> str | None:
    """The message while an approach is used for the first time; `None` where its weights are loaded."""
    return None if approach in _answered else texts.loading(APPROACHES[approach].title)


def analyse_inputs(
    image: str,
    approach: str,
    mask: str | None,
    spacing: float | None,
    session: Session,
    crop: str = "",
    analyse_anyway: bool = False,
) -> Session:
    """Run the network over the inputs as they stand.

    Args:
        image, mask: paths of what the inputs show.
        approach: key of the approach.
        spacing: millimetres per pixel that the person gave.
        session: what was opened or analysed last; what it has read is not read again.
        crop: the part that the person chose, as text; empty: it is found.
        analyse_anyway: the person wants an answer on a picture that was refused.
    Returns:
        The session from now on, with a refusal where there is no answer. Its `shown` and `mask` are the paths that stay
        in the inputs.
    """
    from busi_demo.analysis.analysis import analyse_image  # loads what the first page need not wait for

    read = read_inputs(image, mask, spacing, session)
    if read.refusal or read.grey is None or read.truth is None:
        return read
    try:
        analysed = analyse_image(with_crop(read.grey, parse_crop(crop)), approach, read.truth, analyse_anyway)
    except InputError as error:
        return replace(read, refusal=str(error))
    _answered.add(approach)
    return replace(read, analysed=analysed)
