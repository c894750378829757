import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import asr_attn
from asr_attn.audio.reading import audio_duration, read_audio
from asr_attn.data.manifest import Utterance
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.errors import AudioError, InputError
from asr_attn.evaluation.error_rates import count_errors
from asr_attn.evaluation.recognition import evaluate
from asr_attn.evaluation.result_text import evaluation_text
from asr_attn.recognizer import Recognizer, load
from asr_attn.transcript import Transcript

RATE = 8000


@pytest.fixture
def recognizer(tiny_model) -> Recognizer:
    return Recognizer(tiny_model)


def utterances_of(folder: Path, text: str = "a b") -> list[Utterance]:
    paths = sorted(folder.glob("*.wav"))
    return [Utterance(path.stem, path, text, audio_duration(path)) for path in paths]


def same(one: Transcript, other: Transcript) -> None:
    assert (one.text, one.truncated, one.silent) == (other.text, other.truncated, other.silent)
    assert one.duration == other.duration
    assert one.log_prob == pytest.approx(other.log_prob, abs=1e-3)
    assert one.score == pytest.approx(other.score, abs=1e-3)


@pytest.mark.parametrize("beam", [1, 3])
def test_a_batch_gives_what_single_recordings_give(recognizer, recordings, beam):
    paths = sorted(recordings.glob("*.wav"))
    single = [recognizer.transcribe(path, beam=beam) for path in paths]
    if beam == 1:
        assert len({t.text for t in single}) >= 3, "the fixture is too dull to show anything"
    waves = [read_audio(path, RATE) for path in paths]
    for one, together in zip(single, recognizer.transcribe_samples(waves, beam=beam), strict=True):
        same(one, together)
    utterances = utterances_of(recordings)
    for batch_seconds in (0.1, 2.0, 60.0):
        found = dict(
            recognizer.transcribe_utterances(utterances, beam=beam, batch_seconds=batch_seconds)
        )
        assert sorted(found) == [0, 1, 2, 3, 4]
        for i, one in enumerate(single):
            same(one, found[i])


def test_zeros_after_the_end_are_not_padding_but_sound(recognizer, recordings):
    wave = read_audio(recordings / "0.wav", RATE)
    longer = np.concatenate([wave, np.zeros(2 * RATE, np.float32)])
    alone = recognizer.transcribe_samples([wave])[0]
    beside = recognizer.transcribe_samples([wave, longer])[0]
    same(alone, beside)


def test_beam_of_one_is_greedy_and_a_wider_one_is_no_worse(recognizer, recordings):
    waves = [read_audio(path, RATE) for path in sorted(recordings.glob("*.wav"))]
    greedy = recognizer.transcribe_samples(waves)
    wide = recognizer.transcribe_samples(waves, beam=8)
    for one, other in zip(greedy, wide, strict=True):
        assert one.truncated or other.score >= one.score - 1e-4


def test_samples_tensors_and_files_are_heard_alike(recognizer, recordings):
    path = recordings / "0.wav"
    wave = read_audio(path, RATE)
    expected = recognizer.transcribe(path)
    assert expected.duration == pytest.approx(1.3)
    for audio in (str(path), wave, torch.from_numpy(wave), wave.astype(np.float64)):
        same(recognizer.transcribe(audio), expected)
    upsampled = np.repeat(wave, 2)
    assert recognizer.transcribe(upsampled, 2 * RATE).duration == pytest.approx(1.3)


def test_silence_and_very_short_sound(recognizer):
    silent = recognizer.transcribe(np.zeros(RATE, np.float32))
    assert silent == Transcript("", 1.0, silent=True)
    for samples in (1, 10, 400):
        short = recognizer.transcribe(np.full(samples, 0.1, np.float32), beam=2)
        assert short == Transcript("", samples / RATE)
    assert recognizer.transcribe_samples([]) == []
    assert list(recognizer.transcribe_utterances([])) == []


