"""Tables of how far answers can be trusted and of what the input check lets through, for the card and the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import binomtest

from busi_demo.types import CLASSES

Measured = Mapping[str, Any]
Table = tuple[list[str], list[list[str]]]
"""Heads and rows of texts."""


def share(count: int, n: int) -> str:
    """A share of n with its 95 % interval (Wilson, 1927), in per cent; a dash without any."""
    if not n:
        return "-"
    interval = binomtest(count, n).proportion_ci(method="wilson")
    return f"{100 * count / n:.1f} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def by_data_set(trust: Mapping[str, Measured]) -> dict[str, Measured]:
    """What was measured of each approach, then of the same approach on data sets that no network was trained on.

    Args:
        trust: key -> `TrustFit.measured`.
    Returns:
        Label of a row -> rates.
    """
    rows: dict[str, Measured] = {}
    for key, measured in trust.items():
        rows[key] = measured
        rows |= {f"{key} on {name}": rates for name, rates in measured.get("elsewhere", {}).items()}
    return rows


def trust_table(trust: Mapping[str, Measured]) -> Table:
    """What answers of each level were worth.

    Args:
        trust: key -> `TrustFit.measured`.
    """
    rows = []
    for key, measured in by_data_set(trust).items():
        n = sum(row["n"] for row in measured["levels"].values())
        for level, row in measured["levels"].items():
            missed = share(row["missed"], measured["malignant"])
            rows.append([key, level, share(row["n"], n), share(row["right"], row["n"]), missed])
    return ["approach", "level", "answers, %", "right, %", "of all malignant ones: missed at this level, %"], rows


def size_table(trust: Mapping[str, Measured]) -> Table:
    """What answers were worth by the number of classes left open at 95 %.

    Args:
        trust: as for `trust_table`.
    """
    rows = []
    for key, measured in by_data_set(trust).items():
        sizes = measured.get("sizes", {})
        n = sum(row["n"] for row in sizes.values())
        for size, row in sizes.items():
            rows.append([key, size, share(row["n"], n), share(row["right"], row["n"])])
    return ["approach", "classes left open at 95 %", "answers, %", "right, %"], rows


def set_table(trust: Mapping[str, Measured]) -> Table:
    """How often the sets of classes hold the true one.

    Args:
        trust: as for `trust_table`.
    """
    names = ["all", *CLASSES]
    rows = [
        [key, f"{100 * float(level):g} %", f"{by_class['all']['mean_size']:.2f}",
         *(share(by_class[name]["covered"], by_class[name]["n"]) if name in by_class else "-" for name in names)]
        for key, measured in by_data_set(trust).items() for level, by_class in measured["sets"].items()
    ]  # fmt: skip
    return ["approach", "level", "mean size", *(f"{name}: covered, %" for name in names)], rows


def kept_table(trust: Mapping[str, Measured]) -> Table:
    """Accuracy of the surest answers, and what the expected Dice is worth.

    Args:
        trust: as for `trust_table`.
    """
    shares = list(dict.fromkeys(at for measured in trust.values() for at in measured["kept"]["at"]))
    rows = []
    for key, measured in by_data_set(trust).items():
        kept, dice = measured["kept"], measured["dice"]
        rows.append([
            key, *(f"{100 * kept['at'][at]:.1f}" for at in shares), f"{kept['area']:.4f} ({kept['ideal']:.4f})",
            f"{dice['correlation']:.2f}, n = {dice['n']}" if dice else "-",
            share(dice["within"], dice["n"]) if dice else "-",
        ])  # fmt: skip
    heads = ["approach", *(f"right, % of the surest {100 * float(at):g} %" for at in shares),
             "area under the risk-coverage curve (ideal)", "correlation of expected and true Dice",
             "true Dice in the interval, %"]  # fmt: skip
    return heads, rows


def input_table(measured: Measured) -> Table:
    """Verdicts of the input check of one approach.

    Args:
        measured: `NetworkReference.measured`.
    """
    titles = {
        "known": "{}, cross-validated",
        "unknown": "{}, all of it left out",
        "changed": "{} copies, cross-validated",
        "others": "{}: never fitted to",
    }
    rows = [
        [title.format(name), str(c["n"]), share(c["doubtful"], c["n"]), share(c["refused"], c["n"])]
        for part, title in titles.items() for name, c in measured.get(part, {}).items()
    ]  # fmt: skip
    return ["pictures", "n", "doubtful, %", "refused, %"], rows


def kept_points(measured: Measured) -> tuple[np.ndarray, np.ndarray]:
    """Shares of answers kept and their accuracy, float64 (K,) each, of `TrustFit.measured`."""
    return np.array(measured["kept"]["share"]), np.array(measured["kept"]["accuracy"])
