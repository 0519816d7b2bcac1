"""Make `busi_demo` of this checkout importable by the scripts here, whether it is installed or not.

`python train/NAME.py` puts the folder `train` on `sys.path`, not the folder above it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
