"""The subcommand `predict`: figures, masks and numbers of image files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from busi_demo.analysis.png import png_bytes
from busi_demo.analysis.trusted import known_image, trusted_answer
from busi_demo.cli import add_analyse_anyway, print_error
from busi_demo.imaging import read_ground_truth, read_image
from busi_demo.imaging.crop import parse_crop, with_crop
from busi_demo.imaging.text import percent
from busi_demo.inference.predictor import Predictor, SharedPasses, load_predictors
from busi_demo.models import ALL, APPROACHES, DEFAULT_APPROACH
from busi_demo.project import file_name, make_folder, save_whole
from busi_demo.types import Box, InputError, reason_of


def add_predict(subcommands: Any) -> None:
    """Add the subcommand `predict`."""
    parser = subcommands.add_parser("predict", help="segment and classify images, write the five-panel figures")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--approach", choices=[*APPROACHES, ALL], default=DEFAULT_APPROACH, help="default: %(default)s")
    parser.add_argument("--ground-truth", type=Path, metavar="MASK", help="the true mask of a single image")
    parser.add_argument("--frame", type=int, metavar="N",
                        help="number of the frame or page to use, from 1 on (default: of a DICOM loop the middle one, "
                             "of other files the first)")  # fmt: skip
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output"),
        metavar="DIR",
        help="receives STEM.APPROACH.png and STEM.APPROACH.mask.png (default: %(default)s)",
    )
    parser.add_argument(
        "--crop",
        metavar="X0,Y0,X1,Y1",
        help="the part of each image that is ultrasound, in pixels; without it that part is found",
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each image and approach")
    add_analyse_anyway(parser)
    parser.set_defaults(run=predict)


def predict(arguments: argparse.Namespace) -> int:
    """Run `predict`.

    Returns:
        Exit status: 0, or 2 if an image or mask could not be used. Each of these gets one line on standard error; all
        others are analysed.
    """
    try:
        if arguments.ground_truth and len(arguments.images) > 1:
            raise InputError(f"--ground-truth is the mask of one image, got {len(arguments.images)} images.")
        crop = parse_crop(arguments.crop)
        predictors, left_out = load_predictors(arguments.approach)
        make_folder(arguments.output, "--output")
    except InputError as error:
        return print_error(str(error))
    if left_out:
        print(f"note: {left_out}", file=sys.stderr, flush=True)
    status, written = 0, dict[str, Path]()
    for path in arguments.images:
        try:
            if path.stem in written:
                raise InputError(
                    f"{path} would overwrite the results of {written[path.stem]}: give another --output, or rename it."
                )
            for line in _predict_one(path, crop, predictors, arguments):
                print(json.dumps(line) if arguments.json else _sentence(line), flush=True)
            written[path.stem] = path
        except InputError as error:
            status = print_error(str(error) if str(path) in str(error) else f"{path}: {error}")
        except OSError as error:
            status = print_error(f"{path} could not be read ({reason_of(error)}): try it again.")
    return status


def _predict_one(
    path: Path, crop: Box | None, predictors: Sequence[Predictor], arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """Write figure and mask of every approach whose answer is told; returns the record of each."""
    output, analyse_anyway = arguments.output, arguments.analyse_anyway
    grey = with_crop(read_image(path, arguments.frame), crop)
    truth = read_ground_truth(arguments.ground_truth, grey.pixels.shape)
    lines, shared, known = [], SharedPasses(), known_image(grey)
    for predictor in predictors:
        answer = trusted_answer(predictor, grey, truth, known, shared, analyse_anyway)
        lines.append({"image": str(path), **answer.record()})
        files = [output / file_name(path.stem, f".{predictor.key}{end}") for end in (".png", ".mask.png")]
        if answer.withheld:
            for file in files:  # of an earlier answer, which is not that of this picture
                file.unlink(missing_ok=True)
            continue
        mask = Image.fromarray(answer.prediction.mask.astype(np.uint8) * 255)
        for file, content in zip(files, (answer.figure_png(), png_bytes(mask)), strict=True):
            _save(file, content)
    return lines


def _save(path: Path, content: bytes) -> None:
    try:
        save_whole(path, content)
    except OSError as error:
        raise InputError(
            f"The result {path} cannot be written ({reason_of(error)}): name another folder with --output."
        ) from error


def _sentence(line: dict[str, Any]) -> str:
    if line["predicted_class"] is None:
        text = f"{line['image']}  {line['approach']}: refused, --analyse-anyway overrides"
        return "\n  ".join([text, *line["warnings"]])
    probabilities = ", ".join(f"{name} {percent(p)}" for name, p in line["probabilities"].items())
    text = f"{line['image']}  {line['approach']}: {line['predicted_class']} ({probabilities})"
    text += f", lesion {percent(line['lesion_area_fraction'])} of the image"
    if line["dice"] is not None:
        text += f", Dice {line['dice']:.3f}, IoU {line['iou']:.3f}"
    return "\n  ".join([text, *line["warnings"]])
