"""What counts as silence, on sounds that are made so that it is known."""

import numpy as np
import pytest

from asr_attn.audio.silence import (
    KEPT,
    LONGEST_EDGE,
    LONGEST_PAUSE,
    is_without_speech,
    without_long_silence,
)

RATE = 8000


def times(seconds: float) -> np.ndarray:
    return np.arange(round(RATE * seconds)) / RATE


def noise(seconds: float, level: float, seed: int = 0) -> np.ndarray:
    samples = level * np.random.default_rng(seed).standard_normal(round(RATE * seconds))
    return samples.astype(np.float32)


@pytest.fixture
def make_speech():
    """Makes samples of so many seconds whose loudness changes as in speech."""

    def make(seconds: float, seed: int) -> np.ndarray:
        loudness = 0.6 - 0.4 * np.cos(2 * np.pi * 2.5 * times(seconds))
        return (loudness * noise(seconds, 0.2, seed)).astype(np.float32)

    return make


def hum(hertz: float, seconds: float) -> np.ndarray:
    waves = [np.sin(2 * np.pi * hertz * k * times(seconds)) / k for k in (1, 2, 3, 5)]
    return (0.05 * sum(waves)).astype(np.float32)


@pytest.mark.parametrize("seconds", [1.5, 10.0])
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_silence_and_steady_sounds_are_without_speech(seconds, offset):
    assert is_without_speech(np.zeros(round(RATE * seconds), np.float32), RATE)
    for sound in (hum(50, seconds), hum(60, seconds), noise(seconds, 0.001), noise(seconds, 0.1)):
        assert is_without_speech(sound + np.float32(offset), RATE)


@pytest.mark.parametrize("seconds", [0.3, 1.5, 10.0])
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_speech_is_not_without_speech(make_speech, seconds, offset):
    speech = make_speech(seconds, 1)
    assert not is_without_speech(speech + np.float32(offset), RATE)
    louder = noise(seconds, float(np.sqrt(np.square(speech).mean())))
    assert seconds < 1 or not is_without_speech(speech + louder + np.float32(offset), RATE)


def test_a_short_steady_sound_may_be_a_vowel():
    assert not is_without_speech(hum(150, 0.5), RATE)
    assert not is_without_speech(np.full(1, 0.1, np.float32), RATE)


@pytest.mark.parametrize(("level", "kept"), [(3e-4, KEPT), (0.0, 0.0)])
def test_long_silence_at_the_ends_is_cut_off(make_speech, level, kept):
    speech = make_speech(2.0, 1)
    longer = np.concatenate([noise(5.0, level), speech, noise(10.0, level, 1)])
    found = without_long_silence(longer, RATE)
    start = found.time(0.0)
    assert start == pytest.approx(5.0 - kept, abs=0.1)
    assert found.time(1.5) == start + 1.5
    assert len(found.samples) / RATE == pytest.approx(2.0 + 2 * kept, abs=0.2)
    begin = round(start * RATE)
    np.testing.assert_array_equal(found.samples, longer[begin : begin + len(found.samples)])


@pytest.mark.parametrize("level", [0.0, 3e-4])
def test_long_pauses_are_shortened(make_speech, level):
    parts = [make_speech(2.0, 1), noise(5.0, level), make_speech(1.0, 2), noise(1.5, level)]
    samples = np.concatenate([*parts, make_speech(1.0, 3), noise(8.0, level), make_speech(2.0, 4)])
    found = without_long_silence(samples, RATE)
    assert len(found.samples) / RATE == pytest.approx(20.5 - 13 + 4 * KEPT, abs=0.3)
    assert (found.time(0.0), found.time(1.9)) == (0.0, 1.9)
    for seconds in np.arange(0.0, len(found.samples) / RATE, 0.05).tolist():
        index = round(found.time(seconds) * RATE)
        np.testing.assert_allclose(found.samples[round(seconds * RATE)], samples[index], atol=1e-7)
    cut = 2.0 + KEPT
    assert found.time(cut + 1.0) - found.time(cut - 0.2) == pytest.approx(
        1.2 + 5.0 - 2 * KEPT, abs=0.2
    )
    ends = len(found.samples) / RATE
    assert found.time(ends) == pytest.approx(20.5)


def test_usual_silence_stays(make_speech):
    edge, pause = noise(0.9 * LONGEST_EDGE, 3e-4), noise(0.9 * LONGEST_PAUSE, 3e-4)
    samples = np.concatenate([edge, make_speech(2.0, 1), pause, make_speech(2.0, 1), edge])
    found = without_long_silence(samples, RATE)
    assert found.time(1.0) == 1.0
    np.testing.assert_array_equal(found.samples, samples)


def test_quiet_words_behind_loud_ones_stay(make_speech):
    quiet = 0.03 * make_speech(0.5, 2)  # 30 dB below the others
    samples = np.concatenate([make_speech(2.0, 1), noise(1.5, 3e-4), quiet, noise(3.0, 3e-4, 1)])
    found = without_long_silence(samples, RATE)
    assert len(found.samples) / RATE == pytest.approx(4.0 + KEPT, abs=0.2)


@pytest.mark.parametrize("samples", [0, 1, 79, 81, 240])
def test_very_short_recordings_stay(samples):
    sound = noise(1.0, 0.1)[:samples]
    found = without_long_silence(sound, RATE)
    assert (len(found.samples), found.time(0.0)) == (samples, 0.0)
    assert is_without_speech(sound, RATE) == (samples == 0)
