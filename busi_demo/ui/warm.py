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
    """Load the weights of each approach, the default one first, and let it answer a simulated image; then choose the
    engine of the networks of each. Until that is done, and where it fails, PyTorch runs them."""
    from busi_demo.data.phantom import make_phantom  # loads what the first page need not wait for
    from busi_demo.inference.predictor import load_predictor
    from busi_demo.types import InputError

    image, loaded = make_phantom("benign", 0, 320, 400).image, []
    for key in sorted(APPROACHES, key=lambda key: key != DEFAULT_APPROACH):
        try:
            predictor = load_predictor(key)
            predictor.predict(image)
            loaded.append(predictor)
        except InputError as error:
            _log.info("%s is not warmed: %s", key, error)
        except Exception:  # the others are warmed all the same
            _log.exception("%s is not warmed", key)
    for predictor in loaded:
        try:
            choice = predictor.accelerate(image)
        except InputError as error:
            _log.warning("%s runs in PyTorch: %s", predictor.key, error)
            continue
        times = ", ".join(f"{name} {value:.0f} ms" for name, value in choice.milliseconds.items())
        _log.info("%s runs with the engine %s. %s %s", predictor.key, choice.engine, choice.reason, times)
