"""How listeners are declared: keywords for `button.click(...)` and its like."""

from __future__ import annotations

from typing import Any

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""No endpoint for programs: the page's own business."""

QUICK: dict[str, Any] = {**PRIVATE, "queue": False, "show_progress": "hidden"}
"""Answers at once and touches no network."""

INPUTS: dict[str, Any] = {
    **PRIVATE, "concurrency_limit": 1, "concurrency_id": "inputs", "show_progress": "hidden",
}  # fmt: skip
"""Changes what stands in the inputs: one after the other, so that the last wish is answered last."""

DRAW: dict[str, Any] = {**PRIVATE, "concurrency_limit": 1, "concurrency_id": "draw"}
"""Draws without a network: not behind those who wait for one, and one after the other as well."""

MODEL: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
"""Runs a network: all of these wait in one line, first come, first served, so that the last wish is answered last."""

LONG: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "batch"}
"""Runs a network for minutes: a line of its own, lest everybody else waits for the end of it."""
