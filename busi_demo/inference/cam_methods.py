"""The available methods of class activation maps, by key."""

from __future__ import annotations

from dataclasses import dataclass

from busi_demo.types import InputError


@dataclass(frozen=True)
class CamMethod:
    """A method that makes a map of the evidence in an image.

    Attributes:
        title: name, as its authors write it.
        paper: publication.
        summary: one sentence for people on what it shows.
        library_class: name of the class in `pytorch_grad_cam` that computes it.
        of_class: whether the map explains one class; other maps do not depend on the class.
        in_logits: whether the values are shares of the class logit; other maps have another scale.
    """

    title: str
    paper: str
    summary: str
    library_class: str
    of_class: bool = True
    in_logits: bool = False


CAM_METHODS: dict[str, CamMethod] = {
    "grad_cam": CamMethod(
        "Grad-CAM",
        "Selvaraju et al., ICCV 2017",
        "Features weighted by the mean gradient of the class.",
        "GradCAM",
        in_logits=True,
    ),
    "grad_cam_plus_plus": CamMethod(
        "Grad-CAM++",
        "Chattopadhay et al., WACV 2018",
        "Counts only features that speak for the class, and widespread ones less.",
        "GradCAMPlusPlus",
    ),
    "hires_cam": CamMethod(
        "HiResCAM",
        "Draelos and Carin, 2020, arXiv:2011.08891",
        "Each place by its own gradient; the class heads here are linear, so it equals Grad-CAM.",
        "HiResCAM",
        in_logits=True,
    ),
    "layer_cam": CamMethod(
        "LayerCAM",
        "Jiang et al., IEEE TIP 2021",
        "Only what speaks for the class at each place; evidence against it is left out.",
        "LayerCAM",
        in_logits=True,
    ),
    "xgrad_cam": CamMethod(
        "XGrad-CAM",
        "Fu et al., BMVC 2020",
        "Gradients weighted by the features themselves; the class heads here are linear, so it equals Grad-CAM.",
        "XGradCAM",
        in_logits=True,
    ),
    "eigen_cam": CamMethod(
        "Eigen-CAM",
        "Muhammad and Yeasin, IJCNN 2020",
        "The strongest pattern in the features, whatever the class.",
        "EigenCAM",
        of_class=False,
    ),
}
"""Key -> method of `busi_demo.inference.cam.class_activation_map`."""

DEFAULT_CAM_METHOD = "grad_cam"

MEAN_GRAD_CAM = "mean_grad_cam"
"""The map of a consensus; it cannot be chosen for a single approach."""

_OF_A_CONSENSUS = CamMethod(
    "Mean Grad-CAM",
    "Selvaraju et al., ICCV 2017",
    "The Grad-CAMs of the approaches, each with the same total, averaged.",
    "",
)


def single_cam_method(key: str) -> CamMethod:
    """Return a method that can be computed for a single approach, one of `CAM_METHODS`.

    Raises:
        InputError: there is no such method; the message lists the valid keys.
    """
    if key not in CAM_METHODS:
        raise InputError(f"There is no CAM method {key!r}: choose one of {', '.join(CAM_METHODS)}.")
    return CAM_METHODS[key]


def find_cam_method(key: str) -> CamMethod:
    """Return the method of a map that exists: one of `CAM_METHODS`, or that of a consensus.

    Raises:
        InputError: there is no such method; the message lists the valid keys.
    """
    return _OF_A_CONSENSUS if key == MEAN_GRAD_CAM else single_cam_method(key)
