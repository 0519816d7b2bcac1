"""How much the page accepts."""

from __future__ import annotations

LARGEST_UPLOAD_MB = 50
"""Largest upload, and largest file in an archive, in megabytes."""

BATCH_MOST_IMAGES = 200
"""Most images of a batch."""

BATCH_UNPACKED_MB = 500
"""Largest archive, unpacked, in megabytes."""
