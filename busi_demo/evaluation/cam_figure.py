"""Whether Grad-CAMs can be believed, drawn: what `cam_report.summarise_cams` found, each beside what it must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from busi_demo.evaluation.report import BLUE, GREY, ORANGE

# heading, then each measure with its label; the map's own comes first
ROWS = (
    ("energy inside the lesion (high is good)", (
        ("energy_inside", "Grad-CAM"), ("area_share", "even map"), ("gaussian_energy_inside", "centred blob"))),
    ("strongest pixel inside the lesion (high)", (("pointing_hit", "Grad-CAM"),)),
    ("deletion AUC (low is good)", (("deletion_auc", "Grad-CAM"), ("deletion_auc_random", "random order"))),
    ("insertion AUC (high is good)", (("insertion_auc", "Grad-CAM"), ("insertion_auc_random", "random order"))),
    ("likeness to random weights (low is good)", (("randomised_correlation_absolute", "Grad-CAM"),)),
)  # fmt: skip


def cam_figure(cam: Mapping[str, Any], *, title: str) -> Figure:
    """The mean of each measure with its interval, and of what a map without knowledge would have.

    Args:
        cam: of `summarise_cams`; a measure that is undefined is left out.
        title: what was measured on which images.
    """
    measures, ticks, labels, at = cam["measures"], [], [], 0.0
    figure = Figure(figsize=(5, 5.4), layout="constrained")
    axes = figure.subplots()
    for heading, rows in ROWS:
        axes.text(0, at, heading, fontsize=9, fontweight="bold", va="center")
        at += 0.8
        for name, label in rows:
            found = measures.get(name, {"mean": None})
            own = label == "Grad-CAM"
            if found["mean"] is not None:
                low, high = found.get("interval") or [found["mean"]] * 2
                axes.plot([low, high], [at, at], color=BLUE if own else GREY, linewidth=2)
                axes.plot(found["mean"], at, "o" if own else "D", color=ORANGE if own else GREY, markersize=6)
                axes.text(1.02, at, f"{found['mean']:.2f}", fontsize=9, va="center")
                ticks.append(at)
                labels.append(label)
            at += 0.8
        at += 0.4
    axes.set_yticks(ticks, labels)
    axes.set(xlim=(0, 1.14), ylim=(at - 0.4, -0.6), xlabel="mean, 95 % interval")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(axis="x", alpha=0.3)
    figure.suptitle(f"Grad-CAM: {title}, n = {cam['n']}".replace("$", r"\$"), fontsize=11, wrap=True)
    return figure
