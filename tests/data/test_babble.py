from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.data.babble import babble_from
from asr_attn.data.batches import render_example
from asr_attn.data.manifest import Utterance
from asr_attn.data.planning import Example, MixingConfig, Segment

RATE = 8000
TONES = (500.0, 900.0, 1700.0, 3100.0)
OFF = AugmentationConfig(speed=(1.0,), gain_db=0.0, frequency_masks=0, time_masks=0)


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    """Each a tone of its own, of its own loudness; the first is the shortest."""
    out = []
    for i, hertz in enumerate(TONES):
        samples = 0.1 * (i + 1) * np.sin(2 * np.pi * hertz * np.arange(RATE * (i + 1) // 2) / RATE)
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        out.append(Utterance(f"u{i}", path, "a", len(samples) / RATE))
    return out


def heard(noise: np.ndarray) -> list[bool]:
    """Which of the tones are in a noise."""
    spectrum = np.abs(np.fft.rfft(noise)) / len(noise)
    bins = [round(hertz * len(noise) / RATE) for hertz in TONES]
    return [bool(spectrum[b - 3 : b + 4].max() > 0.1) for b in bins]


def test_babble_is_made_of_all_the_others(utterances):
    for voices in ((1, 1), (3, 3)):
        babble = babble_from(utterances, 2, voices, RATE)
        counts = np.zeros(4, int)
        for seed in range(60):
            noise = babble(RATE, np.random.default_rng(seed))
            assert noise.shape == (RATE,)
            assert noise.dtype == np.float32
            counts += heard(noise)
            if voices == (1, 1):  # every voice has the same level
                assert np.mean(noise**2) == pytest.approx(1.0, abs=0.01)
        # a third of the draws each, or all but (2 / 3) ** 3 of them
        assert counts[2] == 0
        assert 60 * (0.17 if voices == (1, 1) else 0.5) < min(counts[[0, 1, 3]])
        assert sum(counts) <= 60 * voices[0]
    numbers = {
        sum(heard(babble_from(utterances, 2, (1, 3), RATE)(RATE, np.random.default_rng(seed))))
        for seed in range(30)
    }
    assert numbers == {1, 2, 3}


def test_an_example_gets_babble_of_its_ratio_and_the_same_again(utterances):
    example = Example((Segment(3, 0.0, 2.0, "a"),), (7, 1))
    config = replace(OFF, noise_probability=1.0, noise_kinds=("babble",), noise_snr_db=(12.0, 12.0))
    plain, out, again = (
        render_example(example, utterances, RATE, MixingConfig(), c) for c in (OFF, config, config)
    )
    np.testing.assert_array_equal(out, again)
    noise = out - plain
    assert 10 * np.log10(np.mean(plain**2) / np.mean(noise**2)) == pytest.approx(12.0, abs=0.01)
    spectrum = np.abs(np.fft.rfft(noise))
    at = [spectrum[round(hertz * len(noise) / RATE)] for hertz in TONES]
    assert at[3] < 0.02 * max(at)


def test_what_cannot_be_read_is_silent(utterances):
    utterances[1].audio.unlink()
    babble = babble_from(utterances, 2, (3, 3), RATE)
    counts = np.sum([heard(babble(RATE, np.random.default_rng(seed))) for seed in range(20)], 0)
    assert counts[1] == counts[2] == 0
    assert min(counts[[0, 3]]) > 5
