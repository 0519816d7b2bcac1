"""The folder of uploads, figures and reports: of this server alone, and removed when it ends."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from busi_demo.project import TEMPORARY

FOLDER_VARIABLE = "GRADIO_TEMP_DIR"
"""Environment variable that Gradio reads when the page is built."""

_PREFIX, _LOCK = "busi_demo_uploads_", "in_use.lock"
_TRIES, _OLD = 20, 60.0  # to remove the folder, and seconds
_held: list[object] = []  # locks are released when their files are closed


def keep_files_private() -> Path:
    """Make a new folder that only this user can read, and let Gradio keep all files of people there. It lies in the
    folder that `FOLDER_VARIABLE` names, else in the system's temporary folder. It is removed when this process ends;
    what a killed server left is removed by the next one. Call it before the page is built.

    Returns:
        The folder.
    """
    base = Path(os.environ.get(FOLDER_VARIABLE) or TEMPORARY)
    base.mkdir(parents=True, exist_ok=True)
    for other in base.glob(f"{_PREFIX}*"):
        _remove_if_left(other)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))  # readable by its owner alone
    _lock(folder)
    os.environ[FOLDER_VARIABLE] = tempfile.tempdir = str(folder)  # what is unpacked from archives lies there, too
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def end() -> NoReturn:
    """Remove the folder and end the process at once with status 0. Threads that still compile networks cannot be
    stopped, and would otherwise end an interpreter that waits for nobody with an error of theirs."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    for _ in range(_TRIES):
        shutil.rmtree(os.environ[FOLDER_VARIABLE], ignore_errors=True)
        if not Path(os.environ[FOLDER_VARIABLE]).exists():
            break
        time.sleep(0.1)  # threads may still write there
    logging.shutdown()
    with suppress(OSError):  # nobody reads it any more
        sys.stdout.flush()
    os._exit(0)


def end_on_sigterm() -> None:
    """Let SIGTERM end the process as `sys.exit` does, so that what is registered for its end happens."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)


def _lock(folder: Path) -> bool:
    """Mark a folder as in use until this process ends, however it ends; False if another process has marked it."""
    file = (folder / _LOCK).open("a")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return False
    _held.append(file)
    return True


def _remove_if_left(folder: Path) -> None:
    """Remove the folder of a server that does not run any more. Folders of other users stay, and what is no such
    folder, or is one that a server is just making."""
    with suppress(OSError):
        own = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
        lock = folder / _LOCK
        made = lock.is_file() or folder.stat().st_mtime < time.time() - _OLD  # one may be without it that was written
        if own and made and not folder.is_symlink() and _lock(folder):
            shutil.rmtree(folder, ignore_errors=True)
            _held.pop().close()  # type: ignore[attr-defined]
