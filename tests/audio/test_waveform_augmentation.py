import numpy as np
import pytest
import scipy.signal

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.waveform_augmentation import (
    convolve,
    limit_band,
    perturb_waveform,
    room_response,
)

OFF = {"speed": (1.0,), "gain_db": 0.0, "frequency_masks": 0, "time_masks": 0}
RATE = 16000


def sine(samples: int = 16000, hertz: float = 400.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / 16000)).astype(np.float32)


def perturbed(signal: np.ndarray, seed: int = 0, **changes) -> np.ndarray:
    config = AugmentationConfig(**{**OFF, **changes})
    return perturb_waveform(signal, config, np.random.default_rng(seed), RATE)


def test_off_is_identity():
    signal = sine()
    np.testing.assert_array_equal(perturbed(signal), signal)


@pytest.mark.parametrize("speed", [0.5, 0.9, 1.1, 2.0])
def test_speed_changes_length_and_pitch(speed):
    out = perturbed(sine(), speed=(speed,))
    assert abs(len(out) - 16000 / speed) <= 1
    assert out.dtype == np.float32
    peak = np.abs(np.fft.rfft(out * np.hanning(len(out)))).argmax() * 16000 / len(out)
    assert peak == pytest.approx(400.0 * speed, abs=2 * 16000 / len(out))


def test_every_speed_is_chosen():
    lengths = {len(perturbed(sine(1100), seed, speed=(0.5, 1.0, 1.1))) for seed in range(40)}
    assert lengths == {2200, 1100, 1000}


def test_gain_is_uniform_in_decibels():
    signal = sine(400)
    gains = []
    for seed in range(300):
        out = perturbed(signal, seed, gain_db=6.0)
        ratio = out[np.abs(signal) > 0.1] / signal[np.abs(signal) > 0.1]
        assert np.ptp(ratio) < 1e-5
        gains.append(20 * np.log10(ratio[0]))
    assert min(gains) >= -6.001
    assert max(gains) <= 6.001
    assert np.histogram(gains, bins=4, range=(-6, 6))[0].min() > 45


@pytest.mark.parametrize(("low", "high"), [(20.0, 20.0), (0.0, 0.0), (5.0, 15.0)])
def test_noise_has_the_promised_ratio(low, high):
    signal = sine(160_000)
    ratios = []
    for seed in range(5):
        noise = perturbed(signal, seed, noise_probability=1.0, noise_snr_db=(low, high)) - signal
        ratios.append(10 * np.log10(np.mean(signal**2) / np.mean(noise**2)))
        correlation = np.corrcoef(noise[1:], noise[:-1])[0, 1]
        assert abs(correlation) < 0.02
    assert low - 0.1 < min(ratios)
    assert max(ratios) < high + 0.1
    assert (np.ptp(ratios) > 1) == (low < high)


def test_ratio_is_kept_when_the_volume_changes():
    signal = sine(80_000)
    changes = {"gain_db": 12.0, "noise_probability": 1.0, "noise_snr_db": (10.0, 10.0)}
    out = perturbed(signal, 3, **changes)
    gain = np.dot(out, signal) / np.dot(signal, signal)
    noise = out - gain * signal
    assert abs(20 * np.log10(gain)) > 1
    ratio = 10 * np.log10(np.mean((gain * signal) ** 2) / np.mean(noise**2))
    assert ratio == pytest.approx(10.0, abs=0.2)


def gains_of_an_equalizer(seed: int, decibels: float) -> np.ndarray:
    """Measured frequency response in decibels: what becomes of a click in the middle."""
    click = np.zeros(8001, np.float32)
    click[4000] = 1.0
    out = perturbed(click, seed, equalizer_db=decibels)
    delayless = np.roll(out, -4000)
    np.testing.assert_allclose(delayless[1:], delayless[:0:-1], atol=1e-6)  # symmetric: no delay
    return 20 * np.log10(np.abs(np.fft.rfft(out)))


