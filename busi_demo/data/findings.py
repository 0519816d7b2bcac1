"""What a data set tells of a lesion beside its class: targets of auxiliary losses."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from busi_demo.data.busi import Sample

FINDINGS: Mapping[str, tuple[str, ...]] = {
    "birads": ("2", "3", "4", "5"),
    "histology": (
        "fibroadenoma",
        "invasive ductal carcinoma",
        "cyst",
        "fibrocystic changes",
        "invasive lobular carcinoma",
        "intraductal papilloma",
        "sclerosing adenosis",
        "hyperplasia",
    ),
}
"""Column of `busi.FINDING_COLUMNS` -> its values, in the order of the targets. BI-RADS is the assessment category of
the American College of Radiology; of histology the values that 30 or more images of BUS-BRA have."""
UNKNOWN = -1
"""Target of an image whose value is missing or not in the list."""


def finding_targets(sample: Sample) -> dict[str, torch.Tensor]:
    """The targets of one sample: column -> int64 (), a position in the values of `FINDINGS`, or `UNKNOWN`."""
    values = {name: sample.findings.get(name, "") for name in FINDINGS}
    return {
        name: torch.tensor(FINDINGS[name].index(value) if value in FINDINGS[name] else UNKNOWN)
        for name, value in values.items()
    }
