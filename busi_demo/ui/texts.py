"""Every English text of the page, in one place. What goes into HTML is escaped where it is put there."""

from __future__ import annotations

LARGEST_UPLOAD_MB = 50

TITLE = "Breast ultrasound: segment, classify, explain"
INTRO = (
    "Upload an ultrasound or click an example, choose an approach, and see where it finds a lesion, which class it "
    "names, and what it looked at."
)
DISCLAIMER = (
    "<strong>Research demo, not a medical device.</strong> Do not use it for diagnosis or treatment. Images are sent "
    "nowhere else and deleted within two hours."
)

TAB_ANALYSE = "Analyse"

IMAGE = "Ultrasound image"
IMAGE_PLACEHOLDER = f"Drop an ultrasound here, paste it with Ctrl+V\nor click to upload (up to {LARGEST_UPLOAD_MB} MB)"
IMAGE_ALT = "The chosen ultrasound image"
MASK_SECTION = "Ground truth and scale (optional)"
MASK = "Mask"
MASK_PLACEHOLDER = "Drop a mask here or click to upload:\nwhite lesion on black, as large as the image"
MASK_ALT = "The chosen ground-truth mask"
APPROACH = "Approach"
ANALYSE = "Analyse"

EXAMPLES = "**Examples.** Simulated images with known masks; a click analyses one with the approach chosen above."

WAITING = "The result appears here. Upload or paste an image, or click one of the examples."
NO_IMAGE = "There is no image yet: upload or paste one, or click an example."
API_NO_IMAGE = "There is no image: give a file as `image`."
EXPIRED = "This image has been deleted from the server, as all are after an hour or two: choose it again."
FIGURE = "Five panels"

DICE, IOU = "Dice", "IoU"
OVERLAP_HINT = "overlap of the predicted with the true mask, 0 to 1"


def figure_alt(title: str, answer: str) -> str:
    """What a screen reader says of the figure."""
    return (
        f"Input, ground truth, predicted mask, class activation map and overlay by {title}; predicted class: {answer}"
    )


def sentence(title: str, lesion: str | None, predicted: str, runner_up: str, runner_up_share: str) -> str:
    """The answer in plain words.

    Args:
        title: name of the approach.
        lesion: share of the image inside the outline, as text; `None` where nothing is outlined.
        predicted, runner_up: the most probable class and the one that comes next.
        runner_up_share: probability of `runner_up`, as text.
    """
    found = f"outlines a lesion over {lesion} of the image" if lesion else "outlines no lesion"
    return f"{title} {found} and finds {predicted} most likely; {runner_up} comes next with {runner_up_share}."


# ---- Analyse: views of an answer

OPEN_FILE = "Open a DICOM or any other image file"
SPACING = "Pixel spacing in mm"
SPACING_INFO = "For lengths in millimetres, where you know it. A DICOM file usually brings its own."

THRESHOLD = "Mask threshold"
THRESHOLD_INFO = "From which a pixel is lesion."
OPACITY = "CAM opacity"
OPACITY_INFO = "Colour of the overlay."
CAM_CLASS = "Class to explain"
CAM_CLASS_INFO = "Whose evidence the map shows."
PREDICTED_CLASS = "the predicted one"
CAM_METHOD = "CAM method"
CAM_METHOD_INFO = "How the map is made."
RESET = "Reset to defaults"
FIGURE_PNG = "Figure as PNG"
FIGURE_PDF = "Figure as PDF"
REPORT_PDF = "Report as PDF"
REPORT_JSON = "Report as JSON"
FORGOTTEN = "This result is no longer kept on the server: press Analyse to have it again."

SEEN = "Seen before?"
NOT_SEEN = "No: the image is like none that the models were trained or tested with."
SEEN_NOTE = "Compared by a perceptual hash; no image leaves this machine for that."
TRUST = "How far to trust this answer"
LEVELS = {"green": ("✓", "Good"), "amber": ("!", "Caution"), "red": ("✕", "Warning"), "none": ("?", "Open")}
"""Sign and word for each level of trust."""
NOTHING_AGAINST = "No check speaks against this answer."
TRUST_LIMITS = "These checks find answers that contradict themselves; one that passes all of them may still be wrong."
ABOUT_THE_MAP = "The map"
MEASUREMENTS = "Measurements"
NOTHING_TO_MEASURE = "No lesion is outlined: there is nothing to measure."
GEOMETRY = "Geometry computed from the predicted mask, not a BI-RADS assessment."
IN_PIXELS = "In pixels, for the file does not say how large one is."


def loading(title: str) -> str:
    """What is said while the weights of an approach are loaded."""
    return f"Loading the weights of {title}: this happens once and takes a few seconds."


def passed(seconds: str) -> str:
    """How long the network took.

    Args:
        seconds: as text.
    """
    return f"The network answered in {seconds} s. The settings below do not run it again."
