"""Sections of the model card on the origin of the weights: architecture, data, licences and training commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from busi_demo.data.made import MADE
from busi_demo.evaluation.card.tables import table
from busi_demo.models import APPROACHES, complete, default_settings
from busi_demo.models.base import DETECTOR
from busi_demo.models.ensemble import folds_of, settings_of
from busi_demo.models.multitask import VIEWS
from busi_demo.types import CLASSES
from busi_demo.weights.config import OF_MULTITASK
from busi_demo.weights.licences import IMAGENET, knows_imagenet, source_of, terms_of_weights

TWO_STAGE = "two_stage"

Configs = Mapping[str, Mapping[str, Any]]
"""Key of an approach -> its config.json."""


def models_section(configs: Configs) -> str:
    """One row for each approach, also for those without weights."""
    rows = []
    for key, model in APPROACHES.items():
        row = [f"`{key}`", model.title]
        if c := configs.get(key):
            commit = (c.get("git_commit") or "unknown")[:12]
            row[1] += f", {len(networks)} networks" if (networks := ensemble_folds(c)) else ""
            row[1] += f", {len(detectors)} detectors" if (detectors := detector_folds(c)) else ""
            row += [c["parameters"], c["preprocess"]["size"], c["threshold"], _calibration(c)]
            row += [f"`{commit}`", f"`{c['sha256'][:12]}`"]
        else:
            row += ["no weights here"] * 6
        rows.append(row)
    heads = ["approach", "what it is", "parameters", "input side, px", "mask threshold", "temperature; class bias",
             "git commit", "sha256"]  # fmt: skip
    return "## The approaches\n\n" + table(heads, rows)


def ensemble_folds(config: Mapping[str, Any]) -> Sequence[int]:
    """The folds of an ensemble; empty for one network."""
    return folds_of(config.get("architecture", {}))


def detector_folds(config: Mapping[str, Any]) -> Sequence[int]:
    """The folds of the detector of `two_stage`, where it is an ensemble; otherwise empty."""
    return folds_of(config.get("architecture", {}).get(DETECTOR, {}))


def _calibration(config: Mapping[str, Any]) -> str:
    text, class_bias = f"{config['temperature']:.3f}", config.get("class_bias", ())
    return f"{text}; {', '.join(f'{bias:+.2f}' for bias in class_bias)}" if any(class_bias) else text


def data_section(configs: Configs, published: Mapping[str, int]) -> str:
    """Counts at every step, from the files of the published data set to the images of each split."""
    text = "## Data\n\nThe published data set (BUSI):\n\n" + table(
        ["step", "count"], list(map(list, published.items()))
    )
    if not configs:
        return f"{text}\n\nTraining and validation: not recorded, there are no weights here."
    facts = [config.get("data", {}) for config in configs.values()]

    def row(label: str, get: Callable[[Mapping[str, Any]], Any]) -> list[Any]:
        values = [get(f) for f in facts]
        return [label, *("not recorded" if value is None else value for value in values)]

    rows = [
        row("main data set", lambda f: f.get("main")),
        row("its images found", lambda f: f.get("images_indexed")),
        row("groups of near-duplicates", lambda f: f.get("near_duplicate_groups")),
        row("locked test images found and left out", lambda f: f.get("locked_test_left_out")),
        row("of uncertain class, left out of validation", lambda f: f.get("uncertain_class_left_out_of_validation")),
        row("of other sets, left out as near-duplicates", lambda f: f.get("extra_left_out_as_near_duplicates")),
        row("fold that validates, number of folds", _fold_text),
    ]
    for split in ("train", "validation"):
        for source in sorted({source for f in facts for source in f.get(split, {})}):
            label = f"{split}, {source}: {', '.join(CLASSES)}"
            rows.append(row(label, lambda f, s=split, n=source: _by_class(f, s, n)))  # type: ignore[misc]
    heads = ["step", *(f"`{key}`" for key in configs)]
    return f"{text}\n\nWhat each approach was trained and validated on:\n\n{table(heads, rows)}"


def _fold_text(facts: Mapping[str, Any]) -> str | None:
    return f"{facts.get('fold', 'each in turn')}, {facts['folds']}" if "folds" in facts else None


def _by_class(facts: Mapping[str, Any], split: str, source: str) -> str | None:
    if split not in facts:
        return None
    counts = facts[split].get(source)
    return ", ".join(str(counts[label]) for label in CLASSES) if counts else "none"


def licence_section(configs: Configs) -> str:
    """The terms of the training data, and those of each approach's weights."""
    text = "## Licences\n\nCode: MIT. The data is not part of this repository."
    if not configs:
        return f"{text} What was trained on: not recorded, there are no weights here."
    trained = {key: sorted(c.get("data", {}).get("train", {})) for key, c in configs.items()}
    names = sorted({name for own in trained.values() for name in own})
    sources = [[name, source_of(name).citation, source_of(name).terms] for name in names]
    weights = [[f"`{key}`", ", ".join(own) or "not recorded", terms_of_weights(own)] for key, own in trained.items()]
    return "\n\n".join([
        text,
        table(["trained on", "source", "terms"], sources),
        table(["weights", "trained on", "terms of these weights"], weights),
        "The terms of the weights that a training used apply, too:",
        table(["weights", "learnt from"], [[f"`{key}`", _learnt_from(c)] for key, c in configs.items()]),
    ])  # fmt: skip


