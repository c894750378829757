"""What may be wrong with a hypothesis, seen from where attention looked while it was written.

Decoders with attention fail in ways of their own: they write the same words again and again, leave
out what was said, or end too soon (Chorowski et al. 2015, "Attention-based models for speech
recognition"). The text alone does not tell, for people do repeat themselves: attention does. What
was left out an alignment by CTC tells better, if there is one: where a text lacks words, attention
often reads on in their place and has speech left over at the end. They invent words, too, where
nothing is said.

Of several heads, those count that look elsewhere for each token: where a head looks without regard
to the token, it does not read. How much a head reads is measured by the variance of its weights
over the tokens. Centres are those of the head that reads most; attended to is what any head looks
at that reads half as much. Of a token's weights, only what they are above even ones counts: those
that lie evenly over the utterance look at nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from asr_attn.decoding.alignment import TokenSpan
from asr_attn.decoding.silent_words import near, words_in_silence

LEAST_WEIGHT = 1e-3
"""A token whose weights sum to less attends to nothing."""


@dataclass(frozen=True)
class DoubtConfig:
    """When to doubt a hypothesis."""

    loop_tokens: int = 4
    """Fewest tokens said again. With characters, two words and their spaces are no fewer; with
    subwords, 2 is two words."""
    loop_distance: float = 0.3
    """Attention is at the same place again if, token by token, it is nearer to where it was than
    this share of the stretch that it passes while the words are said once."""
    loop_seconds: float = 0.02
    """It is, too, if it has moved by less than this per token: nobody speaks so fast."""
    loop_width: float = 0.25
    """Attention that is spread over more than this share of the utterance shows no loops."""
    heard: float = 0.4
    """Words that CTC gives at least this probability, a geometric mean of their tokens, are said as
    often as written: attention by content alone may look at the same place for words alike."""
    skip_seconds: float = 0.4
    """Longest stretch of speech that may be left out."""
    stop_seconds: float = 0.5
    """Most speech that may be left at the end of the sentence."""
    pace: float = 3.0
    """Both are at least this many times what attention moves on by from token to token."""
    silence_seconds: float = 0.15
    """What is further from any speech lies in silence."""
    silence_share: float = 0.8
    """A word is written in silence if this share of its attention lies there, or its alignment by
    CTC does; unless CTC hears it, see ``heard``."""
    level: float = 0.25
    """A step is attended to if its weights sum to this share of the mean of all steps, where sums
    above 1 count as 1, so that a loop does not raise it."""

    def __post_init__(self) -> None:
        if self.loop_tokens < 1:
            raise ValueError(f"doubts.loop_tokens must be at least 1, not {self.loop_tokens}")
        for name in ("loop_seconds", "skip_seconds", "stop_seconds", "pace", "silence_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"doubts.{name} must not be negative: {getattr(self, name)}")
        for name in ("loop_distance", "loop_width", "heard", "level", "silence_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"doubts.{name} must be above 0 and at most 1, not {getattr(self, name)}"
                )


@dataclass(frozen=True)
class Doubt:
    """A part of a hypothesis that may be wrong.

    Attributes:
        kind: "loop" for words that are written several times and were said once, "skip" for speech
            that was left out, "early_stop" for speech after the end of the sentence, "silence" for
            words where nothing is said.
        start: seconds from the start of the utterance.
        end: seconds; for a loop the speech that was read again and again.
        tokens: first token and that after the last; for what was left out, twice the token before
            which it belongs.
        removed: the words that were taken out of the text, where they were written in silence.
    """

    kind: Literal["loop", "skip", "early_stop", "silence"]
    start: float
    end: float
    tokens: tuple[int, int]
    removed: str = ""


def find_doubts(
    tokens: Sequence[int],
    weights: NDArray[np.floating[Any]],
    speech: NDArray[np.bool_],
    seconds_per_step: float,
    ctc_spans: Sequence[TokenSpan] = (),
    ctc_log_probs: NDArray[np.floating[Any]] | None = None,
    config: DoubtConfig | None = None,
    words: Sequence[tuple[int, int]] = (),
) -> tuple[Doubt, ...]:
    """Look for loops, skips, an end that came too soon, and words where nothing is said.

    Args:
        tokens: U ids without start and end.
        weights: (U or more, H, S) attention weights without padding; those of the end of the
            sentence do not count, since it may be read anywhere.
        speech: (S,) True where a step carries speech.
        seconds_per_step: seconds of audio that one memory step stands for.
        ctc_spans: alignment of the U tokens by CTC, if there is a likely one. It then tells in
            place of attention what was left out; loops are told by attention all the same.
        ctc_log_probs: (U,) log-probability of each token over its span; with it, words that CTC
            hears again are no loop.
        config: settings.
        words: first token of each word and that after its last; those that are not given are not
            looked for in silence.

    Returns:
        Doubts in the order of their start.

    Raises:
        ValueError: tokens lack weights, or spans where there are some.
    """
    config = config or DoubtConfig()
    if len(weights) < len(tokens):
        raise ValueError(f"{len(tokens)} tokens have only {len(weights)} rows of weights")
    if ctc_spans and len(ctc_spans) != len(tokens):
        raise ValueError(f"{len(tokens)} tokens have {len(ctc_spans)} spans of CTC")
    steps = weights.shape[2]
    attended = np.zeros(steps, dtype=bool)
    centres, doubts = np.zeros(0), []
    if len(tokens):
        reading, totals = _reading_heads(weights[: len(tokens)])
        attended = totals >= max(config.level * float(totals.clip(max=1.0).mean()), LEAST_WEIGHT)
        centres = _centres(reading)
        if _width(reading) <= config.loop_width * steps:
            doubts = _loops(np.asarray(tokens), centres, seconds_per_step, config)
        if ctc_spans and ctc_log_probs is not None:
            least = np.log(config.heard)
            doubts = [d for d in doubts if ctc_log_probs[slice(*d.tokens)].mean() < least]
        around = near(speech, round(config.silence_seconds / seconds_per_step))
        places = words_in_silence(words, reading, ctc_spans, around, config.silence_share)
        known = ctc_log_probs if ctc_spans else None
        doubts += _in_silence(words, places, known, seconds_per_step, config)
    if ctc_spans:  # their starts alone: that of a space may stretch over words that are missing
        centres = np.array([span.start + 0.5 for span in ctc_spans])
        attended = np.isin(np.arange(steps), [span.start for span in ctc_spans])
    doubts += _left_out(attended, speech, centres, seconds_per_step, config)
    return tuple(sorted(doubts, key=lambda doubt: doubt.start))


def _reading_heads(
    weights: NDArray[np.floating[Any]],
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Of weights (U, H, S), those (U, S) of the head that reads most, and what is attended to.

    The latter are the weights (S,) summed over tokens, the largest of the heads that read. Both are
    what weights are above even ones.
    """
    squares = np.einsum("uhs,uhs->h", weights, weights) / len(weights)
    variance = (squares - np.square(weights.mean(axis=0)).sum(axis=1)).clip(min=0.0)
    if len(weights) == 1:
        variance = squares  # one token does not vary: the sharpest head
    best = int(variance.argmax())
    reading = np.flatnonzero(variance >= 0.5 * variance[best])
    heads = weights[:, reading]  # a copy, changed in place: these arrays are large
    heads -= heads.mean(axis=2, keepdims=True)
    np.maximum(heads, 0.0, out=heads)
    return heads[:, int(np.searchsorted(reading, best))], heads.sum(axis=0).max(axis=0)


