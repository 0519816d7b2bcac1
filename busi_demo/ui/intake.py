"""From an uploaded file to a session, for every tab that takes one image. Each file is decoded once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from busi_demo.imaging import MaskSizeError, read_ground_truth, read_image
from busi_demo.types import InputError
from busi_demo.ui import texts
from busi_demo.ui.inputs import stand_in
from busi_demo.ui.session import Session


def opened(
    path: str, folder: str, before: Session | None = None, mask: str | None = None, spacing: float | None = None
) -> Session:
    """Read a file of any kind into a session, before it is analysed.

    Args:
        path: the upload.
        folder: Gradio's temporary files.
        before: the session so far. Where it holds an image, mask and spacing belong to that image and are dropped,
            whether they were given before or after its analysis.
        mask, spacing: what the inputs show.
    Returns:
        A pending session, or one with a refusal; it names what stays in the inputs, with a stand-in where browsers
        cannot show the file.
    """
    if before and before.holds_image:
        mask = spacing = None
    if not Path(path).is_file():
        return Session(refusal=texts.EXPIRED)
    try:
        grey = read_image(path)
    except InputError as error:
        return Session(mask=mask, spacing=spacing, refusal=str(error))
    shown = stand_in(path, grey, folder) or path
    return Session(shown, path, mask, spacing, grey, pending=True)


def read_inputs(image: str, mask: str | None, spacing: float | None, session: Session) -> Session:
    """Read the files in the inputs, as far as the session does not hold them already.

    Args:
        image, mask: paths of what the inputs show.
        spacing: millimetres per pixel that the person gave.
        session: what was opened or analysed last.
    Returns:
        A session with `grey` and `truth`, or one with a refusal; it names the files that stay in the inputs.
    """
    known = session if session.original and image == session.shown else Session()
    original = known.original or image
    if not all(Path(path).is_file() for path in (original, mask) if path):
        return Session(refusal=texts.EXPIRED)
    found = Session(image, original, mask, spacing)
    try:
        found = replace(found, grey=known.grey or read_image(original))
    except InputError as error:
        found = replace(found, shown=None, refusal=str(error))
    try:
        if found.grey and known.truth and mask == known.mask:
            truth = known.truth
        else:
            truth = read_ground_truth(mask, found.grey.pixels.shape if found.grey else None)
        found = replace(found, truth=truth)
    except MaskSizeError as error:
        found = replace(found, refusal=found.refusal or str(error))
    except InputError as error:
        found = replace(found, mask=None, refusal=found.refusal or str(error))
    return found
