from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers import ROOT

from busi_demo.data.published import locked_test
from busi_demo.evaluation.autopsy.study import Files, run_autopsy
from busi_demo.evaluation.bootstrap import draw_resamples, intervals, paired_differences
from busi_demo.evaluation.cams import CamResult, summarise_cams
from busi_demo.evaluation.card.card import model_card
from busi_demo.evaluation.card.facts import ApproachFacts
from busi_demo.evaluation.card.origin import reproduce_section, training_command
from busi_demo.evaluation.card.sources import read_reports
from busi_demo.evaluation.card.tables import external_table
from busi_demo.evaluation.cases import CASES, confident_errors, worst_masks
from busi_demo.evaluation.metrics import summarise
from busi_demo.evaluation.results import ImageResult, result_row
from busi_demo.evaluation.subgroups import summarise_subgroups
from busi_demo.models import APPROACHES, CONSENSUS
from busi_demo.models.two_stage import TwoStage
from busi_demo.training.config import TrainConfig, add_arguments, config_from
from busi_demo.types import CLASSES
from busi_demo.weights.config import OF_MULTITASK
from busi_demo.weights.licences import SOURCES, terms_of_weights
from busi_demo.weights.trust_file import answers_sha256

PUBLISHED = {"files": 9001, "images": 9002}

# label in the card, where it stands in a report, and the number of images that the card says for `results`
METRICS_OF_SEEDS = [
    ("accuracy", "accuracy", 24),
    ("macro F1", "macro_f1", 24),
    ("recall, malignant", "classification_report/malignant/recall", 8),
    ("AUC, malignant", "auc/malignant", 24),
    ("specificity, malignant", "specificity_malignant", 16),
    ("precision, benign", "classification_report/benign/precision", None),
    ("F1, normal", "classification_report/normal/f1-score", None),
    ("lesion Dice", "lesion_dice", 16),
    ("lesion IoU", "lesion_iou", 16),
    ("expected calibration error", "ece", 24),
    ("Brier score, 0 to 2", "brier", 24),
]


def results(seed: int, count: int = 24) -> list[ImageResult]:
    rng = np.random.RandomState(seed)
    made = []
    for i in range(count):
        label = CLASSES[i % 3]
        probabilities = rng.dirichlet(np.ones(3) + 2 * (np.array(CLASSES) == label))
        dice = None if label == "normal" else float(rng.uniform(0.05, 0.95))
        by_class = dict(zip(CLASSES, probabilities.tolist(), strict=True))
        made.append(
            ImageResult(f"case {chr(97 + i)}.png", label, by_class, dice, dice and dice / (2 - dice), i % 2, 0.0)
        )
    return made


