from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

from asr_attn.audio.noise import add_noise, coloured_noise, make_noise, noise_files, recorded_noise
from asr_attn.errors import AudioError

RATE = 16000


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_power_falls_with_frequency_as_the_colour_says(exponent):
    noise = coloured_noise(exponent, 60_001, RATE, np.random.default_rng(0))
    assert noise.shape == (60_001,)
    assert noise.dtype == np.float32
    hertz, power = scipy.signal.welch(noise, RATE, nperseg=4096)
    heard = (hertz > 50) & (hertz < 7500)
    slope, _ = np.polyfit(np.log(hertz[heard]), np.log(power[heard]), 1)
    assert slope == pytest.approx(-exponent, abs=0.06)
    if exponent:
        spectrum = np.abs(np.fft.rfft(noise * np.hanning(len(noise))))
        below = np.fft.rfftfreq(len(noise), 1 / RATE) < 15
        assert spectrum[below].max() < 0.02 * spectrum.max()


@pytest.mark.parametrize("kind", ["white", "pink", "brown", "babble"])
@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
def test_noise_has_the_ratio_that_is_asked_for(kind, snr):
    random = np.random.default_rng(3)
    speech = 0.1 * random.standard_normal(5000).astype(np.float32)

    def babble(samples: int, random: np.random.Generator) -> np.ndarray:
        return 7 * random.standard_normal(samples, dtype=np.float32)

    noise = make_noise(kind, 5000, RATE, random, None, babble)
    added = (add_noise(speech, noise, snr) - speech).astype(np.float64)
    ratio = 10 * np.log10(np.mean(speech.astype(np.float64) ** 2) / np.mean(added**2))
    assert ratio == pytest.approx(snr, abs=0.01)
    np.testing.assert_allclose(added / added.std(), noise / noise.std(dtype=np.float64), atol=1e-3)


def test_noise_that_is_silent_adds_nothing():
    speech = np.ones(10, np.float32)
    assert add_noise(speech, np.zeros(10, np.float32), 0.0) is speech


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings, ramps so that every sample tells where it is from."""
    noise_files.cache_clear()
    (tmp_path / "deep").mkdir()
    soundfile.write(tmp_path / "a.wav", np.arange(1, 101) / 1000, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "deep" / "b.wav", -np.arange(1, 4001) / 4000, RATE, subtype="FLOAT")
    return tmp_path


def test_recorded_noise_is_a_stretch_of_a_recording(folder):
    begins = []
    short = np.tile(np.arange(1, 101) / 1000, 4)[:320]
    for seed in range(60):
        out = recorded_noise(str(folder), 320, RATE, np.random.default_rng(seed))
        assert out.shape == (320,)
        assert out.dtype == np.float32
        if out[0] > 0:  # shorter than what is needed: repeated
            np.testing.assert_allclose(out, short, atol=1e-6)
            continue
        places = np.rint(-out * 4000)
        assert (np.diff(places) == 1).sum() >= 318
        begins.append(places[0])
    assert 15 < len(begins) < 45
    assert min(begins) < 700
    assert max(begins) > 3000
    assert max(begins) + 319 <= 4001


def test_folders_without_noise_are_told(folder):
    with pytest.raises(AudioError, match="is not a folder"):
        noise_files(str(folder / "none"))
    (folder / "empty").mkdir()
    with pytest.raises(AudioError, match="holds no recordings of noise"):
        noise_files(str(folder / "empty"))
    (folder / "c.wav").write_bytes(b"")
    with pytest.raises(AudioError, match=r"c\.wav is empty"):
        noise_files(str(folder))
