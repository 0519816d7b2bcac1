"""Small synthetic inputs that many tests share."""

from __future__ import annotations

import json
import time
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from busi_demo.imaging.text import percent
from busi_demo.types import Agreement, Prediction
from busi_demo.weights.store import CONFIG_FILE

ROOT = Path(__file__).resolve().parent.parent


def picture(seed: int, height: int = 72, width: int = 96) -> np.ndarray:
    """A smooth random grey image, uint8 (height, width), different for each seed."""
    coarse = np.random.RandomState(seed).randint(0, 256, (7, 9), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def disc(height: int, width: int, row: float, column: float, radius: float) -> np.ndarray:
    """A round mask, bool (height, width)."""
    rows, columns = np.ogrid[:height, :width]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def save_grey(path: Path, pixels: np.ndarray) -> Path:
    """Write uint8 or bool (H, W) in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8) * (255 if pixels.dtype == bool else 1)).save(path)
    return path


def png_chunk(kind: bytes, body: bytes, wrong: int = 0) -> bytes:
    """A chunk of a PNG file; `wrong` bits of its checksum are changed."""
    return len(body).to_bytes(4, "big") + kind + body + (zlib.crc32(kind + body) ^ wrong).to_bytes(4, "big")


def write_dicom(path: Path, pixels: np.ndarray, spacing: float) -> Path:
    """Write uint8 (H, W) as an ultrasound DICOM file of `spacing` millimetres per pixel."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage

    region = Dataset()
    region.RegionSpatialFormat = region.RegionDataType = 1
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxY1, region.RegionLocationMaxX1 = pixels.shape[0] - 1, pixels.shape[1] - 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # centimetres
    region.PhysicalDeltaX = region.PhysicalDeltaY = spacing / 10
    scan = Dataset()
    scan.SOPClassUID, scan.SOPInstanceUID = UltrasoundImageStorage, "1.2.3"
    (scan.Rows, scan.Columns), scan.SamplesPerPixel = pixels.shape, 1
    scan.PhotometricInterpretation, scan.PixelRepresentation = "MONOCHROME2", 0
    scan.BitsAllocated = scan.BitsStored = 8
    scan.HighBit = 7
    scan.SequenceOfUltrasoundRegions = [region]
    scan.PixelData = pixels.tobytes()
    scan["PixelData"].VR = "OB"
    scan.file_meta = FileMetaDataset()
    scan.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    scan.save_as(path, enforce_file_format=True)
    return path


def write_busi(root: Path, counts: Mapping[str, int], height: int = 72, width: int = 96) -> Path:
    """A folder in BUSI layout: `case (1).png`, ... in each class, with a disc as mask, none for normals."""
    seed = 0
    for label, count in counts.items():
        for i in range(1, count + 1):
            seed += 1
            mask = disc(height, width, height / 2, width / 2, height / 5) & (label != "normal")
            save_grey(root / label / f"{label} case ({i}).png", picture(seed, height, width))
            save_grey(root / label / f"{label} case ({i})_mask.png", mask)
    return root


def wait_until_ended(process: int, seconds: float = 30) -> None:
    """Wait until a process that is not a child of this one has ended, at most so long."""
    end = time.monotonic() + seconds
    with suppress(OSError):  # it is gone
        while Path(f"/proc/{process}/cmdline").read_bytes():  # of one that ended and is not collected: empty
            assert time.monotonic() < end
            time.sleep(0.05)


def pack(path: Path, members: dict[str, bytes] | list[tuple[str, bytes]]) -> Path:
    """A zip archive with these members, which may have any names."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, data)
    return path


def answer(mask: np.ndarray, **fields: object) -> Prediction:
    """A `malignant` prediction at 0.7 with the given mask, bool (H, W), and a CAM that equals the mask."""
    defaults = {
        "approach": "multitask_cnn",
        "image": np.zeros(mask.shape, dtype=np.uint8),
        "mask_probability": mask.astype(np.float32),
        "probabilities": {"benign": 0.2, "malignant": 0.7, "normal": 0.1},
        "cam": mask.astype(np.float32),
        "cam_class": "malignant",
        "cam_peak": 2.5,
        "threshold": 0.5,
        "agreement": Agreement.AGREES,
    }
    return Prediction(mask=mask, **(defaults | fields))


def heading(prediction: Prediction) -> str:
    """The heading of the page's card for an answer."""
    return f"{prediction.predicted_class.capitalize()} {percent(prediction.confidence)}"


@dataclass
class DiscSample:
    """A sample in memory: a white disc on black, larger in benign than in malignant images, none in normal ones."""

    label: str
    name: str = "disc"
    group: str = "disc"
    mask_complete: bool = True
    label_certain: bool = True
    findings: dict[str, str] = field(default_factory=dict)
    reads: int = 0

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        self.reads += 1
        mask = disc(60, 80, 20, 25, {"benign": 16, "malignant": 10, "normal": 0}[self.label]) & (self.label != "normal")
        return mask.astype(np.uint8) * 255, mask


def fill_weights(model: torch.nn.Module) -> torch.nn.Module:
    """Set the weights of convolutions and linear layers from their names: the same on every machine and in every
    release of torch, as the streams of NumPy's RandomState never change."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                bound = (3 / parameter[0].numel()) ** 0.5
                values = np.random.RandomState(zlib.crc32(name.encode())).random_sample(parameter.shape)
                parameter.copy_(torch.from_numpy((2 * values - 1) * bound))
            elif name.endswith("bias"):
                parameter.zero_()
    return model


def forget_mirrored(folder: Path, *path: str) -> None:
    """Take the setting `mirrored` out of config.json, as a version wrote it that did not have it yet.

    Args:
        folder: of an approach.
        path: keys from `architecture` to the settings of the network.
    """
    config = json.loads((folder / CONFIG_FILE).read_text())
    settings = config["architecture"]
    for key in path:
        settings = settings[key]
    del settings["mirrored"]
    (folder / CONFIG_FILE).write_text(json.dumps(config))
