"""What is published on the Hub, and what never is; the Hub is replaced by an object that records the calls."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import yaml
from helpers import ROOT, picture, save_grey
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from busi_demo.__main__ import main
from busi_demo.imaging.preprocess import Preprocess
from busi_demo.publishing import upload as publish
from busi_demo.publishing.files import shipped_files
from busi_demo.publishing.readme import model_readme
from busi_demo.publishing.upload import space_upload, weights_upload
from busi_demo.types import InputError
from busi_demo.weights.calibration import UNCALIBRATED
from busi_demo.weights.config import WeightsConfig
from busi_demo.weights.hub import Pin

KEY = "multitask_cnn"
COMMIT = "c0ffee" * 6 + "c0de"


def git(root: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], cwd=root, check=True, capture_output=True
    )


@pytest.fixture
def project(tmp_path) -> Path:
    """A small git working copy like this project, with files that must not be published."""
    root = tmp_path / "project"
    sha256 = hashlib.sha256(b"tensors").hexdigest()
    config = WeightsConfig(KEY, {}, Preprocess(), 0.5, 0.003, UNCALIBRATED, parameters=1, sha256=sha256,
                           facts={"data": {"train": {"phantoms": {}}}})  # fmt: skip
    for name, content in {
        "app.py": "demo = 1\n",
        "README.md": "# busi_demo\n",
        "MODEL_CARD.md": f"# Model card: all\n\nWritten by a program.\n\n## Licences\n\n`{sha256[:12]}`\n",
        ".gitignore": "/runs/\n/data/\n/weights/*/report/real/\n",
        "busi_demo/types.py": "",
        "tests/test_all.py": "",
        "weights/README.md": "# How\n",
        f"weights/{KEY}/config.json": json.dumps(config.to_json()),
        f"weights/{KEY}/model.safetensors": "tensors",
        "runs/log.txt": "ignored",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    save_grey(root / "examples" / "benign_1.png", picture(1))
    save_grey(root / "weights" / KEY / "report" / "roc.png", picture(2))
    save_grey(root / "weights" / KEY / "report" / "real" / "one.png", picture(3))
    save_grey(root / "data" / "benign" / "benign (1).png", picture(4))
    git(root, "init", "-q")
    git(root, "add", ".")
    (root / "app_local.py").write_text("not tracked")
    (root / "weights" / KEY / "notes.txt").write_text("not tracked")
    return root


def connect_error() -> type[Exception]:
    """What the HTTP library of the installed huggingface_hub raises without a network."""
    library = import_module(HfHubHTTPError.__bases__[0].__module__.partition(".")[0])
    return getattr(library, "ConnectError", None) or library.ConnectionError


@pytest.fixture
def the_hub(project, monkeypatch) -> list[SimpleNamespace]:
    """A Hub that records uploads, and a token for it; `publish` takes its files from `project`."""
    written, present = [], {}

    class FakeApi:
        def list_repo_files(self, repository, *, repo_type):
            if repository.startswith("far/"):
                raise connect_error()("no route to host")
            if (repository, repo_type) not in present:
                response = SimpleNamespace(headers={}, request=None, status_code=404)
                raise RepositoryNotFoundError("404 Client Error: not found.\nMore.", response=response)
            return sorted(present[repository, repo_type])

        def create_repo(self, repository, *, repo_type, private, exist_ok, space_sdk=None):
            assert exist_ok
            if repository.startswith("other/"):
                response = SimpleNamespace(headers={}, request=None, status_code=403)
                raise HfHubHTTPError("403 Forbidden: you may not.\nMore.", response=response)
            if repository.startswith("far/"):
                raise connect_error()("no route to host")
            written.append(SimpleNamespace(repository=repository, kind=repo_type, private=private, sdk=space_sdk))
            present.setdefault((repository, repo_type), {".gitattributes", "notes/mine.txt"})

        def create_commit(self, repository, operations, *, repo_type, commit_message):
            assert (repository, repo_type) == (written[-1].repository, written[-1].kind)
            added = [o for o in operations if isinstance(o, CommitOperationAdd)]
            deleted = {o.path_in_repo for o in operations if isinstance(o, CommitOperationDelete)}
            assert len(added) + len(deleted) == len(operations) and deleted <= present[repository, repo_type]
            written[-1].files = {o.path_in_repo: o.path_or_fileobj for o in added}
            written[-1].deleted = deleted
            present[repository, repo_type] |= written[-1].files.keys()
            present[repository, repo_type] -= deleted
            written[-1].present = set(present[repository, repo_type])
            return SimpleNamespace(oid=COMMIT)

    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_test")
    for function in (publish.weights_upload, publish.space_upload):
        monkeypatch.setattr(function, "__defaults__", (project,))
    return written


WEIGHTS_FILES = {f"{KEY}/config.json", f"{KEY}/model.safetensors", f"{KEY}/report/roc.png", "README.md", "TRAINING.md"}
SPACE_FILES = {"app.py", "README.md", "MODEL_CARD.md", "busi_demo/types.py", "examples/benign_1.png",
               "weights/README.md", f"weights/{KEY}/config.json", f"weights/{KEY}/report/roc.png"}  # fmt: skip


def test_the_weights_are_uploaded_with_a_readme_and_nothing_else(project):
    upload = weights_upload("anna/busi", project)
    assert (upload.kind, upload.files.keys()) == ("model", WEIGHTS_FILES)
    assert upload.sizes[f"{KEY}/model.safetensors"] == len("tensors")


def test_the_space_holds_the_weights_or_a_pin_in_their_place(project):
    alone, pinned = space_upload("anna/demo", None, project), space_upload("anna/demo", Pin("anna/busi", "v1"), project)
    assert alone.files.keys() == SPACE_FILES | {f"weights/{KEY}/model.safetensors"}
    assert pinned.files.keys() == SPACE_FILES | {"weights/hub.json"}
    assert json.loads(pinned.files["weights/hub.json"]) == {"repository": "anna/busi", "revision": "v1"}


def test_publishing_both_pins_the_space_to_the_commit_just_made(the_hub, capsys):
    assert main(["publish", "--space", "anna/demo", "--weights", "anna/busi", "--private"]) == 0
    model, space = the_hub
    assert (model.repository, model.kind, model.private, model.sdk) == ("anna/busi", "model", True, None)
    assert (space.repository, space.kind, space.private, space.sdk) == ("anna/demo", "space", True, "gradio")
    assert model.files.keys() == WEIGHTS_FILES and space.files.keys() == SPACE_FILES | {"weights/hub.json"}
    assert json.loads(space.files["weights/hub.json"]) == {"repository": "anna/busi", "revision": COMMIT}
    assert f"BUSI_WEIGHTS_REPO=anna/busi@{COMMIT}" in capsys.readouterr().out


OTHERS = {".gitattributes", "notes/mine.txt"}


def test_a_space_that_held_its_weights_loses_them_when_they_are_published_apart(the_hub, capsys):
    """An old model.safetensors beside the new config.json would be refused by its sha256."""
    assert main(["publish", "--space", "anna/demo"]) == 0
    assert main(["publish", "--space", "anna/demo", "--weights", "anna/busi"]) == 0
    first, model, second = the_hub
    assert first.deleted == model.deleted == set()
    assert second.deleted == {f"weights/{KEY}/model.safetensors"}
    assert second.present == SPACE_FILES | {"weights/hub.json"} | OTHERS
    assert f"deleted: weights/{KEY}/model.safetensors" in capsys.readouterr().out.splitlines()
    assert main(["publish", "--space", "anna/demo"]) == 0
    assert the_hub[-1].deleted == {"weights/hub.json"}


def test_files_that_left_the_project_are_deleted_and_other_files_stay(the_hub, project):
    assert main(["publish", "--space", "anna/demo", "--weights", "anna/busi"]) == 0
    for name in ("busi_demo/types.py", f"weights/{KEY}/report/roc.png", "weights/README.md"):
        git(project, "rm", "--quiet", "--force", name)
    assert main(["publish", "--space", "anna/demo", "--weights", "anna/busi"]) == 0
    model, space = the_hub[2:]
    assert model.deleted == {f"{KEY}/report/roc.png", "TRAINING.md"}
    assert space.deleted == {"busi_demo/types.py", f"weights/{KEY}/report/roc.png", "weights/README.md"}
    assert model.present >= OTHERS and space.present >= OTHERS


def test_weights_of_an_approach_that_no_longer_exists_are_deleted(project):
    old = {"gone/config.json", "gone/model.safetensors"}
    upload = weights_upload("anna/busi", project)
    assert upload.outdated({*old, *upload.files, *OTHERS, "gone_2/notes.txt"}) == sorted(old)


def test_a_dry_run_shows_what_would_be_deleted(the_hub, capsys):
    assert main(["publish", "--space", "anna/demo"]) == 0
    capsys.readouterr()
    assert main(["publish", "--space", "anna/demo", "--weights", "far/busi", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^ +delete  (.*)$", out, re.M) == [f"weights/{KEY}/model.safetensors"]
    assert "note: far/busi cannot be read (no route to host)." in out
    assert len(the_hub) == 1


def test_a_dry_run_shows_every_file_with_its_size_and_writes_nothing(the_hub, monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert main(["publish", "--space", "anna/demo", "--weights", "anna/busi", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert the_hub == []
    listed = {m[2]: int(m[1].replace(",", "")) for line in lines if (m := re.match(r" *([\d,]+)  (\S+)$", line))}
    assert listed.keys() == WEIGHTS_FILES | SPACE_FILES | {"weights/hub.json"}
    assert listed[f"{KEY}/model.safetensors"] == 7
    assert "license_name: free-with-citation" in lines and "## Licences" in lines
    assert lines[-1] == "dry run: nothing was uploaded"


@pytest.mark.parametrize("name", ["examples/real/scan.png", "busi_demo/scan.png", "examples/benign (12)_mask.png",
                                  f"weights/{KEY}/report/Malignant (3).png", "examples/real/scan.DCM"])  # fmt: skip
def test_a_picture_of_a_data_set_is_refused(project, name):
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_bytes(b"")
    git(project, "add", "-f", name)
    with pytest.raises(InputError, match=rf"^{re.escape(name)} may be a picture of a data set"):
        shipped_files(project, publish.SPACE)


def test_an_ignored_file_is_not_published_even_if_it_is_tracked(project):
    git(project, "add", "-f", f"weights/{KEY}/report/real/one.png")
    assert not any("/real/" in name for name in shipped_files(project, publish.SPACE))


def test_a_tracked_file_that_is_missing_is_named(project):
    (project / "app.py").unlink()
    with pytest.raises(InputError, match=r"app\.py is tracked by git but missing"):
        space_upload("anna/demo", None, project)


def test_outside_a_working_copy_publishing_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a git working copy"):
        shipped_files(tmp_path, ("app.py",))


@pytest.mark.parametrize(("words", "complaint"), [
    ([], "Nothing to publish"),
    (["--space", "demo"], "'demo' is no repository of the Hub: expected OWNER/NAME"),
    (["--weights", "other/busi"], "other/busi was not written (403 Forbidden: you may not.)"),
    (["--weights", "far/busi"], "far/busi was not written (no route to host)"),
])  # fmt: skip
def test_a_wrong_call_gets_one_line(the_hub, capsys, words, complaint):
    assert main(["publish", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and complaint in line
    assert the_hub == []


def test_without_a_token_it_says_where_to_get_one(the_hub, monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert main(["publish", "--space", "anna/demo"]) == 2
    assert "hf auth login" in capsys.readouterr().err
    assert the_hub == []


def test_a_card_of_other_weights_is_refused(project):
    (project / "MODEL_CARD.md").write_text("# Model card\n")
    with pytest.raises(InputError, match=rf"was made for other weights of {KEY}: make it again"):
        model_readme(project, "anna/busi")


def test_the_readme_of_these_weights_is_the_card_with_terms():
    text = model_readme(ROOT, "anna/busi")
    _, front, body = text.split("---\n", 2)
    facts = yaml.safe_load(front)
    trained_on = {name for key in (ROOT / "weights").glob("*/config.json")
                  for name in json.loads(key.read_text())["data"]["train"]}  # fmt: skip
    expected = "non-commercial-research" if "BUS-UCLM" in trained_on else "free-with-citation"
    assert (facts["license"], facts["license_name"]) == ("other", expected)
    assert "not a medical device" in body and "anna/busi@COMMIT" in body
    card = (ROOT / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert body.endswith(card.partition("not edit.\n\n")[2]) and "not edit" not in body


def test_this_project_could_be_published():
    names = shipped_files(ROOT, publish.SPACE)
    assert {"app.py", "README.md", "requirements.txt", "MODEL_CARD.md"} <= set(names)
    assert not any(name.startswith(("tests/", "runs/", "data/", ".venv/")) for name in names)