def test_steady_sounds_hold_no_words_and_do_not_change_those_of_others(recognizer, recordings):
    time = np.arange(2 * RATE) / RATE
    hum = (0.1 * np.sin(2 * np.pi * 50 * time)).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32) / 50
    wave = read_audio(recordings / "0.wav", RATE)
    found = recognizer.transcribe_samples([hum, wave, noise])
    same(found[1], recognizer.transcribe_samples([wave])[0])
    assert found[0] == found[2] == Transcript("", 2.0, silent=True)


def test_long_silence_changes_times_and_no_words(recognizer, recordings):
    wave = read_audio(recordings / "0.wav", RATE)
    before, behind = (np.zeros(seconds * RATE, np.float32) for seconds in (4, 10))
    alone = recognizer.transcribe_samples([wave])[0]
    found = recognizer.transcribe_samples([np.concatenate([before, wave, behind])])[0]
    assert found.text == alone.text != ""
    assert found.duration == pytest.approx(alone.duration + 14)
    for one, other in zip(found.words, alone.words, strict=True):
        assert (one.start, one.end) == pytest.approx((other.start + 4, other.end + 4), abs=1e-3)
        assert one.heard == pytest.approx(tuple(t + 4 for t in other.heard), abs=1e-3)
    for one, other in zip(found.tokens, alone.tokens, strict=True):
        assert one.attention == pytest.approx(tuple(t + 4 for t in other.attention), abs=1e-3)
    for one, other in zip(found.doubts, alone.doubts, strict=True):
        assert (one.start, one.end) == pytest.approx((other.start + 4, other.end + 4), abs=1e-3)


@pytest.mark.parametrize(
    ("samples", "rate", "words"),
    [
        (np.zeros((2, 100), np.float32), None, "one channel"),
        (np.zeros(0, np.float32), None, "one channel"),
        (np.array([0.1, np.nan], np.float32), None, "NaN"),
        (np.full(100, 1000, np.int16), None, "divided by 32768"),
        (torch.full((100,), 1000, dtype=torch.int16), None, "divided by 32768"),
        (np.full(100, 1000, np.float32), None, "full scale is ±1"),
        (np.zeros(100, np.float32), 0, "above 0"),
        (np.zeros(1, np.float32), 48000, "too few"),
    ],
)
def test_unusable_samples_are_refused(recognizer, samples, rate, words):
    with pytest.raises(AudioError, match=words):
        recognizer.transcribe(samples, rate)
    if rate is None:
        with pytest.raises(AudioError, match=words):
            recognizer.transcribe_samples([np.zeros(RATE, np.float32), samples])


def test_one_bad_file_does_not_keep_the_others(recognizer, recordings):
    (recordings / "2.wav").write_text("no sound", encoding="utf-8")
    utterances = [Utterance(p.stem, p, "a", 0.2) for p in sorted(recordings.glob("*.wav"))]
    found = dict(recognizer.transcribe_utterances(utterances))
    assert [isinstance(found[i], Transcript) for i in range(5)] == [True, True, False, True, True]
    assert "2.wav" in str(found[2])


def test_a_part_of_a_file_is_transcribed(recognizer, recordings):
    utterance = Utterance("x", recordings / "0.wav", "", 0.5, offset=0.3)
    found = dict(recognizer.transcribe_utterances([utterance]))
    wave = read_audio(recordings / "0.wav", RATE)
    same(found[0], recognizer.transcribe(wave[2400:6400]))


def test_search_settings_are_those_given(tiny_model, recordings):
    short = Recognizer(tiny_model, SearchConfig(max_tokens_per_step=0.01))
    transcript = short.transcribe(recordings / "0.wav")
    assert len(transcript.text) <= 2
    with pytest.raises(ValueError, match="beam must be at least 1"):
        short.transcribe(recordings / "0.wav", beam=0)


def test_load_finds_a_device_or_says_there_is_none(model_file):
    assert load(model_file, "auto").sample_rate == RATE
    assert asr_attn.load(str(model_file.parent)).sample_rate == RATE
    for device in ("gpu", "cuda:99", "meta"):
        with pytest.raises(InputError, match=device):
            load(model_file, device)


