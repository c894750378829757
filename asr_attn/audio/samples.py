"""Samples that callers give, checked before anything is computed of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_attn.errors import AudioError

LOUDEST = 100.0
"""Peak amplitude above which samples cannot have a full scale of 1."""


def usable_samples(samples: NDArray[Any]) -> NDArray[np.float32]:
    """The same samples (samples,) as float32.

    Raises:
        AudioError: they are not one channel of finite numbers with full scale ±1.
    """
    if samples.ndim != 1 or samples.size == 0:
        raise AudioError(
            f"audio samples have the shape {samples.shape}; give one channel, (samples,)"
        )
    if not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(
            f"audio samples are {samples.dtype}; give floating point with full scale ±1 "
            "(16-bit samples divided by 32768)"
        )
    samples = samples.astype(np.float32, copy=False)
    if not np.isfinite(samples).all():
        raise AudioError("audio samples hold NaN or infinity; mend what made them")
    if (peak := float(np.abs(samples).max())) > LOUDEST:
        raise AudioError(
            f"audio samples reach {peak:g}, but full scale is ±1; divide them by their scale "
            "(16-bit samples by 32768)"
        )
    return samples
