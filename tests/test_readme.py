"""What README.md and CONTRIBUTING.md name exists: make targets, scripts, options, files, and Python that runs."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import ROOT, disc, save_grey
from packaging.requirements import Requirement
from packaging.version import Version

from busi_demo.models import APPROACHES, CONSENSUS_TITLE
from busi_demo.ui.page import LAUNCH_OPTIONS, build_page
from busi_demo.weights import store as weights

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def is_python(words: list[str]) -> bool:
    return Path(words[0]).name in ("python", "python3")


def without_torchrun(words: list[str]) -> list[str]:
    """`torchrun --nproc_per_node P SCRIPT ...` as the call of the script that it makes."""
    return ["python", *words[3:]] if words[:2] == ["torchrun", "--nproc_per_node"] else words


# (what is run, its options) of every call of a script or module that parses options
CALLS = {}
for _words in map(without_torchrun, commands()):
    if not is_python(_words):
        continue
    _target = tuple(_words[1:4]) if _words[1:3] == ["-m", "busi_demo"] else (_words[1],)
    if _target[0].startswith("train/") or _target[:2] == ("-m", "busi_demo"):
        CALLS.setdefault(_target, []).append(_words[1 + len(_target) :])


def test_there_are_commands_of_each_kind():
    assert ["make", "demo"] in commands() and ["make", "test"] in commands()
    assert {("-m", "busi_demo", "predict"), ("train/train_multitask.py",), ("train/train_two_stage.py",),
            ("train/evaluate.py",)} <= CALLS.keys()  # fmt: skip


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_known(words):
    """A line of a shell block is one of these kinds, each tested here; another kind needs a test first."""
    words = without_torchrun(words)
    if words[0] == "make":
        run = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    elif is_python(words):
        script = words[1]
        assert words[1:3] in (["-m", "venv"], ["-m", "busi_demo"]) or (ROOT / script).is_file()
    elif Path(words[0]).name == "pip":
        assert words[1:3] == ["install", "-r"] and (ROOT / words[3]).is_file()
    else:
        pytest.fail(f"no test for {words}")


@pytest.mark.parametrize("target", CALLS, ids=" ".join)
def test_options_and_files_are_real(target, run_script):
    script = "busi_demo/__main__.py" if target[0] == "-m" else target[0]
    status, text, _ = run_script(script, *target[2:], "--help")
    assert status == 0
    for words in CALLS[target]:
        for word, value in zip(words, [*words[1:], ""], strict=False):
            if word.startswith("-"):
                assert re.search(rf"{word}\b", text), f"{' '.join(target)} has no {word}"
            if word == "--approach":
                assert value in [*APPROACHES, "all"]
            if word.startswith("examples/"):
                assert (ROOT / word).is_file(), word


@pytest.mark.parametrize("block", [b for b in blocks("python") if "gradio_client" not in b])
def test_python_runs(block, weights_folder, monkeypatch, capsys):
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", weights_folder)
    monkeypatch.chdir(ROOT)
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out


@pytest.fixture(scope="module")
def url(weights_folder) -> Iterator[str]:
    """Address of the app, which answers with untrained weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "WEIGHTS_FOLDER", weights_folder)
        demo = build_page()
        yield demo.launch(server_name="127.0.0.1", prevent_thread_lock=True, **LAUNCH_OPTIONS)[1]
        demo.close()


def run_for_programs(endpoint: str, url: str) -> dict[str, Any]:
    """Run the block of an endpoint with the app at an address; returns its variables."""
    (block,) = [b for b in blocks("python") if f'api_name="{endpoint}"' in b]
    assert "http://127.0.0.1:7860" in block
    exec(compile(block.replace("http://127.0.0.1:7860", url), "README.md", "exec"), names := {})
    return names


