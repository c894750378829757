"""Babble: training utterances that speak at once, as noise for another one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asr_attn.audio.noise import Babble, root_mean_square
from asr_attn.audio.reading import read_audio
from asr_attn.data.manifest import Utterance
from asr_attn.errors import AudioError


def babble_from(
    utterances: Sequence[Utterance], speaking: int, voices: tuple[int, int], sample_rate: int
) -> Babble:
    """What makes babble of random utterances, all of one level, each from a random moment on.

    Those that cannot be read stay silent.

    Args:
        utterances: at least two, when babble is made.
        speaking: index of the one that is not among them.
        voices: range of how many speak.
        sample_rate: in Hz.
    """

    def babble(length: int, random: np.random.Generator) -> NDArray[np.float32]:
        total = np.zeros(length, np.float32)
        number = int(random.integers(voices[0], voices[1] + 1))
        for distance in random.integers(1, len(utterances), size=number):
            other = utterances[(speaking + int(distance)) % len(utterances)]
            seconds = min(length / sample_rate, other.duration)
            begin = random.uniform(0.0, other.duration - seconds)
            try:
                voice = read_audio(other.audio, sample_rate, other.offset + begin, seconds)
            except AudioError:
                continue  # it is told when it is that utterance's turn
            voice = np.roll(voice, int(random.integers(len(voice))))
            total += np.resize(voice, length) / np.float32(max(root_mean_square(voice), 1e-6))
        return total

    return babble
