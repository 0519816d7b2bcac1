"""What people are told, and what the log holds, when a request fails in a way that its listener does not foresee."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.exceptions import InvalidPathError

from busi_demo.types import InputError, place_of, reason_of
from busi_demo.ui import texts

_log = logging.getLogger(__name__)


class Blocks(gr.Blocks):
    """`gr.Blocks` in which every failure is one sentence for the person. Gradio itself tells people 'Error', and prints
    the text of the error with its traceback, which may name a file of theirs; here the log holds kind and place."""

    async def process_api(self, *args: Any, **options: Any) -> dict[str, Any]:
        try:
            return await super().process_api(*args, **options)
        except gr.Error as error:
            error.print_exception = False
            raise
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None
        except Exception as error:
            raise gr.Error(sentence_of(error), print_exception=False) from None


def sentence_of(error: Exception) -> str:
    """The sentence for people on an error that no listener foresees. The log gets its kind and place."""
    causes = list(_causes(error))
    if any(isinstance(cause, InvalidPathError) for cause in causes):
        return texts.NOT_UPLOADED
    _log.error("a request failed: %s", "\n".join(map(place_of, causes)))
    if reason := next((reason_of(cause) for cause in causes if isinstance(cause, OSError)), None):
        _log.error("its reason: %s", reason)
        return texts.no_storage(reason)
    return texts.failed(type(error).__name__)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it came of, as a traceback shows them."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
