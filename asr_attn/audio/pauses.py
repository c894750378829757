"""Finding the words of slow speech by the pauses between them, before anything is learnt."""

from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_SECOND = 100
_THRESHOLDS = (0.5, 0.6, 0.4, 0.7, 0.3)
"""Where speech begins, between the level of the background (0) and of the loudest frames (1)."""
_SHORTEST_PAUSES = (8, 15, 4)
"""Frames; shorter gaps are closures of consonants and belong to a word."""
_SHORTEST_WORD = 8
"""Frames; shorter sounds are clicks and breaths."""

SPEECH_LEVEL = 0.4
"""Loudness from which on there is speech: 0 is the background, 1 the loudest frames."""
SHORTEST_PAUSE = 8
"""Frames of 10 ms; shorter gaps are closures of consonants and belong to the speech."""
_DIGITAL_SILENCE = 1e-10
"""Power of a frame; the rounding error of 16-bit samples has more. Digital zeros are added by
editors and codecs and tell nothing about the background."""
STEADY_DECIBELS = 2.0
"""Least range of loudness with speech in it, from the 10th to the 98th percentile of its frames.
Hum and white noise range over 1.5 dB at most; speech of a few words over more than 3 dB, even
under noise 5 dB louder than itself."""
_LOUDNESS_RANGE = 50.0
"""Most decibels from the background to the loudest frames. Speech has more only next to a gate or
added silence; a lower background would make breaths and the room count as speech."""
_LOUD_FRAMES = 20
"""Most frames above the loudness 1: long silence must not pull it down to the background."""


def sounding_stretches(
    levels: NDArray[np.float64], threshold: float, shortest_pause: int
) -> list[tuple[int, int]]:
    """Stretches of sound: frames (start, end) above a threshold, small gaps closed.

    Args:
        levels: (T,) loudness of each frame, from 0 (background) to 1 (loudest).
        threshold: loudness from which on there is sound.
        shortest_pause: frames; stretches closer than that are one.
    """
    edges = np.flatnonzero(np.diff(np.r_[0, (levels > threshold).astype(int), 0]))
    joined: list[tuple[int, int]] = []
    for start, end in edges.reshape(-1, 2).tolist():
        if joined and start - joined[-1][1] < shortest_pause:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(start, end) for start, end in joined if end - start >= _SHORTEST_WORD]


def loudness(
    samples: NDArray[np.float32], sample_rate: int, least_range: float = STEADY_DECIBELS
) -> NDArray[np.float64]:
    """Loudness of 10 ms frames in decibels, scaled: 0 is the background, 1 the loudest frames.

    The background is the 10th percentile of the frames that are no digital silence. The loudest
    frames are 2 %, or ``_LOUD_FRAMES`` of long recordings.

    Args:
        samples: (samples,) of one utterance.
        sample_rate: in Hz.
        least_range: decibels from the background to the loudest frames, at least.

    Returns:
        (T,); 0 or less for digital silence, 1 throughout a steady sound.
    """
    hop = sample_rate // FRAMES_PER_SECOND
    frames = samples[: len(samples) // hop * hop].reshape(-1, hop).astype(np.float64)
    power = np.square(frames).mean(axis=1)
    sounds = power > _DIGITAL_SILENCE
    if not sounds.any():
        return np.zeros(len(power))
    decibels = 10.0 * np.log10(np.convolve(power, np.ones(3) / 3, "same") + 1e-12)
    loudest = min(0.02, _LOUD_FRAMES / sounds.sum())
    quiet, loud = np.quantile(decibels[sounds], (0.1, 1.0 - loudest))
    span = float(np.clip(loud - quiet, least_range, _LOUDNESS_RANGE))
    scaled: NDArray[np.float64] = (decibels - (loud - span)) / span
    if loud - quiet < STEADY_DECIBELS:
        scaled[:] = 1.0
    scaled[~sounds] = 0.0
    return scaled


def speech_steps(
    samples: NDArray[np.float32], sample_rate: int, steps: int, seconds_per_step: float
) -> NDArray[np.bool_]:
    """Mark the memory steps that carry speech, by loudness.

    Args:
        samples: (samples,) of one utterance.
        sample_rate: in Hz.
        steps: S.
        seconds_per_step: seconds of audio that one step stands for.

    Returns:
        (S,) bool; all True where the loudness tells nothing.
    """
    everything = np.ones(steps, dtype=bool)
    if len(samples) < 3 * (sample_rate // FRAMES_PER_SECOND):
        return everything
    found = sounding_stretches(loudness(samples, sample_rate), SPEECH_LEVEL, SHORTEST_PAUSE)
    speech = np.zeros(steps, dtype=bool)
    for start, end in found:
        edges = np.array([start, end]) / FRAMES_PER_SECOND / seconds_per_step
        speech[int(edges[0]) : int(np.ceil(edges[1]))] = True
    return speech if speech.any() else everything


def word_boundaries_by_pauses(
    samples: NDArray[np.float32], sample_rate: int, words: int
) -> list[float] | None:
    """Cut speech with a pause after every word into its words.

    Several thresholds are tried until the number of sounding stretches is the number of words.

    Args:
        samples: (samples,) of one utterance.
        sample_rate: in Hz.
        words: how many words are spoken.

    Returns:
        Seconds: 0, the middle of each pause between words, the duration. None when no threshold
        gives so many stretches; then the pauses do not show where the words are.
    """
    duration = len(samples) / sample_rate
    if words == 1:
        return [0.0, duration]
    if len(samples) < 3 * sample_rate // FRAMES_PER_SECOND:
        return None
    levels = loudness(samples, sample_rate)
    for pause, threshold in product(_SHORTEST_PAUSES, _THRESHOLDS):
        found = sounding_stretches(levels, threshold, pause)
        if len(found) == words:
            cuts = [(left[1] + right[0]) / 2 / FRAMES_PER_SECOND for left, right in pairwise(found)]
            return [0.0, *cuts, duration]
    return None
