"""Where mixed precision does not pay."""

from contextlib import AbstractContextManager, nullcontext

import torch


def float32_on_cpu(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off on a CPU, for work made of many small operations.

    There the casts cost more than products in bf16 save, and torch's fused attention is several
    times slower in bf16. Tensors that come from outside must be made float32 by the caller.
    """
    if device.type == "cpu":
        return torch.autocast("cpu", enabled=False)
    return nullcontext()
