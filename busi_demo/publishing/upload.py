"""Upload the app and its weights to the Hugging Face Hub, and delete what an earlier upload left there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from busi_demo.project import ROOT
from busi_demo.publishing import readme as model_readme
from busi_demo.publishing.files import shipped_files
from busi_demo.types import InputError
from busi_demo.weights import hub
from busi_demo.weights.store import CONFIG_FILE, MODEL_FILE

SPACE = ("app.py", "requirements.txt", "README.md", "MODEL_CARD.md", "LICENSE", "busi_demo", "train", "examples",
         "weights", ".github")  # fmt: skip
"""Files and folders of the project that a Space gets: what the app needs and shows, and how its weights were made."""
TO_COME = "the-commit-of-the-weights"
"""Stands for the commit id of the weights in a dry run."""
_TEXTS = ("README.md", "TRAINING.md")


@dataclass(frozen=True)
class Upload:
    """All files of the project in one repository.

    Attributes:
        repository: OWNER/NAME.
        kind: a `model` repository, or a `space`.
        files: path in the repository -> a local file, or the content.
    """

    repository: str
    kind: Literal["model", "space"]
    files: Mapping[str, Path | bytes]

    @property
    def sizes(self) -> dict[str, int]:
        """Path in the repository -> size in bytes, sorted by path."""
        return {
            name: len(source) if isinstance(source, bytes) else source.stat().st_size
            for name, source in sorted(self.files.items())
        }

    def outdated(self, present: Iterable[str]) -> list[str]:
        """Files that an earlier upload put into the repository and that this one does not contain, sorted.

        An upload owns the files and folders of `SPACE` in a Space, and in a model repository the two texts and every
        folder with a config.json. Other files (`.gitattributes`, files that people added elsewhere) are kept.

        Args:
            present: every file that the repository holds now.
        """
        present = set(present)
        if self.kind == "space":
            owned = set(SPACE)
        else:
            owned = {*_TEXTS, *(name.removesuffix(f"/{CONFIG_FILE}") for name in present if name.endswith(CONFIG_FILE))}
        return sorted(name for name in present - self.files.keys() if name.partition("/")[0] in owned)

    def listing(self) -> str:
        """Every file with its size, below a line with the sum."""
        sizes = self.sizes
        head = f"{self.kind} {self.repository}: {len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB"
        return "\n".join([head, *(f"{size:>12,}  {name}" for name, size in sizes.items())])


def weights_upload(repository: str, root: Path = ROOT) -> Upload:
    """The trained approaches for a model repository: one folder each, and a README made from the model card.

    Raises:
        InputError: there are none, or a file must not be published, see `shipped_files`.
    """
    inside = {name.removeprefix("weights/"): root / name for name in shipped_files(root, ("weights",))}
    files: dict[str, Path | bytes] = {name: path for name, path in inside.items() if "/" in name}
    if not any(name.endswith(f"/{MODEL_FILE}") for name in files):
        raise InputError(f"{root / 'weights'} holds no weights that git tracks: train an approach and commit it first.")
    files["README.md"] = model_readme.model_readme(root, repository).encode()
    if "README.md" in inside:
        files["TRAINING.md"] = inside["README.md"]
    return Upload(repository, "model", files)


def space_upload(repository: str, pin: hub.Pin | None, root: Path = ROOT) -> Upload:
    """The app for a Space.

    Args:
        pin: the repository that the Space loads its weights from; `None` to put them into the Space itself.
    Raises:
        InputError: a file must not be published, see `shipped_files`.
    """
    files: dict[str, Path | bytes] = {name: root / name for name in shipped_files(root, SPACE)}
    if pin:
        files = {name: source for name, source in files.items() if not name.endswith(f"/{MODEL_FILE}")}
        files[f"weights/{hub.PIN_FILE}"] = pin.to_json()
    return Upload(repository, "space", files)


def upload(space: str | None, weights: str | None, private: bool) -> None:
    """Upload the weights, then the app, each in one commit.

    Args:
        space: OWNER/NAME of the Space; `None` to leave the app out.
        weights: OWNER/NAME of the model repository; `None` to leave the weights out, the Space then holds them itself.
        private: whether a repository that does not exist yet is made private.
    Raises:
        InputError: there is no access token, a file must not be published, or the Hub refuses.
    """
    from huggingface_hub import HfApi, get_token

    if not get_token():
        raise InputError(
            "There is no access token of Hugging Face: make one that may write at "
            "https://huggingface.co/settings/tokens, then run `hf auth login` or set $HF_TOKEN. --dry-run needs none."
        )
    api, pin = HfApi(), None
    if weights:
        pin = hub.Pin(weights, _commit(api, weights_upload(weights), private))
        print(f"weights: https://huggingface.co/{weights} (elsewhere: ${hub.ENVIRONMENT_VARIABLE}={pin})")
    if space:
        _commit(api, space_upload(space, pin), private)
        print(f"space: https://huggingface.co/spaces/{space}")


def outdated_on_hub(upload: Upload) -> list[str]:
    """`Upload.outdated` for the files that the repository holds now.

    Raises:
        InputError: the repository does not exist, is not visible with this token, or the Hub cannot be reached.
    """
    from huggingface_hub import HfApi

    try:
        return upload.outdated(HfApi().list_repo_files(upload.repository, repo_type=upload.kind))
    except _errors() as error:
        raise InputError(f"{upload.repository} cannot be read ({_reason(error)}).") from error


def _commit(api: Any, upload: Upload, private: bool) -> str:
    """Make the repository if it does not exist, add and delete files in one commit, and return its id."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    print(upload.listing().splitlines()[0], flush=True)
    sdk = {"space_sdk": "gradio"} if upload.kind == "space" else {}
    additions = [CommitOperationAdd(name, source) for name, source in sorted(upload.files.items())]
    try:
        api.create_repo(upload.repository, repo_type=upload.kind, private=private, exist_ok=True, **sdk)
        outdated = upload.outdated(api.list_repo_files(upload.repository, repo_type=upload.kind))
        for name in outdated:
            print(f"deleted: {name}")
        deletions = [CommitOperationDelete(name, is_folder=False) for name in outdated]
        commit = api.create_commit(
            upload.repository, [*additions, *deletions], repo_type=upload.kind, commit_message="Publish with busi_demo"
        )
    except _errors() as error:
        raise InputError(
            f"{upload.repository} was not written ({_reason(error)}): check that the token may write there, and the "
            "network."
        ) from error
    return commit.oid


def _errors() -> tuple[type[Exception], ...]:
    """The exceptions that calls of the Hub raise: its own, and those of its HTTP library.

    Which library that is depends on the release of huggingface_hub, whose exception is derived from that of the
    library.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return *HfHubHTTPError.__bases__, OSError


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
