"""Random draws from categorical distributions."""

import torch
from torch import Tensor


@torch.no_grad()
def sample(probabilities: Tensor) -> Tensor:
    """Draw one category from each distribution.

    ``torch.multinomial`` raises an error on NaN. A network that diverges has no loss yet at the
    time of a draw, so any category is drawn there. The loss is then not finite, and training skips
    the step.

    Args:
        probabilities: (..., V), each row with a positive sum where it is finite.

    Returns:
        (...) drawn categories.
    """
    finite = probabilities.nan_to_num(nan=1.0)
    return torch.multinomial(finite.flatten(0, -2), 1).view(probabilities.shape[:-1])
