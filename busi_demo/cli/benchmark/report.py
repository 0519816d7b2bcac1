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


AGREEMENT_TARGETS = {
    "worst_dice": Target("worst Dice", 0.995, at_most=False),
    "worst_probability": Target("worst probability", 0.005),
    "worst_cam": Target("worst CAM", 0.99, at_most=False),
    "classes_changed": Target("classes changed", 0),
}
"""What the comparison of engines should show: Dice of two masks, difference of a class probability, correlation of two
class activation maps, and how many images get another class."""

AGREEMENT, THROUGHPUT, PROFILE = "Agreement of engines", "Throughput", "Where the time goes"
APART = (AGREEMENT, THROUGHPUT)
"""Sections with a date and a machine of their own; a run that does not measure them keeps them."""

_WRITTEN = "Written by `python -m busi_demo benchmark --markdown BENCHMARKS.md`; times are medians of calls in turns."


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
        if key in result.get("ratios", {}):
            value = result["ratios"][key]
            sign = "<=" if target.at_most else ">="
            old = [_number(before[key]) if key in before else ""] if other else []
            met = "met" if target.met(value) else "missed"
            lines.append(_row([f"`{key}`", target.words, _number(value), *old, f"{sign} {target.bound:g}", met]))
    return "\n".join(lines)


def markdown(result: Mapping[str, Any], old: str) -> str:
    """The content of BENCHMARKS.md.

    Args:
        result: of the benchmark.
        old: the file as it was. What was written by hand is kept, and of `APART` what was not measured now; where
            nothing else was measured, all the rest, too.
    """
    before = sections(old)
    head, first, *_ = old.partition("\n## ") if old else ("", "")
    main = _main_parts(result) if {"ratios", "seconds", "memory"} & result.keys() or not first else {}
    if main:
        head = f"# Benchmarks\n\n{_WRITTEN}\n\n{_provenance(result)}"
    else:
        main = {name: text for name, text in before.items() if name not in (*APART, PROFILE)}
    apart = {AGREEMENT: agreement_table(result), THROUGHPUT: throughput_table(result)}
    main |= {name: text for name in APART if (text := apart[name] or before.get(name, ""))}
    main |= {PROFILE: before[PROFILE]} if PROFILE in before else {}
    return "\n\n".join([head.strip(), *(f"## {name}\n\n{text}".strip() for name, text in main.items())]) + "\n"


def sections(text: str) -> dict[str, str]:
    """The text below each heading of the second level."""
    parts = (part.partition("\n") for part in ("\n" + text).split("\n## ")[1:])
    return {name.strip(): content.strip() for name, _, content in parts}


def agreement_table(result: Mapping[str, Any]) -> str:
    """How far the answers of each engine are from those of PyTorch, as a table; empty if that was not measured."""
    if not (measured := result.get("agreement")):
        return ""
    heads = ["approach", "engine", "images", "worst Dice", "mean Dice", "pixels of the worst", "worst probability",
             "worst CAM", "classes changed", ""]  # fmt: skip
    lines = [_row(heads), _row(["---"] * len(heads))]
    for approach, engines in measured["approaches"].items():
        for key, one in engines.items():
            if reason := one.get("not_used"):
                lines.append(_row([approach, key, *[""] * 7, reason]))
                continue
            worst, missed = one["worst_images"]["dice"], [k for k, t in AGREEMENT_TARGETS.items() if not t.met(one[k])]
            words = "met" if not missed else "missed: " + ", ".join(AGREEMENT_TARGETS[k].words for k in missed)
            lines.append(_row([approach, key, str(one["images"]), f"{one['worst_dice']:.5f}", f"{one['mean_dice']:.6f}",
                               f"{worst['changed']} of {worst['pixels']}", f"{one['worst_probability']:.1e}",
                               f"{one['worst_cam']:.6f}", str(one["classes_changed"]), words]))  # fmt: skip
    targets = ", ".join(f"{t.words} {'<=' if t.at_most else '>='} {t.bound:g}" for t in AGREEMENT_TARGETS.values())
    intro = (f"Each engine against PyTorch (eager, float32) on real images of {measured['data']}, none of the "
             f"locked test set, as people see the answers: masks and maps at the size of the image. Targets: "
             f"{targets}.")  # fmt: skip
    return "\n\n".join([intro, _provenance(result), "\n".join(lines)])


def throughput_table(result: Mapping[str, Any]) -> str:
    """Images a second and the cost of many, as a table and a paragraph; empty if they were not measured."""
    if not (measured := result.get("throughput")):
        return ""
    lines = [_row(["what, processes", "images a second", "start, seconds"]), _row(["---"] * 3)]
    lines += [_row([name, _number(run["images_per_second"]), _number(run["start_seconds"])])
              for name, run in measured["runs"].items()]  # fmt: skip
    cost = measured["cost"]
    words = (f"{cost['images']:,} images at {_number(cost['images_per_second'])} a second (the default approach, the "
             f"table without figures) take {cost['hours']:,.0f} hours of one such machine; at an assumed price of "
             f"{cost['dollars_an_hour']:.2f} US dollars an hour that is {cost['dollars']:,.0f} dollars. Machines share "
             "the images without waiting for each other: ten need a tenth of the time at the same cost.")  # fmt: skip
    intro = (f"`python -m busi_demo batch --no-figures --engine {measured['engine']}` and a training of the default "
             "approach at 224 pixels, in batches of 16, on simulated images; with two processes by torchrun, "
             "one thread each. Images are counted from the first row and the end of the first epoch.")  # fmt: skip
    return "\n\n".join([intro, _provenance(result), "\n".join(lines), words])


def _provenance(result: Mapping[str, Any]) -> str:
    """When and on what was measured."""
    machine = result["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{result['date']}, commit {result['commit'] or 'unknown'}; {machine['processor']}; {machine['cores']} cores, "
        f"{machine['threads']} threads, load {machine['load']} before; GPU: {machine['gpu'] or 'none'}; "
        f"{machine['system']}; Python {machine['python']}; {packages}."
    )


def _main_parts(result: Mapping[str, Any]) -> dict[str, str]:
    """Heading -> text of all but `APART`."""
    parts = {"Ratios": table(result)}
    if milliseconds := result.get("milliseconds"):
        names = list(dict.fromkeys(name for row in milliseconds.values() for name in row))
        lines = [_row(["milliseconds", *names]), _row(["---"] * (len(names) + 1))]
        lines += [
            _row([key, *(f"{row[n]:.1f}" if n in row else "" for n in names)]) for key, row in milliseconds.items()
        ]
        parts["Answers"] = "\n".join(lines)
    if engines := result.get("engines"):
        lines = [_row(["engine", "forward pass of the default approach, ms"]), _row(["---"] * 2)]
        lines += [_row([key + (" (used)" if key == engines["used"] else ""), f"{value:.1f}"])
                  for key, value in engines["milliseconds"].items()]  # fmt: skip
        parts["Engines"] = "\n".join(lines)
    rows = [(f"{name}, seconds", value) for name, value in result.get("seconds", {}).items()]
    rows += [(name, value) for name, value in result.get("memory", {}).items()]
    if rows:
        lines = [_row(["", "measured"]), _row(["---"] * 2), *(_row([name, _number(value)]) for name, value in rows)]
        parts["Processes and training"] = "\n".join(lines)
    return parts


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
