"""The model card, written from JSON alone: it says what was not measured, and no result is typed by hand.

Its sections follow Mitchell et al., Model Cards for Model Reporting, FAT* 2019.
"""

from __future__ import annotations

from collections.abc import Mapping

from busi_demo.evaluation.card import doubt, origin, tables
from busi_demo.evaluation.card.facts import REPORTING, SELECTION, ApproachFacts
from busi_demo.evaluation.card.tables import Report
from busi_demo.models import APPROACHES, CONSENSUS

USE = """\
## Intended use

- Research and teaching: to compare ways of segmenting and classifying B-mode ultrasound images of the breast, and to
  look at what their explanations (Grad-CAM) are worth.
- Input: one grey image. Output: a lesion mask, the probabilities of benign, malignant and normal, and a Grad-CAM.

## Out of scope

- Diagnosis, screening, triage or treatment of anybody. This is not a medical device, and no authority has cleared it.
- Colour Doppler, elastography, several images in one frame, the axilla, other organs, other species.
- Conclusions on groups of patients: BUSI has neither patient ids nor ages, origins or devices of its images, so a
  difference between them cannot be measured here, and a split of it cannot be called patient-level."""

SEPARATION = """\
## Results

The validation images of the training data chose the checkpoint, the calibration and whatever else had to be chosen.
Results on them are therefore optimistic; they serve to compare and are listed under *selection*. The locked test images
were used for neither training nor choice; results on them are listed under *reporting*. In brackets: 95 % percentile
intervals of a bootstrap that draws whole groups of near-duplicates."""

CROSS_VALIDATION = """\
Several networks: {names}. Each network held out another fold. Under *selection*
every image of these folds is predicted by the one network that was not trained on it (cross-validation), so these are
results of single networks on many images. The weights answer with the mean of all networks, which were trained on all
these images: that can only be measured on other images. Where `--keep last` stands under *Reproduce*, no epoch was
chosen on these images; the calibration was fitted to them."""

DETECTORS = f"""\
Of the {{count}} detectors of `{origin.TWO_STAGE}` each held out another fold, and its classifier was trained without
one: under *selection* the images of that fold are predicted by the classifier behind the one detector that was not
trained on them. The weights answer with the mean of all detectors."""

ALL_FOLDS = """\
Networks that were trained alike, each without another fold, on the images that they held out, with one calibration for
all. For weights of a single network this tells what its training gives on images of several folds; the networks of the
other folds do not ship, and train/RESULTS.md tells how they were trained. {networks}"""

TOGETHER = f"""\
`{CONSENSUS}` is all approaches together: the mean of their probabilities and the majority of their masks. On the
validation fold it is measured on the images that no approach was trained on."""


DOUBT = """\
Measured on images that the network did not know, with thresholds fitted to the other folds (for one network without
networks of other folds: to other images of its validation fold). In brackets: 95 % intervals. An answer is green if one
class alone is left open at 95 % and its probability is high enough, and red if its class is more probably wrong than
right. The sets promise to hold the true class as often as their level says, for each class, on images like these;
another hospital or another machine breaks that promise. Rows of another data set say by how much: no network was
trained on its images, all that ships answered them, and no level, set or interval was fitted to these answers. Where
its pictures are among those that the input check knows (see below), fewer of them are doubtful than of a machine that
it does not know, and more of their answers are green."""

FEWER = """\
What one, two, ... and all networks of an approach give, and cost: the mean over the choices of that many networks, on
images that none of them was trained on; of `{two_stage}`, the networks are its detectors. Calibration and thresholds
are those of the weights for every number of networks. The time is the median of a prediction by PyTorch; what the page
uses is faster (BENCHMARKS.md)."""

INPUT_CHECK = """\
Whether a picture is a B-mode ultrasound of a breast: a doubtful one is answered with a warning and never green, a
refused one gets no class. Colour, headers of DICOM files and two-valued pictures are asked beside what is counted
here. A picture that is far from all known ones and looks turned or like a negative is refused unless it is known once
that is undone; only the rows that say "never fitted to" look at that."""


