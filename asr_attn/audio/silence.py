"""Where a recording holds no speech: silence, steady sounds, and long silence in between."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asr_attn.audio.pauses import (
    FRAMES_PER_SECOND,
    SHORTEST_PAUSE,
    STEADY_DECIBELS,
    loudness,
    sounding_stretches,
)

SHORTEST = 0.1
"""Seconds below which a recording holds no word."""
SILENCE = 1e-5
"""Peak amplitude (full scale is 1) up to which a recording counts as silent."""
STEADY_SECONDS = 1.0
"""Shorter recordings may be one vowel, which is as steady."""
SOUND_LEVEL = 0.25
"""Loudness from which on a sound is kept: 0 is the background, 1 the loudest frames. Lower than
that of speech, so that quiet words stay."""
SILENCE_DECIBELS = 12.0
"""Least range of loudness that ``SOUND_LEVEL`` is a share of: under loud noise, what is a little
quieter than the loudest frames may be speech."""
LONGEST_EDGE = 1.0
"""Seconds of silence at either end that a recording keeps."""
LONGEST_PAUSE = 2.0
"""Seconds of silence within it that a recording keeps."""
KEPT = 0.3
"""Seconds that are kept of longer silence, before and behind what sounds."""


@dataclass(frozen=True)
class Kept:
    """A recording without its long silences.

    Attributes:
        samples: (samples,) what is left.
        starts: (K,) seconds in it where each of its K parts begins.
        shifts: (K,) seconds that were cut off before each part, in all.
    """

    samples: NDArray[np.float32]
    starts: NDArray[np.float64]
    shifts: NDArray[np.float64]

    def time(self, seconds: float) -> float:
        """When something was in the whole recording that is at ``seconds`` in what is left."""
        part = int(np.searchsorted(self.starts, seconds, side="right")) - 1
        return seconds + float(self.shifts[max(part, 0)])


def is_without_speech(samples: NDArray[np.float32], sample_rate: int) -> bool:
    """Whether a recording is silent, or a sound whose loudness never changes.

    Args:
        samples: (samples,) of one recording.
        sample_rate: in Hz.
    """
    if float(np.abs(samples).max(initial=0.0)) <= SILENCE:
        return True
    if len(samples) < STEADY_SECONDS * sample_rate:
        return False
    hop = sample_rate // FRAMES_PER_SECOND
    frames = samples[: len(samples) // hop * hop].reshape(-1, hop).astype(np.float64)
    power = np.square(frames - frames.mean()).mean(axis=1)
    smooth = np.convolve(power, np.ones(3) / 3, "valid")
    quiet, loud = np.percentile(10.0 * np.log10(smooth + 1e-12), (10, 98))
    return bool(loud - quiet < STEADY_DECIBELS)


def without_long_silence(samples: NDArray[np.float32], sample_rate: int) -> Kept:
    """Shorten long silence before, between and behind what sounds.

    A model learns on utterances with moments of silence. Of more it makes words, and features that
    are normalized by the utterance change with it.

    Args:
        samples: (samples,) of one recording.
        sample_rate: in Hz.
    """
    whole = Kept(samples, np.zeros(1), np.zeros(1))
    if len(samples) <= LONGEST_EDGE * sample_rate:
        return whole
    levels = loudness(samples, sample_rate, SILENCE_DECIBELS)
    found = sounding_stretches(levels, SOUND_LEVEL, SHORTEST_PAUSE)
    if not found:
        return whole
    hop = sample_rate // FRAMES_PER_SECOND
    edge, pause, kept = (round(s * sample_rate) for s in (LONGEST_EDGE, LONGEST_PAUSE, KEPT))
    first, last = found[0][0] * hop, found[-1][1] * hop
    noisy = np.flatnonzero(np.abs(samples) > SILENCE)  # zeros at the ends are not even background
    begin = max(first - kept, int(noisy[0])) if first > edge else 0
    end = len(samples)
    if end - last > edge:
        end = min(last + kept, int(noisy[-1]) + 1)
    cuts = [begin]
    for left, right in pairwise(found):
        if (right[0] - left[1]) * hop > pause:
            cuts += [left[1] * hop + kept, right[0] * hop - kept]
    parts = np.array([*cuts, end]).reshape(-1, 2)
    starts = np.concatenate([[0], np.diff(parts)[:-1, 0].cumsum()])
    remaining = np.concatenate([samples[start:stop] for start, stop in parts])
    return Kept(remaining, starts / sample_rate, (parts[:, 0] - starts) / sample_rate)
