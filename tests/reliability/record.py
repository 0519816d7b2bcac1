"""What a program of this folder found: runs/reliability/NAME.json, and its section of RELIABILITY.md."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "reliability"
"""Where figures and the files that broke something are kept; git ignores it."""

REPORT = ROOT / "RELIABILITY.md"
_HEAD = """# Reliability

What `make fuzz`, `make soak`, `make faults` and `make left-open` found when they were last run. Each writes its own
section; the figures lie in `runs/reliability/`, too, with every file that broke something.
"""
_PACKAGES = ("torch", "openvino", "gradio", "numpy", "Pillow", "pydicom", "imagecodecs", "opencv-python", "safetensors",
             "huggingface-hub", "hypothesis", "atheris")  # fmt: skip


def circumstances() -> dict[str, Any]:
    """Date, commit and machine; call it at the start of a run. No name and no path of the machine is in it."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{REPORT.name}")),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of Markdown; floats with three digits."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def save(
    name: str, title: str, told: dict[str, Any], figures: dict[str, Any], text: str, report: Path = REPORT
) -> None:
    """Print a section and write it, with its figures as JSON. Other sections of the report stay as they are.

    Args:
        name: of the program; it marks its section and names the JSON file.
        title: the heading of the section.
        told: `circumstances` of the run.
        figures: JSON values.
        text: tables and sentences in Markdown.
        report: the file with all sections.
    """
    from busi_demo.project import json_bytes, save_whole

    packages = ", ".join(f"{package} {number}" for package, number in told["packages"].items())
    commit = f"{told['commit'] or 'unknown'}{' with uncommitted changes' if told['changed'] else ''}"
    where = (f"{told['date']}, commit {commit}; {told['cores']} cores, {told['memory_gib']} GiB; {told['system']}; "
             f"Python {told['python']}; {packages}.")  # fmt: skip
    section = f"## {title}\n\n{where}\n\n{text.strip()}\n"
    print(section, flush=True)
    save_whole(RUNS / f"{name}.json", json_bytes({**told, **figures}))
    old = report.read_text(encoding="utf-8") if report.is_file() else _HEAD
    save_whole(report, placed(old, name, section).encode())


def earlier(name: str) -> dict[str, Any]:
    """The figures of the last run of a program, of which a run of one part keeps the other parts; empty where there are
    none."""
    try:
        return json.loads((RUNS / f"{name}.json").read_text())
    except (OSError, ValueError):
        return {}


def placed(old: str, name: str, section: str) -> str:
    """A report with a section in place of an earlier one of that name, or at its end."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    block = f"{start}\n\n{section}\n{end}"
    found = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if found.search(old):
        return found.sub(lambda _: block, old, count=1)
    return f"{old.rstrip()}\n\n{block}\n"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value).replace("|", "\\|")


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
