"""Weights from a repository on the Hub, which is a folder here: no test asks the network for anything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub
import pytest
import torch
from helpers import ROOT
from huggingface_hub.errors import LocalEntryNotFoundError

from busi_demo.inference.predictor import load_predictor
from busi_demo.models import APPROACHES
from busi_demo.models.two_stage import TwoStage
from busi_demo.types import InputError
from busi_demo.weights import hub
from busi_demo.weights import store as weights
from busi_demo.weights.config import DetectorReference
from busi_demo.weights.hub import ENVIRONMENT_VARIABLE, PIN_FILE, Pin, check_repository, configured
from busi_demo.weights.store import (
    CONFIG_FILE,
    MODEL_FILE,
    approach_folder,
    available_approaches,
    load_weights,
    save_weights,
)

KEY = "multitask_cnn"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def local(tmp_path, monkeypatch) -> Path:
    """An empty folder of weights, the default one; nothing is configured."""
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", folder)
    return folder


@pytest.fixture
def asked(weights_folder, monkeypatch) -> list[tuple[str, str, str, Path]]:
    """The Hub has the repository `anna/busi` with the weights of the tests; returns what it is asked for."""
    requests = []

    def download(repository: str, name: str, *, revision: str, cache_dir: Path, local_files_only: bool = False) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("Nothing was downloaded before.")
        requests.append((repository, name, revision, Path(cache_dir)))
        if repository != "anna/busi":
            raise LocalEntryNotFoundError("Cannot find the file on the Hub.\nA second line.")
        return str(weights_folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, timeout: None)
    return requests


def test_missing_weights_come_from_the_pinned_repository(local, asked, weights_folder, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"anna/busi@{COMMIT}")
    found, expected = load_weights(approach_folder(KEY)), load_weights(weights_folder / KEY)
    assert found.config == expected.config
    stored = expected.model.state_dict()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in found.model.state_dict().items())
    assert {request[:3] for request in asked} == {
        ("anna/busi", f"{KEY}/{name}", COMMIT) for name in (CONFIG_FILE, MODEL_FILE)
    }
    assert list(local.iterdir()) == []


def test_a_pin_file_beside_the_reports_will_do(local, asked):
    (local / PIN_FILE).write_bytes(Pin("anna/busi", COMMIT).to_json())
    load_weights(approach_folder(KEY))
    assert {request[2] for request in asked} == {COMMIT}


def test_weights_at_hand_ask_for_nothing(local, asked, weights_folder, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"anna/busi@{COMMIT}")
    shutil.copytree(weights_folder / KEY, local / KEY)
    load_weights(approach_folder(KEY))
    assert asked == []


def test_approaches_of_a_repository_are_available(local, asked, weights_folder, monkeypatch):
    assert available_approaches() == []
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"anna/busi@{COMMIT}")
    assert available_approaches() == list(APPROACHES)
    (local / KEY).mkdir()
    shutil.copy(weights_folder / KEY / CONFIG_FILE, local / KEY)  # as in a Space: the description without the weights
    assert available_approaches() == [KEY] and asked == []


def test_without_a_repository_nothing_is_asked_and_the_sentence_says_what_to_do(local, asked):
    with pytest.raises(InputError, match=rf"weights of {KEY} are missing .*fetch the repository's weights folder"):
        load_weights(approach_folder(KEY))
    assert asked == []


def test_the_detector_that_weights_refer_to_comes_from_the_repository_too(
    local, asked, weights_folder, monkeypatch, tmp_path
):
    store = tmp_path / "repository"
    shutil.copytree(weights_folder / "multitask_unet", store / "multitask_unet")
    unet = load_weights(store / "multitask_unet")
    model = TwoStage(detector=unet.model)
    reference = DetectorReference("multitask_unet", unet.config.sha256)
    save_weights(store / "two_stage", model, unet.preprocess, detector=reference, facts={})
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda _, name, **options: str(store / name))
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"anna/busi@{COMMIT}")
    state, expected = load_weights(approach_folder("two_stage")).model.state_dict(), unet.model.state_dict()
    assert all(torch.equal(state[f"detector.{name}"], tensor) for name, tensor in expected.items())


def test_a_folder_that_was_named_is_the_only_place(local, asked, tmp_path, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"anna/busi@{COMMIT}")
    with pytest.raises(InputError, match="are missing"):
        load_weights(tmp_path / "elsewhere" / KEY)
    assert asked == []


def test_the_local_config_tells_a_wrong_download(local, asked, weights_folder, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"anna/busi@{COMMIT}")
    (local / KEY).mkdir()
    config = json.loads((weights_folder / KEY / CONFIG_FILE).read_text())
    (local / KEY / CONFIG_FILE).write_text(json.dumps(config | {"sha256": "0" * 64}))
    with pytest.raises(InputError, match="its sha256 differs"):
        load_weights(approach_folder(KEY))
    assert [request[1] for request in asked] == [f"{KEY}/{MODEL_FILE}"]


def test_what_the_hub_does_not_give_is_one_sentence(local, asked, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "anna/gone@v1")
    with pytest.raises(InputError) as caught:
        load_weights(approach_folder(KEY))
    message = str(caught.value)
    assert f"{KEY}/{CONFIG_FILE}" in message and "anna/gone" in message and "revision v1" in message
    assert "Cannot find the file on the Hub." in message and "second line" not in message


def test_an_unwritable_cache_gives_way_to_the_temporary_folder(local, asked, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "TEMPORARY", tmp_path)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"anna/busi@{COMMIT}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", "/proc/no/such/place")
    load_weights(approach_folder(KEY))
    (folder,) = {request[3] for request in asked}
    assert folder == tmp_path / f"busi_demo_hub_{os.getuid()}" and folder.stat().st_mode & 0o777 == 0o700


def test_in_a_server_that_folder_is_not_among_the_uploads(tmp_path):
    """A server changes the folder of temporary files before it imports what reads weights."""
    program = ("from busi_demo.ui import uploads; uploads.keep_files_private(); from busi_demo.weights import hub; "
               "print(hub._temporary_cache().parent)")  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert told.stdout.strip() == str(tmp_path), told.stderr


@pytest.mark.parametrize("kind", ["writable by others", "a link", "a link to nothing"])
def test_a_temporary_folder_that_others_can_change_is_not_used(local, asked, tmp_path, monkeypatch, kind):
    folder = tmp_path / f"busi_demo_hub_{os.getuid()}"
    if kind.startswith("a link"):
        if kind == "a link":
            (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"anna/busi@{COMMIT}")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", "/proc/no/such/place")
    monkeypatch.setattr(hub, "TEMPORARY", tmp_path)
    with pytest.raises(InputError, match="can be changed by others: remove it, or set HF_HOME"):
        load_weights(approach_folder(KEY))
    assert not asked


@pytest.mark.parametrize("name", ["anna", "anna/busi/demo", "anna/", "anna/busi demo", "/busi", ""])
def test_names_of_another_form_are_refused(name):
    with pytest.raises(InputError, match="expected OWNER/NAME"):
        check_repository(name)


@pytest.mark.parametrize("value", ["anna/busi", "anna/busi@"])
def test_a_repository_needs_a_revision(local, monkeypatch, value):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, value)
    with pytest.raises(InputError, match=r"REVISION|COMMIT"):
        configured(local)


@pytest.mark.parametrize(("text", "found"), [
    ("{", "hub.json cannot be read as JSON"),
    ("[]", "it holds []"),
    ('{"repository": "anna/busi"}', "it has repository"),
    ('{"repository": "anna/busi", "revision": "b", "more": 1}', "it has repository, revision, more"),
    ('{"repository": 5, "revision": "b"}', "repository is 5"),
    ('{"repository": "a", "revision": "b"}', "'a' is no repository of the Hub"),
])  # fmt: skip
def test_a_pin_file_of_another_form_is_named(local, text, found):
    (local / PIN_FILE).write_text(text)
    with pytest.raises(InputError, match=r"^hub\.json names no repository \(") as caught:
        hub.configured(local)
    message = str(caught.value)
    assert found in message and ".)" not in message and ".." not in message and "Pin" not in message
    assert message.endswith("expected an object with the texts repository and revision, so mend or delete the file.")


@pytest.mark.parametrize("revision", [COMMIT, "main"])
def test_a_hub_that_is_silent_is_asked_once_and_what_was_downloaded_before_is_used(
    local, weights_folder, revision, monkeypatch
):
    """The Hub client would ask for minutes."""
    asked, before = [], []

    def metadata(url: str, timeout: float) -> None:
        asked.append((url, timeout))
        raise TimeoutError("The read operation timed out")

    def download(repository: str, name: str, *, local_files_only: bool = False, **_: object) -> str:
        assert local_files_only
        if not before:
            raise LocalEntryNotFoundError("Nothing was downloaded before.")
        return str(weights_folder / name)

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", metadata)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"anna/busi@{revision}")
    with pytest.raises(InputError, match=r"could not be downloaded from anna/busi .* \(The read operation timed out\)"):
        load_weights(approach_folder(KEY))
    ((url, timeout),) = asked
    assert url.endswith(f"anna/busi/resolve/{revision}/{KEY}/{CONFIG_FILE}") and 0 < timeout < 10
    before.append(True)
    load_weights(approach_folder(KEY))
    assert len(asked) == (1 if revision == COMMIT else 3)


def test_a_download_that_takes_long_is_told_and_goes_on(local, asked, monkeypatch, caplog):
    """A Hub that answers at once and then sends little."""
    goes_on, download = threading.Event(), huggingface_hub.hf_hub_download

    def slow(*arguments: object, local_files_only: bool = False, **more: object) -> str:
        assert local_files_only or goes_on.wait(60)
        return download(*arguments, local_files_only=local_files_only, **more)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", slow)
    monkeypatch.setattr(hub, "_WAIT", 0.2)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "anna/busi@main")
    with ThreadPoolExecutor() as people:
        for _ in range(2):
            answer = people.submit(load_weights, approach_folder(KEY))
            with pytest.raises(InputError, match=r"still being downloaded from anna/busi .*: try again in a minute\.$"):
                answer.result()
    assert not asked and not caplog.messages
    threading.Timer(1, goes_on.set).start()
    load_weights(approach_folder(KEY))  # in the main thread: it waits
    assert len(asked) == len({name for _, name, _, _ in asked})
    assert [message for message in caplog.messages if "still being downloaded from anna/busi" in message]


def test_the_files_of_an_answer_share_the_waiting(local, asked, monkeypatch):
    """A Hub that takes a while for each file."""
    download = huggingface_hub.hf_hub_download

    def slow(*arguments: object, local_files_only: bool = False, **more: object) -> str:
        time.sleep(0 if local_files_only else 2)
        return download(*arguments, local_files_only=local_files_only, **more)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", slow)
    monkeypatch.setattr(hub, "_WAIT", 3.5)
    monkeypatch.setattr(hub, "_LEAST", 0.05)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "anna/busi@main")
    with ThreadPoolExecutor(1) as person:
        with pytest.raises(InputError, match=rf"^{KEY}/{MODEL_FILE} is still being downloaded"):
            person.submit(load_predictor, KEY).result()
        name = f"{KEY}/{CONFIG_FILE}"
        monkeypatch.setattr(hub, "_WAIT", 60)
        assert person.submit(hub.fetch, Pin("anna/busi", "main"), name).result().is_file()  # whoever is next waits anew
