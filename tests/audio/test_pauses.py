import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_attn.audio.pauses import sounding_stretches, speech_steps, word_boundaries_by_pauses

RATE = 8000


def speech(lengths: list[float], pauses: list[float], noise: float) -> np.ndarray:
    """Tones of given lengths with given pauses before, between and after them (seconds)."""
    random = np.random.default_rng(0)
    parts = [np.zeros(int(pauses[0] * RATE))]
    for length, pause in zip(lengths, pauses[1:], strict=True):
        time = np.arange(int(length * RATE)) / RATE
        parts.append(0.3 * np.sin(2 * np.pi * 500 * time))
        parts.append(np.zeros(int(pause * RATE)))
    samples = np.concatenate(parts)
    return (samples + noise * random.standard_normal(len(samples))).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(0.15, 0.6), min_size=2, max_size=6),
    st.lists(st.floats(0.2, 0.5), min_size=7, max_size=7),
    st.sampled_from([0.001, 0.01]),
)
def test_cuts_lie_in_the_pauses(lengths: list[float], pauses: list[float], noise: float) -> None:
    pauses = pauses[: len(lengths) + 1]
    samples = speech(lengths, pauses, noise)
    cuts = word_boundaries_by_pauses(samples, RATE, len(lengths))
    assert cuts is not None
    assert cuts[0] == 0.0
    assert cuts[-1] == len(samples) / RATE
    position = pauses[0]
    for length, pause, cut in zip(lengths[:-1], pauses[1:-1], cuts[1:-1], strict=True):
        position += length
        assert position - 0.03 < cut < position + pause + 0.03
        position += pause


def test_no_cuts_where_the_number_of_words_does_not_fit() -> None:
    samples = speech([0.3, 0.4, 0.3], [0.3] * 4, 0.001)
    assert word_boundaries_by_pauses(samples, RATE, 3) is not None
    assert word_boundaries_by_pauses(samples, RATE, 5) is None
    assert word_boundaries_by_pauses(samples, RATE, 2) is None


def test_one_word_is_the_whole_and_a_blip_is_no_speech() -> None:
    assert word_boundaries_by_pauses(np.zeros(800, dtype=np.float32), RATE, 1) == [0.0, 0.1]
    assert word_boundaries_by_pauses(np.zeros(100, dtype=np.float32), RATE, 2) is None
    assert word_boundaries_by_pauses(np.zeros(RATE, dtype=np.float32), RATE, 2) is None


@pytest.mark.parametrize("pause", [1, 4, 8])
def test_stretches_against_a_loop_over_frames(pause: int) -> None:
    random = np.random.default_rng(pause)
    levels = np.repeat(random.random(40), random.integers(1, 12, 40))
    on = [bool(level > 0.5) for level in levels]
    # close small gaps that have sound on both sides, then keep the runs that are long enough
    runs = [(k, len(list(g))) for k, g in itertools.groupby(on)]
    closed: list[bool] = []
    for i, (sound, length) in enumerate(runs):
        gap = not sound and 0 < i < len(runs) - 1 and length < pause
        closed.extend([sound or gap] * length)
    expected, start = [], 0
    for sound, group in itertools.groupby(closed):
        length = len(list(group))
        if sound and length >= 8:
            expected.append((start, start + length))
        start += length
    assert sounding_stretches(levels, 0.5, pause) == expected


def hiss(seconds: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal(round(RATE * seconds))).astype(np.float32)


def test_speech_is_where_it_is_loud():
    quiet, loud = 0.001 * hiss(1.0, 0), hiss(0.5, 1)
    samples = np.concatenate([quiet, loud, quiet])  # from 1.0 s to 1.5 s of 2.5 s
    speech = speech_steps(samples, RATE, 50, 0.05)
    found = np.flatnonzero(speech)
    assert abs(found[0] - 20) <= 1
    assert abs(found[-1] - 29) <= 1
    assert len(found) == found[-1] - found[0] + 1
    assert speech_steps(samples[:100], RATE, 3, 0.05).all()
    assert speech_steps(np.zeros(RATE, np.float32), RATE, 20, 0.05).all()


@pytest.mark.parametrize("around", [0.0, 1e-5])
@pytest.mark.parametrize("seconds", [1.0, 10.0])
def test_silence_around_a_recording_leaves_its_speech_where_it_is(around, seconds):
    """Digital zeros, and a noise floor far below the background of the recording."""
    background = 0.003 * hiss(1.0, 0)  # 50 dB below the words
    recording = np.concatenate([background, hiss(0.5, 1), background, hiss(0.3, 2), background])
    steps = len(recording) * 20 // RATE
    alone = speech_steps(recording, RATE, steps, 0.05)
    assert 0 < alone.sum() < len(alone) / 3
    silence = around * 10 * hiss(seconds, 3)
    inside = np.concatenate([silence, recording, silence])
    more = round(20 * seconds)
    found = speech_steps(inside.astype(np.float32), RATE, steps + 2 * more, 0.05)
    assert not found[:more].any()
    assert not found[-more:].any()
    np.testing.assert_array_equal(found[more:-more], alone)


def test_a_steady_noise_has_no_words():
    """Its frames differ by chance; a scale without a floor would take the louder half for words."""
    assert speech_steps(hiss(4.0, 5), RATE, 80, 0.05).all()
    assert word_boundaries_by_pauses(hiss(4.0, 5), RATE, 6) is None


def noisy_words(seconds_of_zeros: float, noise: float = 0.003) -> np.ndarray:
    """Two words over a background, with digital silence around."""
    samples = speech([0.4, 0.5], [0.3, 0.3, 0.3], noise)
    zeros = np.zeros(round(seconds_of_zeros * RATE), np.float32)
    return np.concatenate([zeros, samples, zeros])


@pytest.mark.parametrize("seconds", [1, 3, 10])
@pytest.mark.parametrize("noise", [0.0001, 0.003, 0.03])
def test_digital_silence_around_does_not_make_background_speech(seconds: int, noise: float) -> None:
    samples = noisy_words(0, noise)
    steps = round(len(samples) / RATE / 0.02)
    expected = speech_steps(samples, RATE, steps, 0.02)
    assert 0.3 < expected.mean() < 0.7
    around = speech_steps(noisy_words(seconds, noise), RATE, steps + seconds * 100, 0.02)
    assert around[seconds * 50 : seconds * 50 + steps].tolist() == expected.tolist()
    assert around.sum() == expected.sum()


def test_words_without_a_background_are_found_between_digital_silence() -> None:
    samples = speech([0.3, 0.4, 0.3], [0.5] * 4, 0.0)
    assert samples.min() < 0
    assert (samples == 0).mean() > 0.5
    cuts = word_boundaries_by_pauses(samples, RATE, 3)
    assert cuts is not None
    np.testing.assert_allclose(cuts, [0.0, 1.05, 1.95, 3.0], atol=0.02)