@pytest.mark.parametrize("endpoint", ["/analyse", "/compare", "/batch"])
def test_python_for_other_programs_tells_why_a_picture_is_refused(endpoint, url, tmp_path, monkeypatch, capsys):
    even = np.random.default_rng(0).integers(100, 105, (200, 300)).astype(np.uint8)
    for name in ("benign_1.png", "malignant_1.png", "normal_1.png"):
        save_grey(tmp_path / "examples" / name, even)
    save_grey(tmp_path / "examples" / "benign_1_mask.png", disc(200, 300, 90, 140, 40))
    monkeypatch.chdir(tmp_path)
    run_for_programs(endpoint, url)
    out = capsys.readouterr().out
    assert "almost nothing to see" in out and "None" not in out and "agree" not in out


@pytest.mark.parametrize("endpoint", ["/analyse", "/compare", "/batch"])
def test_python_for_other_programs_runs(endpoint, url, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    names = run_for_programs(endpoint, url)
    out = capsys.readouterr().out
    if endpoint == "/analyse":
        assert names["record"]["approach"] == "multitask_unet" and 0 <= names["record"]["dice"] <= 1
        assert names["record"]["predicted_class"] in out
    elif endpoint == "/compare":
        titles = [model.title for model in APPROACHES.values()]
        assert [figure["caption"] for figure in names["figures"]] == [*titles, CONSENSUS_TITLE]
        assert all(title in out for title in titles)
    else:
        assert [row["image"] for row in names["rows"]] == ["benign_1.png", "normal_1.png"]
        assert Path(names["table"]).read_text().count("\n") == 3 and Path(names["figures"]).stat().st_size > 10_000


def test_every_approach_is_described():
    assert all(f"| `{key}` |" in README for key in APPROACHES)


def test_every_room_is_named_in_one_line():
    built = README.partition("## How it is built")[2].partition("\n## ")[0]
    named = re.findall(r"^ {6,}([\w.]+/?) {2,}\w", built, re.M)
    package = ROOT / "busi_demo"
    rooms = [path.parent for path in package.rglob("__init__.py") if path.parent.parent != package / "ui"]
    expected = [f"{room.name}/" for room in rooms if room != package]
    expected += [path.name for path in package.glob("*.py") if path.name != "__init__.py"]
    assert sorted(named) == sorted(expected)
    assert all(name.name in built for name in (package / "ui").iterdir() if (name / "__init__.py").is_file())


def test_make_targets_of_contributing_exist():
    targets = re.findall(r"^make (\S+)", CONTRIBUTING, re.M)
    assert {"check", "test", "test-fast"} == set(targets)
    assert subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, capture_output=True).returncode == 0


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_links_and_paths_exist(text):
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]
    paths = re.findall(r"`((?:busi_demo|train|tests|weights|examples)/[\w/.]*)`", text)
    assert paths
    missing = [name for name in links + paths if "NAME" not in name and not (ROOT / name).exists()]
    assert missing == []


FRONT = yaml.safe_load(README.split("---")[1])
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def test_the_space_starts_the_app():
    assert (FRONT["sdk"], FRONT["app_file"], FRONT["pinned"]) == ("gradio", "app.py", False)
    assert "demo" in (ROOT / FRONT["app_file"]).read_text(encoding="utf-8")


def test_the_front_matter_is_valid_for_spaces():
    assert README.startswith("---\n")
    assert FRONT["title"] and len(FRONT["emoji"]) == 1 and {FRONT["colorFrom"], FRONT["colorTo"]} <= COLOURS
    assert 0 < len(FRONT["short_description"]) <= 60
    assert FRONT["license"] == "mit" and (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT")
    assert all(re.fullmatch(r"[a-z0-9-]+", tag) for tag in FRONT["tags"])


def test_the_versions_of_the_space_are_allowed():
    """Spaces install sdk_version after requirements.txt, so the range there must include it."""
    (gradio,) = [r for line in (ROOT / "requirements.txt").read_text().splitlines()
                 if line[:1].isalpha() and (r := Requirement(line)).name == "gradio"]  # fmt: skip
    assert gradio.specifier.contains(FRONT["sdk_version"])
    python = FRONT["python_version"]
    assert isinstance(python, str), "unquoted, YAML reads 3.10 as 3.1"
    assert python in ("3.10", "3.12") and Version(python) >= Version("3.11"), "what ZeroGPU has, and what we need"
