"""Names of the sources of training images that this project makes itself; all others are folders."""

from __future__ import annotations

from busi_demo.data.phantom import PHANTOMS

TISSUE = "tissue"
"""Normal tissue that is cut from beside lesions, see `tissue`."""
PASTED = "pasted"
"""Normal images with the lesion of another image, see `paste`."""

MADE = (PHANTOMS, TISSUE, PASTED)
