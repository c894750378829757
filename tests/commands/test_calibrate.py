import json

import numpy as np
import pytest

from asr_attn.checkpoint import load_model
from asr_attn.recognizer import load


@pytest.fixture
def partly_right(recordings, model_file):
    """A manifest of which the model recognises every second word."""
    recognizer = load(model_file)
    path = recordings / "list.jsonl"
    lines = []
    for audio in sorted(recordings.glob("*.wav")):
        found = recognizer.transcribe(audio)
        words = [w.text if i % 2 else "zz" for i, w in enumerate(found.words)]
        record = {"id": audio.stem, "audio": audio.name, "text": " ".join(words) or "a"}
        lines.append(json.dumps({**record, "duration": found.duration}) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_the_calibration_becomes_part_of_the_model(asr, model_file, partly_right, tmp_path):
    output = tmp_path / "own.safetensors"
    before = model_file.read_bytes()
    code, out, _ = asr(
        "calibrate", model_file, partly_right, "--output", output, "--format", "json"
    )
    assert code == 0
    figures = json.loads(out)
    assert figures["after"]["words"] == figures["before"]["words"] > 0
    assert model_file.read_bytes() == before
    assert load_model(model_file).calibration is None
    learnt = load_model(output).calibration
    assert learnt is not None
    for audio in sorted(partly_right.parent.glob("*.wav")):
        plain, sure = load(model_file).transcribe(audio), load(output).transcribe(audio)
        assert plain.text == sure.text
        features = np.array([word.features() for word in plain.words]).reshape(-1, 3)
        expected = list(learnt.confidence(features))
        assert [w.confidence for w in sure.words] == pytest.approx(expected)
        if sure.words:
            assert sure.confidence == pytest.approx(np.mean([w.confidence for w in sure.words]))


def test_without_an_output_the_model_file_is_replaced(
    asr, refused, model_file, partly_right, tmp_path
):
    picture = tmp_path / "curve.svg"
    message = refused("calibrate", model_file, partly_right, "--picture", tmp_path / "curve.txt")
    assert "ends in .png or .svg" in message
    code, out, _ = asr("calibrate", model_file.parent, partly_right, "--picture", picture)
    assert b"<svg" in picture.read_bytes()
    assert code == 0
    assert "off by (ECE)" in out
    assert str(model_file) in out
    assert load_model(model_file).calibration is not None


def test_speech_without_words_teaches_nothing(refused, model_file, tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 8000)
    manifest = tmp_path / "silent.jsonl"
    line = {"id": "a", "audio": "a.wav", "text": "a b", "duration": 1.0}
    manifest.write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert "recognises no words" in refused("calibrate", model_file, manifest)
    assert load_model(model_file).calibration is None


def test_a_model_of_the_package_needs_an_output(refused, partly_right, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "name a file with --output" in refused("calibrate", "digits", partly_right)
    assert not (tmp_path / "digits").exists()
