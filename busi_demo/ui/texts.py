"""Every English text of the page, in one place. What goes into HTML is escaped where it is put there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from busi_demo.imaging.text import percent
from busi_demo.ui.limits import BATCH_MOST_IMAGES, BATCH_UNPACKED_MB, LARGEST_UPLOAD_MB

TITLE = "Breast ultrasound: segment, classify, explain"
INTRO = (
    "Upload an ultrasound or click an example, choose an approach, and see where it finds a lesion, which class it "
    "predicts, and which regions the class is based on."
)
DISCLAIMER = (
    "<strong>Research demo, not a medical device.</strong> Do not use it for diagnosis or treatment. Images are sent "
    "nowhere else. They are deleted when you remove them or close the page, and within two hours at the latest."
)

TAB_ANALYSE = "Analyse"

IMAGE = "Ultrasound image"
IMAGE_PLACEHOLDER = f"Drop an ultrasound here, paste it with Ctrl+V\nor click to upload (up to {LARGEST_UPLOAD_MB} MB)"
IMAGE_ALT = "The chosen ultrasound image"
MASK_SECTION = "Ground truth, scale and crop (optional)"
COMPARE_MASK_SECTION = "Ground truth (optional)"
MASK = "Mask"
MASK_PLACEHOLDER = "Drop a mask here or click to upload:\nwhite lesion on black, as large as the image"
MASK_ALT = "The chosen ground-truth mask"
APPROACH = "Approach"
ANALYSE = "Analyse"

EXAMPLES = "**Examples.** Simulated images with known masks; a click analyses one with the approach chosen above."

EXAMPLES_WITH_REAL = (
    "**Examples.** Simulated images, and real images that every approach, or one of its networks, was not trained on; "
    "a click analyses one with the approach chosen above."
)
REAL_EXAMPLE = "{} (real)"

WAITING = "The result appears here. Upload or paste an image, or click one of the examples."
NO_IMAGE = "There is no image yet: upload or paste one, or click an example."
API_NO_IMAGE = "There is no image: give a file as `image`."
EXPIRED = "This image has been deleted from the server, as all are after an hour: choose it again."
NOT_UPLOADED = "This file is not among the uploads of this server, or not any more: choose or upload it again."
FIGURE = "Five panels"

DICE, IOU = "Dice", "IoU"
OVERLAP_HINT = "overlap of the predicted with the true mask, 0 to 1"


def no_storage(reason: str) -> str:
    """The server cannot read or write a file, for a reason such as 'No space left on device'."""
    return (
        f"The server cannot read or write its files ({reason}): try again later, or tell the person who runs this page."
    )


def failed(kind: str) -> str:
    """Something failed that nobody foresaw, an error of this kind."""
    return f"This request failed ({kind}): check what you gave, try again, or tell the owner of this page."


def figure_alt(panels: Sequence[str], title: str, answer: str) -> str:
    """Text of the figure for screen readers.

    Args:
        panels: what each panel shows.
        title: name of the approach.
        answer: its class and probability.
    """
    *first, last = panels
    shown = f"{', '.join(first)} and {last}"
    return f"{shown[0].upper()}{shown[1:]} by {title}; predicted class: {answer}"


def sentence(title: str, lesion: str | None, predicted: str, runner_up: str, runner_up_share: str) -> str:
    """The answer as one sentence.

    Args:
        title: name of the approach.
        lesion: share of the image inside the outline, as text; `None` where nothing is outlined.
        predicted, runner_up: the most probable class and the one that comes next.
        runner_up_share: probability of `runner_up`, as text.
    """
    outline = f"outlines a lesion over {lesion} of the image" if lesion else "outlines no lesion"
    return f"{title} {outline} and finds {predicted} most likely; {runner_up} comes next with {runner_up_share}."


# ---- Analyse: views of an answer

OPEN_FILE = "Open a DICOM or any other image file"
SPACING = "Pixel spacing in mm"
SPACING_INFO = "For lengths in millimetres. A DICOM file usually contains it."

REFUSED = "refused"
REFUSED_TITLE = "Not analysed"
REFUSED_HINT = "No class is told for such a picture."
ANYWAY = "Analyse anyway"
OVERRIDDEN = "Analysed although the picture was refused"
DOUBTFUL = "Doubtful picture"

FRAME = "Frame"
FRAME_INFO = "The file holds several; each is analysed alone."
DRAG_CROP = "Choose the part that is ultrasound"
CROP = "Part that is ultrasound: x0, y0, x1, y1"
CROP_INFO = "In pixels of the image; empty: found automatically. Press Enter to analyse that part."

THRESHOLD = "Mask threshold"
THRESHOLD_INFO = "Lowest probability of a lesion pixel."
OPACITY = "CAM opacity"
OPACITY_INFO = "Strength of the map's colours."
UNCERTAINTY = "Show where the outline is uncertain, and where the networks disagree"
CAM_CLASS = "Class to explain"
CAM_CLASS_INFO = "The map shows the evidence for this class."
PREDICTED_CLASS = "the predicted one"
CAM_METHOD = "CAM method"
CAM_METHOD_INFO = "How the map is made."
RESET = "Reset to defaults"
FIGURE_PNG = "Figure as PNG"
FIGURE_PDF = "Figure as PDF"
REPORT_PDF = "Report as PDF"
REPORT_JSON = "Report as JSON"
REPLACED = "The image was taken away or replaced in the meantime, and its files with it."
STILL_ANALYSED = "Another image is being analysed: press the button again once its answer is shown."
FORGOTTEN = "This result is no longer kept on the server: press Analyse to compute it again."

SEEN = "Seen before?"
NOT_SEEN = "No match found among the training and test images. Crops and quarter turns are not recognised."
SEEN_UNKNOWN = "Unknown: the list of known images is missing."
SEEN_NOTE = "Compared by a perceptual hash on this machine; the image is not sent anywhere."
TRUST = "How far to trust this answer"
LEVELS = {"green": ("✓", "Good"), "amber": ("!", "Caution"), "red": ("✕", "Warning"), "none": ("?", "Open")}
"""Sign and word for each level of trust."""
TRUST_LIMITS = (
    "A green answer may still be wrong. The numbers hold for images like those they were measured on; another hospital "
    "or machine changes them."
)
EXPECTED_DICE = "Expected Dice of the outline:"


def set_at(level: str) -> str:
    """Before the classes that are left open at a confidence level, such as "0.95"."""
    return f"Classes left open at {100 * float(level):g} %:"


ABOUT_THE_MAP = "The map"
MEASUREMENTS = "Measurements"
NOTHING_TO_MEASURE = "No lesion is outlined: there is nothing to measure."
GEOMETRY = "Geometry computed from the predicted mask, not a BI-RADS assessment."
IN_PIXELS = "In pixels, because the pixel spacing is unknown."


def loading(title: str) -> str:
    """Message while the weights of an approach are loaded."""
    return f"Loading the weights of {title}: this happens once and takes a few seconds."


def passed(seconds: str) -> str:
    """Message on how long reading the image and the forward pass took.

    Args:
        seconds: as text.
    """
    return f"Answered in {seconds} s. The settings below do not run the network again."


# ---- Compare

TAB_COMPARE = "Compare"
COMPARE = "Compare all approaches"
COMPARE_INTRO = (
    "Every approach analyses the same image. Where their answers differ, the image is difficult or unlike the training "
    "images."
)
COMPARE_WAITING = "The comparison appears here. Upload or paste an image, or click one of the examples."
COMPARE_EXAMPLES = "**Examples.** Simulated images with known masks; a click compares all approaches on one."
COMPARE_LOADING = "Loading the approaches; this takes a while the first time …"
WAITS, LOOKS = "waiting", "running …"
APPROACHES_AGREE = "The approaches agree on the class, and largely on the outline."
NO_CONSENSUS = "Fewer than two approaches answered: there is nothing to compare."
ANSWERS = "Answer of each approach"
ANSWER_COLUMNS = ("Approach", "Class", "Lesion", "Dice")
NO_LESION = "none"
OVERLAP = "Overlap of the outlines"
OVERLAP_EXPLAINED = (
    "Dice of each pair of masks, 0 (apart) to 1 (the same); two masks without a lesion count as 1. Its median here:"
)


def consensus_by(count: int) -> str:
    """Above the verdict of several approaches."""
    return f"Consensus of {count} approaches"


# ---- Batch

TAB_BATCH = "Batch"
BATCH_FILES = "Images or zip archives"
BATCH_FOLDER = "Choose a folder"
BATCH_ANYWAY = "Analyse refused pictures, too"
BATCH_FRAMES = "Every frame of loops"
BATCH_START, BATCH_STOP = "Analyse all", "Stop"
BATCH_ALL = "All, and their consensus"
BATCH_LIMITS = (
    f"Up to {BATCH_MOST_IMAGES} images at a time; a file or zip archive up to {LARGEST_UPLOAD_MB} MB, an archive up to "
    f"{BATCH_UNPACKED_MB} MB unpacked. `NAME_mask.png` beside `NAME.png` is taken as its ground truth. More at a time: "
    "`python -m busi_demo batch`."
)
BATCH_WAITING = "Choose images, a folder or a zip archive; the table below fills while they are analysed."
BATCH_CHANGED = "The files have changed and the table is out of date: press Analyse all to update it."
BATCH_NOTHING = "There are no files yet: drop images or a zip archive, or choose a folder."
BATCH_LOADING = "Loading the approach; this takes a while the first time …"
BATCH_STOPPING = "Stopping after this image …"
BATCH_TABLE = "Results"
BATCH_CSV, BATCH_FIGURES = "Download the table (CSV)", "Download the figures (zip)"
BATCH_COLUMNS = ("Image", "Approach", "Class", "Trust", "At 95 %", "Benign %", "Malignant %", "Normal %", "Lesion %",
                 "Dice", "Remarks")  # fmt: skip
API_NO_FILES = "There are no files: give images or zip archives as `files`."


def batch_progress(done: int, total: int, name: str | None) -> str:
    """Beside the progress bar.

    Args:
        name: of the next image; `None` where there is none.
    """
    return f"{done} of {total} images" + (f", now {name}" if name else "")


def batch_left_out_title(count: int) -> str:
    """Heading of the files that are no images."""
    return f"{count} other {'file was' if count == 1 else 'files were'} left out"


def batch_left_out(name: str, reason: str) -> str:
    """Line of one of them."""
    return f"{name} {reason}"


def batch_failed(reason: str) -> str:
    """Message when the server cannot write the results."""
    return f"The server could not write the results ({reason}): try again later, or with fewer images."


def batch_summary(done: int, total: int, bad: int) -> str:
    """Message when a batch has ended or was stopped."""
    text = f"{done} of {total} images analysed" if done < total else f"All {total} images analysed"
    return f"{text}; {bad} could not be used, see their remarks." if bad else f"{text}."


# ---- How good is it?

TAB_QUALITY = "How good is it?"
QUALITY_INTRO = (
    "The results of each approach, from the files that ship with its weights. A bar shows the value and its 95 % "
    "interval: how much the value depends on which images were measured. On images of other hospitals and machines the "
    "approaches tell the classes apart less well: see the model card below."
)
QUALITY_APPROACH = "Details of"
QUALITY_WAITING = "Reading the results …"
NO_WEIGHTS = "There are no weights, so there are no results: fetch the repository's weights folder."
NO_CARD = "The model card is missing: `python train/model_card.py` writes it."
NO_AUTOPSY = "There is no autopsy yet: `python train/autopsy.py --data DIR --output train/results` writes it."
UNDEFINED = "undefined"
ALL_NUMBERS = "All numbers"
ALL_FOLDS = "Several folds: what networks of the same training give, each without another fold"
NUMBER_HEADS = ("metric", "value", "95 % interval", "images")
TABLE = "Table; scrolls sideways"
PLOT_LABELS = {
    "confusion": "Confusion matrix",
    "reliability": "Reliability",
    "roc": "ROC curves",
    "curves": "Training curves",
    "cam": "Faithfulness of the Grad-CAMs",
    "corruptions": "Robustness to corruptions",
    "kept": "Accuracy by share of answers kept",
}
TRUST_MEASURED = "What green, amber and red were worth"
SIZES_MEASURED = "What answers were worth by the number of classes left open"
SETS_MEASURED = "How often the sets hold the true class"
SETS_NOTE = "On images like those they were fitted to; another hospital or machine breaks the promise."
INPUT_MEASURED = "What the input check lets through"
INPUT_NOTE = "Doubtful pictures are answered with a warning, refused ones get no class."
CASES = "### Best and worst cases"
WORST_MASK, CONFIDENT_ERROR, BEST_MASK = "worst mask", "confident error", "best mask"
CASE_HEADS = ("case", "image", "predicted class", "probability", "Dice")
CASES_HINT = "Click a picture to see the answer of the approach."
CASES_ELSEWHERE = (
    "Pictures of the data set are not published. They are shown here if the data set is in data/Dataset_BUSI_with_GT "
    "or in the folder that $BUSI_DATA names."
)
AUTOPSY = "Why not 0.9272? The autopsy of an often quoted accuracy"
AUTOPSY_TITLE = "The same small classifiers, scored three ways"
CARD = "Model card"

_MEASURED_ON = {
    "locked_test": "the {n} locked test images, which were used neither for training nor for choosing a model",
    "validation": "the {n} images of the validation fold. The calibration was fitted to them, alone or with those of "
    "other folds, and some choices were made on them, so expect slightly lower values on other images",
    "cross_validated": "the {n} images of the training data, each predicted by a network that was not trained on it. "
    "The calibration was fitted to them",
}


def not_measured(key: str) -> str:
    """Message for an approach without results."""
    return (
        f"Not measured yet. This measures it: python train/evaluate.py --data DIR --approach {key} --images validation "
        f"--output weights/{key}/report/validation.json"
    )


def measured_on(title: str, report: Mapping[str, Any]) -> str:
    """On which images the results were measured."""
    if "images" not in report:
        return (
            f"{title}, measured at the end of training on {report['n']} validation images, with masks at the network's "
            "resolution and without intervals."
        )
    images = report["images"]
    if report.get("cross_validated"):
        images = "cross_validated"
    images = _MEASURED_ON.get(images, "{n} images of " + images).format(n=report["n"])
    return f"{title}, measured on {images}."


def on_images(n: int) -> str:
    """How many images the bars of an approach are from."""
    return f"on {n} images"


def all_folds(n: int, folds: int, absent: Sequence[str]) -> str:
    """On which images, and with which networks, the numbers of several folds were measured.

    Args:
        absent: titles of the approaches none of whose networks is the one that answers here.
    """
    other = f", except {' and '.join(absent)}, where other networks do" if absent else ""
    return (
        f"{n} images of the training data in {folds} folds, each predicted by networks that were not trained on it. "
        f"The networks of all folds were trained alike, and those of one fold answer here{other}."
    )


def no_cases(title: str) -> str:
    """Message where the results do not name their images."""
    return f"The report of {title} does not name single images: train/evaluate.py makes one that does."


def case_caption(kind: str, predicted: str, confidence: float, overlap: float | None) -> str:
    """Caption below the picture of a case."""
    if kind == CONFIDENT_ERROR or overlap is None:
        return f"{predicted} {percent(confidence)}"
    return f"Dice {overlap:.2f}"


def case_gone(image: str) -> str:
    """Message where the image of a case cannot be read any more."""
    return f"{image} is no longer on this machine: put the data set back, or choose another case."


def plot_alt(plot: str, title: str, report: Mapping[str, Any] | None) -> str:
    """Text of a plot for screen readers; the table has the numbers."""
    n = f", {report['n']} images" if report else ""
    return f"{PLOT_LABELS[plot]} of {title}{n}"


def autopsy_alt(quoted: Mapping[str, Any]) -> str:
    """Text of the autopsy's figure for screen readers."""
    return (
        f"Accuracy of small classifiers with mask files counted as images, on a random split, and with near-duplicates "
        f"on one side, beside the quoted {quoted['accuracy']}; the table below has the numbers"
    )
