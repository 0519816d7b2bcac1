"""`pip install` of the project: package files, command and requirements; and the checks before a commit."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from email.parser import Parser
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from helpers import ROOT
from packaging.requirements import Requirement

from busi_demo.__main__ import main

TOOLS = {
    "pytest",
    "pytest-xdist",
    "playwright",
    "ruff",
    "mypy",
    "pre-commit",
    "pip-audit",
    "hypothesis",
    "pyyaml",
    "setuptools",
}


def listed(name: str) -> set[str]:
    """The packages of a requirements file."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {Requirement(line).name for line in lines if line and not line.startswith("#")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """The wheel that `pip install` makes of the files that belong to the package."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in [ROOT / "pyproject.toml", ROOT / "README.md", ROOT / "LICENSE", *ROOT.glob("requirements*.txt")]:
        shutil.copy(path, folder)
    shutil.copytree(ROOT / "busi_demo", folder / "busi_demo", ignore=shutil.ignore_patterns("__pycache__"))
    code = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_every_file_of_the_package(wheel):
    files = (path for path in (ROOT / "busi_demo").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert {path.relative_to(ROOT).as_posix() for path in files} - set(wheel.namelist()) == set()


def test_the_wheel_holds_the_package_alone(wheel):
    assert {Path(name).parts[0].partition("-")[0] for name in wheel.namelist()} == {"busi_demo"}


def test_the_requirements_are_those_of_the_files(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    facts = Parser().parsestr(wheel.read(name).decode())
    assert facts["Requires-Python"] == ">=3.11" and facts["License-Expression"] == "MIT"
    requirements = [Requirement(text) for text in facts.get_all("Requires-Dist")]

    def packages(**extra: str) -> set[str]:
        return {r.name for r in requirements if (r.marker.evaluate(extra) if r.marker else not extra)}

    assert packages() == listed("requirements.txt")
    assert packages(extra="mcp") == listed("requirements-mcp.txt")
    assert packages(extra="fast") == listed("requirements-fast.txt") == listed("pre-requirements.txt")
    tools = [f"requirements-{name}.txt" for name in ("dev", "fast", "mcp")]
    assert packages(extra="dev") == set().union(*map(listed, tools))


def test_the_command_is_the_one_of_the_module(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    scripts = ConfigParser()
    scripts.read_string(wheel.read(name).decode())
    module, function = scripts["console_scripts"]["busi-demo"].split(":")
    assert getattr(import_module(module), function) is main


def test_developers_tools_are_no_requirement_of_the_app():
    assert TOOLS & listed("requirements.txt") == set()
    assert listed("requirements-dev.txt") == TOOLS


def test_a_commit_is_checked_as_make_check_does():
    """But for the advisories, which change without one."""
    make = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--old-file", ".venv/.dev-installed", "check"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == [
        line for line in make.stdout.splitlines() if "audit" not in line
    ]
