from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.reading import read_audio
from asr_attn.data.batches import (
    TrainingBatches,
    UtteranceBatches,
    pad_waveforms,
    read_utterance,
    render_example,
)
from asr_attn.data.manifest import Utterance
from asr_attn.data.planning import Example, MixingConfig, Segment

RATE = 8000
OFF = AugmentationConfig(speed=(1.0,), gain_db=0.0, frequency_masks=0, time_masks=0)
GAP = MixingConfig(gap_seconds=(0.25, 0.25))


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    """Three recordings of noise, the second one with an offset into its file."""
    random = np.random.default_rng(0)
    out = []
    for i, (seconds, offset) in enumerate([(2.0, 0.0), (1.5, 0.5), (1.0, 0.0)]):
        path = tmp_path / f"{i}.wav"
        samples = 0.1 * (i + 1) * random.standard_normal(round((seconds + offset) * RATE))
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        out.append(Utterance(f"u{i}", path, f"text {i}", seconds, offset))
    return out


def whole(utterances: list[Utterance], *indices: int, seed: int = 0) -> Example:
    segments = [Segment(i, 0.0, utterances[i].duration, "w") for i in indices]
    return Example(tuple(segments), (seed, 0))


def render(example, utterances, mixing=GAP, augmentation=None) -> np.ndarray:
    return render_example(example, utterances, RATE, mixing, augmentation)


def test_padding_is_zero_after_each_waveform():
    waveforms = [np.ones(n, np.float32) * n for n in (3, 5, 1)]
    padded, lengths = pad_waveforms(waveforms)
    assert padded.tolist() == [[3, 3, 3, 0, 0], [5] * 5, [1, 0, 0, 0, 0]]
    assert lengths.tolist() == [3, 5, 1]
    assert padded.dtype == torch.float32


def test_one_segment_is_what_the_file_holds(utterances):
    for i, utterance in enumerate(utterances):
        expected = read_audio(utterance.audio, RATE, utterance.offset, utterance.duration)
        np.testing.assert_array_equal(render(whole(utterances, i), utterances), expected)
        np.testing.assert_array_equal(read_utterance(utterance, RATE), expected)
    source, _ = soundfile.read(utterances[1].audio, dtype="float32")
    np.testing.assert_array_equal(read_utterance(utterances[1], RATE), source[4000:])


def test_a_part_is_that_part_of_the_utterance(utterances):
    example = Example((Segment(1, 0.25, 0.5, "w"),), (0,))
    source, _ = soundfile.read(utterances[1].audio, dtype="float32")
    np.testing.assert_array_equal(render(example, utterances), source[6000:10000])


def test_joined_segments_keep_their_samples_and_the_pause_is_background(utterances):
    quiet = np.full(100, 1e-3, np.float32)
    samples, _ = soundfile.read(utterances[2].audio, dtype="float32")
    samples[3000 : 3000 + 100] = quiet  # one hundredth of a second, and some more
    samples[3040:3200] = 1e-3
    soundfile.write(utterances[2].audio, samples, RATE, subtype="FLOAT")
    out = render(whole(utterances, 0, 2, 1), utterances)
    gap = round(0.25 * RATE)
    parts = [read_utterance(utterances[i], RATE) for i in (0, 2, 1)]
    assert len(out) == sum(map(len, parts)) + 2 * gap
    assert out.dtype == np.float32
    begin = 0
    for k, part in enumerate(parts):
        np.testing.assert_array_equal(out[begin : begin + len(part)], part)
        begin += len(part)
        if k < 2:
            pause = out[begin : begin + gap]
            assert np.sqrt(np.mean(pause**2)) == pytest.approx(1e-3, rel=0.1)
            begin += gap


def test_pauses_are_drawn_from_the_range(utterances):
    mixing = MixingConfig(gap_seconds=(0.1, 0.3))
    speech = sum(len(read_utterance(utterances[i], RATE)) for i in (0, 1))
    gaps = [
        (len(render(whole(utterances, 0, 1, seed=seed), utterances, mixing)) - speech) / RATE
        for seed in range(60)
    ]
    assert 0.1 - 1 / RATE <= min(gaps) < 0.13
    assert 0.27 < max(gaps) <= 0.3
    no_gap = MixingConfig()
    assert len(render(whole(utterances, 0, 1), utterances, no_gap)) == speech


def test_segments_shorter_than_a_frame_are_joined(utterances):
    short = Segment(0, 0.0, 0.005, "w")
    out = render(Example((short, short), (0,)), utterances)
    assert len(out) == 2 * 40 + 2000
    assert not out[40:-40].any()


def test_augmentation_off_is_identity(utterances):
    for example in (whole(utterances, 0), whole(utterances, 0, 1)):
        np.testing.assert_array_equal(
            render(example, utterances, augmentation=OFF), render(example, utterances)
        )


@pytest.mark.parametrize("speed", [0.9, 1.1])
def test_speed_is_of_the_whole_example(utterances, speed):
    config = AugmentationConfig(speed=(speed,), gain_db=0.0)
    example = whole(utterances, 0, 1)
    out = render(example, utterances, augmentation=config)
    assert abs(len(out) - len(render(example, utterances)) / speed) <= 1


def test_seed_of_the_example_decides(utterances):
    config = AugmentationConfig(noise_probability=0.5)
    examples = [whole(utterances, 0, 1, seed=seed) for seed in range(8)]
    first = [render(example, utterances, augmentation=config) for example in examples]
    again = [render(example, utterances, augmentation=config) for example in examples]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({samples.tobytes() for samples in first}) == 8


def test_training_batches(utterances):
    examples = [whole(utterances, 2), whole(utterances, 0, 1), whole(utterances, 0)]
    batches = TrainingBatches(utterances, examples, [[1, 0], [2]], RATE, GAP, None)
    assert len(batches) == 2
    batch = batches[0]
    assert batch.ids == ["u0+u1", "u2"]
    assert batch.texts == ["w w", "w"]
    assert batch.lengths.tolist() == [30000, 8000]
    assert batch.waveforms.shape == (2, 30000)
    for row, k, length in zip(batch.waveforms, (1, 0), batch.lengths.tolist(), strict=True):
        np.testing.assert_array_equal(row[:length], render(examples[k], utterances))
        assert not row[length:].any()
    assert batches[1].ids == ["u0"]


def test_utterance_batches(utterances):
    batches = UtteranceBatches(utterances, [[2], [0, 1]], RATE)
    assert len(batches) == 2
    batch = batches[1]
    assert batch.ids == ["u0", "u1"]
    assert batch.texts == ["text 0", "text 1"]
    assert batch.lengths.tolist() == [16000, 12000]
    for row, i, length in zip(batch.waveforms, (0, 1), batch.lengths.tolist(), strict=True):
        np.testing.assert_array_equal(row[:length], read_utterance(utterances[i], RATE))
        assert not row[length:].any()
