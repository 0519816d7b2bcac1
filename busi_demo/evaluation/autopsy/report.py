"""The result of `study.run_autopsy` as a text table, rows for a CSV file, and a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from busi_demo.evaluation.autopsy.study import ALL
from busi_demo.evaluation.plots import BLUE, GREEN, GREY, ORANGE


def table_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of `run_autopsy` for a CSV file: no nested values, 4 digits, no parts without files."""
    return [
        {
            "classifier": row["classifier"],
            "way": row["way"],
            "part": row["part"],
            "n": row["n"],
            "accuracy": f"{row['accuracy']:.4f}",
            **{key: f"{row['interval'][i]:.4f}" if row["interval"] else "" for i, key in enumerate(("low", "high"))},
        }
        for row in result["rows"]
        if row["n"]
    ]


def table_text(result: Mapping[str, Any]) -> str:
    """The result of `run_autopsy` as aligned plain text; ends with a line break."""
    counts, said = result["counts"], result["quoted"]
    lines = [
        f"{counts['files']} files = {counts['images']} images + {counts['mask_files']} mask files "
        f"({counts['black_mask_files']} of them black); {counts['groups']} groups, "
        f"{counts['images_with_near_duplicate']} images have a near-duplicate",
        "",
        f"{'classifier':<20}{'way':<8}{'part':<32}{'n':>6}{'accuracy':>10}   95 % interval",
    ]
    for row in table_rows(result):
        bounds = f"{row['low']} to {row['high']}" if row["low"] else "none"
        lines.append(
            f"{row['classifier']:<20}{row['way']:<8}{row['part']:<32}{row['n']:>6}{row['accuracy']:>10}   {bounds}"
        )
    lines += ["", *(f"{way:<8}{text}" for way, text in result["ways"].items()), "", "random minus grouped split:"]
    for row in result["differences"]:
        value = "none" if row["difference"] is None else f"{row['difference']:+.4f}"
        bounds = "{:+.4f} to {:+.4f}".format(*row["interval"]) if row["interval"] else "none"
        lines.append(f"{row['classifier']:<20}{row['part']:<40}{row['n']:>6}{value:>10}   {bounds}")
    low, high = said["interval"]
    lines += [
        "",
        f"quoted: {said['accuracy']} = {said['correct']} of n = {said['n']}, binomial {low:.4f} to {high:.4f}; "
        f"{said['n']} is a fifth of {result['published']['files']} files",
    ]
    return "\n".join(lines) + "\n"


def autopsy_figure(result: Mapping[str, Any], *, title: str) -> Figure:
    """Accuracy of each classifier, way and part with its interval, beside the quoted accuracy with its own."""
    rows = [row for row in result["rows"] if row["n"]]
    labels = list(dict.fromkeys((row["way"], row["part"]) for row in rows))
    names = list(dict.fromkeys(row["classifier"] for row in rows))
    styles = dict(zip(names, ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (GREY, "D")), strict=False))
    figure = Figure(figsize=(9.5, 1.6 + 0.5 * len(labels)), layout="constrained")
    axes = figure.subplots()
    for index, name in enumerate(names):
        colour, marker = styles[name]
        own = [row for row in rows if row["classifier"] == name]
        heights = [labels.index((r["way"], r["part"])) + 0.26 * (index - (len(names) - 1) / 2) for r in own]
        values = np.array([row["accuracy"] for row in own])
        bounds = np.array([row["interval"] or [row["accuracy"]] * 2 for row in own])
        errors = np.clip([values - bounds[:, 0], bounds[:, 1] - values], 0, None)
        axes.errorbar(values, heights, xerr=errors, fmt=marker, color=colour, label=name, markersize=5, capsize=2)
        for value, high, height in zip(values, bounds[:, 1], heights, strict=True):
            axes.annotate(f"{value:.3f}", (max(high, value), height), (4, 0), textcoords="offset points", va="center",
                          fontsize=7, color=colour)  # fmt: skip
    said = result["quoted"]
    axes.axvspan(*said["interval"], color=GREY, alpha=0.15, linewidth=0)
    axes.axvline(said["accuracy"], color=GREY, linestyle="--", linewidth=1, label=f"quoted, n = {said['n']}")
    counted = {(row["way"], row["part"]): row["n"] for row in rows}
    texts = [result["ways"][way] if part == ALL else part for way, part in labels]
    ticks = [f"{text}, n = {counted[key]}" for key, text in zip(labels, texts, strict=True)]
    for tick, (_, part) in zip(axes.set_yticks(range(len(ticks)), ticks), labels, strict=True):
        tick.label1.set_fontweight("bold" if part == ALL else "normal")
    axes.set(xlabel="accuracy, 95 % interval", xlim=(0, 1.1), ylim=(len(labels) - 0.4, -0.6))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, loc="lower left")
    axes.set_title(title, fontsize=11)
    return figure
