"""The JSON files that the model card is written from: those beside the weights, and those in `train/results`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from busi_demo.evaluation.card.facts import ApproachFacts
from busi_demo.models import APPROACHES, CONSENSUS
from busi_demo.project import ROOT, read_json
from busi_demo.types import InputError
from busi_demo.weights.input_reference import network_reference
from busi_demo.weights.results import read_evaluations, read_metrics
from busi_demo.weights.store import has_config, read_facts
from busi_demo.weights.trust_file import read_trust

AUTOPSY_FILE = ROOT / "train" / "results" / "autopsy.json"
EXTERNAL_FILE = ROOT / "train" / "results" / "external.json"
FEWER_FILE = ROOT / "train" / "results" / "fewer_networks.json"
CARD_FILE = ROOT / "MODEL_CARD.md"

_AUTOPSY = {"data": str, "quoted": dict, "published": dict, "counts": dict, "settings": dict, "ways": dict,
            "rows": list, "differences": list}  # fmt: skip


def read_reports(folder: Path) -> dict[str, ApproachFacts]:
    """The JSON files of every approach that has weights here, and under `CONSENSUS` those of all together.

    Args:
        folder: holds one folder an approach.
    Raises:
        InputError: a file cannot be read.
    """
    known = {key: _read_approach(folder / key) for key in APPROACHES if has_config(folder / key)}
    identities = {key: facts.identity for key, facts in known.items()}
    together = {
        "sha256": {key: identity.weights for key, identity in identities.items()},
        "answers_sha256": {key: identity.answers for key, identity in identities.items()},
    }
    return {**known, CONSENSUS: ApproachFacts(together, None, read_evaluations(folder / CONSENSUS))}


def read_autopsy(path: Path) -> dict[str, Any]:
    """The result of `train/autopsy.py`.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    result = read_json(path)
    if not (isinstance(result, dict) and all(isinstance(result.get(key), kind) for key, kind in _AUTOPSY.items())):
        expected = ", ".join(_AUTOPSY)
        raise InputError(
            f"{path.name} does not hold the result of an autopsy, an object with {expected}: make it again with "
            "train/autopsy.py."
        )
    return result


def read_external() -> dict[str, Any] | None:
    """What others measured on images that the authors do not have; `None` where there is no such file.

    Raises:
        InputError: the file cannot be read.
    """
    return _read_if_there(EXTERNAL_FILE)


def read_fewer() -> dict[str, Any] | None:
    """The result of `train/fewer_networks.py`; `None` where there is no such file.

    Raises:
        InputError: the file cannot be read.
    """
    return _read_if_there(FEWER_FILE)


def _read_if_there(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def _read_approach(folder: Path) -> ApproachFacts:
    config = read_facts(folder)
    sha256 = str(config["sha256"])
    trust, network = read_trust(folder, config), network_reference(folder)
    return ApproachFacts(
        config,
        read_metrics(folder),
        read_evaluations(folder),
        dict(trust.measured) if trust else None,
        dict(network.measured) if network and network.sha256 == sha256 else None,
    )
