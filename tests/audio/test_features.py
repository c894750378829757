import librosa
import numpy as np
import pytest
import torch

from asr_attn.audio.features import LOG_FLOOR, FeaturesConfig, LogMel

CONFIGS = [
    FeaturesConfig(),
    FeaturesConfig(sample_rate=8000, n_mels=40, min_hz=60.0, max_hz=3800.0),
    FeaturesConfig(n_mels=64, window_ms=32.0, hop_ms=12.5, min_hz=0.0),
]
NORMALIZED = [
    *CONFIGS,
    FeaturesConfig(normalization="utterance"),
    FeaturesConfig(normalization="speech"),
]


def sound(samples: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    time = np.arange(samples) / 16000
    envelope = 0.05 + np.abs(np.sin(9 * time))
    chirp = np.sin(2 * np.pi * (200 * time + 700 * time**2))
    return (envelope * (0.3 * chirp + 0.03 * random.standard_normal(samples))).astype(np.float32)


def librosa_log_mel(config: FeaturesConfig, samples: np.ndarray) -> np.ndarray:
    """Log-mel (T, n_mels) by librosa, in float64."""
    window = round(config.sample_rate * config.window_ms / 1000)
    mel = librosa.feature.melspectrogram(
        y=samples.astype(np.float64),
        sr=config.sample_rate,
        n_fft=int(2 ** np.ceil(np.log2(window))),
        win_length=window,
        hop_length=round(config.sample_rate * config.hop_ms / 1000),
        center=True,
        pad_mode="constant",
        power=2.0,
        n_mels=config.n_mels,
        fmin=config.min_hz,
        fmax=config.max_hz,
    )
    return np.log(np.maximum(mel, LOG_FLOOR)).T


def padded(*signals: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(signal) for signal in signals])
    batch = torch.zeros(len(signals), int(lengths.max()))
    for row, signal in zip(batch, signals, strict=True):
        row[: len(signal)] = torch.from_numpy(signal)
    return batch, lengths


@pytest.mark.filterwarnings("ignore:n_fft=.* is too large")
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("samples", [16000, 12345, 320, 100])
def test_equals_librosa(config, samples):
    signal = sound(samples)
    features, frames = LogMel(config).log_mel(*padded(signal))
    expected = librosa_log_mel(config, signal)
    assert frames.tolist() == [len(expected)]
    assert features.shape == (1, *expected.shape)
    # float32 rounds the edges of narrow bands: one that only just touches a bin is all rounding
    n_fft = int(2 ** np.ceil(np.log2(config.sample_rate * config.window_ms / 1000)))
    bank = librosa.filters.mel(
        sr=config.sample_rate,
        n_fft=n_fft,
        n_mels=config.n_mels,
        fmin=config.min_hz,
        fmax=config.max_hz,
        dtype=np.float64,
    )
    solid = bank.max(axis=1) > 1e-3 * bank.max()
    assert solid.mean() > 0.9
    difference = np.abs(features[0].numpy() - expected)[:, solid]
    assert difference.max() < 2e-3
    assert difference.mean() < 2e-5


def test_silence_is_the_floor():
    features, _ = LogMel(FeaturesConfig()).log_mel(torch.zeros(1, 1600), torch.tensor([1600]))
    torch.testing.assert_close(features, torch.full_like(features, float(np.log(LOG_FLOOR))))


