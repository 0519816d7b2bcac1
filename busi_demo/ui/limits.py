"""How much the page accepts."""

from __future__ import annotations

LARGEST_UPLOAD_MB = 50
"""Largest upload, and largest file in an archive, in megabytes."""

BATCH_MOST_IMAGES = 200
"""Most images of a batch."""

BATCH_UNPACKED_MB = 500
"""Largest archive, unpacked, in megabytes."""

BATCH_TABLE_MB = 10
"""Largest table of contents of an archive, in megabytes: about 100,000 files."""

LARGEST_REQUEST_MB = 1000
"""Largest upload of several files in one request, in megabytes."""

LARGEST_MESSAGE_MB = 70
"""Largest request of another kind, in megabytes: one file as base64 text."""

LOGINS = "20/minute"
"""Most attempts of one client to log in."""

QUEUE_SIZE = 64
"""Most requests that wait; others are told to try again."""