def _learnt_from(config: Mapping[str, Any]) -> str:
    """The other weights that a training used, with the option that named them."""
    if "learnt_from" not in config:
        return "not recorded"
    sources = [
        f"{origin['approach'] or 'a run'} (`--{_flag(option)}`, {_sha256(origin)})"
        for option, origin in config["learnt_from"].items()
    ]
    if (imagenet := knows_imagenet(config)) is None:
        sources.append("whether these came from ImageNet is not recorded")
    if imagenet:
        sources.insert(
            0, f"ImageNet, by the weights that this or its source started from ({IMAGENET.citation}; {IMAGENET.terms})"
        )
    return "; ".join(sources) or "nothing else"


def _sha256(origin: Mapping[str, Any]) -> str:
    return f"sha256 `{origin['sha256'][:12]}`" if origin["sha256"] else "each network its own"


def _flag(name: str) -> str:
    return name.replace("_", "-")


def reproduce_section(configs: Configs) -> str:
    """The command that repeats the training of each approach, as far as it is recorded."""
    lines = ["## Reproduce", "This card: `python train/model_card.py`. An approach, with the folders of the data sets:"]
    for key, config in configs.items():
        lines.append(f"```sh\n{_commands(key, config)}\n```")
        if any(origin["sha256"] is None for origin in config.get("learnt_from", {}).values()):
            lines.append(
                "`DIR_$fold`: each network started from its own weights; `weights/README.md` says how these came about."
            )
        if _detector_command(config) and _trained_at(config) != (size := config["preprocess"]["size"]):
            lines.append(
                f"The first command needs detectors whose input side is {_trained_at(config)} px, as those of then; "
                f"the second puts those of now, at {size} px, in their place."
            )
        if replaced := _replaced_since(config, configs):
            lines.append(f"It learnt from weights that others have replaced since: {'; '.join(replaced)}.")
        if not ensemble_folds(config) and (changed := _changed_since(key, config)):
            lines.append(f"That gives `{key}` with {', '.join(changed)}.")
    if TWO_STAGE in configs and "detector_from" not in configs[TWO_STAGE].get("learnt_from", {}):
        lines.append(
            f"The settings of `{TWO_STAGE}` are those of its second stage; those of the first are not recorded."
        )
    return "\n\n".join(lines if configs else [*lines, "None: there are no weights here."])


