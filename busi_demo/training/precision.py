"""Choose the arithmetic: bf16 is several times faster on machines with instructions for it, and slower on others.

The choice depends only on the machine and the model. A timing at the start would measure the speed itself, but on a
busy machine two equal runs could then choose differently and end with different weights.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from busi_demo.models.base import ApproachModel

_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")  # with the latter only, U-Nets trained 1.7 times as fast in a test
_MAX_DISAGREEMENT = 0.05


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Mixed precision for a block of code: `precision` is "fp32" or "bf16"."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def choose_precision(model: ApproachModel, device: torch.device, size: int, requested: str = "auto") -> str:
    """Return "fp32" or "bf16": the requested one; for "auto", bf16 if the device has instructions for it and the mask
    probabilities of a random input differ by at most 0.05 from those in fp32."""
    if requested != "auto":
        return requested
    if not has_bf16(device):
        return "fp32"
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 1, size, size, generator=generator).to(device)
    was_training, masks = model.training, {}
    model.eval()
    with torch.no_grad():
        for precision in ("fp32", "bf16"):
            with autocast(device, precision):
                masks[precision] = model(x).mask_logits.float().sigmoid()
    model.train(was_training)
    return "bf16" if float((masks["fp32"] - masks["bf16"]).abs().max()) <= _MAX_DISAGREEMENT else "fp32"


def has_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bf16; for CPUs, as far as torch reports them."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # not in every torch that the project runs on
    return capabilities is not None and any(capabilities().get(name, False) for name in _INSTRUCTIONS)