Known = Mapping[str, ApproachFacts]


def model_card(
    approaches: Known,
    published: Mapping[str, int],
    autopsy: Report | None = None,
    external: Report | None = None,
    fewer: Report | None = None,
) -> str:
    """Write MODEL_CARD.md; equal arguments give equal text.

    Args:
        approaches: key -> its JSON files. The card says which approaches of `APPROACHES` are missing. `CONSENSUS` is
            optional and shown among the results where it has any.
        published: step -> count of the published data set, in the order to be shown.
        autopsy: autopsy.json of train/autopsy.py.
        external: what others measured on images from elsewhere, see `tables.external_table`.
        fewer: fewer_networks.json of train/fewer_networks.py.
    Returns:
        Markdown that ends with a line break.
    """
    known = {key: approaches[key] for key in APPROACHES if key in approaches}
    configs = {key: facts.config for key, facts in known.items()}
    identities = {key: facts.identity for key, facts in known.items()}
    together = approaches.get(CONSENSUS)
    if together and together.evaluations:
        known[CONSENSUS] = together
    ensembles = [f"`{key}`" for key, config in configs.items() if origin.ensemble_folds(config)]
    detectors = origin.detector_folds(configs.get(origin.TWO_STAGE, {}))
    best = {key: e for key, facts in known.items() if (e := facts.on(REPORTING) or facts.on(SELECTION))}
    parts = [
        "# Model card: breast ultrasound, segmented and explained",
        "Written by `python train/model_card.py` from the JSON files beside the weights: run that again, do not edit.",
        USE,
        origin.models_section(configs),
        origin.data_section(configs, published),
        SEPARATION,
        *([CROSS_VALIDATION.format(names=", ".join(ensembles))] if ensembles else []),
        *([DETECTORS.format(count=len(detectors))] if detectors else []),
        *([TOGETHER] if CONSENSUS in known else []),
        *_reporting(known),
        *_selection(known),
        *_all_folds(known),
        *_further(known),
        *_elsewhere(external, {key: own.weights for key, own in identities.items()}),
        "## Quality and time",
        *_fewer(fewer, {key: own.answers for key, own in identities.items()}),
        "## Subgroups",
        "On the locked test images where they were measured, else on the validation fold. The accuracy of a class is "
        "its recall.",
        tables.subgroup_table(best),
        *_doubt(known),
        "## Robustness",
        "The same images after what may happen to an image on its way here: speckle, blur, low resolution, other gain, "
        "a black margin, the screen of a machine, captions, a second view beside it, JPEG. A confidence that stays "
        "while accuracy falls is a warning.",
        tables.corruption_table(best),
        "## Explanations",
        "How faithful the Grad-CAMs are, on the same images. Gains above 0 are good, and so is a correlation near 0 "
        "with the map of random weights.",
        tables.cam_table(best),
        "## Failure cases",
        tables.failure_tables(best),
        "## Why not the often quoted accuracy",
        _missing("`python train/autopsy.py --data DIR --output train/results`")
        if autopsy is None
        else tables.autopsy_table(autopsy),
        origin.licence_section(configs),
        origin.reproduce_section(configs),
    ]
    return "\n\n".join(parts) + "\n"


_TRUST_TABLES = (doubt.trust_table, doubt.size_table, doubt.set_table, doubt.kept_table)


def _doubt(known: Known) -> list[str]:
    trust = {f"`{key}`": facts.trust for key, facts in known.items() if facts.trust}
    checks = {key: facts.input_check for key, facts in known.items() if facts.input_check}
    parts = ["## How far to trust an answer"]
    if trust:
        parts += [
            DOUBT,
            *(tables.table(*make(trust)) for make in _TRUST_TABLES),
        ]
    else:
        parts.append(_missing("`python train/fit_trust.py --data DIR`"))
    parts.append("## The input check")
    if not checks:
        return [*parts, _missing("`python train/fit_input_check.py --data DIR --extra OTHER_DIR`")]
    parts.append(INPUT_CHECK)
    for key, measured in checks.items():
        parts += [f"`{key}`:", tables.table(*doubt.input_table(measured))]
    return parts