def test_evaluate_counts_what_was_recognised(recognizer, recordings):
    utterances = utterances_of(recordings, text="A  b!")
    seen: list[int] = []
    result = evaluate(recognizer, utterances, beam=2, on_result=lambda i, _: seen.append(i))
    texts = [recognizer.transcribe(u.audio, beam=2).text for u in utterances]
    assert [result.transcripts[u.id].text for u in utterances] == texts
    assert result.words == count_errors(["a b"] * 5, texts)
    assert result.characters == count_errors(["a b"] * 5, texts, characters=True)
    assert result.audio_seconds == pytest.approx(3.5)
    assert result.real_time_factor == result.recognition_seconds / result.audio_seconds
    assert sorted(seen) == [0, 1, 2, 3, 4]


def test_evaluate_leaves_unreadable_recordings_out_and_says_so(recognizer, recordings):
    utterances = utterances_of(recordings)
    utterances = [replace(u, text=recognizer.transcribe(u.audio).text) for u in utterances]
    (recordings / "1.wav").unlink()
    result = evaluate(recognizer, utterances)
    assert list(result.failures) == ["1"]
    assert list(result.transcripts) == ["0", "2", "3", "4"]
    assert result.words.errors == 0
    assert result.words.total == sum(len(u.text.split()) for u in utterances if u.id != "1")
    assert "1 could not be read and are NOT in these figures" in evaluation_text(result)
    for path in recordings.glob("*.wav"):
        path.unlink()
    with pytest.raises(AudioError, match="no recording could be read"):
        evaluate(recognizer, utterances)


def test_transcribing_imports_nothing_of_training(model_file, tmp_path):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.ones(RATE), RATE)
    script = f"""
import sys, asr_attn
assert "torch" not in sys.modules
asr_attn.load({str(model_file)!r}).transcribe({str(tmp_path / "a.wav")!r}, beam=2)
from asr_attn.evaluation import recognition
from asr_attn import cli
cli.main(["transcribe", {str(model_file)!r}, {str(tmp_path / "a.wav")!r}])
roots = {{name.split(".")[0] for name in sys.modules}}
unwanted = {{"lightning", "lightning_fabric", "pytorch_lightning", "hydra", "omegaconf",
             "tensorboard", "matplotlib", "librosa"}}
assert not roots & unwanted, roots & unwanted
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_as_many_hypotheses_as_are_asked_for_come_without_a_beam(recognizer, recordings):
    path = recordings / "0.wav"
    wide = recognizer.transcribe(path, beam=4, nbest=4)
    assert len(wide.alternatives) == 3
    for beam in (None, 2):
        same(recognizer.transcribe(path, beam=beam, nbest=4), wide)
        found = recognizer.transcribe(path, beam=beam, nbest=4).alternatives
        assert [t.text for t in found] == [t.text for t in wide.alternatives]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nbest": 0}, "nbest must be from 1 to"),
        ({"nbest": -1}, "nbest must be from 1 to"),
        ({"nbest": 10**6}, "nbest must be from 1 to"),
        ({"beam": 0}, "beam must be at least 1, not 0"),
        ({"beam": -3}, "beam must be at least 1, not -3"),
    ],
)
def test_impossible_numbers_of_hypotheses_are_refused(recognizer, recordings, options, words):
    with pytest.raises(InputError, match=words):
        recognizer.transcribe(recordings / "0.wav", **options)
    with pytest.raises(InputError, match=words):
        list(recognizer.transcribe_utterances(utterances_of(recordings), **options))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_batches_of_no_seconds_are_refused(recognizer, recordings, seconds):
    with pytest.raises(InputError, match="batch_seconds must be above 0"):
        list(recognizer.transcribe_utterances(utterances_of(recordings), batch_seconds=seconds))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks as on Unix")
def test_a_forked_child_transcribes_as_its_parent_does():
    """Of 20 seconds: what is short is not divided among threads."""
    script = """
import os, sys
import numpy as np, torch
import asr_attn
torch.set_num_threads(2)
recognizer = asr_attn.load("digits")
samples = 0.1 * np.random.default_rng(0).standard_normal(20 * 8000).astype(np.float32)
text = recognizer.transcribe(samples).text
if os.fork() == 0:
    os._exit(0 if recognizer.transcribe(samples).text == text else 3)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as process:
        try:
            code = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the child, too
            raise
    assert code == 0
