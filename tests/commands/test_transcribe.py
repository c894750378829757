import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import soundfile

from asr_attn.checkpoint import save_model
from asr_attn.commands.terminal import text_name
from asr_attn.data.manifest import read_manifest
from asr_attn.decoding.doubts import Doubt
from asr_attn.recognizer import Recognizer, load

RATE = 8000


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_single_file_gives_just_its_text(asr, model_file, recordings, texts):
    code, out, _ = asr("transcribe", model_file, recordings / "1.wav")
    assert (code, out) == (0, texts["1"] + "\n")


def test_a_folder_gives_paths_and_texts_in_order(asr, model_file, recordings, texts):
    for more in ((), ("--batch-seconds", "0.1"), ("--batch-seconds", "1.5")):
        code, out, _ = asr("transcribe", model_file.parent, recordings, *more)
        assert code == 0
        assert out.splitlines() == [f"{recordings / name}.wav\t{texts[name]}" for name in "01234"]


def test_files_are_answered_in_the_order_given(asr, model_file, recordings, texts):
    order = [recordings / f"{i}.wav" for i in (4, 0, 3, 0)]
    code, out, _ = asr("transcribe", model_file, *order)
    assert code == 0
    assert out.splitlines() == [f"{path}\t{texts[path.stem]}" for path in order]


def test_a_manifest_gives_ids(asr, model_file, recordings, manifest, texts):
    code, out, _ = asr("transcribe", model_file, manifest, recordings / "2.wav")
    assert code == 0
    expected = [f"u{name}\t{texts[name]}" for name in "43210"]
    assert out.splitlines() == [*expected, f"{recordings / '2.wav'}\t{texts['2']}"]


def test_json_lines_are_a_manifest(asr, model_file, manifest, recordings, tmp_path, monkeypatch):
    """To learn from: wherever it lies, with the part of the recording and the speaker."""
    parts = recordings / "parts.jsonl"
    line = {"id": "p", "audio": "0.wav", "text": "", "duration": 0.25, "offset": 0.1}
    parts.write_text(json.dumps({**line, "speaker": "ann"}) + "\n")
    monkeypatch.chdir(recordings)
    output = tmp_path / "elsewhere" / "heard.jsonl"
    code, _, _ = asr("transcribe", model_file, "1.wav", "parts.jsonl", "--output", output)
    assert code == 0
    whole, part = read_manifest(output)
    assert whole.audio == recordings.resolve() / "1.wav"
    assert whole.offset == 0
    assert whole.extra["confidence"] >= 0
    assert (part.audio, part.offset) == (recordings.resolve() / "0.wav", 0.1)
    assert (part.duration, part.speaker) == (0.25, "ann")


def test_json_lines_hold_everything(asr, model_file, manifest, recordings, tmp_path):
    output = tmp_path / "new" / "out.jsonl"
    code, out, _ = asr("transcribe", model_file, manifest, "--output", output, "--beam", 2)
    assert (code, out) == (0, "")
    records = json_lines(output.read_text(encoding="utf-8"))
    recognizer = load(model_file)
    for found, name in zip(records, "43210", strict=True):
        expected = recognizer.transcribe(recordings / f"{name}.wav", beam=2)
        assert found == {
            "id": f"u{name}",
            "audio": str(recordings.resolve() / f"{name}.wav"),
            "text": expected.text,
            "duration": pytest.approx(expected.duration),
            "score": pytest.approx(expected.score, abs=1e-3),
            "log_prob": pytest.approx(expected.log_prob, abs=1e-3),
            "truncated": expected.truncated,
            "silent": False,
            "confidence": pytest.approx(expected.confidence, abs=1e-3),
            "words": [
                {
                    "word": word.text,
                    "start": pytest.approx(word.start, abs=1e-3),
                    "end": pytest.approx(word.end, abs=1e-3),
                    "confidence": pytest.approx(word.confidence, abs=1e-3),
                    "attention_start": pytest.approx(word.heard[0], abs=1e-3),
                    "attention_end": pytest.approx(word.heard[1], abs=1e-3),
                    "agreement": pytest.approx(word.agreement, abs=1e-3),
                }
                for word in expected.words
            ],
            "doubts": [
                {
                    "kind": doubt.kind,
                    "start": pytest.approx(doubt.start, abs=1e-3),
                    "end": pytest.approx(doubt.end, abs=1e-3),
                }
                for doubt in expected.doubts
            ],
            "searched_again": expected.searched_again,
            "parts": pytest.approx(dict(expected.parts), abs=1e-3),
        }
    code, out, _ = asr("transcribe", model_file, recordings / "0.wav", "--format", "jsonl")
    assert [record["id"] for record in json_lines(out)] == [str(recordings / "0.wav")]
    text = tmp_path / "out.txt"
    assert asr("transcribe", model_file, recordings, "--output", text)[:2] == (0, "")
    assert len(text.read_text(encoding="utf-8").splitlines()) == 5


