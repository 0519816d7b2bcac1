"""From the files in the inputs to a session, without components."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from busi_demo.imaging import read_image, read_mask
from busi_demo.models import APPROACHES
from busi_demo.types import InputError
from busi_demo.ui import texts
from busi_demo.ui.session import Session

_answered: set[str] = set()


def loading(approach: str) -> str | None:
    """What to say while an approach is used for the first time; `None` where its weights are loaded."""
    return None if approach in _answered else texts.loading(APPROACHES[approach].title)


def look_at(image: str, approach: str, mask: str | None, spacing: float | None, session: Session) -> Session:
    """Run the network over the inputs as they stand.

    Args:
        image, mask: paths of what the inputs show.
        approach: key of the approach.
        spacing: millimetres per pixel that the person gave.
        session: what was opened or analysed last.
    Returns:
        The session from now on; it names the files that stay in the inputs, and says why where there is no answer.
    """
    from busi_demo.analysis.analysis import examine  # loads what the first page need not wait for

    original = session.original if session.original and image == session.shown else image
    if not all(Path(path).is_file() for path in (original, mask) if path):
        return Session(refusal=texts.EXPIRED)
    try:
        examined = examine(original, approach, mask)
    except InputError as error:
        return Session(
            shown=image if _readable(read_image, original) else None,
            original=original,
            mask=mask if mask and _readable(read_mask, mask) else None,
            spacing=spacing,
            refusal=str(error),
        )
    _answered.add(approach)
    return Session(image, original, mask, spacing, examined)


def _readable(read: Callable[[str], Any], path: str) -> bool:
    try:
        read(path)
    except InputError:
        return False
    return True
