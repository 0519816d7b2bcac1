"""The settings with which an answer is shown; to change them does not run the network."""

from __future__ import annotations

from dataclasses import dataclass

from busi_demo.inference.cam_methods import DEFAULT_CAM_METHOD

CAM_OPACITY = 0.55
"""Default opacity of the strongest pixel of the CAM in the overlay."""


@dataclass(frozen=True)
class View:
    """Settings of an answer; the defaults are those of the approach.

    Attributes:
        threshold: lowest mask probability of a lesion pixel, in (0, 1); `None`: the threshold of the weights, with a
            mask that agrees with the class.
        cam_class: the class that the CAM explains; `None`: the predicted one.
        cam_method: key of `busi_demo.inference.cam_methods.CAM_METHODS`.
        opacity: opacity of the strongest pixel of the CAM in the overlay, 0 to 1.
        spacing: width of a pixel in millimetres, given by a person; `None`: the spacing in the file, if there is one.
        uncertainty: whether the figure has a panel of how unsure the mask is.
    """

    threshold: float | None = None
    cam_class: str | None = None
    cam_method: str = DEFAULT_CAM_METHOD
    opacity: float = CAM_OPACITY
    spacing: float | None = None
    uncertainty: bool = False


DEFAULT_VIEW = View()
"""The view with the settings of the approach."""