def test_equalizer_is_smooth_within_its_bounds_and_another_for_each_utterance():
    responses = np.array([gains_of_an_equalizer(seed, 12.0) for seed in range(40)])
    assert np.abs(responses).max() <= 12.0 + 1e-3
    assert np.abs(responses).max() > 11.0
    # smooth: the steepest slope from 250 Hz on, 24 dB between two knots, is 5.1 dB in 100 Hz
    hertz = np.linspace(0, 8000, responses.shape[1])
    above = responses[:, hertz >= 250]
    assert np.abs(above[:, 50:] - above[:, :-50]).max() < 5.2
    # drawn alike at all frequencies, around no change on average
    assert np.abs(responses.mean(axis=0)).max() < 4.0
    assert responses.std(axis=0).min() > 2.0
    assert not np.allclose(responses[0], responses[1], atol=1.0)


def test_noise_probability():
    signal = sine(100)
    changed = sum(
        not np.array_equal(perturbed(signal, seed, noise_probability=0.3), signal)
        for seed in range(400)
    )
    assert 80 < changed < 160
    assert np.isfinite(perturbed(np.zeros(100, np.float32), noise_probability=1.0)).all()


def test_generator_decides():
    signal = sine(500)
    assert np.array_equal(perturbed(signal, 1, gain_db=6.0), perturbed(signal, 1, gain_db=6.0))
    assert not np.array_equal(perturbed(signal, 1, gain_db=6.0), perturbed(signal, 2, gain_db=6.0))


def pitch(signal: np.ndarray) -> float:
    """Frequency in Hz of the strongest tone, between the bins of the spectrum."""
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal)), 8 * len(signal)))
    return float(spectrum.argmax()) * RATE / (8 * len(signal))


@pytest.mark.parametrize("tempo", [0.6, 0.9, 1.1, 1.7])
def test_tempo_changes_length_and_not_pitch(tempo):
    out = perturbed(sine(hertz=433.0), tempo=(tempo,))
    assert len(out) == round(RATE / tempo)
    assert out.dtype == np.float32
    assert pitch(out) == pytest.approx(433.0, rel=0.003)


def test_pitch_changes_by_up_to_the_semitones_and_length_does_not():
    heard = []
    for seed in range(40):
        out = perturbed(sine(8000, 433.0), seed, pitch_semitones=4.0)
        assert len(out) == 8000
        heard.append(12 * np.log2(pitch(out) / 433.0))
    assert -4.1 < min(heard) < -2.5
    assert 2.5 < max(heard) < 4.1


def test_speed_and_tempo_multiply_and_speed_alone_changes_pitch():
    out = perturbed(sine(hertz=300.0), speed=(1.2,), tempo=(0.75,))
    assert len(out) == round(RATE / 0.9)
    assert pitch(out) == pytest.approx(360.0, rel=0.003)


def decay_time(response: np.ndarray) -> float:
    """RT60 by backward integration (Schroeder 1965), from the fall between 5 and 35 dB."""
    left = np.cumsum(np.square(response[::-1]))[::-1]
    level = 10 * np.log10(left / left[0])
    a, b = (int(np.argmax(level < fall)) for fall in (-5.0, -35.0))
    return 60.0 / 30.0 * (b - a) / RATE


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.9])
@pytest.mark.parametrize("direct_db", [-3.0, 0.0, 12.0])
def test_room_has_its_decay_and_its_ratio(seconds, direct_db):
    response = room_response(seconds, direct_db, RATE, np.random.default_rng(1))
    assert response.dtype == np.float32
    assert len(response) == round(seconds * RATE)
    assert response[0] == 1.0
    assert not response[1:32].any()  # 2 ms to the first reflection
    energy = np.sum(np.square(response[1:], dtype=np.float64))
    assert 10 * np.log10(1.0 / energy) == pytest.approx(direct_db, abs=0.01)
    assert decay_time(response[32:]) == pytest.approx(seconds, rel=0.15)


def test_a_room_is_a_convolution_that_keeps_length_and_place():
    random = np.random.default_rng(0)
    signal = random.standard_normal(7001).astype(np.float32)
    signal[:1000] = 0.0
    response = room_response(0.2, 3.0, RATE, random)
    expected = scipy.signal.convolve(
        signal.astype(np.float64), response.astype(np.float64), method="direct"
    )
    out = convolve(signal, response)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected[:7001], atol=2e-5)
    wet = perturbed(signal, reverb_probability=1.0)
    assert len(wet) == 7001
    # nothing comes before the speech, and the first 2 ms of it are dry
    np.testing.assert_allclose(wet[:1030], signal[:1030], atol=2e-5)
    assert np.abs(wet - signal).max() > 0.1


