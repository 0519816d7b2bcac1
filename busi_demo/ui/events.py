"""How listeners are declared: keywords for `button.click(...)` and its like."""

from __future__ import annotations

from typing import Any

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""No endpoint for programs: used by the page only."""

QUICK: dict[str, Any] = {**PRIVATE, "queue": False, "show_progress": "hidden"}
"""Answers at once, without a network."""

INPUTS: dict[str, Any] = {
    **PRIVATE, "concurrency_limit": 1, "concurrency_id": "inputs", "show_progress": "hidden",
}  # fmt: skip
"""Changes the inputs: one after the other, so that the last request is answered last."""

DRAW: dict[str, Any] = {**PRIVATE, "concurrency_limit": 1, "concurrency_id": "draw"}
"""Draws without a network, one after the other, and does not wait for requests that need a network."""

MODEL: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
"""Runs a network: all of these wait in one queue, in order, so that the last request is answered last."""

PROGRAM: dict[str, Any] = {"concurrency_limit": 4, "concurrency_id": "programs"}
"""Runs a network for programs, which wait for their own answers: several at the same time, so that equal requests share
the passes of the networks, see `inference.single_flight`."""

LONG: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "batch"}
"""Runs a network for minutes: in a queue of its own, so that no other request waits for it."""
