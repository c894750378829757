import numpy as np
import pytest
import torch

from asr_attn.audio.augmentation import (
    AugmentationConfig,
    perturb_vocal_tract,
    perturb_waveform,
    spec_augment,
    warped_frequencies,
)
from asr_attn.audio.features import FeaturesConfig, LogMel

OFF = {"speed": (1.0,), "gain_db": 0.0, "frequency_masks": 0, "time_masks": 0}


def sine(samples: int = 16000, hertz: float = 400.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / 16000)).astype(np.float32)


def perturbed(signal: np.ndarray, seed: int = 0, **changes) -> np.ndarray:
    config = AugmentationConfig(**{**OFF, **changes})
    return perturb_waveform(signal, config, np.random.default_rng(seed))


def test_off_is_identity():
    signal = sine()
    np.testing.assert_array_equal(perturbed(signal), signal)
    features = torch.randn(2, 30, 10)
    same = spec_augment(features, torch.tensor([30, 20]), AugmentationConfig(**OFF))
    assert torch.equal(same, features)


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


def masked(
    lengths: list[int], bins: int, seed: int = 0, **changes
) -> tuple[torch.Tensor, torch.Tensor]:
    """Masked cells (B, T, D) of features without zeros, which must be zeroed or unchanged."""
    torch.manual_seed(seed)
    features = torch.rand(len(lengths), max(lengths), bins) + 0.5
    before = features.clone()
    config = AugmentationConfig(**{**OFF, **changes})
    out = spec_augment(features, torch.tensor(lengths), config)
    assert torch.equal(features, before)
    zeros = out == 0
    assert torch.equal(out[~zeros], features[~zeros])
    return zeros, out


def runs(line: torch.Tensor) -> list[int]:
    """Lengths of the runs of True."""
    marks = "".join("x" if value else " " for value in line.tolist())
    return [len(run) for run in marks.split()]


def test_frequency_masks_are_whole_bands_of_at_most_the_promised_width():
    hit = torch.zeros(12, dtype=torch.bool)
    widths = set()
    for seed in range(150):
        zeros, _ = masked([9, 5], 12, seed, frequency_masks=1, frequency_mask_bins=4)
        for row in zeros:
            assert (row == row[:1]).all()
            spans = runs(row[0])
            assert len(spans) <= 1
            widths.add(sum(spans))
            hit |= row[0]
    assert widths == {0, 1, 2, 3, 4}
    assert hit.all()


def test_time_masks_are_whole_frames_inside_the_utterance():
    lengths = [40, 22, 9, 4, 1]
    hit = torch.zeros(5, 40, dtype=torch.bool)
    longest = [0] * 5
    for seed in range(400):
        zeros, _ = masked(lengths, 3, seed, time_masks=1, time_mask_frames=6, time_mask_share=0.2)
        assert (zeros == zeros[:, :, :1]).all()
        hit |= zeros[:, :, 0]
        for i, row in enumerate(zeros[:, :, 0]):
            assert len(runs(row)) <= 1
            longest[i] = max([longest[i], *runs(row)])
    # the share of the utterance, or the limit where that is less
    assert longest == [6, 4, 1, 0, 0]
    for row, length, most in zip(hit, lengths, longest, strict=True):
        assert not row[length:].any()
        assert row[:length].all() or most == 0


def test_masks_add_up():
    most = 0
    for seed in range(100):
        zeros, _ = masked([50], 10, seed, time_masks=3, time_mask_frames=5, time_mask_share=1.0)
        spans = runs(zeros[0, :, 0])
        assert len(spans) <= 3
        assert sum(spans) <= 15
        most = max(most, len(spans))
    assert most == 3


def test_utterances_of_a_batch_get_masks_of_their_own():
    zeros, _ = masked([30] * 8, 20, 0, frequency_masks=1, time_masks=1)
    assert len({tuple(row.flatten().tolist()) for row in zeros}) > 4


def test_a_mask_wider_than_the_features_stays_inside():
    for seed in range(50):
        zeros, _ = masked([3], 4, seed, frequency_masks=2, frequency_mask_bins=50)
        assert zeros.shape == (1, 3, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"speed": ()},
        {"speed": (0.4, 1.0)},
        {"speed": (1.0, 2.1)},
        {"noise_probability": 1.1},
        {"time_mask_share": -0.1},
    ],
)
def test_refuses_settings_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match="augmentation"):
        AugmentationConfig(**wrong)


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.0, 1.1, 1.25])
def test_warped_frequencies_are_the_formula_of_the_paper(factor):
    high, knee = 8000.0, 4800.0
    frequencies = torch.linspace(0.0, high, 161, dtype=torch.float64)
    expected = []
    for f in frequencies.tolist():
        if f <= knee * min(factor, 1.0) / factor:
            expected.append(f * factor)
        else:
            turn = knee * min(factor, 1.0)
            expected.append(high - (high - turn) / (high - turn / factor) * (high - f))
    warped = warped_frequencies(frequencies, torch.tensor([[factor]], dtype=torch.float64))[0]
    np.testing.assert_allclose(warped.numpy(), expected, rtol=1e-12, atol=1e-9)
    assert (warped.diff() > 0).all()
    assert warped[-1] == high


def test_vocal_tract_moves_a_tone_by_at_most_the_share_and_to_both_sides():
    log_mel = LogMel(FeaturesConfig())
    tone = torch.from_numpy(sine(16000, 1500.0))[None].expand(200, -1)
    features, _ = log_mel.log_mel(tone, torch.full((200,), 16000))
    torch.manual_seed(0)
    moved = perturb_vocal_tract(features, log_mel.centres, 0.2)
    heard = log_mel.centres[moved[:, 50].argmax(dim=1)] / 1500.0
    assert heard.min() == pytest.approx(0.8, abs=0.04)
    assert heard.max() == pytest.approx(1.2, abs=0.04)
    assert heard.mean() == pytest.approx(1.0, abs=0.03)


def test_vocal_tract_of_no_share_changes_nothing():
    features = torch.randn(3, 7, 80)
    centres = LogMel(FeaturesConfig()).centres
    torch.testing.assert_close(perturb_vocal_tract(features, centres, 0.0), features)