def _replaced_since(config: Mapping[str, Any], configs: Configs) -> list[str]:
    """The options that named weights of an approach which are not those of now."""
    return [
        f"`--{_flag(option)} {origin['approach']}` had {_sha256(origin)}"
        + (f", git commit `{commit[:12]}`" if (commit := origin.get("git_commit")) else "")
        for option, origin in config.get("learnt_from", {}).items()
        if origin["sha256"] and origin["approach"] in configs
        and origin["sha256"] != configs[origin["approach"]]["sha256"]
    ]  # fmt: skip


def _commands(key: str, config: Mapping[str, Any]) -> str:
    """The commands that train an approach; for an ensemble, each of its networks, and join them."""
    train = training_command(key, config)
    folds = ensemble_folds(config)
    if not folds:
        return "\n".join([train, *_detector_command(config)])
    for option, origin in config.get("learnt_from", {}).items():
        if origin["sha256"] is None:
            train = train.replace(f"--{_flag(option)} {origin['approach']}", f"--{_flag(option)} DIR_$fold")
    numbers = " ".join(map(str, folds))
    members = shlex.join(f"runs/fold_{fold}/{key}" for fold in folds)
    settings = ["--image-size", str(config["preprocess"]["size"])]
    architecture = settings_of(config["architecture"])
    for name in VIEWS:
        if sizes := architecture.get(name):
            settings += [f"--{name}", *map(str, sizes)]
    return (
        f"for fold in {numbers}; do\n"
        f"  {train} --fold $fold --run-dir runs/fold_$fold/run --output runs/fold_$fold\n"
        "done\n"
        f"python train/join_folds.py {members} --data {shlex.quote(config['data']['main'])} {shlex.join(settings)}"
    )


def _trained_at(config: Mapping[str, Any]) -> int:
    """Side of the input of the training, pixels; where it is not recorded, that of now."""
    return int(config.get("training", {}).get("image_size", config["preprocess"]["size"]))


def _detector_command(config: Mapping[str, Any]) -> list[str]:
    """The command that lets detector and classifier of `two_stage` answer together, where they do."""
    share = config.get("architecture", {}).get("detector_share")
    origin = config.get("learnt_from", {}).get("detector_from")
    if not (share and origin):
        return []
    data, detector = config.get("data", {}).get("main", "DIR"), origin["approach"]
    words = ["--data", data, "--detector-from", detector, "--detector-share", str(share)]
    return [shlex.join(["python", "train/replace_detector.py", *words])]


def _changed_since(key: str, config: Mapping[str, Any]) -> list[str]:
    """Differences between the network of the command and the shipped one."""
    made = default_settings(key)
    if key == TWO_STAGE:
        made["detector"] = default_settings("multitask_unet")
    given = ("detector", "detector_head", "detector_share") if "detector_from" in config.get("learnt_from", {}) else ()
    recorded = config.get("architecture", {})
    shipped = {n: v for n, v in complete(key, recorded).items() if n in recorded and n in made and n not in given}
    if not _detector_command(config):  # which brings the size of the detectors
        shipped["input side"] = config["preprocess"]["size"]
        made["input side"] = _trained_at(config)
    return [
        f"{name.replace('_', ' ')} {made[name]} instead of the shipped {value}"
        for name, value in shipped.items()
        if value != made[name]
    ]


def training_command(key: str, config: Mapping[str, Any]) -> str:
    """The command that trains an approach with the settings recorded in its config.json.

    Folders of images and weights are given by the names of the data sets and approaches.
    """
    data = config.get("data", {})
    main = data.get("main", "DIR")
    extra = [name for name in sorted(data.get("train", {})) if name not in (main, *MADE)]
    two_stage = key == TWO_STAGE
    words = ["python", f"train/train_{'two_stage' if two_stage else 'multitask'}.py", "--data", main]
    words += ["--extra", *extra] if extra else []
    for name, value in config.get("training", {}).items():
        if value is not None and not (two_stage and name in OF_MULTITASK):
            words += [f"--{_flag(name)}", str(value)]
    for option, origin in config.get("learnt_from", {}).items():
        words += [f"--{_flag(option)}", origin["approach"] or "DIR"]
    return shlex.join(words)