def test_reverb_probability_and_ranges():
    signal = np.zeros(RATE, np.float32)
    signal[0] = 1.0
    changes = {"reverb_seconds": (0.2, 0.4), "reverb_direct_db": (5.0, 10.0)}
    tails = [perturbed(signal, seed, reverb_probability=0.5, **changes)[1:] for seed in range(60)]
    wet = [tail for tail in tails if np.abs(tail).max() > 1e-3]
    assert 18 < len(wet) < 42
    ratios = [-10 * np.log10(np.sum(np.square(tail))) for tail in wet]
    ends = [np.flatnonzero(np.abs(tail) > 1e-5)[-1] / RATE for tail in wet]
    assert 4.9 < min(ratios) < 7 < 8 < max(ratios) < 10.1
    assert 0.19 < min(ends) < 0.27 < 0.33 < max(ends) < 0.401


def test_band_is_that_of_a_butterworth_filter_without_delay():
    click = np.zeros(8000, np.float32)
    click[4000] = 1.0
    out = limit_band(click, 300.0, 3400.0, RATE)
    np.testing.assert_allclose(out[4001:], out[3999:0:-1], atol=1e-6)
    measured = np.abs(np.fft.rfft(out))
    hertz = np.fft.rfftfreq(8000, 1 / RATE)
    # analogue prototypes of scipy, at these frequencies
    _, low = scipy.signal.freqs(*scipy.signal.butter(8, 3400.0, analog=True), worN=hertz)
    _, high = scipy.signal.freqs(
        *scipy.signal.butter(4, 300.0, btype="highpass", analog=True), worN=hertz
    )
    np.testing.assert_allclose(measured, np.abs(low * high), atol=2e-3)
    assert np.abs(np.fft.rfft(limit_band(click, 0.0, 3400.0, RATE)))[0] == pytest.approx(1.0, 1e-4)


def test_band_probability_and_ranges():
    click = np.zeros(4000, np.float32)
    click[2000] = 1.0
    changes = {"band_low_hz": (100.0, 300.0), "band_high_hz": (3000.0, 7000.0)}
    edges = []
    for seed in range(60):
        response = np.abs(np.fft.rfft(perturbed(click, seed, band_probability=0.5, **changes)))
        passed = np.flatnonzero(response > np.sqrt(0.5)) * RATE / 4000
        edges.append((passed[0], passed[-1]))
    limited = np.array([edge for edge in edges if edge[0] > 0])
    assert 18 < len(limited) < 42
    assert limited[:, 0].min() >= 90
    assert limited[:, 0].max() <= 310
    assert np.ptp(limited[:, 0]) > 120
    assert limited[:, 1].min() >= 2990
    assert limited[:, 1].max() <= 7010
    assert np.ptp(limited[:, 1]) > 2500


EVERYTHING = {
    "speed": (0.9, 1.1),
    "tempo": (0.9, 1.1),
    "pitch_semitones": 3.0,
    "gain_db": 6.0,
    "equalizer_db": 6.0,
    "reverb_probability": 1.0,
    "noise_probability": 1.0,
    "noise_kinds": ("pink", "brown", "babble"),
    "band_probability": 1.0,
}


@pytest.mark.parametrize("samples", [1, 2, 50, 3000])
def test_everything_at_once_is_finite_and_decided_by_the_generator(samples):
    config = AugmentationConfig(**{**OFF, **EVERYTHING})

    def babble(length: int, random: np.random.Generator) -> np.ndarray:
        return random.standard_normal(length, dtype=np.float32)

    for signal in (np.zeros(samples, np.float32), sine(samples)):
        one, again = (
            perturb_waveform(signal, config, np.random.default_rng(5), 8000, babble)
            for _ in range(2)
        )
        assert one.dtype == np.float32
        assert np.isfinite(one).all()
        assert 0.8 * samples - 1 < len(one) < 1.3 * samples + 1
        np.testing.assert_array_equal(one, again)
