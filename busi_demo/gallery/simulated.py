"""Write the simulated examples in `examples/` again: python -m busi_demo.gallery.simulated [FOLDER]"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image

from busi_demo.data.phantom import make_phantom

# id, class, seed, height, width, description
GALLERY = (
    ("benign_1", "benign", 3_000_000, 420, 500, "Oval and smooth, wider than tall, brighter behind"),
    ("benign_2", "benign", 3_000_005, 400, 520, "Oval and smooth, wider than tall"),
    ("benign_3", "benign", 3_000_008, 440, 480, "Oval and smooth, wider than tall"),
    ("malignant_1", "malignant", 3_000_008, 420, 500, "Large, irregular border, shadow behind"),
    ("malignant_2", "malignant", 3_000_002, 400, 520, "Irregular border, shadow behind"),
    ("malignant_3", "malignant", 3_000_001, 440, 480, "Taller than wide, shadow behind"),
    ("normal_1", "normal", 3_000_001, 420, 500, "Layers of tissue, no lesion"),
    ("normal_2", "normal", 3_000_005, 400, 520, "Layers of tissue, no lesion"),
    ("normal_3", "normal", 3_000_007, 440, 480, "Layers of tissue, no lesion"),
)


def write_gallery(folder: Path) -> None:
    """Write ID.png, ID_mask.png for every row of `GALLERY`, and examples.json that lists them."""
    rows = []
    for name, label, seed, height, width, description in GALLERY:
        phantom = make_phantom(label, seed, height, width)
        Image.fromarray(phantom.image).save(folder / f"{name}.png")
        Image.fromarray(phantom.mask).save(folder / f"{name}_mask.png")
        rows.append(
            {
                "id": name,
                "image": f"{name}.png",
                "mask": f"{name}_mask.png",
                "label": label,
                "seed": seed,
                "height": height,
                "width": width,
                "description": description,
            }
        )
    (folder / "examples.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_gallery(Path(sys.argv[1] if len(sys.argv) > 1 else "examples"))
