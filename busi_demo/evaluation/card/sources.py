"""The JSON files that the model card is written from: those beside the weights and that of the autopsy."""

from __future__ import annotations

from pathlib import Path

from busi_demo.evaluation.card.card import ApproachFacts
from busi_demo.models import APPROACHES, CONSENSUS
from busi_demo.project import ROOT
from busi_demo.weights.results import read_evaluations, read_metrics
from busi_demo.weights.store import has_config, read_facts

AUTOPSY_FILE = ROOT / "train" / "results" / "autopsy.json"
CARD_FILE = ROOT / "MODEL_CARD.md"


def read_reports(folder: Path) -> dict[str, ApproachFacts]:
    """The JSON files of every approach that has weights here, and under `CONSENSUS` those of all together.

    Args:
        folder: holds one folder an approach.
    Raises:
        InputError: a file cannot be read.
    """
    known = {key: _read_approach(folder / key) for key in APPROACHES if has_config(folder / key)}
    sha256 = {key: facts.config["sha256"] for key, facts in known.items()}
    return {**known, CONSENSUS: ApproachFacts({"sha256": sha256}, None, read_evaluations(folder / CONSENSUS))}


def _read_approach(folder: Path) -> ApproachFacts:
    return ApproachFacts(read_facts(folder), read_metrics(folder), read_evaluations(folder))
