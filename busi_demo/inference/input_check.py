"""The input check: whether a picture is a B-mode ultrasound of a breast, as far as can be told without a network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from busi_demo.imaging.properties import PROPERTIES, properties
from busi_demo.imaging.text import percent
from busi_demo.types import InputCheck, Verdict
from busi_demo.weights.input_reference import (
    INPUT_CHECK_FILE,
    ORIENTATIONS,
    InputReference,
    NetworkReference,
    input_reference,
    network_reference,
)

EXPECTED_PICTURE = "Expected was a B-mode ultrasound of a breast"
SMALLEST = 64
"""Side in pixels below which a picture is doubtful: lesions and their margins are hardly visible."""
COLOURED, MOSTLY_COLOURED = 0.02, 0.3
"""Share of coloured pixels from which on a picture is doubtful, and from which on it is refused."""

_log = logging.getLogger(__name__)
_TWO_TONES = 0.97  # of the pixels in two of 64 grey values
_EVEN = 3.0  # standard deviation of the grey values, of 255
_TISSUE = 0.02  # share of pixels that are not dark
_ULTRASOUND = ("US", "IVUS")
# PS3.3 C.7.3.1.1.1 and PS3.16 CID 4, the usual ones. A header may hold anything, a name, too: nothing else is quoted.
_MODALITIES = (
    *("CR", "CT", "DX", "ECG", "EPS", "ES", "GM", "IO", "IVOCT", "MG", "MR", "NM", "OCT", "OP", "OT", "PT", "PX", "RF"),
    *("RTIMAGE", "SC", "SM", "SR", "XA", "XC"),
)
_PARTS = (
    *("ABDOMEN", "ANKLE", "AORTA", "ARM", "AXILLA", "BACK", "BLADDER", "BRAIN", "CAROTID", "CHEST", "ELBOW", "EYE"),
    *("FACE", "FOOT", "GALLBLADDER", "HAND", "HEAD", "HEART", "HIP", "KIDNEY", "KNEE", "LEG", "LIVER", "LUNG", "NECK"),
    *("OVARY", "PANCREAS", "PELVIS", "PROSTATE", "SCROTUM", "SHOULDER", "SPINE", "SPLEEN", "TESTIS", "THIGH"),
    *("THYROID", "UTERUS", "WRIST"),
)
_BREAST = ("BREAST", "MAMMA", "BRUST", "SEIN", "MAMA", "PECHO", "")

_UNKNOWN = (
    "It looks unlike the pictures that the networks know: perhaps another organ, another way of scanning or a machine "
    "that they have not met."
)
_TURNED = {
    "negative": "It looks like a negative: dark and bright are exchanged. Invert it, and try again.",
    "quarter turn": "It looks turned by a quarter: the skin should lie at the top. Turn it, and try again.",
    "upside down": "It may be upside down: the skin should lie at the top.",
}
_UNDONE: Mapping[str, Callable[[np.ndarray], Sequence[np.ndarray]]] = {
    "negative": lambda a: (255 - a,),
    "quarter turn": lambda a: (np.rot90(a), np.rot90(a, 3)),
    "upside down": lambda a: (a[::-1], a[::-1, ::-1]),
}
"""What a picture that looks changed may have been before, uint8 (H, W) each."""


@dataclass(frozen=True, eq=False)
class Known:
    """What a picture is compared with, and what is measured of it.

    Attributes:
        reference: properties of known pictures.
        network: what a network sees in them; `None` to compare properties alone.
        complete: nothing is missing that was fitted to the weights that ship. A network that answers alone, without
            the others of its ensemble, has no `network` and is complete.
    """

    reference: InputReference
    network: NetworkReference | None = None
    complete: bool = True


def known_pictures(folder: Path, sha256: str) -> Known | None:
    """What is known to the weights in a folder; `None` where nothing is.

    Args:
        folder: of the approach.
        sha256: of its weights; what was fitted to other weights is not used.
    Raises:
        InputError: a file is damaged.
    """
    reference, network = input_reference(folder.parent), network_reference(folder)
    if network and network.sha256 != sha256:
        network = None
    if reference is None or network is None:
        what = "note: %s does not notice all pictures that are no breast ultrasound, as %s is missing or does not fit: "
        _log.warning(what + "fetch it, or run train/fit_input_check.py", folder.name, INPUT_CHECK_FILE)
    return Known(reference, network, complete=network is not None) if reference else None


def check_input(
    pixels: np.ndarray,
    known: Known | None,
    *,
    descriptor: np.ndarray | None = None,
    coloured: float = 0.0,
    header: Mapping[str, str] | None = None,
) -> InputCheck:
    """Check a picture before its answer is told. The strongest verdict of all checks counts; the reasons are those of
    this verdict.

    Args:
        pixels: uint8 (H, W), the part of the picture that the network sees.
        known: what it is compared with; `None`: only what needs no comparison is checked.
        descriptor: float32 (D,), `ModelOutput.descriptor` of the picture; `None` where the network makes none.
        coloured: share of the pixels of that part that have a colour, apart from one even tint, 0 to 1.
        header: DICOM values `Modality` and `BodyPartExamined`, where the file tells them.
    """
    compared = bool(known and known.complete)
    plain = _plain_findings(pixels)
    findings = [*_header_findings(header or {}), *_colour_findings(coloured), *plain]
    if known and not any(verdict is Verdict.REFUSED for verdict, _ in findings):
        findings += compare(properties(pixels), descriptor, known, pixels)
    for verdict in (Verdict.REFUSED, Verdict.DOUBTFUL):
        if reasons := tuple(reason for found, reason in findings if found is verdict):
            return InputCheck(verdict, reasons, compared=compared)
    return InputCheck(compared=compared)


_Findings = list[tuple[Verdict, str]]


def _header_findings(header: Mapping[str, str]) -> _Findings:
    found: _Findings = []
    modality, part = (header.get(name, "").strip().upper() for name in ("Modality", "BodyPartExamined"))
    if modality and modality not in _ULTRASOUND:
        told = f"its modality is {modality}" if modality in _MODALITIES else "it has another modality"
        found.append((Verdict.REFUSED, f"{EXPECTED_PICTURE}, but the file says that {told}."))
    if not any(name in part for name in _BREAST if name) and part:
        told = f": {part}" if part in _PARTS else ""
        found.append((Verdict.DOUBTFUL, f"The file says that it shows another part of the body{told}."))
    return found


def _colour_findings(coloured: float) -> _Findings:
    if coloured >= MOSTLY_COLOURED:
        what = f"this picture is coloured in {percent(coloured)} of it, like a photograph or an elastogram"
        return [(Verdict.REFUSED, f"{EXPECTED_PICTURE}, which is grey, but {what}.")]
    if coloured >= COLOURED:
        share = percent(coloured)
        return [(Verdict.DOUBTFUL, f"There is colour in {share} of it (Doppler, elastography or drawn marks?).")]
    return []


def _plain_findings(pixels: np.ndarray) -> _Findings:
    """What needs no comparison with known pictures."""
    if pixels.std() < _EVEN or (pixels >= 12).mean() < _TISSUE:
        return [(Verdict.REFUSED, f"{EXPECTED_PICTURE}, but there is almost nothing to see in this picture.")]
    counts = np.sort(np.bincount((pixels >> 2).ravel(), minlength=64))[::-1]
    if counts[:2].sum() >= _TWO_TONES * pixels.size:
        return [(Verdict.REFUSED, f"{EXPECTED_PICTURE}, but this looks like a mask or a drawing of two tones.")]
    if min(pixels.shape) < SMALLEST:
        size = f"{pixels.shape[1]} x {pixels.shape[0]}"
        return [(Verdict.DOUBTFUL, f"It is small ({size} pixels): a lesion and its margin are hardly visible.")]
    return []


def compare(
    measured: np.ndarray, descriptor: np.ndarray | None, known: Known, pixels: np.ndarray | None = None
) -> _Findings:
    """Compare a picture with known pictures.

    Args:
        measured: float32 (P,), from `properties`.
        descriptor: float32 (D,), as in `check_input`.
        pixels: uint8 (H, W), the picture: if it is as far away as a refused one, it counts as a negative or as turned
            only where it is like known ones once that is undone. `None`: that is not looked at.
    Returns:
        At most one verdict with its reason; none for a picture like the known ones.
    """
    reference, network = known.reference, known.network
    distance = float(reference.known.distance(measured[None])[0])
    seen = float(network.known.distance(descriptor[None])[0]) if network and descriptor is not None else 0.0
    shares = dict(zip(ORIENTATIONS, reference.orientation(measured[None])[0].tolist(), strict=True))
    likeliest = max(shares, key=shares.__getitem__)
    refused = distance >= reference.refused
    if network:
        refused |= seen >= network.refused and distance >= reference.doubtful
    turned = likeliest in _TURNED and shares[likeliest] >= reference.turned
    if turned and refused and pixels is not None:
        turned = _is_known(_UNDONE[likeliest](pixels), reference)
    if turned:
        strong = refused and likeliest != "upside down"
        return [(Verdict.REFUSED if strong else Verdict.DOUBTFUL, _TURNED[likeliest])]
    if refused:
        return [_unlike(measured)]
    if distance >= reference.doubtful or (network and seen >= network.doubtful):
        return [(Verdict.DOUBTFUL, _UNKNOWN)]
    return []


def _unlike(measured: np.ndarray) -> tuple[Verdict, str]:
    return Verdict.REFUSED, f"{EXPECTED_PICTURE}, but this looks like {_guess(measured)}."


def _is_known(copies: Sequence[np.ndarray], reference: InputReference) -> bool:
    """Whether one of several copies of a picture, uint8 (H, W) each, is like known pictures by its properties."""
    rows = np.stack([properties(np.ascontiguousarray(copy)) for copy in copies])
    return bool(reference.known.distance(rows).min() < reference.doubtful)


def _guess(measured: np.ndarray) -> str:
    """What a refused picture may be, in words."""
    values = dict(zip(PROPERTIES, measured.tolist(), strict=True))
    if values["bright"] > 0.5:
        return "a page of text or a plot"
    if values["in 8 tones"] > 0.8:
        return "a drawing or a screen"
    return "a photograph or another kind of image"