def test_what_the_text_does_not_show_is_said(asr, model_file, tmp_path, monkeypatch, make_speech):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "tick.wav", np.full(RATE // 20, 0.1), RATE)
    soundfile.write(tmp_path / "hum.wav", 0.1 * np.sin(np.arange(2 * RATE) / 20), RATE)
    soundfile.write(tmp_path / "long.wav", make_speech(0.9, 0), RATE)
    for name in ("silent.wav", "hum.wav"):
        code, out, err = asr("transcribe", model_file, tmp_path / name)
        assert (code, out) == (0, "\n")
        nothing = "is silent, or one steady sound; nothing to transcribe"
        assert err == f"asr-attn: {tmp_path / name} {nothing}\n"
    code, out, err = asr("transcribe", model_file, tmp_path / "tick.wav", "--beam", 3)
    assert (code, out) == (0, "\n")
    assert err == f"asr-attn: {tmp_path / 'tick.wav'} lasts 0.050 s, too short to hold a word\n"
    transcribe = Recognizer.transcribe_samples

    def cut_off(self, waveforms, **options):
        found = transcribe(self, waveforms, **options)
        return [dataclasses.replace(t, truncated=True) for t in found]

    monkeypatch.setattr(Recognizer, "transcribe_samples", cut_off)
    code, _, err = asr("transcribe", model_file, tmp_path / "long.wav")
    assert code == 0
    assert err.startswith(f"asr-attn: {tmp_path / 'long.wav'}: the transcript was cut off")


def test_words_that_were_taken_out_are_said(asr, model_file, recordings, monkeypatch):
    transcribe = Recognizer.transcribe_samples
    doubts = (
        Doubt("silence", 1.0, 2.5, (3, 3), removed="he said"),
        Doubt("silence", 3.0, 4.0, (3, 5)),
    )

    def with_doubts(self, waveforms, **options):
        found = transcribe(self, waveforms, **options)
        return [dataclasses.replace(t, doubts=doubts, truncated=False) for t in found]

    monkeypatch.setattr(Recognizer, "transcribe_samples", with_doubts)
    path = recordings / "0.wav"
    code, out, err = asr("transcribe", model_file, path, "--format", "jsonl")
    assert code == 0
    assert json_lines(out)[0]["doubts"] == [
        {"kind": "silence", "start": 1.0, "end": 2.5, "removed": "he said"},
        {"kind": "silence", "start": 3.0, "end": 4.0},
    ]
    assert err.splitlines() == [
        f"asr-attn: {path}: words were taken out where nothing is said, at 1.0 to 2.5 s: he said",
        f"asr-attn: {path}: words may be written where nothing is said at 3.0 to 4.0 s",
    ]


@pytest.mark.parametrize("command", ["transcribe", "evaluate"])
def test_recordings_longer_than_those_trained_on_are_told_once(
    asr, tiny_model, manifest, tmp_path, command
):
    path = tmp_path / "known.safetensors"
    for longest, told in [(0.5, True), (1.0, False), (None, False)]:
        info = {} if longest is None else {"longest_seconds": longest}
        save_model(path, dataclasses.replace(tiny_model, info=info))
        code, _, err = asr(command, path, manifest)
        assert code == 0
        assert err.count("the model was trained on recordings of at most 0.5 s") == told
    save_model(path, dataclasses.replace(tiny_model, info={"longest_seconds": 0.5}))
    assert asr(command, path, manifest)[2].startswith("asr-attn: u0 lasts 1.3 s, but")


def test_times_of_tokens_are_written_on_request(asr, refused, model_file, recordings):
    audio = recordings / "0.wav"
    code, out, _ = asr("transcribe", model_file, audio, "--format", "jsonl", "--tokens")
    assert code == 0
    (found,) = json_lines(out)
    expected = load(model_file).transcribe(audio).tokens
    assert "".join(token["token"] for token in found["tokens"]).split() == found["text"].split()
    for token, other in zip(found["tokens"], expected, strict=True):
        assert token["attention_start"] == pytest.approx(other.attention[0], abs=1e-3)
        assert (token["start"] is None) == (other.ctc is None)
    assert "--tokens needs --format jsonl" in refused("transcribe", model_file, audio, "--tokens")


def test_words_can_be_left_out(asr, model_file, manifest, texts):
    code, out, _ = asr("transcribe", model_file, manifest, "--ignore", "g")
    assert code == 0
    written = dict(line.split("\t") for line in out.splitlines())
    for name, text in texts.items():
        assert written[f"u{name}"] == " ".join(w for w in text.split() if w != "g")
    assert any("g" in text.split() for text in texts.values())
    out = asr("transcribe", model_file, manifest, "--ignore", "g", "--format", "jsonl")[1]
    for line in out.splitlines():
        record = json.loads(line)
        assert [word["word"] for word in record["words"]] == record["text"].split()


def test_a_beam_for_the_hypotheses_asked_for_is_taken(asr, model_file, recordings):
    audio = recordings / "0.wav"
    code, out, _ = asr("transcribe", model_file, audio, "--format", "jsonl", "--nbest", 4)
    assert code == 0
    (found,) = json_lines(out)
    wide = load(model_file).transcribe(audio, beam=4, nbest=4)
    assert [h["text"] for h in found["alternatives"]] == [t.text for t in wide.alternatives]
    assert len(found["alternatives"]) == 3


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_would_break_lines_are_strings_of_json(asr, model_file, recordings):
    names = ["a\nb.wav", "c\td.wav", "e\u2028f.wav", "plain é .wav"]
    for name in names:
        shutil.copy(recordings / "1.wav", recordings / name)
    code, out, _ = asr("transcribe", model_file, *(recordings / name for name in names))
    assert code == 0
    given = [line.split("\t")[0] for line in out.splitlines()]
    assert len(given) == 4
    assert [json.loads(name) for name in given[:3]] == [str(recordings / n) for n in names[:3]]
    assert given[3] == str(recordings / names[3])


def test_a_name_in_quotes_is_not_taken_for_a_string_of_json():
    assert text_name('a "b" c') == 'a "b" c'
    assert json.loads(text_name('"a"')) == '"a"'
    assert json.loads(text_name("a\x1bb\udcff")) == "a\x1bb\udcff"
