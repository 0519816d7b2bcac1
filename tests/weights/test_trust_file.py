from __future__ import annotations

import pytest

from busi_demo.types import CLASSES, InputError
from busi_demo.weights.trust_file import TRUST_FILE, TrustFit, read_trust, save_trust

SETS = {"0.95": dict.fromkeys(CLASSES, 0.5)}


def fit() -> TrustFit:
    return TrustFit("abc", SETS, {"constant": 0.5}, (-0.2, 0.1), 0.9, 0.5, {"malignant": 3})


def test_a_file_returns_what_was_saved_for_the_same_weights_only(tmp_path):
    assert read_trust(tmp_path, "abc") is None
    save_trust(fit(), tmp_path)
    assert read_trust(tmp_path, "abc") == fit() and read_trust(tmp_path, "other") is None


@pytest.mark.parametrize("content", ["[]", "{}", '{"sha256": 1}'])
def test_a_damaged_file_gets_a_sentence(tmp_path, content):
    (tmp_path / TRUST_FILE).write_text(content)
    with pytest.raises(InputError, match=r"trust.json is damaged .*train/fit_trust.py\.$"):
        read_trust(tmp_path, "abc")


def test_values_are_checked():
    with pytest.raises(ValueError, match="classes"):
        TrustFit("abc", {"0.95": {"benign": 1.0}}, {}, (0, 0), 0.9, 0.5)
    with pytest.raises(ValueError, match="in order"):
        TrustFit("abc", SETS, {}, (0, 0), 0.4, 0.5)
