from __future__ import annotations

import json

import pytest

from busi_demo.types import CLASSES, InputError
from busi_demo.weights.trust_file import TRUST_FILE, TrustFit, answers_sha256, read_trust, save_trust

CONFIG = {"sha256": "abc", "temperature": 0.9, "class_bias": [0.0, 0.0, 0.0], "threshold": 0.5, "min_area": 0.003}
SETS = {"0.95": dict.fromkeys(CLASSES, 0.5)}


def fit() -> TrustFit:
    return TrustFit(answers_sha256(CONFIG), SETS, {"constant": 0.5}, (-0.2, 0.1), 0.9, 0.5, {"malignant": 3})


def test_a_file_returns_what_was_saved_for_the_same_weights_only(tmp_path):
    assert read_trust(tmp_path, CONFIG) is None
    save_trust(fit(), tmp_path)
    assert read_trust(tmp_path, CONFIG) == fit()
    for changed in (
        {"sha256": "other"},
        {"temperature": 1.1},
        {"class_bias": [0.0, 0.1, 0.0]},
        {"threshold": 0.4},
        {"preprocess": {"size": 193, "mean": 0.26, "std": 0.22}},
    ):
        assert read_trust(tmp_path, CONFIG | changed) is None
    assert read_trust(tmp_path, CONFIG | {"metrics": {}}) == fit()


@pytest.mark.parametrize("damage", ["[]", "{}", '{"sha256": 1}', ('"green": 0.9', '"green": 0.8'), ("3", "7")])
def test_a_damaged_file_gets_a_sentence(tmp_path, damage):
    whole = save_trust(fit(), tmp_path).read_text()
    (tmp_path / TRUST_FILE).write_text(damage if isinstance(damage, str) else whole.replace(*damage))
    with pytest.raises(InputError, match=r"trust.json is damaged .*train/fit_trust.py\.$"):
        read_trust(tmp_path, CONFIG)


def test_a_file_of_an_earlier_version_is_as_none(tmp_path):
    path = save_trust(fit(), tmp_path)
    values = json.loads(path.read_text())
    del values["checksum"]
    path.write_text(json.dumps(values))
    assert read_trust(tmp_path, CONFIG) is None


def test_values_are_checked():
    with pytest.raises(ValueError, match="classes"):
        TrustFit("abc", {"0.95": {"benign": 1.0}}, {}, (0, 0), 0.9, 0.5)
    with pytest.raises(ValueError, match="in order"):
        TrustFit("abc", SETS, {}, (0, 0), 0.4, 0.5)
