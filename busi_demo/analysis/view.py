"""How a person wants to see an answer; none of it runs the network."""

from __future__ import annotations

from dataclasses import dataclass

from busi_demo.inference.cam_methods import CAM_OPACITY, DEFAULT_CAM_METHOD


@dataclass(frozen=True)
class View:
    """A view of an answer; the defaults are those of the approach.

    Attributes:
        threshold: lowest mask probability of a lesion pixel, in (0, 1); `None`: the threshold of the weights, with a
            mask that agrees with the class.
        cam_class: the class that the CAM explains; `None`: the predicted one.
        cam_method: key of `busi_demo.inference.cam_methods.CAM_METHODS`.
        opacity: opacity of the strongest pixel of the CAM in the overlay, 0 to 1.
        spacing: millimetres per pixel, as the person gave them; `None`: what the file says, if it says so.
    """

    threshold: float | None = None
    cam_class: str | None = None
    cam_method: str = DEFAULT_CAM_METHOD
    opacity: float = CAM_OPACITY
    spacing: float | None = None


DEFAULT_VIEW = View()
"""The answer as the approach gives it."""
