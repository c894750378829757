"""Where mixed precision does not pay."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch


@cache
def bfloat16_pays() -> bool:
    """Whether this processor multiplies matrices in bfloat16 faster than in float32.

    By its name and not by a clock, so that a run does not depend on what else the machine does.
    Measured with torch 2.13 and 2.14: AMD's with AVX-512 are three to four times as fast, Intel's
    without AMX, as in virtual machines that hide it, half as fast. AMX is made for it.
    """
    abilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if abilities.get("amx_bf16"):
        return True
    return bool(abilities.get("avx512_bf16")) and "Intel" not in abilities.get("cpu_name", "")


def float32_on_cpu(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off on a CPU, for work made of many small operations.

    There the casts cost more than products in bf16 save, and torch's fused attention is several
    times slower in bf16. Tensors that come from outside must be made float32 by the caller.
    """
    if device.type == "cpu":
        return torch.autocast("cpu", enabled=False)
    return nullcontext()


def unmixed_on_cpu(device: torch.device) -> bool:
    """Whether work is on a CPU without autocast, so that operations may write into tensors."""
    return device.type == "cpu" and not torch.is_autocast_enabled("cpu")
