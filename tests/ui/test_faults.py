"""Failures that no listener foresees: one sentence for the person, and nothing of theirs in the log."""

from __future__ import annotations

import asyncio
import errno
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import pytest
from gradio.exceptions import InvalidPathError

from busi_demo.types import InputError
from busi_demo.ui import texts
from busi_demo.ui.faults import Blocks

NAME = "Jane_Doe_1961.png"


def wrapped(error: Exception) -> Exception:
    outer = ValueError(f"component failed on {NAME}")
    outer.__cause__ = error
    return outer


def hiding(error: Exception, other: Exception) -> Exception:
    """An error that was raised `from None` while another was handled."""
    error.__context__, error.__suppress_context__ = other, True
    return error


@pytest.mark.parametrize(("error", "sentence", "logged"), [
    (OSError(errno.ENOSPC, "No space left on device", f"/tmp/{NAME}"),
     texts.no_storage("No space left on device"), "No space left on device"),
    (wrapped(OSError(errno.EROFS, "Read-only file system", NAME)),
     texts.no_storage("Read-only file system"), "Read-only file system"),
    (wrapped(InvalidPathError(f"Cannot move /tmp/{NAME}")), texts.NOT_UPLOADED, ""),
    (hiding(KeyError(NAME), FileNotFoundError(NAME)), texts.failed("KeyError"), "in listener"),
    (InputError(f"{NAME} is damaged."), f"{NAME} is damaged.", ""),
    (KeyError(NAME), texts.failed("KeyError"), "in listener"),
    (gr.Error("Choose another file."), "Choose another file.", ""),
])  # fmt: skip
def test_every_failure_is_one_sentence_and_names_no_file(error, sentence, logged, caplog):
    def listener() -> None:
        raise error

    with Blocks(analytics_enabled=False) as demo:
        gr.Button().click(listener)
    with (
        ThreadPoolExecutor(1) as other,
        pytest.raises(gr.Error) as told,
    ):
        other.submit(lambda: asyncio.run(demo.process_api(0, [], request=None))).result()
    assert told.value.message == sentence and not told.value.print_exception
    assert logged in caplog.text and NAME not in caplog.text and bool(logged) == bool(caplog.text)
