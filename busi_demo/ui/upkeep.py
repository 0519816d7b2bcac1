"""What a server does every minute, however long it runs, so that neither files of people nor memory accumulate."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from busi_demo.types import place_of
from busi_demo.ui import held
from busi_demo.ui.session import KEPT_SECONDS

_SECONDS = min(60.0, KEPT_SECONDS / 4)
_FOLDERS = re.compile("[0-9a-f]{64}|batch_.+")  # of uploads and figures, and of the results of a batch
_UNFINISHED = re.compile("tmp.+")  # uploads whose client went away
_log = logging.getLogger(__name__)


def keep_up_in_background(demo: gr.Blocks) -> None:
    """Do it in a thread that ends with the process. Gradio's own deletion (`delete_cache`) goes over sets that uploads
    change meanwhile; it ends at the first error, silently and for good."""
    threading.Thread(target=_keep_up, args=(demo,), name="upkeep", daemon=True).start()


def _keep_up(demo: gr.Blocks) -> None:
    while True:
        time.sleep(_SECONDS)
        for task in (held.expire, remove_old_files, lambda: forget_removed_files(demo), return_memory):
            try:
                task()
            except Exception as error:  # the other tasks, and the next minute, do not depend on it
                _log.error("the upkeep of the server failed: %s", place_of(error))


def remove_old_files() -> None:
    """Remove uploads, figures and tables that are older than `KEPT_SECONDS`, whoever holds them."""
    before = time.time() - KEPT_SECONDS
    for path in Path(get_upload_folder()).iterdir():
        with suppress(OSError):  # it is removed by somebody else, cannot be removed, or a folder is not empty
            if _UNFINISHED.fullmatch(path.name) and path.is_file():
                held.remove_older(path, before)
            elif _FOLDERS.fullmatch(path.name):
                for file in path.iterdir():
                    with suppress(OSError):
                        held.remove_older(file, before)
                if path.stat().st_ctime < before:
                    path.rmdir()


def forget_removed_files(demo: gr.Blocks) -> None:
    """Let Gradio forget the paths of files that are gone; it would keep them for good."""
    for paths in demo.temp_file_sets:
        gone = {path for path in paths.copy() if not os.path.lexists(path)}
        paths.difference_update(gone)
        paths.update(path for path in gone if os.path.lexists(path))  # was uploaded again in this moment


def return_memory() -> None:
    """Give memory that the process does not use back to the system: the C library of Linux keeps what many threads
    freed, some hundred megabytes after an hour under load."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
