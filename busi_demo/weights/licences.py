"""The terms of the data sets that weights were trained on, as in weights/README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Source:
    """The source of a data set and its terms for weights that were trained on it."""

    citation: str
    terms: str
    commercial: bool


_BUSI = Source("Al-Dhabyani et al., *Dataset of breast ultrasound images*, Data in Brief 2020", "CC0 on Kaggle", True)
SOURCES = {
    "Dataset_BUSI_with_GT": _BUSI,
    "BUS-BRA": Source("Gómez-Flores et al., Medical Physics 2023", "free use with citation", True),
    "BUS-UCLM": Source(
        "Vallez et al., Scientific Data 2025",
        "at least one source says CC BY-NC: treated as non-commercial",
        False,
    ),
    "BUS-UC": Source(
        "Iqbal & Sharif, Eng. Appl. Artif. Intell. 2024, Mendeley Data 10.17632/3ksd7w7jkx.1",
        "CC BY 4.0 as stated there; from a public teaching collection: treated as non-commercial",
        False,
    ),
    "pasted": Source(
        "normal images of this list with lesions of others (`busi_demo/data/paste.py`)", "those of its origin", True
    ),
    "tissue": Source(
        "cut from the other images of this list (`busi_demo/data/tissue.py`)", "those of its origin", True
    ),
    "phantoms": Source("simulated by `busi_demo/data/phantom.py`", "MIT", True),
}
"""Name of the folder of a data set, as in `data` of config.json -> its source."""

IMAGENET = Source(
    "EfficientNet-Lite0, Tan & Le, ICML 2019, converted by ML Illustrated", "Apache License 2.0", commercial=True
)
"""The source of pretrained encoder weights."""


def source_of(name: str) -> Source:
    """The source of a data set; for an unknown one, a source that says so."""
    return SOURCES.get(name, Source("not known here", "not known here: they bind the weights", False))


def terms_of_weights(names: Sequence[str]) -> str:
    """The terms of weights that were trained on these data sets."""
    if not names or any(name not in SOURCES for name in names):
        return "not known here: find out the terms of the data first"
    if all(SOURCES[name].commercial for name in names):
        return "free, with citation of the data sets"
    return "non-commercial research and teaching only, with citation of the data sets"


def knows_imagenet(config: Mapping[str, Any]) -> bool | None:
    """Whether weights come from weights trained on ImageNet, directly or through the weights they learnt from; `None`
    where that is not recorded.

    Args:
        config: with `training` and `learnt_from` of config.json.
    """
    if config.get("training", {}).get("encoder_weights") == "imagenet":
        return True
    origins = {origin.get("imagenet") for origin in config.get("learnt_from", {}).values()}
    if True in origins:
        return True
    recorded = "training" in config and None not in origins
    return False if recorded else None
