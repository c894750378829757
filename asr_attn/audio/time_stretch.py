"""Changing how long speech takes without changing its pitch."""

import math

import numpy as np
from numpy.typing import NDArray

HOP_SECONDS = 0.02
"""From one piece to the next in the result; a piece is twice as long."""
REACH_SECONDS = 0.01
"""How far a piece may be moved so that it fits; twice this is the longest period of a voice."""


def stretch(samples: NDArray[np.float32], length: int, sample_rate: int) -> NDArray[np.float32]:
    """Stretch or squeeze one waveform to a given length; pitch and sound stay.

    Waveform similarity overlap-add (WSOLA, Verhelst and Roelands 1993): pieces of the waveform are
    put closer together or further apart, each moved by at most ``REACH_SECONDS`` to where it goes
    on best from the piece before.

    Args:
        samples: (samples,).
        length: samples of the result, at least 1.
        sample_rate: in Hz.

    Returns:
        (length,).
    """
    if length == len(samples):
        return samples
    hop, reach = round(HOP_SECONDS * sample_rate), round(REACH_SECONDS * sample_rate)
    ratio = len(samples) / length
    centres = np.rint(np.arange(math.ceil(length / hop) + 1) * (hop * ratio)).astype(np.int64)
    # a piece begins ``hop`` before its centre, and ``reach`` before that at the earliest
    padded = np.pad(samples, (hop + reach, 3 * hop + reach + math.ceil(hop * ratio)))
    starts = _fitting_starts(padded, centres, hop, reach, max(1, sample_rate // 16000))
    fade_in = np.sin(np.arange(hop, dtype=np.float32) * np.float32(math.pi / 2 / hop)) ** 2
    pieces = padded[starts[:, None] + np.arange(2 * hop)]
    joined: NDArray[np.float32] = pieces[1:, :hop] * fade_in + pieces[:-1, hop:] * (1 - fade_in)
    return joined.reshape(-1)[:length]


def _fitting_starts(
    padded: NDArray[np.float32],
    earliest: NDArray[np.int64],
    hop: int,
    reach: int,
    step: int,
) -> NDArray[np.int64]:
    """Where in ``padded`` each piece begins: within ``2 * reach`` after its earliest start.

    What is compared, by normalised correlation, is the first half of a piece and what followed the
    first half of the piece before; of both only every ``step``-th sample.
    """
    energy = np.concatenate([[0.0], np.cumsum(np.square(padded, dtype=np.float64))])
    norms = np.sqrt(np.maximum(energy[hop:] - energy[:-hop], 0.0)) + 1e-6
    starts = np.empty_like(earliest)
    starts[0] = start = earliest[0] + reach
    for k in range(1, len(earliest)):
        low = earliest[k]
        wanted = padded[start + hop : start + 2 * hop : step]
        offered = padded[low : low + 2 * reach + hop : step]
        fit = np.correlate(offered, wanted, "valid")
        fit /= norms[low : low + step * len(fit) : step]
        starts[k] = start = low + step * int(fit.argmax())
    return starts