def _elsewhere(external: Report | None, sha256: Mapping[str, str]) -> list[str]:
    if external is None:
        return []
    return [
        "### Elsewhere: images of other hospitals and machines",
        "On images from elsewhere the approaches tell the classes apart less well than on the validation images above: "
        "take those results as an upper bound.",
        tables.external_table(external, sha256),
    ]


def _fewer(fewer: Report | None, answers: Mapping[str, str]) -> list[str]:
    if fewer is None:
        return [_missing("`python train/fewer_networks.py --data DIR`")]
    return [FEWER.format(two_stage=origin.TWO_STAGE), tables.fewer_table(fewer, answers)]


def _reporting(known: Known) -> list[str]:
    reports = {key: facts.on(REPORTING) for key, facts in known.items()}
    table = tables.metric_table(reports) if any(reports.values()) else _missing(_evaluate(REPORTING))
    return ["### Reporting: the locked test images", table]


def _selection(known: Known) -> list[str]:
    parts = ["### Selection: the validation fold"]
    reports = {key: facts.on(SELECTION) or facts.metrics for key, facts in known.items()}
    coarse = [f"`{key}`" for key, report in reports.items() if report and "images" not in report]
    if coarse:
        parts.append(f"{', '.join(coarse)}: as training left it, masks at the network's resolution, without intervals.")
    return [*parts, tables.metric_table(reports) if any(reports.values()) else _missing(_evaluate(SELECTION))]


def _all_folds(known: Known) -> list[str]:
    """The approaches on several folds, beside those whose weights hold out several folds themselves."""
    reports = {key: facts.all_folds for key, facts in known.items()}
    networks = []
    for key, facts in known.items():
        if facts.of_folds:
            absent = ", ".join(f"`{name}`" for name in facts.absent)
            folds = len(facts.of_folds["weights_sha256"])
            networks.append(f"`{key}`: {folds} folds; what ships is of one{f', but for {absent}' if absent else ''}.")
    if not networks:
        return []
    text = ALL_FOLDS.format(networks=" ".join(networks))
    return ["### Selection: several folds", text, tables.metric_table(reports)]


def _further(known: Known) -> list[str]:
    """Other evaluations, paired differences, and what is left out."""
    shown = [report for facts in known.values() for report in (facts.on(REPORTING), facts.on(SELECTION))]
    others = {
        name
        for facts in known.values()
        for name, report in facts.current().items()
        if not any(report is other for other in shown)
    }
    parts = []
    for name in sorted(others):
        parts.append(f"### Further: `{name}.json`")
        parts.append(tables.metric_table({key: facts.current().get(name) for key, facts in known.items()}))
    parts.append("### Differences between approaches on the same images")
    parts.append(tables.difference_table(
        {key: list(facts.current().values()) for key, facts in known.items()},
        {key: facts.identity for key, facts in known.items()},
    ))  # fmt: skip
    stale = [
        f"`{key}/report/{name}.json`"
        for key, facts in known.items()
        for name in sorted(facts.evaluations.keys() - facts.current().keys())
        if facts.evaluations[name] is not facts.of_folds
    ]
    return [*parts, tables.left_out(stale, "weights or settings")] if stale else parts


def _evaluate(images: str) -> str:
    return (
        f"`python train/evaluate.py --data DIR --approach KEY --images {images} "
        f"--output weights/KEY/report/{images}.json`"
    )


def _missing(command: str) -> str:
    return f"{tables.NOT_MEASURED.capitalize()}. This measures it: {command}."