def _centres(weights: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Mean steps (U,) by weights (U, S); a token that attends to nothing stays at the one before.

    Monotonic attention attends to nothing once it has passed the end.
    """
    mass = weights.sum(axis=1)
    moments = weights @ (np.arange(weights.shape[1], dtype=weights.dtype) + 0.5)
    seen = mass >= LEAST_WEIGHT
    last = np.maximum.accumulate(np.where(seen, np.arange(len(mass)), -1))
    centres = np.divide(moments, mass, out=np.zeros(len(mass)), where=seen)
    return np.where(last >= 0, centres[last], 0.0)


def _width(weights: NDArray[np.floating[Any]]) -> float:
    """Steps that weights (U, S) are spread over, all of them if evenly: the median token's."""
    mass = weights.sum(axis=1)
    squares = np.einsum("us,us->u", weights, weights)
    seen = mass >= LEAST_WEIGHT
    return float(np.median(np.square(mass[seen]) / squares[seen])) if seen.any() else 0.0


def _loops(
    tokens: NDArray[np.int_],
    centres: NDArray[np.float64],
    seconds_per_step: float,
    config: DoubtConfig,
) -> list[Doubt]:
    """Tokens that are said again while attention is at the same place again."""
    found: list[Doubt] = []
    for period, start, length in _repeats(tokens, config.loop_tokens):
        if any(a <= start and start + length + period <= b for a, b in (d.tokens for d in found)):
            continue  # the period is a multiple of one that was found
        window = min(length, max(period, config.loop_tokens))
        moved = centres[start + period : start + period + length] - centres[start : start + length]
        sums = np.concatenate([[0.0], np.abs(moved).cumsum()])
        distance = (sums[window:] - sums[:-window]) / window
        said = sliding_window_view(centres[start:], period)[: len(distance)]
        extent = said.max(axis=1) - said.min(axis=1)
        least = config.loop_seconds / seconds_per_step * period
        again = np.flatnonzero(distance <= np.maximum(config.loop_distance * extent, least))
        if not len(again):
            continue
        first, last = start + int(again[0]), start + int(again[-1]) + window + period
        if all(last <= a or b <= first for a, b in (d.tokens for d in found)):
            place = centres[first:last] * seconds_per_step
            half = 0.5 * seconds_per_step
            begin, end = max(0.0, float(place.min()) - half), float(place.max()) + half
            found.append(Doubt("loop", begin, end, (first, last)))
    return found


def _repeats(tokens: NDArray[np.int_], least: int) -> list[tuple[int, int, int]]:
    """Where tokens equal those one period later: (period, start, length), short periods first.

    ``length`` tokens are said again: a whole period, though the space at one of its ends may be
    missing, and at least ``least``.
    """
    count = len(tokens)
    periods = np.arange(1, (count + 1) // 2 + 1)[:, None]
    later = np.arange(count) + periods
    inside = later < count
    equal = np.zeros((len(periods), count + 1), dtype=np.int8)  # a last column ends every run
    equal[:, :-1] = (tokens[np.where(inside, later, 0)] == tokens) & inside
    edges = np.flatnonzero(np.diff(equal.ravel(), prepend=0)).reshape(-1, 2)
    rows, starts = np.divmod(edges[:, 0], count + 1)
    lengths = edges[:, 1] - edges[:, 0]
    enough = lengths >= np.maximum(rows, least)  # a row is its period less one
    found = zip(rows[enough] + 1, starts[enough], lengths[enough])
    return [(int(period), int(start), int(length)) for period, start, length in found]


def _in_silence(
    words: Sequence[tuple[int, int]],
    places: Sequence[tuple[int, int]],
    ctc_log_probs: NDArray[np.floating[Any]] | None,
    seconds_per_step: float,
    config: DoubtConfig,
) -> list[Doubt]:
    """Words in silence, at these steps, that CTC does not hear; one doubt for each run of them."""
    found: list[Doubt] = []
    following = False
    for tokens, place in zip(words, places):
        sure = ctc_log_probs is not None and ctc_log_probs[slice(*tokens)].mean() >= np.log(
            config.heard
        )
        silent = place[1] > place[0] and not sure
        if silent:
            start, end = (float(step) * seconds_per_step for step in place)
            before = found.pop() if following else Doubt("silence", start, end, tokens)
            times = min(before.start, start), max(before.end, end)
            found.append(Doubt("silence", *times, (before.tokens[0], tokens[1])))
        following = silent
    return found


def _left_out(
    attended: NDArray[np.bool_],
    speech: NDArray[np.bool_],
    centres: NDArray[np.float64],
    seconds_per_step: float,
    config: DoubtConfig,
) -> list[Doubt]:
    """Speech before and between what is attended to, a stretch each, and after it, all in one."""
    pace = 0.0
    if len(centres) > 1:
        pace = config.pace * float(np.median(np.abs(np.diff(centres)))) * seconds_per_step
    last = int(np.flatnonzero(attended)[-1]) + 1 if attended.any() else 0
    missing = (speech & ~attended).astype(np.int8)
    found: list[Doubt] = []
    edges = np.flatnonzero(np.diff(missing[:last], prepend=0, append=0)).reshape(-1, 2)
    for start, end in edges.tolist():
        seconds = (end - start) * seconds_per_step
        if seconds > max(config.skip_seconds, pace):
            before = np.flatnonzero(centres < start)
            token = int(before[-1]) + 1 if len(before) else 0
            times = (start * seconds_per_step, end * seconds_per_step)
            found.append(Doubt("skip", *times, (token, token)))
    rest = np.flatnonzero(missing[last:])
    if len(rest) * seconds_per_step > max(config.stop_seconds, pace):
        times = ((last + rest[0]) * seconds_per_step, (last + rest[-1] + 1) * seconds_per_step)
        count = len(centres)
        found.append(Doubt("early_stop", float(times[0]), float(times[1]), (count, count)))
    return found
