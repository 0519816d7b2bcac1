"""From an uploaded file to a session."""

from __future__ import annotations

from pathlib import Path

from busi_demo.imaging import read_image
from busi_demo.types import InputError
from busi_demo.ui import texts
from busi_demo.ui.inputs import stand_in
from busi_demo.ui.session import Session


def opened(
    path: str, folder: str, before: Session | None = None, mask: str | None = None, spacing: float | None = None
) -> Session:
    """A session for a file of any kind, before it is analysed.

    Args:
        path: the upload.
        folder: Gradio's temporary files.
        before: of the image that was there. A mask or spacing that was there with it belongs to it, and goes.
        mask, spacing: what stands in the inputs.
    Returns:
        A pending session, or one with a refusal; it names what stays in the inputs, by a stand-in where browsers
        cannot show the file.
    """
    before = before or Session()
    mask = None if mask == before.mask else mask
    spacing = None if spacing == before.spacing else spacing
    if not Path(path).is_file():
        return Session(refusal=texts.EXPIRED)
    try:
        shown = stand_in(path, read_image(path).pixels, folder) or path
    except InputError as error:
        return Session(mask=mask, spacing=spacing, refusal=str(error))
    return Session(shown, path, mask, spacing, pending=True)
