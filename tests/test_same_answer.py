"""The same image and weights give the same answer, to the last bit: in another process, beside other requests, at any
place of a batch. Another number of threads adds in another order and moves the fifth decimal; engines are compared in
tests/inference/test_accelerate.py.

`PYTHONPATH=. python tests/test_same_answer.py` writes the golden answers of the shipped weights anew.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from busi_demo.batch.analyse import analyse_item
from busi_demo.batch.items import find_items
from busi_demo.inference.predictor import load_predictor
from busi_demo.models import APPROACHES
from busi_demo.types import Prediction

ROOT = Path(__file__).parents[1]
WEIGHTS, EXAMPLES, GOLDEN = ROOT / "weights", ROOT / "examples", Path(__file__).with_name("golden_answers.json")
IMAGES = ("malignant_2.png", "normal_3.png")
TOLERANCE = 1e-3
"""Of golden probabilities and shares: other machines and releases of libraries round differently."""


def digest(answer: Prediction) -> str:
    """A hash of every number of an answer but the time it took."""
    numbers = [answer.mask, answer.mask_probability, answer.cam, np.array(list(answer.probabilities.values()))]
    numbers += [] if answer.disagreement is None else [answer.disagreement]
    told = repr((answer.cam_peak, answer.cam_class, answer.agreement, answer.warnings, answer.input_check))
    return hashlib.sha256(
        b"".join(np.ascontiguousarray(part).tobytes() for part in numbers) + told.encode()
    ).hexdigest()


def answers(approach: str) -> dict[str, str]:
    """Image -> digest."""
    predictor = load_predictor(approach, WEIGHTS)
    return {name: digest(predictor.predict(EXAMPLES / name)) for name in IMAGES}


def golden(approach: str) -> dict[str, Any]:
    """Image -> what the approach answers, in a few numbers."""
    found = {}
    for name in IMAGES:
        answer = load_predictor(approach, WEIGHTS).predict(EXAMPLES / name)
        row, column = np.unravel_index(answer.cam.argmax(), answer.cam.shape)
        found[name] = {
            "probabilities": {key: round(value, 5) for key, value in answer.probabilities.items()},
            "mask_share": round(float(answer.mask.mean()), 5),
            "mean_mask_probability": round(float(answer.mask_probability.mean()), 5),
            "cam_peak_at": [int(row), int(column)],
            "input_check": answer.input_check.verdict.value,
        }
    return found


def weights_hash(approach: str) -> str:
    return hashlib.sha256((WEIGHTS / approach / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def alone() -> dict[str, dict[str, str]]:
    return {approach: answers(approach) for approach in APPROACHES}


def test_in_another_process(alone):
    code = """
import json, sys
sys.path.insert(0, "tests")
import torch
torch.set_num_threads(1)
from test_same_answer import APPROACHES, answers
print(json.dumps({approach: answers(approach) for approach in reversed(APPROACHES)}))
"""
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(other.stdout) == alone


def test_beside_other_requests(alone):
    asked = [(approach, name) for approach in APPROACHES for name in IMAGES] * 2
    with ThreadPoolExecutor(6) as people:
        told = people.map(lambda ask: digest(load_predictor(ask[0], WEIGHTS).predict(EXAMPLES / ask[1])), asked)
        assert list(told) == [alone[approach][name] for approach, name in asked]


def test_at_any_place_of_a_batch_in_any_order(alone):
    predictors = [load_predictor(approach, WEIGHTS) for approach in APPROACHES]
    items = [item for item in find_items([EXAMPLES]) if item.name in IMAGES]
    for item in [*items, *items[::-1]]:
        told = [result.answer.prediction for result in analyse_item(item, predictors) if result.answer]
        for answer in told[: len(APPROACHES)]:  # the consensus comes last
            assert digest(answer) == alone[answer.approach][item.name]


def test_golden_answers(approach):
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))[approach]
    assert expected["weights"] == weights_hash(approach), (
        "new weights: run PYTHONPATH=. python tests/test_same_answer.py"
    )
    for name, found in golden(approach).items():
        told = expected["answers"][name]
        assert found["probabilities"] == pytest.approx(told["probabilities"], abs=TOLERANCE)
        for share in ("mask_share", "mean_mask_probability"):
            assert found[share] == pytest.approx(told[share], abs=TOLERANCE), share
        assert found["cam_peak_at"] == pytest.approx(told["cam_peak_at"], abs=2)
        assert found["input_check"] == told["input_check"]


if __name__ == "__main__":
    known = {approach: {"weights": weights_hash(approach), "answers": golden(approach)} for approach in APPROACHES}
    GOLDEN.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
