"""Weights from the Hugging Face Hub where they do not lie in `weights/`: the one download of the demo, if it is wanted.

Nothing is asked of the Hub unless a repository is configured with the revision to take: in the environment variable
BUSI_WEIGHTS_REPO (`OWNER/NAME@REVISION`), or in `hub.json` in the folder of the weights, which `publish` puts there.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from busi_demo.types import InputError

ENVIRONMENT_VARIABLE = "BUSI_WEIGHTS_REPO"
PIN_FILE = "hub.json"


@dataclass(frozen=True)
class Pin:
    """A repository of weights, at one revision.

    Attributes:
        repository: OWNER/NAME of a model repository, which holds one folder an approach.
        revision: a commit or tag; a commit cannot be moved to other weights.
    Raises:
        InputError: the name is none, or there is no revision.
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
        """What stands in `hub.json`."""
        return (json.dumps(asdict(self), indent=2) + "\n").encode()


def check_repository(name: str) -> str:
    """Return a repository's name as it is.

    Raises:
        InputError: it is not OWNER/NAME as the Hub allows it.
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
    """The repository to take missing weights from, `None` where none is named.

    Raises:
        InputError: the environment variable or `hub.json` is not of the form asked for.
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
        return Pin(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise InputError(
            f"{path.name} names no repository ({error}): expected repository and revision, or no file."
        ) from error


def fetch(pin: Pin, name: str) -> Path:
    """Download one file of a repository, or find it where an earlier call left it.

    Args:
        name: path inside the repository, such as `multitask_unet/model.safetensors`.
    Returns:
        Where it lies now. Whether it is the right one is told by its sha256, not here.
    Raises:
        InputError: it cannot be had; the message says from where, and why not.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    folder = cache if _writable(cache) else Path(tempfile.gettempdir()) / "busi_demo_hub"
    try:
        return Path(hf_hub_download(pin.repository, name, revision=pin.revision, cache_dir=folder))
    except Exception as error:  # it raises whatever its HTTP layer does
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{name} is not among the local weights, and {pin.repository} on the Hugging Face Hub did not give it at "
            f"revision {pin.revision} ({reason}): check the network and the name, or put the weights into the folder "
            "weights."
        ) from error


def _writable(folder: Path) -> bool:
    """Whether files can be put there, by trying: rights alone do not tell of a read-only file system."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
