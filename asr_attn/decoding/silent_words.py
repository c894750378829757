"""Words that are written where nothing is said, seen from attention and an alignment by CTC."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_attn.decoding.alignment import TokenSpan


def near(speech: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """Mark steps (S,) that are speech, or at most ``margin`` steps away from some."""
    found = speech.copy()
    for distance in range(1, margin + 1):
        found[distance:] |= speech[:-distance]
        found[:-distance] |= speech[distance:]
    return found


def words_in_silence(
    words: Sequence[tuple[int, int]],
    weights: NDArray[np.floating[Any]],
    spans: Sequence[TokenSpan],
    speech: NDArray[np.bool_],
    share: float,
) -> list[tuple[int, int]]:
    """Find where in silence words are, by attention or by CTC.

    Args:
        words: first token of each of W words and that after its last.
        weights: (U, S) attention weights of the tokens.
        spans: alignment of the U tokens by CTC; empty where there is none.
        speech: (S,) True where a step carries speech.
        share: of a word's attention, that must lie in silence.

    Returns:
        First memory step of each word and that after its last; the same twice if the word is not in
        silence.
    """
    found = []
    for first, last in words:
        looked = weights[first:last].sum(axis=0)
        inside = np.flatnonzero(~speech & (looked >= looked.max() / 2))
        if looked[speech].sum() > (1.0 - share) * looked.sum():
            inside = inside[:0]
        if not len(inside) and spans:
            place = np.arange(spans[first].start, spans[last - 1].end)
            inside = place[:0] if speech[place].any() else place
        found.append((int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0))
    return found
