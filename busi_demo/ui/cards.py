"""The card beside the inputs while there is no verdict, as HTML."""

from __future__ import annotations

from html import escape


def hint(text: str) -> str:
    """A quiet sentence where nothing is shown yet."""
    return f'<p class="hint" role="status">{escape(text)}</p>'


def alert(text: str) -> str:
    """A sentence on what went wrong; screen readers say it at once."""
    return f'<p class="alert" role="alert">{escape(text)}</p>'
