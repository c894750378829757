"""Reading a file at another rate than its own."""

import numpy as np
import pytest
import scipy.signal
import soundfile

from asr_attn.audio.reading import read_audio


def sine(rate: int, seconds: float, hertz: float = 440.0) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return (0.4 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize("source", [8000, 11025, 22050, 44100, 48000, 96000])
def test_resampled_sine_is_the_sine_at_the_new_rate(tmp_path, source):
    soundfile.write(tmp_path / "a.wav", sine(source, 1.0), source, subtype="FLOAT")
    read = read_audio(tmp_path / "a.wav", 16000)
    assert abs(len(read) - 16000) <= 1
    inner = slice(800, 15200)  # the filter rings where the sine begins and ends
    np.testing.assert_allclose(read[inner], sine(16000, 1.0)[inner], atol=1e-4)


def test_resampling_keeps_no_aliases(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(48000, 1.0, hertz=11000), 48000, subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "a.wav", 16000)[800:-800]).max() < 1e-4


def test_resampling_agrees_with_fourier_resampling(tmp_path):
    low = scipy.signal.butter(10, 4000, fs=44100, output="sos")
    noise = scipy.signal.sosfilt(low, np.random.default_rng(0).standard_normal(88200))
    wave = (0.1 * noise * np.hanning(88200)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", wave, 44100, subtype="FLOAT")
    expected = scipy.signal.resample(wave, 32000)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav", 16000), expected, atol=1e-4)
