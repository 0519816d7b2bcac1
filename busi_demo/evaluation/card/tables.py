"""The tables of the model card: from the reports of train/evaluate.py and train/autopsy.py to Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from busi_demo.evaluation.card.identity import Identity
from busi_demo.evaluation.cases import confident_errors, worst_masks
from busi_demo.evaluation.results import result_of_row
from busi_demo.types import CLASSES

NOT_MEASURED, UNDEFINED = "not measured", "undefined"

Report = Mapping[str, Any]
Path = tuple[str, ...]

N: tuple[Path, ...] = (("n",),)
SUPPORT: dict[str, Path] = {name: ("classification_report", name, "support") for name in CLASSES}

# label, path in a report, and the paths of the numbers of images that it is a mean over
METRICS: tuple[tuple[str, Path, tuple[Path, ...]], ...] = (
    ("accuracy", ("accuracy",), N),
    ("macro F1", ("macro_f1",), N),
    *((f"AUC, {name}", ("auc", name), N) for name in CLASSES),
    ("sensitivity, malignant", ("sensitivity_malignant",), (SUPPORT["malignant"],)),
    ("specificity, malignant", ("specificity_malignant",), (SUPPORT["benign"], SUPPORT["normal"])),
    *(
        row
        for name in CLASSES
        for row in (
            (f"precision, {name}", ("classification_report", name, "precision"), ()),
            (f"recall, {name}", ("classification_report", name, "recall"), (SUPPORT[name],)),
            (f"F1, {name}", ("classification_report", name, "f1-score"), ()),
        )
    ),
    ("lesion Dice", ("lesion_dice",), (("lesion_n",),)),
    ("lesion IoU", ("lesion_iou",), (("lesion_n",),)),
    ("normals with a false mask", ("normal_false_mask_rate",), (("normal_n",),)),
    ("expected calibration error", ("ece",), N),
    ("Brier score, 0 to 2", ("brier",), N),
)
COMPARED = ("accuracy", "macro_f1", "sensitivity_malignant", "specificity_malignant", "lesion_dice")
PARTS = (("class", "class"), ("lesion_size", "lesion size"), ("calipers", "calipers"))


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; bars in cells are escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def metric_table(reports: Mapping[str, Report | None]) -> str:
    """Every metric of each approach with its interval, `not measured` where the approach has no report."""
    rows: list[list[Any]] = [["images", *(_images(r) for r in reports.values())]]
    rows.append(["groups drawn, resamples", *(_bootstrap(r) for r in reports.values())])
    rows += [[label, *(_metric(r, path, n) for r in reports.values())] for label, path, n in METRICS]
    for index, name in enumerate(CLASSES):
        label = f"truly {name}, called {', '.join(CLASSES)}"
        rows.append([label, *(NOT_MEASURED if r is None else _counts(r, index) for r in reports.values())])
    return table(["metric", *(f"`{key}`" for key in reports)], rows)


def subgroup_table(reports: Mapping[str, Report]) -> str:
    """Accuracy and lesion Dice of the parts of the images; parts without images are left out."""
    rows: list[list[Any]] = []
    missing = [f"`{key}`" for key, r in reports.items() if "subgroups" not in r]
    for key, report in reports.items():
        for group, title in PARTS:
            for name, part in report.get("subgroups", {}).get(group, {}).items():
                values = [_metric(part, ("accuracy",), N), _metric(part, ("lesion_dice",), (("lesion_n",),))]
                rows.append([f"`{key}`", report["images"], f"{title}: {name}", *values])
    text = table(["approach", "images", "part", "accuracy", "lesion Dice"], rows) if rows else ""
    if missing or not reports:
        text += f"\n\n{NOT_MEASURED.capitalize()}: {', '.join(missing) or 'no approach has a report with subgroups'}."
    limits = {key: r.get("subgroups", {}).get("lesion_size_limits") for key, r in reports.items()}
    for key, bounds in limits.items():
        if bounds:
            text += (f"\n\nLesion sizes of `{key}`: small up to {bounds[0]:.3f} of the image, medium up to "
                     f"{bounds[1]:.3f}.")  # fmt: skip
    return text.strip()


def cam_table(reports: Mapping[str, Report]) -> str:
    """Every measure of the Grad-CAMs of each approach."""
    cams = {key: r["cam"] for key, r in reports.items() if "cam" in r}
    if not cams:
        return f"{NOT_MEASURED.capitalize()}: no approach has a report of `train/evaluate.py --faithfulness`."
    names = list(dict.fromkeys(name for cam in cams.values() for name in cam["measures"]))
    rows = []
    for name in names:
        measures = [cam["measures"].get(name, {"mean": None, "n": 0}) for cam in cams.values()]
        rows.append([name.replace("_", " "), *(_value(m["mean"], m.get("interval"), m["n"]) for m in measures)])
    rows.append(["maps without positive evidence", *(c["without_evidence_n"] for c in cams.values())])
    return table(["measure", *(f"`{key}`" for key in cams)], rows)


def external_table(external: Report, sha256: Mapping[str, Any]) -> str:
    """What others measured on images from elsewhere, and which weights have changed since.

    Args:
        external: external.json: `measured_by`, `date`, `weights_sha256` (key -> sha256) and `rows` of `images`,
            `measure` and `values` (key -> value).
        sha256: key -> of its weights now.
    """
    keys = list(dict.fromkeys(key for row in external["rows"] for key in row["values"]))
    rows = [[row["images"], row["measure"], *(_value(row["values"][key], None, None) if key in row["values"]
             else NOT_MEASURED for key in keys)] for row in external["rows"]]  # fmt: skip
    text = f"Measured by {external['measured_by']}; {external['date']}.\n\n"
    text += table(["images", "measure", *(f"`{key}`" for key in keys)], rows)
    measured = external["weights_sha256"]
    text += "\n\nWeights, sha256: " + ", ".join(f"`{key}` {digest[:12]}" for key, digest in measured.items()) + "."
    if changed := [f"`{key}`" for key, digest in measured.items() if sha256.get(key) != digest]:
        text += f" Not the current weights: {', '.join(changed)}."
    return text


def fewer_table(fewer: Report, answers: Mapping[str, str]) -> str:
    """Quality and time of one, two, ... and all networks of each approach.

    Args:
        fewer: fewer_networks.json of train/fewer_networks.py.
        answers: key -> `answers_sha256` of its weights now; approaches that were measured with others, at other sizes
            or with another calibration, are left out.
    """
    current = {key: own["rows"] for key, own in fewer["approaches"].items()
               if answers.get(key) == own["answers_sha256"]}  # fmt: skip
    rows = [
        [f"`{key}`", row["networks"], f"{row['milliseconds']:.0f}", *(_value(row[name], None, None) for name in
         ("accuracy", "malignant_auc", "lesion_dice", "brier"))]
        for key, own in current.items()
        for row in own
    ]  # fmt: skip
    heads = ["approach", "networks", "ms", "accuracy", "malignant AUC", "lesion Dice", "Brier score"]
    text = f"{fewer['n']} images of {fewer['data']}, {fewer['timed']} of them timed; threads: {fewer['threads']}."
    parts = [text, table(heads, rows)] if rows else []
    if stale := [f"`{key}`" for key in fewer["approaches"] if key not in current]:
        parts.append(left_out(stale, "weights, sizes or calibrations"))
    return "\n\n".join(parts)


def left_out(names: Sequence[str], measured: str = "weights") -> str:
    """The sentence on results of other weights, or what else was measured, than those of now."""
    return f"Left out, because other {measured} were measured: {', '.join(names)}."


def corruption_table(reports: Mapping[str, Report]) -> str:
    """Accuracy, lesion Dice and mean confidence of each approach on the images as they are, and with each corruption at
    the middle and the highest severity."""
    measured = {key: r["corruptions"] for key, r in reports.items() if "corruptions" in r}
    if not measured:
        return f"{NOT_MEASURED.capitalize()}: no approach has a report of `train/evaluate.py --corruptions`."
    rows = [[f"`{key}`", "none", "", *_robustness(m["clean"])] for key, m in measured.items()]
    for key, m in measured.items():
        severities = m["severities"]
        for name, values in m["corruptions"].items():
            for at in (len(severities) // 2, len(severities) - 1):
                rows.append([f"`{key}`", name, severities[at], *_robustness(values[at])])
    counts = ", ".join(f"`{key}` {m['n']}" for key, m in measured.items())
    heads = ["approach", "corruption", "severity, 1 to 5", "accuracy", "lesion Dice", "mean confidence"]
    return f"Images: {counts}.\n\n{table(heads, rows)}"


def difference_table(reports: Mapping[str, Sequence[Report]], identities: Mapping[str, Identity]) -> str:
    """The paired differences in the reports of the approaches, where both belong to the weights of now.

    Args:
        identities: key -> hashes of its weights.
    """
    rows = []
    for key, own in reports.items():
        for report in own:
            difference = report.get("difference", {})
            other = identities.get(difference.get("minus", ""))
            hashes = difference.get("minus_sha256"), difference.get("minus_answers_sha256")
            current = other is not None and other.fits(*hashes)
            for metric in COMPARED if current else ():
                d = difference[metric]
                rows.append([f"`{key}` minus `{difference['minus']}`", report["images"],
                             metric.replace("_", " "), _value(d["difference"], d["interval"], report["n"], "+.3f"),
                             NOT_MEASURED if d["p"] is None else f"{d['p']:.4f}"])  # fmt: skip
    if not rows:
        return f"{NOT_MEASURED.capitalize()} with the current weights: no such report of `train/evaluate.py --compare`."
    return table(["approaches", "images", "metric", "difference", "p"], rows)


def failure_tables(reports: Mapping[str, Report]) -> str:
    """The names of the worst masks and most confident errors of each approach, and commands that draw them."""
    if not reports:
        return f"{NOT_MEASURED.capitalize()}: no approach has a report with its images."
    parts, names = [], dict[str, list[str]]()
    for key, report in reports.items():
        results = [result_of_row(row) for row in report["per_image"]]
        masks, errors = worst_masks(results), confident_errors(results)
        names[key] = sorted({r.image for r in masks + errors})
        rows = [["worst mask", r.image, r.label, r.predicted_class, f"{r.confidence:.3f}", f"{r.mask_dice:.3f}"]
                for r in masks]  # fmt: skip
        rows += [["confident error", r.image, r.label, r.predicted_class, f"{r.confidence:.3f}",
                  "none" if r.mask_dice is None else f"{r.mask_dice:.3f}"] for r in errors]  # fmt: skip
        wrong = sum(not r.correct for r in results)
        parts.append(f"`{key}`, {report['images']}: {wrong} of {len(results)} images classified wrongly.")
        parts.append(table(["failure", "image", "true class", "called", "confidence", "Dice"], rows))
    lines = []
    for key, images in names.items():
        quoted = " ".join(shlex.quote(name) for name in ("image", *images))
        lines += [f"printf '%s\\n' {quoted} > output/{key}.csv",
                  f"python train/evaluate.py --data DIR --approach {key} --images output/{key}.csv "
                  f"--output output/{key}.json --figures output/{key}"]  # fmt: skip
    parts.append("Pictures of the data set are not published. Where it is at hand, this draws these images:")
    parts.append("```sh\nmkdir -p output\n" + "\n".join(lines) + "\n```")
    return "\n\n".join(parts)


def autopsy_table(autopsy: Report) -> str:
    """The content of autopsy.json, as sentences and two tables."""
    said, counts, settings = autopsy["quoted"], autopsy["counts"], autopsy["settings"]
    parts = [
        f"Quoted is an accuracy of {said['accuracy']} on n = {said['n']}: {said['correct']} right answers, binomial "
        f"interval {said['interval'][0]:.3f} to {said['interval'][1]:.3f}. That n is a fifth of the "
        f"{autopsy['published']['files']} files of the data set, {autopsy['published']['mask_files']} of them masks.",
        f"Here small classifiers, each the same throughout, are scored three ways on {autopsy['data']}: "
        f"{counts['files']} files, of them {counts['images']} images ({counts['images_with_near_duplicate']} with a "
        f"near-duplicate) and {counts['mask_files']} masks ({counts['black_mask_files']} all black). "
        f"Folds: {settings['folds']}, seeds: {settings['seeds']}.",
        table(
            ["classifier", "way", "part", "accuracy"],
            [[r["classifier"], autopsy["ways"][r["way"]], r["part"], _value(r["accuracy"], r["interval"], r["n"])]
             for r in autopsy["rows"] if r["n"]],
        ),
        "What the random split of the images adds to the grouped one:",
        table(
            ["classifier", "images", "difference"],
            [[r["classifier"], r["part"], _value(r["difference"], r["interval"], r["n"], "+.3f")]
             for r in autopsy["differences"]],
        ),
    ]  # fmt: skip
    return "\n\n".join(parts)


def _robustness(values: Mapping[str, float | None]) -> list[str]:
    return [_value(values[name], None, None) for name in ("accuracy", "lesion_dice", "confidence")]


def _images(report: Report | None) -> str:
    if report is None:
        return NOT_MEASURED
    return f"{report['images']} of {report['data']}" if "images" in report else "validation"


def _bootstrap(report: Report | None) -> str:
    facts = (report or {}).get("intervals")
    return f"{facts['groups']}, {facts['resamples']}" if facts else NOT_MEASURED


def _counts(report: Report, row: int) -> str:
    return ", ".join(str(count) for count in report["confusion_matrix"][row])


def _metric(report: Report | None, path: Path, counts: Sequence[Path]) -> str:
    if report is None:
        return NOT_MEASURED
    n = sum(_at(report, count) for count in counts) if counts else None
    return _value(_at(report, path), _at(report.get("intervals"), path), n)


def _at(tree: Any, path: Path) -> Any:
    """The value at a path in nested mappings; `None` where there is none."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _value(value: float | None, bounds: Sequence[float] | None, n: int | None, style: str = ".3f") -> str:
    """`0.812 [0.750, 0.870], n = 156`; the interval only where there is one."""
    if value is None:
        return UNDEFINED if n is None else f"{UNDEFINED}, n = {n}"
    interval = f" [{bounds[0]:{style}}, {bounds[1]:{style}}]" if bounds else ""
    return f"{value:{style}}{interval}" + ("" if n is None else f", n = {n}")