@pytest.mark.parametrize("config", NORMALIZED)
def test_padding_changes_nothing(config):
    module = LogMel(config)
    module.mean.normal_()
    module.deviation.uniform_(0.5, 2.0)
    signals = [sound(n, seed) for seed, n in enumerate((9000, 4000, 4001, 159, 1))]
    features, frames = module(*padded(*signals))
    assert features.size(1) == int(frames.max())
    for row, signal, count in zip(features, signals, frames.tolist(), strict=True):
        alone, alone_frames = module(*padded(signal))
        assert alone_frames.tolist() == [count] == [len(signal) // module.hop_length + 1]
        torch.testing.assert_close(row[:count], alone[0], atol=1e-4, rtol=1e-4)
        assert not row[count:].any()


def test_fit_takes_mean_and_deviation_of_real_frames_only():
    config = FeaturesConfig(n_mels=20)
    module = LogMel(config)
    signals = [sound(n, seed) for seed, n in enumerate((8000, 3000, 5000))]
    module.fit([padded(*signals[:2]), padded(signals[2])])
    frames = np.concatenate([librosa_log_mel(config, signal) for signal in signals])
    np.testing.assert_allclose(module.mean, frames.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(module.deviation, frames.std(axis=0), atol=1e-3)

    features, counts = module(*padded(*signals))
    real = torch.cat([row[:count] for row, count in zip(features, counts.tolist(), strict=True)])
    torch.testing.assert_close(real.mean(dim=0), torch.zeros(20), atol=1e-3, rtol=0)
    torch.testing.assert_close(real.std(dim=0, correction=0), torch.ones(20), atol=1e-3, rtol=0)


def test_fit_on_silence_gives_finite_features():
    module = LogMel(FeaturesConfig())
    silence = (torch.zeros(1, 1600), torch.tensor([1600]))
    module.fit([silence])
    features, _ = module(*silence)
    torch.testing.assert_close(features, torch.zeros_like(features), atol=1e-2, rtol=0)


def test_statistics_are_saved_and_the_filter_bank_is_not():
    assert {"mean", "deviation"} <= set(LogMel(FeaturesConfig()).state_dict())
    assert "bank" not in LogMel(FeaturesConfig()).state_dict()


def test_autocast_does_not_touch_features():
    module = LogMel(FeaturesConfig())
    batch = padded(sound(4000))
    expected, _ = module(*batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features, _ = module(*batch)
    assert features.dtype == torch.float32
    assert torch.equal(features, expected)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sample_rate": 500},
        {"n_mels": 0},
        {"hop_ms": 0.0},
        {"window_ms": 5.0},
        {"min_hz": -1.0},
        {"max_hz": 9000.0},
        {"min_hz": 4000.0, "max_hz": 4000.0},
    ],
)
def test_refuses_settings_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match="features"):
        FeaturesConfig(**wrong)


def test_utterance_normalization_takes_away_level_and_colour():
    """A louder recording and one through another (constant) filter give the same features."""
    features = LogMel(FeaturesConfig(sample_rate=8000, n_mels=40, normalization="utterance"))
    random = np.random.default_rng(0)
    samples = torch.tensor(random.standard_normal((1, 8000)), dtype=torch.float32)
    lengths = torch.tensor([8000])
    plain, frames = features(samples, lengths)
    louder, _ = features(4.0 * samples, lengths)
    torch.testing.assert_close(louder, plain, rtol=0, atol=1e-4)
    torch.testing.assert_close(plain.mean(dim=1), torch.zeros(1, 40), rtol=0, atol=1e-5)
    # a batch with a longer neighbour changes nothing
    both = torch.zeros(2, 12000)
    both[0, :8000] = samples[0]
    both[1] = torch.tensor(random.standard_normal(12000), dtype=torch.float32)
    batched, _ = features(both, torch.tensor([8000, 12000]))
    torch.testing.assert_close(batched[:1, : frames[0]], plain, rtol=0, atol=1e-4)
    assert not batched[0, frames[0] :].any()


@pytest.mark.parametrize("seconds", [1, 3, 10])
@pytest.mark.parametrize(("noise", "tolerance"), [(0.0, 1e-4), (1e-4, 0.05)])
def test_silence_around_speech_leaves_its_features_as_they_are(seconds, noise, tolerance):
    """Digital zeros, and noise at -80 dB; a mean over all frames would move by more than 1."""
    speech = sound(20000)
    around = np.random.default_rng(1).standard_normal(2 * 16000 * seconds).astype(np.float32)
    before, after = noise * around.reshape(2, -1)
    shifts = {}
    for normalization in ("speech", "utterance"):
        module = LogMel(FeaturesConfig(normalization=normalization))
        alone, frames = module(*padded(speech))
        inside, _ = module(*padded(np.concatenate([before, speech, after])))
        first = 100 * seconds
        # the outermost frames hold some of what is around the speech
        part = slice(3, int(frames[0]) - 3)
        shifts[normalization] = (inside[0, first:][part] - alone[0, part]).abs().mean()
    assert shifts["speech"] < tolerance
    assert shifts["utterance"] > 1


def test_speech_normalization_takes_its_mean_over_loud_frames():
    """Against the definition, in NumPy: up to 15 dB below what a twentieth of a second reaches."""
    config = FeaturesConfig(n_mels=20, normalization="speech")
    envelope = np.repeat(10.0 ** -np.arange(8), 4000)  # -20 dB every quarter of a second
    signal = (envelope * sound(len(envelope))).astype(np.float32)
    features, _ = LogMel(config)(*padded(signal))
    log_mel = librosa_log_mel(config, signal)
    decibels = 10 * np.log10(np.exp(log_mel).sum(axis=1))
    loud = decibels >= np.sort(decibels)[-5] - 15
    assert 10 < loud.sum() < len(loud) / 3
    expected = log_mel - log_mel[loud].mean(axis=0)
    np.testing.assert_allclose(features[0].numpy(), expected, atol=5e-3)


