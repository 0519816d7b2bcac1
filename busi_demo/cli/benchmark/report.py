"""The figures of a benchmark as text and as the file BENCHMARKS.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Target(NamedTuple):
    """What a ratio means, and what it should be.

    Attributes:
        words: what is divided by what.
        bound: the target.
        at_most: whether the ratio should not exceed the bound; else it should reach it.
    """

    words: str
    bound: float
    at_most: bool = True

    def met(self, value: float) -> bool:
        """Whether a ratio meets the target."""
        return value <= self.bound if self.at_most else value >= self.bound


TARGETS = {
    "request_over_bare": Target("request (file to five-panel PNG, with trust) / bare eager forward pass", 1.0),
    "request_over_bare_resnet50": Target("the same, multitask_resnet50", 2.5),
    "notebook_over_request": Target("a notebook's way / request, multitask_resnet50", 6, at_most=False),
    "figure_over_matplotlib": Target("five-panel PNG / five axes of Matplotlib at the same size", 0.15),
    "engine_best_over_used": Target("best engine found / engine used", 0.9, at_most=False),
    "compare_over_bare_sum": Target("all approaches and their consensus / sum of their bare forward passes", 0.8),
    "batch_efficiency": Target("throughput of a batch / that of the bare passes, same engine", 0.85, at_most=False),
    "control_over_request": Target("a control moved (the slowest) / request", 0.2),
    "start_over_imports": Target("start to first page / import torch, gradio", 1.2),
    "first_over_second": Target("first answer after the start / second answer", 3),
    "memory_growth": Target("memory after all requests / after a twentieth of them", 1.03),
    "peak_gib": Target("peak resident memory with all approaches loaded, GiB", 1.5),
    "loader_over_resident": Target("training epoch with the loader / on tensors in memory", 1.1),
    "seed_epoch_over_ours": Target("training epoch of a notebook's loop / ours", 3, at_most=False),
}


def table(result: Mapping[str, Any], other: Mapping[str, Any] | None = None) -> str:
    """The ratios beside their targets, as a table of Markdown.

    Args:
        result: of the benchmark.
        other: an earlier result, whose ratios stand beside these.
    """
    before = (other or {}).get("ratios", {})
    heads = ["key", "ratio", "measured", *(["before"] if other else []), "target", ""]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for key, target in TARGETS.items():
        if key in result["ratios"]:
            value = result["ratios"][key]
            sign = "<=" if target.at_most else ">="
            old = [_number(before[key]) if key in before else ""] if other else []
            met = "met" if target.met(value) else "missed"
            lines.append(_row([f"`{key}`", target.words, _number(value), *old, f"{sign} {target.bound:g}", met]))
    return "\n".join(lines)


def markdown(result: Mapping[str, Any], profile: str) -> str:
    """The content of BENCHMARKS.md.

    Args:
        result: of the benchmark.
        profile: what stands below the figures: where the time goes, and why targets are missed.
    """
    machine, parts = result["machine"], ["# Benchmarks"]
    parts.append(
        "Written by `python -m busi_demo benchmark --markdown BENCHMARKS.md`; times are medians of calls in turns."
    )
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    parts.append(
        f"{result['date']}, commit {result['commit'] or 'unknown'}; {machine['processor']}; {machine['cores']} cores, "
        f"{machine['threads']} threads, load {machine['load']} before; GPU: {machine['gpu'] or 'none'}; "
        f"{machine['system']}; Python {machine['python']}; {packages}."
    )
    parts += ["## Ratios", table(result)]
    if milliseconds := result.get("milliseconds"):
        names = list(dict.fromkeys(name for row in milliseconds.values() for name in row))
        lines = [_row(["milliseconds", *names]), _row(["---"] * (len(names) + 1))]
        lines += [
            _row([key, *(f"{row[n]:.1f}" if n in row else "" for n in names)]) for key, row in milliseconds.items()
        ]
        parts += ["## Answers", "\n".join(lines)]
    if engines := result.get("engines"):
        lines = [_row(["engine", "forward pass of the default approach, ms"]), _row(["---"] * 2)]
        lines += [_row([key + (" (used)" if key == engines["used"] else ""), f"{value:.1f}"])
                  for key, value in engines["milliseconds"].items()]  # fmt: skip
        parts += ["## Engines", "\n".join(lines)]
    rows = [(f"{name}, seconds", value) for name, value in result.get("seconds", {}).items()]
    rows += [(name, value) for name, value in result.get("memory", {}).items()]
    if rows:
        lines = [_row(["", "measured"]), _row(["---"] * 2), *(_row([name, _number(value)]) for name, value in rows)]
        parts += ["## Processes and training", "\n".join(lines)]
    return "\n\n".join([*parts, profile.strip()]).strip() + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
