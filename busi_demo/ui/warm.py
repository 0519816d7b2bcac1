"""Loading and compiling networks once the page stands, so that it does not wait for them."""

from __future__ import annotations

import logging
import threading

from busi_demo.models import APPROACHES, DEFAULT_APPROACH

_log = logging.getLogger(__name__)


def warm_in_background() -> threading.Thread:
    """Start `warm` in a thread that does not keep the process alive."""
    thread = threading.Thread(target=warm, name="warm", daemon=True)
    thread.start()
    return thread


def warm() -> None:
    """Load the weights of each approach, the default one first, answer a simulated image, and choose the engine of its
    networks. Until that is done, and where it fails, PyTorch runs them."""
    from busi_demo.data.phantom import make_phantom  # loads what the first page need not wait for
    from busi_demo.inference.predictor import load_predictor
    from busi_demo.types import InputError

    image = make_phantom("benign", 0, 320, 400).image
    for key in sorted(APPROACHES, key=lambda key: key != DEFAULT_APPROACH):
        try:
            predictor = load_predictor(key)
            predictor.predict(image)
            choice = predictor.accelerate(image)
        except InputError as error:
            _log.info("%s is not warmed: %s", key, error)
            continue
        times = ", ".join(f"{name} {value:.0f} ms" for name, value in choice.milliseconds.items())
        _log.info("%s runs with the engine %s. %s %s", key, choice.engine, choice.reason, times)
