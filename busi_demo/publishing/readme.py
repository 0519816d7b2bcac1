"""README.md of the model repository: metadata for the Hub, how to use the weights, then the model card."""

from __future__ import annotations

import re
from pathlib import Path

from busi_demo.models import APPROACHES
from busi_demo.types import InputError
from busi_demo.weights.licences import terms_of_weights
from busi_demo.weights.store import has_config, read_config

_HEAD = """\
---
license: other
license_name: {name}
license_link: https://huggingface.co/{repository}#licences
library_name: pytorch
pipeline_tag: image-segmentation
tags:
- breast-ultrasound
- medical-imaging
- segmentation
- classification
- grad-cam
- research-only
---

> **For research only, not a medical device.** Terms of these weights: {terms}; the code is under the MIT licence.

## Use

With the code of the demo; its `weights` folder needs no `model.safetensors` then:

```sh
BUSI_WEIGHTS_REPO={repository}@COMMIT python app.py
```

One folder for each approach: `config.json` (architecture, preprocessing, thresholds, sha256), `model.safetensors`
(float16), `split.csv` (the images trained and validated on) and `report/`. How they were trained:
[TRAINING.md](TRAINING.md).

"""
# The strictest first.
_NAMES = {"not known": "unknown", "non-commercial": "non-commercial-research", "free": "free-with-citation"}


def model_readme(root: Path, repository: str) -> str:
    """The text, made from the config.json of the weights and MODEL_CARD.md.

    Args:
        root: the project.
        repository: OWNER/NAME of the model repository.
    Raises:
        InputError: the model card is missing, or it was made for other weights.
    """
    card = root / "MODEL_CARD.md"
    if not card.is_file():
        raise InputError(f"{card} is missing: make it with `python train/model_card.py`.")
    text = card.read_text(encoding="utf-8")
    folders = {key: root / "weights" / key for key in APPROACHES}
    configs = {key: read_config(folder) for key, folder in folders.items() if has_config(folder)}
    for key, config in configs.items():
        if config.sha256[:12] not in text:
            raise InputError(
                f"{card} was made for other weights of {key}: make it again with `python train/model_card.py`."
            )
    all_terms = {terms_of_weights(sorted(c.data.get("train", {}))) for c in configs.values()}
    terms = next(terms for start in _NAMES for terms in sorted(all_terms) if terms.startswith(start))
    name = next(name for start, name in _NAMES.items() if terms.startswith(start))
    return _HEAD.format(name=name, repository=repository, terms=terms) + re.sub(
        r"^Written by .*\n\n", "", text, count=1, flags=re.M
    )
