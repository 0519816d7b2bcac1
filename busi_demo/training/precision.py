"""Choose the arithmetic: bf16 is several times faster where the machine has instructions for it, slower where not.

The choice hangs on the machine and the model alone. A timing at the start would be the truer measure, but of two equal
runs on a busy machine one would take fp32 and the other bf16, and they would end with different weights.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from busi_demo.models.base import ApproachModel

_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")  # gained 1.7 times on U-Nets where it was measured, with the latter alone
_MAX_DISAGREEMENT = 0.05


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Mixed precision for a block of code: `precision` is "fp32" or "bf16"."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def choose_precision(model: ApproachModel, device: torch.device, size: int, requested: str = "auto") -> str:
    """Return "fp32" or "bf16": what was requested, else bf16 where the device has instructions for it and the mask
    probabilities of a random input stay within 0.05 of those of fp32."""
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
    """Whether a device has instructions of its own for bf16; of CPUs, only those are known that torch tells of."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # not in every torch that the project runs on
    return capabilities is not None and any(capabilities().get(name, False) for name in _INSTRUCTIONS)
