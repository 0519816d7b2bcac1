"""Measure a trained approach: python train/evaluate.py --data DIR --approach KEY --output FILE.json"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _path  # noqa: F401

from busi_demo.data.busi import index_folder
from busi_demo.data.facts import known_calipers, with_facts
from busi_demo.data.locate import find_data
from busi_demo.data.splits import fingerprints, near_duplicate_groups
from busi_demo.evaluation.bootstrap import LEVEL, RESAMPLES, draw_resamples, intervals, paired_differences
from busi_demo.evaluation.cams import summarise_cams
from busi_demo.evaluation.evaluate import (
    choose,
    identity_of,
    measure,
    note_trained,
    note_unscored,
    other_report,
    random_subset,
    with_certain_class,
)
from busi_demo.evaluation.held_out import cross_validated, held_out_by, held_out_once, predictors_of_folds
from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.results import result_row
from busi_demo.evaluation.robustness import measure_corruptions
from busi_demo.evaluation.subgroups import summarise_subgroups
from busi_demo.inference.consensus import consensus_keys, load_consensus
from busi_demo.inference.predictor import load_predictor
from busi_demo.models import APPROACHES, CONSENSUS, DEFAULT_APPROACH
from busi_demo.project import check_file, json_bytes, make_folder, save_whole
from busi_demo.training.recipe import add_weights_argument, main
from busi_demo.types import InputError
from busi_demo.weights.alike import check_alike
from busi_demo.weights.store import why_left_out


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure one approach on a folder in BUSI layout.")
    parser.add_argument("--data", help="the folder (else $BUSI_DATA, data/Dataset_BUSI_with_GT, a download)")
    parser.add_argument("--approach", choices=[*APPROACHES, CONSENSUS], default=DEFAULT_APPROACH,
                        help=f"{CONSENSUS}: all that have weights together (default: %(default)s)")  # fmt: skip
    parser.add_argument("--images", default="all", metavar="all|validation|locked_test|FILE.csv",
                        help="which images: every one of the folder (default), those that the weights were not trained "
                             "on (of an ensemble, each by the network that was not), the locked test list, or those "
                             "named in a CSV file")  # fmt: skip
    add_weights_argument(parser, "their images of --images validation are measured together")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--bootstrap", type=int, default=RESAMPLES, metavar="N",
                        help="resamples for the 95 %% intervals, by near-duplicate group (default "
                             f"{RESAMPLES}); 0 for no intervals")  # fmt: skip
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="FILE.json",
        help="the --output of another approach on the same images: adds the paired differences",
    )
    parser.add_argument("--faithfulness", type=int, nargs="?", const=0, metavar="N",
                        help="also examine the Grad-CAMs of N random images, or of all (0): about 50 runs "
                             "of the network per image")  # fmt: skip
    parser.add_argument("--corruptions", type=int, nargs="?", const=0, metavar="N",
                        help="also predict N random images, or all (0), with 9 corruptions at 5 severities each: 45 "
                             "predictions per image")  # fmt: skip
    parser.add_argument("--figures", type=Path, metavar="DIR",
                        help="also draw the five panels of every image, in DIR/CLASS; weights/APPROACH/report/real is "
                             "ignored by git, because pictures of a data set must not be published")  # fmt: skip
    arguments = parser.parse_args()
    check_file(arguments.output, "--output")
    if arguments.figures:
        make_folder(arguments.figures, "--figures")
    if len(arguments.weights) > 1 and arguments.images != "validation":
        raise InputError("Several --weights folders are measured with --images validation alone: give one.")
    if arguments.bootstrap < 0 or (arguments.compare and not arguments.bootstrap):
        raise InputError("--bootstrap must not be negative, nor 0 where --compare is given.")
    for name in ("faithfulness", "corruptions"):
        if (getattr(arguments, name) or 0) < 0:
            raise InputError(f"--{name} must not be negative, got {getattr(arguments, name)}.")
    return arguments


def measured_keys(approach: str, weights: Sequence[Path]) -> list[str]:
    """The approach, or for `CONSENSUS` the approaches with weights, with a note on standard error on the others.

    Raises:
        InputError: fewer than two approaches have weights for a consensus, or several folders hold weights of other
            approaches or of networks that were not trained alike.
    """
    keys = [approach]
    if approach == CONSENSUS:
        first, *others = [consensus_keys(folder) for folder in weights]
        for folder, other in zip(weights[1:], others, strict=True):
            if other != first:
                raise InputError(f"{folder} holds the approaches {', '.join(other)}, {weights[0]} holds "
                                 f"{', '.join(first)}: give --weights folders of the same ones.")  # fmt: skip
        keys = first
        if reason := why_left_out(weights[0]):
            print(f"note: left out of the consensus, {reason}", file=sys.stderr)
    for key in keys:
        check_alike([folder / key for folder in weights], calibrated=True, ensembles=approach == CONSENSUS)
    return keys


def evaluate() -> None:
    arguments = parse()
    root = find_data(arguments.data)
    keys = measured_keys(arguments.approach, arguments.weights)
    folders = [[weights / key for key in keys] for weights in arguments.weights]
    validates = arguments.images == "validation"
    held_out = [held_out_by(own, root.name) if validates else {} for own in folders]
    position = held_out_once(arguments.weights, held_out)
    samples = choose(index_folder(root, facts=False), root.name, arguments.images, position)
    if not validates:
        note_trained(samples, folders[0], root.name)
    prints = fingerprints(samples)  # reads every file before the first prediction
    samples = with_facts(samples, prints)
    prints = [own for own, sample in zip(prints, samples, strict=True) if sample.label_certain]
    samples, uncertain = with_certain_class(samples)
    compared = other_report(arguments.compare, samples) if arguments.compare else None
    predictors = [load_consensus(w) if len(keys) > 1 else load_predictor(keys[0], w) for w in arguments.weights]
    examined = random_subset(samples, arguments.faithfulness)
    predictor_for = predictors_of_folds(predictors, held_out, position)
    results, area_shares, cams = measure(predictor_for, samples, arguments.figures, examined)
    note_unscored(samples, results)
    summary = summarise(results)
    more: dict[str, Any] = {}
    weights = None
    if arguments.bootstrap:
        groups = near_duplicate_groups(samples, prints)
        weights = draw_resamples(groups, arguments.bootstrap)
        facts = {"level": LEVEL, "resamples": arguments.bootstrap, "groups": int(groups.max()) + 1}
        more["intervals"] = {**facts, **intervals(results, weights)}
        if compared:
            more["difference"] = {**compared[0], **paired_differences(results, compared[1], weights)}
    calipers = known_calipers(samples, prints)
    more["subgroups"] = summarise_subgroups(results, area_shares, calipers, weights)
    if arguments.corruptions is not None:
        more["corruptions"] = measure_corruptions(predictor_for, random_subset(samples, arguments.corruptions))
    if examined:
        of_examined = [i for i, sample in enumerate(samples) if sample in examined]
        more["cam"] = summarise_cams(cams, None if weights is None else weights[:, of_examined])
    report = {
        "approach": arguments.approach,
        "data": root.name,
        "images": arguments.images if not arguments.images.endswith(".csv") else Path(arguments.images).name,
        **identity_of(keys, *arguments.weights),
        "cross_validated": cross_validated(held_out),
        "uncertain_class_left_out": uncertain,
        **summary,
        **more,
        "per_image": [result_row(r) for r in results],
    }
    save_whole(arguments.output, json_bytes(report))
    print(f"{arguments.approach} on {len(results)} images: accuracy {summary['accuracy']:.3f}, "
          f"macro F1 {summary['macro_f1']:.3f}, lesion Dice {_text(summary['lesion_dice'])}, "
          f"normals with a false mask {_text(summary['normal_false_mask_rate'])}")  # fmt: skip
    print(f"wrote {arguments.output}")


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main(evaluate)
