"""What was measured and ships with the project: the JSON files beside the weights and of the autopsy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from busi_demo.evaluation.card.card import ApproachFacts
from busi_demo.models import APPROACHES, CONSENSUS
from busi_demo.project import ROOT, read_json
from busi_demo.weights.store import CONFIG_FILE, read_config

AUTOPSY_FILE = ROOT / "train" / "results" / "autopsy.json"
CARD_FILE = ROOT / "MODEL_CARD.md"
EVALUATION_KEYS = {"approach", "images", "weights_sha256", "per_image"}


def read_reports(folder: Path) -> dict[str, ApproachFacts]:
    """The JSON files of every approach that has weights here, and under `CONSENSUS` those of all together.

    Args:
        folder: holds one folder an approach.
    Raises:
        InputError: a file cannot be read.
    """
    known = {key: _read_approach(key, folder) for key in APPROACHES if (folder / key / CONFIG_FILE).is_file()}
    sha256 = {key: facts.config["sha256"] for key, facts in known.items()}
    return {**known, CONSENSUS: ApproachFacts({"sha256": sha256}, None, _read_evaluations(CONSENSUS, folder))}


def _read_approach(key: str, folder: Path) -> ApproachFacts:
    metrics = folder / key / "report" / "metrics.json"
    return ApproachFacts(
        read_config(key, folder), read_json(metrics) if metrics.is_file() else None, _read_evaluations(key, folder)
    )


def _read_evaluations(key: str, folder: Path) -> dict[str, Any]:
    """The reports of train/evaluate.py in KEY/report; other JSON files there do not count."""
    files = {path.stem: read_json(path) for path in sorted((folder / key / "report").glob("*.json"))}
    return {name: r for name, r in files.items() if isinstance(r, dict) and r.keys() >= EVALUATION_KEYS}
