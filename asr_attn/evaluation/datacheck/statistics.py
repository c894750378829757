"""Figures of a split: how much there is, how long, how fast, how loud and how clean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asr_attn.evaluation.datacheck.listening import Sound
from asr_attn.evaluation.datacheck.splits import Split
from asr_attn.evaluation.datacheck.utterances import actual_duration

_BINS = 10


@dataclass(frozen=True)
class Histogram:
    """Counts between edges that are evenly apart.

    Attributes:
        edges: one more than counts.
        counts: of values from one edge to the next.
        below: values under the first edge.
        above: values over the last edge.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int = 0
    above: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "edges": list(self.edges),
            "counts": list(self.counts),
            "below": self.below,
            "above": self.above,
        }


@dataclass(frozen=True)
class Statistics:
    """Figures of a split; sound that cannot be read is not in them.

    Attributes:
        utterances: of the manifest.
        seconds: of sound.
        speakers: that are named.
        words: of all texts, parts between white space.
        vocabulary: different words.
        characters: of all texts.
        durations: seconds.
        paces: characters per second, of utterances with text.
        level: dBFS: 5th percentile, median, 95th percentile; None without sound.
        snr: estimated signal-to-noise ratio in dB, the same percentiles.
    """

    utterances: int
    seconds: float
    speakers: int
    words: int
    vocabulary: int
    characters: int
    durations: Histogram
    paces: Histogram
    level: tuple[float, float, float] | None
    snr: tuple[float, float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "utterances": self.utterances,
            "hours": self.seconds / 3600,
            "speakers": self.speakers,
            "words": self.words,
            "vocabulary": self.vocabulary,
            "characters": self.characters,
            "duration": self.durations.to_dict(),
            "characters_per_second": self.paces.to_dict(),
            "level": list(self.level) if self.level else None,
            "snr": list(self.snr) if self.snr else None,
        }


def measure_split(split: Split, sounds: Sequence[Sound]) -> Statistics:
    """Figures of a split.

    Args:
        split: its utterances.
        sounds: what was heard of each.
    """
    heard = [(u, s, s.levels) for u, s in zip(split.utterances, sounds) if s.levels is not None]
    seconds = [actual_duration(utterance, sound) for utterance, sound, _ in heard]
    paces = [
        len(utterance.text) / length
        for (utterance, _, _), length in zip(heard, seconds)
        if utterance.text and length
    ]
    sounding = [levels for _, _, levels in heard if not levels.silent]
    words = [word for utterance in split.utterances for word in utterance.text.split()]
    return Statistics(
        utterances=len(split.utterances),
        seconds=float(sum(seconds)),
        speakers=len({u.speaker for u in split.utterances if u.speaker}),
        words=len(words),
        vocabulary=len(set(words)),
        characters=sum(len(u.text) for u in split.utterances),
        durations=histogram(seconds),
        paces=histogram(paces),
        level=_percentiles([levels.level for levels in sounding]),
        snr=_percentiles([levels.snr for levels in sounding]),
    )


def histogram(values: Sequence[float]) -> Histogram:
    """Counts of about ten ranges with round edges, which hold all but the outermost per cent."""
    if not values:
        return Histogram((), ())
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    step = _round_step((high - low) / _BINS or abs(high) / _BINS or 1.0)
    first = np.floor(low / step)
    count = int(np.floor(high / step) - first) + 1
    edges = step * (first + np.arange(count + 1))
    places = np.floor((np.asarray(values) - edges[0]) / step)
    inside = places[(places >= 0) & (places < count)].astype(int)
    return Histogram(
        tuple(round(float(edge), 6) for edge in edges),
        tuple(np.bincount(inside, minlength=count).tolist()),
        int((places < 0).sum()),
        int((places >= count).sum()),
    )


def _round_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is no smaller."""
    power = 10.0 ** np.floor(np.log10(least))
    return float(next(k * power for k in (1, 2, 5, 10) if k * power >= least * (1 - 1e-9)))


def _percentiles(values: Sequence[float]) -> tuple[float, float, float] | None:
    if not values:
        return None
    low, middle, high = (round(float(v), 2) for v in np.percentile(values, (5, 50, 95)))
    return low, middle, high