def evaluation(key: str, images: str, seed: int, sha256: str = "abc") -> dict[str, Any]:
    """A report with everything that train/evaluate.py can write."""
    own, other = results(seed), results(seed + 1)
    weights = draw_resamples(np.arange(len(own)) // 2, 100)
    cams = [CamResult(r.image, r.predicted_class, deletion_auc=0.1 + i / 99, pointing_hit=0.5 * (i % 3),
                      energy_inside=0.2 + 0.4 * (i % 2), area_share=0.05 + 0.1 * (i % 2))
            for i, r in enumerate(own)]  # fmt: skip
    return {
        "approach": key,
        "data": "BUSI",
        "images": images,
        "weights_sha256": sha256,
        **summarise(own),
        "intervals": {"level": 0.95, "resamples": 100, "groups": 12, **intervals(own, weights)},
        "difference": {"minus": "multitask_cnn", "minus_sha256": "abc", **paired_differences(own, other, weights)},
        "subgroups": summarise_subgroups(
            own, [None if r.mask_dice is None else 0.1 for r in own], [None] * 24, weights
        ),
        "cam": summarise_cams(cams, weights),
        "per_image": [result_row(r) for r in own],
    }


def config(key: str, **changes: Any) -> dict[str, Any]:
    counts = {"Dataset_BUSI_with_GT": {"benign": 279, "malignant": 134, "normal": 85},
              "BUS-UCLM": {"benign": 157, "malignant": 71, "normal": 412}}  # fmt: skip
    settings = TrainConfig(approach=key, epochs=77, extra=("X",)).to_dict()
    return {
        "approach": key, "preprocess": {"size": 224}, "threshold": 0.5, "temperature": 1.234567,
        "parameters": 3_210_987, "sha256": "abc", "git_commit": "f" * 40,
        "metrics": {},
        "data": {"main": "Dataset_BUSI_with_GT", "images_indexed": 623, "near_duplicate_groups": 475,
                 "locked_test_left_out": 11, "extra_left_out_as_near_duplicates": 12,
                 "uncertain_class_left_out_of_validation": 13, "fold": 2, "folds": 5, "seed": 0, "train": counts,
                 "validation": {"Dataset_BUSI_with_GT": {"benign": 70, "malignant": 34, "normal": 21}}},
        "training": {k: v for k, v in settings.items() if k not in ("data", "extra", "init_from")},
    } | changes  # fmt: skip


def autopsy() -> dict[str, Any]:
    rng = np.random.RandomState(0)
    files = Files(rng.randint(0, 99, (60, 4, 4)).astype(np.uint8), np.arange(60) % 3, np.arange(60) // 2 % 20,
                  np.arange(60) % 2 == 1)  # fmt: skip
    guess = {"guess": lambda train, labels, test, seed: np.random.RandomState(seed).randint(0, 3, len(test))}
    return {"data": "BUSI", **run_autopsy(files, guess, resamples=50)}


def facts(seed: int = 0) -> dict[str, ApproachFacts]:
    return {
        key: ApproachFacts(
            config(key),
            summarise(results(seed + 10 * i)),
            {"locked_test": evaluation(key, "locked_test", seed + 10 * i),
             "validation": evaluation(key, "validation", seed + 10 * i + 5),
             "some": evaluation(key, "some.csv", seed + 10 * i + 7)},
        )
        for i, key in enumerate(APPROACHES)
    }  # fmt: skip


@pytest.fixture(scope="module")
def complete() -> tuple[dict[str, ApproachFacts], dict[str, Any]]:
    return facts(), autopsy()


def table_cells(card: str) -> list[list[str]]:
    """Every line of every table but the heads, without what stands in backticks."""
    rows = [line for line in card.splitlines() if line.startswith("|")]
    return [[re.sub(r"`[^`]*`", "", cell).strip() for cell in row.strip("|").split(" | ")] for row in rows]


def numbers(leaves: Any) -> Iterator[float]:
    if isinstance(leaves, dict):
        leaves = list(leaves.values())
    if isinstance(leaves, list | tuple):
        for leaf in leaves:
            yield from numbers(leaf)
    elif isinstance(leaves, int | float) and not isinstance(leaves, bool):
        yield leaves


def section(card: str, title: str) -> str:
    """The text under a heading, up to the next one of any level."""
    return re.split(r"^#+ ", card.split(f"# {title}\n", 1)[1], flags=re.MULTILINE)[0]


class TestEveryNumber:
    def test_stands_in_the_json(self, complete):
        approaches, found = complete
        leaves = [PUBLISHED, found, *([a.config, a.metrics, a.evaluations] for a in approaches.values())]
        allowed = {
            text for value in numbers(leaves) for text in (str(value), f"{value:.3f}", f"{value:+.3f}", f"{value:.4f}")
        }
        for by_image in (e["per_image"] for a in approaches.values() for e in a.evaluations.values()):
            allowed |= {f"{max(row['probabilities'].values()):.3f}" for row in by_image}
        cells = [cell for row in table_cells(model_card(approaches, PUBLISHED, found)) for cell in row[1:]]
        written = [n for cell in cells if "et al." not in cell for n in re.findall(r"(?<!\w)[+-]?\d+(?:\.\d+)?", cell)]
        assert len(written) > 1000
        assert [n for n in written if n not in allowed] == []

    @pytest.mark.parametrize(("path", "old", "new"), [
        (("config", "parameters"), "3210987", "3210988"),
        (("config", "temperature"), "1.235", "4.321"),
        (("config", "data", "near_duplicate_groups"), "475", "474"),
        (("config", "data", "locked_test_left_out"), "11", "111"),
        (("config", "data", "train", "BUS-UCLM", "normal"), "412", "413"),
        (("config", "data", "validation", "Dataset_BUSI_with_GT", "benign"), "70", "1070"),
        (("config", "training", "epochs"), "--epochs 77", "--epochs 78"),
    ])  # fmt: skip
    def test_of_the_configuration_reaches_the_card(self, path, old, new):
        before, after = ({"multitask_cnn": ApproachFacts(config("multitask_cnn"))} for _ in range(2))
        place: Any = vars(after["multitask_cnn"])
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = type(place[path[-1]])(float(new.split()[-1]))
        one, other = model_card(before, PUBLISHED), model_card(after, PUBLISHED)
        assert one.replace(old, new) == other != one

    @pytest.mark.parametrize("images", ["locked_test", "validation", "some"])
    def test_of_an_evaluation_reaches_the_card(self, images):
        """Of two evaluations that share no value, the tables share hardly a cell."""
        one, other = (
            ApproachFacts(config("multitask_unet"), None, {images: evaluation("multitask_unet", images, seed)})
            for seed in (1, 2)
        )
        heads = {"locked_test": "Reporting: the locked test images", "validation": "Selection: the validation fold",
                 "some": "Further: `some.json`"}  # fmt: skip
        tables = [
            table_cells(section(model_card({"multitask_unet": each}, PUBLISHED), heads[images]))
            for each in (one, other)
        ]
        rows = dict(tables[0][3:])
        assert {"accuracy", "macro F1", "AUC, normal", "precision, benign", "lesion Dice", "Brier score, 0 to 2",
                "truly malignant, called benign, malignant, normal"} <= rows.keys()  # fmt: skip
        same = {label for label, value in tables[1][3:] if rows[label] == value}
        assert not same & {label for label, *_ in METRICS_OF_SEEDS}

    def test_published_counts_and_autopsy(self, complete):
        _, found = complete
        assert "| files | 9001 |" in model_card({}, PUBLISHED) and "| files | 9 |" in model_card({}, {"files": 9})
        changed = json.loads(json.dumps(found))
        changed["rows"][0]["accuracy"] = 0.123
        changed["quoted"]["correct"] = 299
        before, after = (
            section(model_card({}, PUBLISHED, a), "Why not the often quoted accuracy") for a in (found, changed)
        )
        assert "0.123 [" not in before and "0.123 [" in after
        assert "293 right" in before and "299 right" in after


class TestCard:
    def test_the_same_json_gives_the_same_text(self, complete):
        approaches, found = complete
        again = {key: approaches[key] for key in reversed(approaches)}
        card = model_card(approaches, PUBLISHED, found)
        assert card == model_card(again, PUBLISHED, json.loads(json.dumps(found)))
        assert card.endswith("\n") and "\n\n\n" not in card and "None" not in card

    @pytest.mark.parametrize(("label", "path", "n"), METRICS_OF_SEEDS)
    def test_an_interval_stands_beside_its_value(self, complete, label, path, n):
        approaches, _ = complete
        report = approaches["two_stage"].evaluations["locked_test"]
        value, bounds = report, report["intervals"]
        for key in path.split("/"):
            value, bounds = value[key], bounds[key]
        reporting = section(model_card(approaches, PUBLISHED), "Reporting: the locked test images")
        cells = {row[0]: row[1] for row in table_cells(reporting)}
        assert cells[label] == f"{value:.3f} [{bounds[0]:.3f}, {bounds[1]:.3f}]" + (f", n = {n}" if n else "")

    def test_without_weights_it_says_so_everywhere(self):
        card = model_card({}, PUBLISHED)
        for title in ("Reporting: the locked test images", "Selection: the validation fold", "Subgroups",
                      "Explanations", "Failure cases", "Why not the often quoted accuracy",
                      "Differences between approaches on the same images"):  # fmt: skip
            assert "not measured" in section(card, title).lower(), title
        assert section(card, "The approaches").count("no weights here") == 6 * len(APPROACHES)
        for title in ("Data", "Licences", "Reproduce"):
            assert "there are no weights here" in section(card, title), title

    def test_a_missing_approach_a_missing_report_and_an_undefined_value(self):
        report = evaluation("multitask_cnn", "locked_test", 3) | {"macro_f1": None}
        card = model_card(
            {"multitask_cnn": ApproachFacts(config("multitask_cnn"), None, {"locked_test": report}),
             "multitask_unet": ApproachFacts(config("multitask_unet"), summarise(results(4)))},
            PUBLISHED,
        )  # fmt: skip
        rows = {r[0]: r[1:] for r in table_cells(section(card, "Reporting: the locked test images"))}
        assert rows["accuracy"][1] == "not measured" and rows["macro F1"] == ["undefined, n = 24", "not measured"]
        assert section(card, "The approaches").count("no weights here") == 12
        selection = section(card, "Selection: the validation fold")
        assert "`multitask_unet`: as training left it" in selection and "[" not in selection

    def test_an_evaluation_of_other_weights_is_left_out(self):
        stale = evaluation("multitask_cnn", "locked_test", 3, sha256="old")
        card = model_card({"multitask_cnn": ApproachFacts(config("multitask_cnn"), None, {"test": stale})}, PUBLISHED)
        assert "Left out, because other weights or settings were measured: `multitask_cnn/report/test.json`." in card
        assert "Not measured" in section(card, "Reporting: the locked test images")
        assert f"{stale['accuracy']:.3f}" not in card

    def test_an_evaluation_at_another_calibration_is_left_out(self):
        now, before = config("multitask_cnn"), config("multitask_cnn", temperature=3.0)
        for settings, counts in ((now, True), (before, False)):
            report = evaluation("multitask_cnn", "validation", 3) | {"answers_sha256": answers_sha256(settings)}
            card = model_card({"multitask_cnn": ApproachFacts(now, None, {"validation": report})}, PUBLISHED)
            assert (f"{report['accuracy']:.3f}" in section(card, "Selection: the validation fold")) == counts
            assert ("Left out, because other weights" in card) != counts

    def test_the_locked_test_goes_before_validation_in_subgroups_and_failures(self, complete):
        approaches, _ = complete
        card = model_card(approaches, PUBLISHED)
        assert {r[1] for r in table_cells(section(card, "Subgroups"))[2:]} == {"locked_test"}
        part = approaches["multitask_unet"].evaluations["locked_test"]["subgroups"]["class"]["malignant"]
        assert f"| class: malignant | {part['accuracy']:.3f} [" in section(card, "Subgroups")
        cam = approaches["multitask_unet"].evaluations["locked_test"]["cam"]["measures"]["deletion_auc"]
        assert f"{cam['mean']:.3f} [" in section(card, "Explanations")
        assert "| energy over area | 4.000 [" in section(card, "Explanations")  # 0.4 of 0.1
        assert "`two_stage`, locked_test: " in section(card, "Failure cases")


class TestConsensus:
    SHA256 = dict.fromkeys(APPROACHES, "abc")

    def card(self, **evaluations: Any) -> str:
        together = ApproachFacts({"sha256": self.SHA256}, None, evaluations)
        return model_card({**facts(), CONSENSUS: together}, PUBLISHED)

    def report(self, images: str, **changes: Any) -> dict[str, Any]:
        return evaluation(CONSENSUS, images, 77) | {"weights_sha256": self.SHA256} | changes

    def test_it_stands_beside_the_approaches(self):
        report = self.report("validation")
        card = self.card(validation=report)
        rows = {r[0]: r[1:] for r in table_cells(section(card, "Selection: the validation fold"))}
        assert len(rows["accuracy"]) == len(APPROACHES) + 1
        assert rows["accuracy"][-1].startswith(f"{report['accuracy']:.3f} [")
        reporting = {r[0]: r[1:] for r in table_cells(section(card, "Reporting: the locked test images"))}
        assert reporting["accuracy"][-1] == "not measured"
        assert "--approach consensus --images" in section(card, "Failure cases")
        assert "majority of their masks" in section(card, "Results")
        assert CONSENSUS not in section(card, "Licences") + section(card, "Reproduce") + section(card, "The approaches")

    def test_of_other_weights_it_is_left_out(self):
        stale = self.report("validation", weights_sha256={**self.SHA256, "two_stage": "old"})
        card = self.card(validation=stale)
        rows = {r[0]: r[1:] for r in table_cells(section(card, "Selection: the validation fold"))}
        assert "`consensus/report/validation.json`" in card and rows["accuracy"][-1] == "not measured"

    def test_at_another_calibration_of_one_approach_it_is_left_out(self, tmp_path):
        for key in APPROACHES:
            (tmp_path / key).mkdir()
            (tmp_path / key / "config.json").write_text(json.dumps(config(key)))
        answers = {key: answers_sha256(config(key)) for key in APPROACHES}
        report = self.report("validation", answers_sha256=answers)
        (tmp_path / CONSENSUS / "report").mkdir(parents=True)
        (tmp_path / CONSENSUS / "report" / "validation.json").write_text(json.dumps(report))
        assert list(read_reports(tmp_path)[CONSENSUS].current()) == ["validation"]
        (tmp_path / "two_stage" / "config.json").write_text(json.dumps(config("two_stage", temperature=3.0)))
        assert not read_reports(tmp_path)[CONSENSUS].current()

    def test_unmeasured_it_changes_nothing(self):
        assert self.card() == model_card(facts(), PUBLISHED)


class TestSeveralFolds:
    """Reports of several weights folders, of networks that were trained alike."""

    def card(self, sha256: Sequence[str], answers: Sequence[str]) -> str:
        known = facts()
        own = known["two_stage"]
        several = evaluation("two_stage", "validation", 31) | {
            "weights_sha256": list(sha256), "answers_sha256": list(answers), "cross_validated": True,
        }  # fmt: skip
        joined = evaluation("multitask_cnn", "validation", 32) | {"cross_validated": True}
        known["multitask_cnn"] = replace(known["multitask_cnn"], evaluations={"validation": joined})
        known["two_stage"] = replace(own, evaluations={**own.evaluations, "all_folds": several})
        self.expected = [f"{several['accuracy']:.3f}", "not measured", f"{joined['accuracy']:.3f}", "not measured"]
        return model_card(known, PUBLISHED)

    def test_they_stand_beside_weights_that_hold_out_every_fold(self):
        card = self.card(["abc", "other"], [answers_sha256(config("two_stage")), "other"])
        part = section(card, "Selection: several folds")
        assert "`two_stage`: 2 folds; what ships is of one." in part
        rows = {r[0]: r[1:] for r in table_cells(part)}
        assert [value.split(" [")[0] for value in rows["accuracy"]] == self.expected
        assert "Left out" not in card and "Further: `all_folds.json`" not in card
        own = {r[0]: r[1:] for r in table_cells(section(card, "Selection: the validation fold"))}
        assert not own["accuracy"][0].startswith(self.expected[0])

    @pytest.mark.parametrize(("sha256", "answers"), [("old", None), ("abc", "of another calibration")])
    def test_of_networks_that_do_not_ship_they_are_left_out(self, sha256, answers):
        card = self.card([sha256, "other"], [answers or answers_sha256(config("two_stage")), "other"])
        assert "Selection: several folds" not in card
        assert "Left out, because other weights or settings were measured: `two_stage/report/all_folds.json`." in card

    def test_beside_a_report_of_weights_that_hold_out_every_fold_they_are_left_out(self):
        own = facts()["multitask_cnn"]
        joined = evaluation("multitask_cnn", "validation", 32) | {"cross_validated": True}
        several = joined | {"weights_sha256": ["abc"], "answers_sha256": [answers_sha256(config("multitask_cnn"))]}
        known = {"multitask_cnn": replace(own, evaluations={"validation": joined, "all_folds": several})}
        card = model_card(known, PUBLISHED)
        assert "Selection: several folds" not in card and "`multitask_cnn/report/all_folds.json`" in card

    def test_the_consensus_names_the_approach_none_of_whose_networks_ships(self):
        ours, theirs = dict.fromkeys(APPROACHES, "ours"), dict.fromkeys(APPROACHES, "theirs")
        report = evaluation(CONSENSUS, "validation", 77) | {
            "weights_sha256": [ours | {"two_stage": "x"}, theirs],
            "answers_sha256": [ours, ours | {"two_stage": "theirs"}],
        }
        together = {"sha256": ours, "answers_sha256": ours}
        card = model_card({**facts(), CONSENSUS: ApproachFacts(together, None, {"all_folds": report})}, PUBLISHED)
        assert "`consensus`: 2 folds; what ships is of one, but for `two_stage`." in section(
            card, "Selection: several folds"
        )
        old = report | {"weights_sha256": [theirs, theirs]}
        card = model_card({**facts(), CONSENSUS: ApproachFacts(together, None, {"all_folds": old})}, PUBLISHED)
        assert "Selection: several folds" not in card and "`consensus/report/all_folds.json`" in card


class TestFailures:
    def test_the_worst_masks_and_the_surest_errors(self):
        made = results(2)
        masks, errors = worst_masks(made), confident_errors(made)
        dices = sorted(r.mask_dice for r in made if r.mask_dice is not None)
        assert [r.mask_dice for r in masks] == dices[:CASES]
        wrong = sorted((r.confidence for r in made if r.predicted_class != r.label), reverse=True)
        assert wrong and [r.confidence for r in errors] == wrong[:CASES]

    def test_equals_go_by_name(self):
        same = [ImageResult(n, "benign", dict(zip(CLASSES, (0, 1, 0), strict=True)), 0.5, 0.5, 0, 0) for n in "bca"]
        assert [r.image for r in worst_masks(same)] == [r.image for r in confident_errors(same)] == ["a", "b", "c"]

    def test_the_command_names_them_all(self, complete):
        approaches, _ = complete
        text = section(model_card({"two_stage": approaches["two_stage"]}, PUBLISHED), "Failure cases")
        named = {r[1] for r in table_cells(text)[2:]}
        (line,) = [line for line in text.splitlines() if line.startswith("printf")]
        words = shlex.split(line)
        assert words[:3] == ["printf", r"%s\n", "image"] and set(words[3:-2]) == named
        assert words[-2:] == [">", "output/two_stage.csv"]
        assert "--images output/two_stage.csv" in text and "--figures output/two_stage" in text


class TestTerms:
    def test_they_are_those_of_the_readme(self):
        readme = (ROOT / "weights" / "README.md").read_text(encoding="utf-8")
        for source in SOURCES.values():
            assert f"| {source.citation} | {source.terms} |" in readme

    @pytest.mark.parametrize(("names", "terms"), [
        (["BUS-BRA", "phantoms"], "free, with citation"),
        (["BUS-BRA", "tissue"], "free, with citation"),
        (["BUS-BRA", "BUS-UC"], "non-commercial research and teaching only"),
        (["BUS-BRA", "BUS-UCLM"], "non-commercial research and teaching only"),
        (["BUS-BRA", "elsewhere"], "not known here"),
        ([], "not known here"),
    ])  # fmt: skip
    def test_the_strictest_binds(self, names, terms):
        assert terms_of_weights(names).startswith(terms)

    def test_unknown_data_is_said_to_be_unknown(self):
        strange = config("multitask_cnn", data={"main": "mine", "train": {"mine": dict.fromkeys(CLASSES, 3)}})
        text = section(model_card({"multitask_cnn": ApproachFacts(strange)}, PUBLISHED), "Licences")
        assert text.count("not known here") == 3


def test_what_others_measured_names_its_weights_and_those_that_have_changed():
    external = {
        "measured_by": "others", "date": "2026-11",
        "weights_sha256": {"multitask_unet": "a" * 64, "two_stage": "b" * 64},
        "rows": [{"images": "far away", "measure": "AUC", "values": {"multitask_unet": 0.8125}},
                 {"images": "far away", "measure": "Dice", "values": {"multitask_unet": 0.7, "two_stage": 0.6}}],
    }  # fmt: skip
    text = external_table(external, {"multitask_unet": "a" * 64, "two_stage": "c" * 64})
    assert "| far away | AUC | 0.812 | not measured |" in text and "| far away | Dice | 0.700 | 0.600 |" in text
    assert "Measured by others; 2026-11." in text and "`multitask_unet` aaaaaaaaaaaa, `two_stage` bbbbbbbbbbbb." in text
    assert text.endswith("Not the current weights: `two_stage`.")
    card = model_card({}, PUBLISHED, external=external)
    assert "Elsewhere" in card and "0.812" in card and "Elsewhere" not in model_card({}, PUBLISHED)


def test_settings_that_the_command_changes_are_listed():
    architecture = {"width": 128, "encoder_name": "resnet18", "decoder_channels": [128, 64, 48, 32], "scales": [1, 0.5]}
    shipped = config("multitask_unet", architecture=architecture, training={"image_size": 192})
    card = reproduce_section({"multitask_unet": shipped})
    changes = ("encoder name tu-tf_efficientnet_lite0 instead of the shipped resnet18",
               "scales [1.0] instead of the shipped [1, 0.5]", "input side 192 instead of the shipped 224")  # fmt: skip
    assert f"That gives `multitask_unet` with {', '.join(changes)}." in card
    assert "instead of" not in reproduce_section({"multitask_unet": config("multitask_unet")})


def ensemble_config(key: str) -> dict[str, Any]:
    """config.json of two networks, as train/join_folds.py writes it."""
    recorded = config(key, architecture={"ensemble_of": {"scales": [1.0, 0.5], "mirrored": [0.8]}, "folds": [0, 3]})
    del recorded["data"]["fold"], recorded["training"]["fold"]
    return recorded


def test_an_ensemble_is_made_by_two_commands():
    card = reproduce_section({"multitask_unet": ensemble_config("multitask_unet")})
    loop, train, done, join = card.partition("```sh\n")[2].partition("\n```")[0].splitlines()
    assert (loop, done) == ("for fold in 0 3; do", "done")
    words = shlex.split(train)
    assert words[:2] == ["python", "train/train_multitask.py"]
    assert words[-6:] == ["--fold", "$fold", "--run-dir", "runs/fold_$fold/run", "--output", "runs/fold_$fold"]
    assert words.count("--fold") == 1
    assert join == ("python train/join_folds.py runs/fold_0/multitask_unet runs/fold_3/multitask_unet "
                    "--data Dataset_BUSI_with_GT --image-size 224 --scales 1.0 0.5 --mirrored 0.8")  # fmt: skip
    assert "instead of" not in card


def test_the_card_says_which_network_of_an_ensemble_was_measured_on_an_image():
    report = evaluation("multitask_unet", "validation", 1)
    ensemble = ApproachFacts(ensemble_config("multitask_unet"), None, {"validation": report})
    card = model_card({"multitask_unet": ensemble}, PUBLISHED)
    assert "Several networks: `multitask_unet`. Each network held out another fold" in card
    assert "| Multi-task U-Net, 2 networks |" in section(card, "The approaches")
    assert "| each in turn, 5 |" in section(card, "Data")
    one = model_card({"multitask_unet": ApproachFacts(config("multitask_unet"), None, {"v": report})}, PUBLISHED)
    assert "Several networks" not in one and "| 2, 5 |" in section(one, "Data")


@pytest.mark.parametrize(("weights", "temperature", "shown"), [
    ("abc", None, True), ("old", None, False), ("abc", 1.234567, True), ("abc", 3.0, False),
])  # fmt: skip
def test_a_difference_to_weights_or_settings_of_before_is_left_out(weights, temperature, shown):
    report = evaluation("multitask_unet", "validation", 1)
    report["difference"]["minus_sha256"] = weights
    if temperature is not None:
        other = config("multitask_cnn", temperature=temperature)
        report["difference"]["minus_answers_sha256"] = answers_sha256(other)
    known = {key: ApproachFacts(config(key)) for key in ("multitask_cnn", "multitask_unet")}
    known["multitask_unet"] = ApproachFacts(config("multitask_unet"), None, {"validation": report})
    differences = section(model_card(known, PUBLISHED), "Differences between approaches on the same images")
    assert ("`multitask_unet` minus `multitask_cnn`" in differences) is shown


def test_several_detectors_are_listed():
    origins = {"detector_from": {"approach": "multitask_unet", "sha256": "0123456789abcdef"}}
    several = config("two_stage", learnt_from=origins)
    several["architecture"] = {"detector": {"ensemble_of": {"width": 8}, "folds": [0, 1, 2]}, "crop_size": 96}
    plain = config("two_stage", architecture=TwoStage().config)
    del plain["architecture"]["detector"]["mirrored"]  # a setting that came later
    card, one = (model_card({"two_stage": ApproachFacts(c)}, PUBLISHED) for c in (several, plain))
    assert "Of the 3 detectors of `two_stage` each held out another fold" in card and "detectors of" not in one
    assert "| Two-stage (U-Net, then ResNet50), 3 detectors |" in section(card, "The approaches")
    made = section(card, "Reproduce")
    assert "--detector-from multitask_unet" in made and "those of the first are not recorded" not in made
    assert "That gives `two_stage` with crop size 128 instead of the shipped 96." in made
    assert "replace_detector" not in made
    several["architecture"]["detector_share"] = 0.5
    together = section(model_card({"two_stage": ApproachFacts(several)}, PUBLISHED), "Reproduce")
    line = "python train/replace_detector.py --data Dataset_BUSI_with_GT --detector-from multitask_unet"
    assert f"{line} --detector-share 0.5\n" in together
    several["training"]["image_size"], several["preprocess"]["size"] = 192, 224
    resized = section(model_card({"two_stage": ApproachFacts(several)}, PUBLISHED), "Reproduce")
    assert (
        "needs detectors whose input side is 192 px, as those of then; the second puts those of now, at 224 px"
        in resized
    )
    assert "input side 192 instead" not in resized and "needs detectors" not in together
    assert "those of the first are not recorded" in section(one, "Reproduce")
    assert "That gives" not in section(one, "Reproduce")


@pytest.mark.parametrize("key", APPROACHES)
def test_the_training_command_repeats_the_settings(key):
    recorded = config(key)
    words = shlex.split(training_command(key, recorded))
    parser = argparse.ArgumentParser()
    add_arguments(parser, TrainConfig(), omit=OF_MULTITASK if key == "two_stage" else ())
    repeated = config_from(parser.parse_args(words[2:]), **({"approach": key} if key == "two_stage" else {}))
    assert (ROOT / words[1]).is_file() and ("two_stage" in words[1]) == (key == "two_stage")
    assert repeated.extra == ("BUS-UCLM",) and repeated.data == "Dataset_BUSI_with_GT"
    assert {k: v for k, v in repeated.to_dict().items() if k in recorded["training"]} == recorded["training"]


def test_weights_that_were_replaced_since_are_named_in_reproduce():
    origin = {"approach": "multitask_unet", "sha256": "fedcba9876543210", "git_commit": "0123456789abcdef"}
    taught = config("multitask_cnn", learnt_from={"teacher": origin})
    named = "`--teacher multitask_unet` had sha256 `fedcba987654`, git commit `0123456789ab`"
    for teacher, replaced in (("fedcba9876543210", False), ("other", True)):
        known = {"multitask_cnn": ApproachFacts(taught),
                 "multitask_unet": ApproachFacts(config("multitask_unet", sha256=teacher))}  # fmt: skip
        assert (named in section(model_card(known, PUBLISHED), "Reproduce")) == replaced
    assert "replaced since" not in section(model_card({"multitask_cnn": ApproachFacts(taught)}, PUBLISHED), "Reproduce")


def test_starting_weights_are_listed_and_in_the_command():
    origins = {"init_from": {"approach": None, "sha256": "0123456789abcdef"},
               "teacher": {"approach": "multitask_unet", "sha256": "fedcba9876543210"}}  # fmt: skip
    recorded = config("multitask_cnn", learnt_from=origins)
    recorded["training"]["encoder_weights"] = "imagenet"
    card = model_card({"multitask_cnn": ApproachFacts(recorded)}, PUBLISHED)
    row = next(line for line in card.splitlines() if "--init-from" in line and line.startswith("|"))
    assert "ImageNet" in row and "a run (`--init-from`, sha256 `0123456789ab`)" in row
    assert "multitask_unet (`--teacher`, sha256 `fedcba987654`)" in row
    command = training_command("multitask_cnn", recorded)
    assert command.endswith("--init-from DIR --teacher multitask_unet") and "--encoder-weights imagenet" in command
    through = config("multitask_cnn", learnt_from={"teacher": origins["teacher"] | {"imagenet": True}})
    assert "ImageNet, by the weights" in model_card({"multitask_cnn": ApproachFacts(through)}, PUBLISHED)
    nothing = model_card({"multitask_cnn": ApproachFacts(config("multitask_cnn", learnt_from={}))}, PUBLISHED)
    assert "| nothing else |" in nothing
    assert "| not recorded |" in model_card({"multitask_cnn": ApproachFacts(config("multitask_cnn"))}, PUBLISHED)


class TestScript:
    @pytest.fixture
    def write(self, run_script, tmp_path):
        def run(*words: object) -> tuple[int, str, str]:
            output = tmp_path / "out" / "CARD.md"
            status, _, err = run_script("train/model_card.py", "--weights", tmp_path / "w", "--output", output, *words)
            return status, output.read_text(encoding="utf-8") if output.is_file() else "", err

        return run

    def test_it_reads_what_lies_beside_the_weights(self, write, tmp_path):
        report = tmp_path / "w" / "multitask_cnn" / "report"
        report.mkdir(parents=True)
        files = {"../config.json": config("multitask_cnn"), "metrics.json": summarise(results(1)), "study.json": [1],
                 "locked_test.json": evaluation("multitask_cnn", "locked_test", 2)}  # fmt: skip
        for name, content in files.items():
            (report / name).write_text(json.dumps(content), encoding="utf-8")
        together = evaluation(CONSENSUS, "locked_test", 4) | {"weights_sha256": {"multitask_cnn": "abc"}}
        (tmp_path / "w" / CONSENSUS / "report").mkdir(parents=True)
        (tmp_path / "w" / CONSENSUS / "report" / "locked_test.json").write_text(json.dumps(together))
        (tmp_path / "a.json").write_text(json.dumps(autopsy()), encoding="utf-8")
        status, card, _ = write("--autopsy", tmp_path / "a.json")
        assert status == 0
        assert f"{files['locked_test.json']['accuracy']:.3f} [" in section(card, "Reporting: the locked test images")
        assert f"{together['accuracy']:.3f} [" in section(card, "Reporting: the locked test images")
        assert f"{files['metrics.json']['accuracy']:.3f}, n = 24" in section(card, "Selection: the validation fold")
        assert "guess" in section(card, "Why not the often quoted accuracy")
        assert "| files | 1578 |" in card and f"| locked test images | {len(locked_test())} |" in card
        assert str(tmp_path) not in card
        assert write("--autopsy", tmp_path / "a.json")[1] == card

    def test_a_file_that_is_no_json_is_one_line_and_status_2(self, write, tmp_path):
        report = tmp_path / "w" / "multitask_cnn" / "report"
        report.mkdir(parents=True)
        (report.parent / "config.json").write_text(json.dumps(config("multitask_cnn")), encoding="utf-8")
        (report / "metrics.json").write_text("{", encoding="utf-8")
        status, card, err = write()
        (line,) = err.splitlines()
        assert (
            (status, card) == (2, "") and line.startswith("error: ") and "metrics.json cannot be read as JSON" in line
        )

    @pytest.mark.parametrize("content", ["[]", "{}", '{"quoted": 1}'])
    def test_an_autopsy_of_another_form_is_one_line(self, write, tmp_path, content):
        (tmp_path / "w" / "multitask_cnn").mkdir(parents=True)
        (tmp_path / "w" / "multitask_cnn" / "config.json").write_text(json.dumps(config("multitask_cnn")))
        (tmp_path / "a.json").write_text(content)
        status, card, err = write("--autopsy", tmp_path / "a.json")
        (line,) = err.splitlines()
        assert (status, card) == (2, "") and line.startswith("error: a.json does not hold the result of an autopsy")

    def test_an_autopsy_that_is_not_there(self, write, tmp_path):
        status, card, err = write("--autopsy", tmp_path / "none.json")
        assert (status, card) == (2, "") and "none.json is not there" in err