def test_a_band_without_sound_in_training_is_not_scaled_up():
    """Telephone speech at 16 kHz has nothing above 4 kHz; a wideband recording then has."""
    spectrum = np.fft.rfft(sound(16000) * np.hanning(16000))
    spectrum[3400:] = 0.0  # bins of 1 Hz
    telephone = np.fft.irfft(spectrum).astype(np.float32)
    module = LogMel(FeaturesConfig())
    module.fit([padded(telephone)])
    features, _ = module(*padded(sound(16000)))
    assert features.abs().max() < 30


def utterance_of_words(rate: int) -> np.ndarray:
    """Three loud stretches over faint noise, 1.5 s."""
    random = np.random.default_rng(1)
    samples = 1e-3 * random.standard_normal(3 * rate // 2)
    time = np.arange(rate // 4) / rate
    for start, pitch in ((0.1, 300), (0.6, 500), (1.1, 800)):
        begin = int(start * rate)
        tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 8))
        samples[begin : begin + len(time)] += 0.2 * tone * np.hanning(len(time))
        samples[begin : begin + len(time)] += 0.02 * random.standard_normal(len(time))
    return samples.astype(np.float32)


@pytest.mark.parametrize("level", [0.0, 1e-4, 1e-3])
@pytest.mark.parametrize("seconds", [0, 1, 3, 10])
def test_silence_around_does_not_shift_the_features_of_speech(level: float, seconds: int) -> None:
    """Zeros, fainter noise and noise like the utterance's own: to 0.001 of a deviation."""
    rate = 8000
    module = LogMel(FeaturesConfig(sample_rate=rate, n_mels=40, normalization="speech"))
    module.deviation.fill_(3.0)
    speech = utterance_of_words(rate)
    random = np.random.default_rng(2)
    noise = (level * random.standard_normal((2, seconds * rate))).astype(np.float32)
    alone, frames = module(*padded(speech))
    around, _ = module(*padded(np.concatenate([noise[0], speech, noise[1]])))
    first = seconds * rate // module.hop_length
    # frames at the edges reach into what was added
    inside = around[0, first + 2 : first + int(frames[0]) - 2]
    torch.testing.assert_close(inside, alone[0, 2:-2], atol=1e-3, rtol=0)


def test_a_click_does_not_hide_the_speech() -> None:
    module = LogMel(FeaturesConfig(sample_rate=8000, n_mels=40, normalization="speech"))
    speech = utterance_of_words(8000)
    clicked = np.concatenate([np.zeros(800, np.float32), speech])
    clicked[400] = 1.0
    alone, frames = module(*padded(speech))
    found, _ = module(*padded(clicked))
    difference = (found[0, 12 : 8 + int(frames[0])] - alone[0, 2:-2]).abs()
    assert difference.max() < 0.5


@pytest.mark.parametrize("normalization", ["global", "utterance", "speech"])
def test_padding_changes_nothing_in_any_normalization(normalization: str) -> None:
    """Short utterances beside long ones, and what lies behind an utterance may be anything."""
    config = FeaturesConfig(sample_rate=8000, n_mels=40, normalization=normalization)
    module = LogMel(config)
    signals = [utterance_of_words(8000), utterance_of_words(8000)[:2500], sound(159), sound(1)]
    features, frames = module(*padded(*signals))
    for row, signal, count in zip(features, signals, frames.tolist(), strict=True):
        alone, _ = module(*padded(signal))
        torch.testing.assert_close(row[:count], alone[0], atol=1e-4, rtol=1e-4)
        assert not row[count:].any()


@pytest.mark.parametrize("normalization", ["utterance", "speech"])
def test_silence_alone_gives_zeros(normalization: str) -> None:
    module = LogMel(FeaturesConfig(normalization=normalization))
    features, _ = module(torch.zeros(1, 1600), torch.tensor([1600]))
    torch.testing.assert_close(features, torch.zeros_like(features), atol=1e-5, rtol=0)


def test_a_band_that_training_left_empty_is_not_magnified() -> None:
    module = LogMel(FeaturesConfig())
    module.fit([(torch.zeros(1, 1600), torch.tensor([1600]))])
    features, _ = module(*padded(sound(4000)))
    # a full-scale tone is at most about 30 above the floor, in natural logarithms
    assert features.abs().max() < 60
