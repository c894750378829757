"""What a search is given that cannot be used, or holds hardly anything."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_attn.recognizer import Recognizer
from tests.conftest import RATE, speech


@pytest.fixture
def lm(asr, model_file, tmp_path) -> Path:
    """A model of the recogniser's tokens."""
    source, path = tmp_path / "said.txt", tmp_path / "tokens.arpa"
    source.write_text("a b c d e f g h\nbad bed\nhead a face\n" * 3, encoding="utf-8")
    options = ("--order", 3, "--units", "tokens", "--model", model_file)
    assert asr("lm", "train", source, "--output", path, *options)[0] == 0
    return path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--ctc-weight", "-0.1"), ("ctc", "from 0 to 1", "-0.1")),
        (("--length-exponent", "-1"), ("exponent", "must not be negative", "-1")),
        (("--doubt-penalty", "-1"), ("penalty", "must not be negative", "-1")),
        (("--length-bonus", "nan"), ("--length-bonus", "'nan' is not a number")),
        (("--length-exponent", "inf"), ("--length-exponent", "'inf' is not a number")),
        (("--beam", "0"), ("--beam", "not a whole number from 1")),
        (("--beam", "2.5"), ("--beam", "not a whole number from 1")),
        (("--hotword", "a:inf"), ("'a'", "inf", "from -1000 to 1000")),
        (("--hotword", "a:1e300"), ("'a'", "1e+300", "from -1000 to 1000")),
        (("--hotword", "?!"), ("'?!'", "no letters")),
    ],
)
@pytest.mark.parametrize("command", ["transcribe", "evaluate"])
def test_settings_out_of_range(refused, model_file, manifest, command, options, words):
    message = refused(command, model_file, manifest, *options)
    for word in words:
        assert word in message


def test_negative_weight_of_a_language_model(refused, model_file, manifest, lm):
    message = refused("transcribe", model_file, manifest, "--lm", lm, "--lm-weight", -1)
    assert "--lm-weight must not be negative" in message
    message = refused("transcribe", model_file, manifest, "--lm", lm, "--internal-lm-weight", -1)
    assert "--internal-lm-weight must not be negative" in message


