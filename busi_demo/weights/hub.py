"""Download weights that are missing in `weights/` from the Hugging Face Hub.

Nothing is downloaded unless a repository and its revision are configured: in the environment variable
BUSI_WEIGHTS_REPO (`OWNER/NAME@REVISION`), or in `hub.json` in the weights folder, which `publish` writes.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from busi_demo.project import TEMPORARY, read_json
from busi_demo.types import InputError

ENVIRONMENT_VARIABLE = "BUSI_WEIGHTS_REPO"
PIN_FILE = "hub.json"

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PATIENCE = 4.0  # seconds for the Hub to connect, and to answer
_WAIT = 8.0  # seconds after which downloads that go on are told
_LEAST = 0.5  # seconds that a file may take in any case: what lies in the cache is there at once

_log = logging.getLogger(__name__)
_downloads: dict[tuple[Pin, str], Future[Path]] = {}
_lock = threading.Lock()
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)  # of `time.monotonic`


@dataclass(frozen=True)
class Pin:
    """A repository of weights, at one revision.

    Attributes:
        repository: OWNER/NAME of a model repository with one folder for each approach.
        revision: a commit or tag; only a commit always means the same weights.
    Raises:
        InputError: the name is not OWNER/NAME, or the revision is empty.
    """

    repository: str
    revision: str

    def __post_init__(self) -> None:
        check_repository(self.repository)
        if not (isinstance(self.revision, str) and self.revision):
            raise InputError(f"{self.repository} needs a revision: write {self.repository}@COMMIT.")

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}"

    def to_json(self) -> bytes:
        """The content of `hub.json`."""
        return (json.dumps(asdict(self), indent=2) + "\n").encode()


def check_repository(name: str) -> str:
    """Check the name of a repository and return it.

    Raises:
        InputError: it is not OWNER/NAME with the characters that the Hub allows.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        name_is_valid = False
    else:
        name_is_valid = name.count("/") == 1
    if not name_is_valid:
        raise InputError(
            f"{name!r} is no repository of the Hub: expected OWNER/NAME of letters, digits, '-', '_' and '.', "
            "for example anna/busi-demo."
        )
    return name


def configured(weights_folder: Path) -> Pin | None:
    """The repository that missing weights are downloaded from; `None` where none is configured.

    Raises:
        InputError: the environment variable or `hub.json` has another form than expected.
    """
    if named := os.environ.get(ENVIRONMENT_VARIABLE):
        repository, at, revision = named.partition("@")
        if not at:
            raise InputError(f"${ENVIRONMENT_VARIABLE} is {named!r}: expected OWNER/NAME@REVISION.")
        return Pin(repository, revision)
    path = weights_folder / PIN_FILE
    if not path.is_file():
        return None
    try:
        return _pin_of(read_json(path))
    except ValueError as error:  # an InputError is one too
        raise InputError(
            f"{path.name} names no repository ({str(error).rstrip('.')}): expected an object with the texts repository "
            "and revision, so mend or delete the file."
        ) from error


def _pin_of(value: Any) -> Pin:
    """The content of `hub.json` as a pin.

    Raises:
        ValueError: it is something else; the message says what.
    """
    names = [field.name for field in fields(Pin)]
    if not isinstance(value, dict):
        raise ValueError(f"it holds {json.dumps(value)[:60]}")
    if sorted(value) != sorted(names):
        raise ValueError(f"it has {', '.join(value) or 'no field'}")
    if wrong := [name for name in names if not isinstance(value[name], str)]:
        raise ValueError(f"{wrong[0]} is {json.dumps(value[wrong[0]])[:60]}")
    return Pin(**value)


def fetch(pin: Pin, name: str) -> Path:
    """Download one file of a repository; what was downloaded before comes from the cache of the Hub client, where
    the revision is a commit or the Hub does not answer.

    Args:
        name: path inside the repository, such as `multitask_unet/model.safetensors`.
    Returns:
        The local path. The sha256 of the file is not checked here.
    Raises:
        InputError: the download failed, the Hub did not answer within seconds, or the file is not there yet; the
            message names the repository and the reason. The main thread, where a program waits for its own work, logs
            that a download goes on and waits for it; any other thread answers somebody, is told so, and the download
            goes on for the next who asks.
    """
    download, deadline = _download(pin, name), _deadline.get()
    left = _WAIT if deadline is None else max(deadline - time.monotonic(), _LEAST)
    with suppress(StillRunning):
        return download.result(left)
    going_on = f"{name} is still being downloaded from {pin.repository} on the Hugging Face Hub"
    if threading.current_thread() is not threading.main_thread():
        raise InputError(f"{going_on} at revision {pin.revision}: try again in a minute.")
    _log.warning("%s; Ctrl+C ends the waiting.", going_on)
    return download.result()


@contextmanager
def one_answer() -> Iterator[None]:
    """All files that are fetched inside share the seconds that a person waits."""
    token = _deadline.set(_deadline.get() or time.monotonic() + _WAIT)
    try:
        yield
    finally:
        _deadline.reset(token)


def _download(pin: Pin, name: str) -> Future[Path]:
    """The download of a file that is under way, or a new one, in a thread that does not keep the process alive."""
    with _lock:
        download = _downloads.get((pin, name))
        if download is None or download.done():
            download = _downloads[pin, name] = Future()
            threading.Thread(target=_run, args=(download, pin, name), name="download", daemon=True).start()
    return download


def _run(download: Future[Path], pin: Pin, name: str) -> None:
    try:
        download.set_result(_fetch(pin, name))
    except BaseException as error:  # whoever waits for it gets it
        download.set_exception(error)


def _fetch(pin: Pin, name: str) -> Path:
    import huggingface_hub
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    folder = cache if _writable(cache) else _temporary_cache()

    def download(**more: Any) -> Path:
        more |= {"revision": pin.revision, "cache_dir": folder}
        return Path(huggingface_hub.hf_hub_download(pin.repository, name, **more))

    try:
        if _COMMIT.fullmatch(pin.revision):
            with suppress(LookupError, OSError):
                return download(local_files_only=True)
        try:  # the client itself tries a Hub that is silent again for minutes
            url = huggingface_hub.hf_hub_url(pin.repository, name, revision=pin.revision)
            huggingface_hub.get_hf_file_metadata(url, timeout=_PATIENCE)
        except Exception:
            with suppress(LookupError, OSError):
                return download(local_files_only=True)
            raise
        return download()
    except Exception as error:  # any exception of its HTTP layer
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{name} is not among the local weights and could not be downloaded from {pin.repository} on the Hugging "
            f"Face Hub at revision {pin.revision} ({reason}): check the network and the name, or put the weights into "
            "the folder weights."
        ) from error


def _temporary_cache() -> Path:
    """A folder for downloads where the usual one cannot be written: of this user alone, since every user may write to
    the folder around it.

    Raises:
        InputError: it is not of this user alone.
    """
    user = f"_{os.getuid()}" if hasattr(os, "getuid") else ""
    folder = TEMPORARY / f"busi_demo_hub{user}"
    with suppress(OSError):  # what is wrong with it, the next lines tell
        folder.mkdir(mode=0o700, exist_ok=True)
    if user and os.path.lexists(folder):
        state = folder.lstat()
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
            raise InputError(
                f"The folder {folder.name} for downloads, in the temporary folder, can be changed by others: remove "
                "it, or set HF_HOME to a folder that can be written to."
            )
    return folder


def _writable(folder: Path) -> bool:
    """Whether a file can be written there; tried, because permissions do not show a read-only file system."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
