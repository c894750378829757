import numpy as np
import pytest

from asr_attn.audio.time_stretch import stretch


def chirps(rate: int) -> np.ndarray:
    """A second with a voice of 100 Hz from its first quarter to its last."""
    time = np.arange(rate) / rate
    voice = sum(np.sin(2 * np.pi * 100 * k * time + k) / k for k in range(1, 20))
    return (0.1 * voice * ((time > 0.25) & (time < 0.75))).astype(np.float32)


def period(signal: np.ndarray, rate: int) -> float:
    """Seconds of the strongest repetition between 5 and 20 ms."""
    lags = np.arange(rate // 200, rate // 50)
    fits = [np.dot(signal[:-lag], signal[lag:]) for lag in lags]
    return float(lags[int(np.argmax(fits))]) / rate


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("factor", [0.6, 0.93, 1.08, 1.9])
def test_events_move_and_pitch_stays(rate, factor):
    length = round(factor * rate)
    out = stretch(chirps(rate), length, rate)
    assert out.shape == (length,)
    assert out.dtype == np.float32
    loud = np.flatnonzero(np.abs(out) > 0.02) / rate
    # a piece moves by 10 ms at most and fades over 20
    assert loud[0] == pytest.approx(0.25 * factor, abs=0.03)
    assert loud[-1] == pytest.approx(0.75 * factor, abs=0.03)
    inner = out[round(0.3 * length) : round(0.7 * length)]
    assert period(inner, rate) == pytest.approx(0.01, abs=2 / rate)
    # pieces fit together: the level is that of the voice, without dips or bumps
    level = np.sqrt(np.convolve(np.square(inner), np.ones(rate // 100) / (rate // 100), "valid"))
    before = chirps(rate)[round(0.3 * rate) : round(0.7 * rate)]
    np.testing.assert_allclose(level, np.sqrt(np.mean(before**2)), rtol=0.12)


def test_the_same_length_changes_nothing():
    signal = chirps(8000)
    assert stretch(signal, 8000, 8000) is signal


@pytest.mark.parametrize(("samples", "length"), [(1, 5), (5, 1), (1, 1), (300, 301), (301, 300)])
def test_very_short_speech(samples, length):
    out = stretch(np.ones(samples, np.float32), length, 16000)
    assert out.shape == (length,)
    assert np.isfinite(out).all()
