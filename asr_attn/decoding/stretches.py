"""Stretches of a long recording: where to cut it, and how to put new words in place of old ones."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asr_attn.decoding.alignment import word_tokens
from asr_attn.decoding.doubts import Doubt
from asr_attn.text.tokenizer import Tokenizer

CONTEXT = 3.0
"""Seconds of a stretch on either side of a doubt, up to the next pause."""
REACH = 3.0
"""Seconds further out that a pause is looked for."""
LONGEST = 20.0
"""Seconds of a stretch; longer ones are cut at their pauses."""


def doubted_stretches(
    doubts: Iterable[Doubt],
    speech: NDArray[np.bool_],
    gaps: NDArray[np.float64],
    seconds_per_step: float,
) -> list[tuple[int, int]]:
    """Stretches of the memory that hold the doubts, with context on both sides.

    Args:
        doubts: of the whole recording.
        speech: (S,) True where a step carries speech.
        gaps: memory steps between words, in order.
        seconds_per_step: seconds of audio that one memory step stands for.

    Returns:
        First step and that after the last of each stretch, in order and without overlaps; none is
        longer than ``LONGEST``. They begin and end in pauses where there are some in reach, else
        between words.
    """
    steps = len(speech)
    context, reach = (round(seconds / seconds_per_step) for seconds in (CONTEXT, REACH))
    quiet = np.pad((~speech).astype(np.int8), 1)
    pauses = np.flatnonzero(np.diff(quiet)).reshape(-1, 2)
    wanted = np.zeros(steps + 1, dtype=np.int8)
    for doubt in doubts:
        first = round(doubt.start / seconds_per_step) - context
        last = round(doubt.end / seconds_per_step) + context
        start = _cut(pauses, gaps, first - reach, first, default=first)
        end = _cut(pauses, gaps, last, last + reach, default=last)
        wanted[max(0, start) : max(0, min(end, steps))] = 1
    longest = max(1, int(LONGEST / seconds_per_step))
    found: list[tuple[int, int]] = []
    for start, end in np.flatnonzero(np.diff(wanted, prepend=0)).reshape(-1, 2).tolist():
        while end - start > longest:
            most = start + longest
            cut = _cut(pauses, gaps, start + longest // 2, most, default=most)
            found.append((start, cut))
            start = cut
        found.append((start, end))
    return found


def _cut(
    pauses: NDArray[np.int_], gaps: NDArray[np.float64], first: int, last: int, default: int
) -> int:
    """Where to cut between two steps: in the longest pause (K, 2), else in the nearest gap."""
    middles = pauses.sum(axis=1) // 2
    inside = pauses[(middles >= first) & (middles <= last)]
    if len(inside):
        return int(inside[np.diff(inside)[:, 0].argmax()].sum() // 2)
    near = gaps[(gaps >= first) & (gaps <= last)]
    return round(near[np.abs(near - default).argmin()]) if len(near) else default


def words_in(tokens: Sequence[int], tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """First token of each word and that after its last; all tokens where there are no spaces."""
    if any(text[:1] == " " for text in tokenizer.spellings):
        return word_tokens(tokens, tokenizer)
    return [(i, i + 1) for i in range(len(tokens))]


def word_gaps(words: Sequence[tuple[int, int]], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Memory steps half-way between words, whose tokens are said at ``places`` (U,)."""
    gaps = [(places[left[1] - 1] + places[right[0]]) / 2 for left, right in pairwise(words)]
    return np.maximum.accumulate(np.array(gaps))


def tokens_before(
    cuts: Sequence[int],
    words: Sequence[tuple[int, int]],
    places: NDArray[np.float64],
) -> list[int]:
    """Number of tokens, said at ``places`` (U,), before each cut; words are not torn apart."""
    if not words:
        return [len(places)] * len(cuts)
    middles = np.maximum.accumulate([places[first:last].mean() for first, last in words])
    starts = [first for first, _ in words] + [len(places)]
    return [starts[number] for number in np.searchsorted(middles, cuts)]


def joined(parts: Iterable[Sequence[int]], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Join texts (ids) to one, with one space between them where words are written with spaces."""
    spellings = tokenizer.spellings
    space = spellings.index(" ") if " " in spellings else None
    found: list[int] = []
    for part in parts:
        own = list(part)
        while found and own and own[0] == space:
            own.pop(0)
        while own and own[-1] == space:
            own.pop()
        if found and own and space is not None and spellings[own[0]][:1] != " ":
            found.append(space)
        found += own
    return tuple(found)