def damaged(whole: bytes) -> dict[str, bytes]:
    """Files that are no language models, by what a message must say of them."""
    packed = gzip.compress(whole)
    middle = len(packed) // 2
    return {
        "should be ngram 3=COUNT": whole.replace(b"ngram 3=", b"ngram 4=", 1),
        "the header promises 1 2-grams but there are": whole.replace(
            next(line for line in whole.split(b"\n") if line.startswith(b"ngram 2=")), b"ngram 2=1"
        ),
        "the header promises": whole[: whole.rindex(b"\n", 0, len(whole) // 2) + 1],
        "should be a log-probability": whole[: whole.rindex(b" ", 0, len(whole) // 2)],
        "cut short": packed[:middle],
        "damaged gzip": packed[:-8] + bytes(8),
        "is not an ARPA file": b"RIFF\xff\xfe\n",
        "is a binary file of KenLM": b"mmap lm http://kheafield.com/code format version 5\n\0\xff",
    }


def test_damaged_language_models(refused, model_file, manifest, lm, tmp_path):
    for number, (words, data) in enumerate(damaged(lm.read_bytes()).items()):
        path = tmp_path / f"{number}.arpa"
        path.write_bytes(data)
        message = refused("transcribe", model_file, manifest, "--lm", path)
        assert message.startswith(f"asr-attn: {path}")
        assert words in message


def test_tokens_of_another_recogniser_are_named_on_both_sides(refused, model_file, manifest, lm):
    other = lm.with_name("other.arpa")
    text = lm.read_text(encoding="utf-8")
    other.write_text(text.replace("f", "y").replace("h", "z"), encoding="utf-8")
    message = refused("evaluate", model_file, manifest, "--lm", other)
    assert "2 of the recogniser only ('f', 'h')" in message
    assert "2 of the language model only ('y', 'z')" in message


def test_lines_of_hotwords_that_cannot_be_used_are_all_named(asr, model_file, manifest, tmp_path):
    listed = tmp_path / "words.txt"
    listed.write_text("bad\nna\u00efve\nbed:much\n", encoding="utf-8")
    code, out, err = asr("transcribe", model_file, manifest, "--hotwords", listed)
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert f"{listed}:2: hotword 'na\u00efve'" in first
    assert "'\u00ef'" in first
    assert f"{listed}:3: hotword 'bed:much'" in second


@pytest.mark.parametrize("samples", [1, 20, 79, 400])
def test_recordings_of_less_than_a_step(asr, model_file, tmp_path, lm, samples):
    """A frame has 200 samples, and one comes every 80; a step of the memory has four of them."""
    sound = tmp_path / "tick.wav"
    soundfile.write(sound, speech(1.0, 0)[:samples] + 0.01, RATE)
    every = ("--beam", 300, "--ctc-weight", 0.3, "--lm", lm, "--hotword", "a b", "--nbest", 400)
    for options in ((), every):
        code, out, _ = asr("transcribe", model_file, sound, "--format", "jsonl", *options)
        assert code == 0
        found = json.loads(out)
        assert not found["silent"]
        assert len(found["text"]) <= 3
        assert found["duration"] == pytest.approx(samples / RATE)


def test_silence_is_told_whatever_is_asked(asr, model_file, tmp_path, lm):
    sound = tmp_path / "silent.wav"
    soundfile.write(sound, np.zeros(RATE), RATE)
    options = ("--ctc-weight", 0.3, "--lm", lm, "--hotword", "a b", "--format", "jsonl")
    code, out, err = asr("transcribe", model_file, sound, *options)
    assert (code, json.loads(out)["text"]) == (0, "")
    assert err == f"asr-attn: {sound} is silent, or one steady sound; nothing to transcribe\n"


def test_no_samples_are_refused_whatever_is_asked(refused, model_file, tmp_path, lm):
    sound = tmp_path / "none.wav"
    soundfile.write(sound, np.zeros(0), RATE)
    options = ("--ctc-weight", 0.3, "--lm", lm, "--hotword", "a b")
    assert f"{sound} holds no samples" in refused("transcribe", model_file, sound, *options)


def test_a_beam_wider_than_all_there_is(asr, model_file, tmp_path, tiny_model, monkeypatch):
    """Of one memory step: nothing, one token, or two tokens and no end, each found once."""
    monkeypatch.setattr("asr_attn.recognizer.SHORTEST", 0.0)  # so short a sound has no words
    sound = tmp_path / "tick.wav"
    soundfile.write(sound, speech(1.0, 0)[:20], RATE)
    options = ("--beam", 5000, "--nbest", 5000, "--doubt-penalty", 0, "--format", "jsonl")
    code, out, _ = asr("transcribe", model_file, sound, *options)
    assert code == 0
    best = json.loads(out)
    found = [best, *best["alternatives"]]
    tokens = len(tiny_model.tokenizer) - 2  # without the blank and the end
    assert len(found) == 1 + tokens + tokens**2
    assert sum(h["truncated"] for h in found) == tokens**2
    marks = [(h["truncated"], -h["score"]) for h in found]
    assert marks == sorted(marks)


def test_a_beam_that_takes_all_memory_can_be_lowered(refused, model_file, manifest, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Recognizer, "transcribe_samples", fail)
    message = refused("transcribe", model_file, manifest, "--beam", 10**5)
    assert "out of memory; lower --beam or --batch-seconds, or cut" in message
    assert "--beam" not in refused("transcribe", model_file, manifest)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--beam", 10**8),
        ("--length-bonus", "1e8"),
        ("--length-exponent", "1e8"),
        ("--doubt-penalty", "1e8"),
    ],
)
def test_numbers_beyond_all_bounds_are_refused(refused, model_file, manifest, option, value):
    message = refused("transcribe", model_file, manifest, option, value)
    assert f"{option} is" in message
    assert "give a number up to" in message
