import json
import re

import numpy as np
import pytest
import soundfile

from asr_attn.evaluation.attention import teacher_forced_attention
from asr_attn.evaluation.attention_health import attention_health
from asr_attn.recognizer import Recognizer, load


def test_figures_of_what_is_recognised(asr, model_file, recordings, texts):
    code, out, err = asr("attention", model_file, recordings / "0.wav")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == texts["0"]
    for name in ("entropy", "diagonality", "monotonicity", "coverage", "jump back", "edges"):
        assert sum(line.startswith(name) for line in lines) == 1
    assert "attention" in lines[-1]


def test_json_has_the_figures_of_the_model(asr, model_file, recordings, texts):
    code, out, _ = asr("attention", model_file, recordings / "0.wav", "--format", "json")
    assert code == 0
    found = json.loads(out)
    model = load(model_file).model
    samples, _ = soundfile.read(recordings / "0.wav", dtype="float32")
    drawn = teacher_forced_attention(model, [samples], [model.tokenizer.encode(texts["0"])])[0]
    expected = attention_health(drawn.weights, drawn.seconds_per_step, drawn.speech)
    figures = expected.to_dict()
    assert found["health"].pop("heads") == figures.pop("heads") == []
    assert found["health"] == pytest.approx(figures)
    assert found["aligned"] is expected.aligned
    assert (found["text"], found["recognised"]) == (texts["0"], True)
    assert found["duration"] == pytest.approx(1.3)
    assert "".join(t["token"] for t in found["tokens"]) == texts["0"].replace(" ", "␣") + "end"
    assert found["audio"] == str(recordings / "0.wav")


def test_a_given_text_is_read_as_in_training(asr, model_file, recordings):
    arguments = ("attention", model_file, recordings / "1.wav", "--format", "json", "--text")
    code, out, err = asr(*arguments, "Head, bag.")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["text"], found["recognised"]) == ("head bag", False)
    assert [t["token"] for t in found["tokens"]] == [*"head␣bag", "end"]
    code, out, err = asr(*arguments, "zoo")
    assert code == 0
    assert "does not know: 'o', 'z'" in err
    assert len(json.loads(out)["tokens"]) == 4


def test_a_wider_beam_is_used(asr, model_file, recordings):
    expected = load(model_file).transcribe(recordings / "0.wav", beam=3).text
    _, out, _ = asr("attention", model_file, recordings / "0.wav", "--beam", 3)
    assert out.splitlines()[0] == expected


@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("SVG", b"<?xml"), ("html", b"<!DOCTYPE html>")]
)
def test_pictures_are_written(asr, model_file, recordings, tmp_path, ending, start):
    output = tmp_path / "out" / f"a.{ending}"
    code, out, err = asr("attention", model_file, recordings / "0.wav", "--output", output)
    assert (code, err) == (0, "")
    assert "entropy" in out
    data = output.read_bytes()
    assert data.startswith(start)
    assert [p.name for p in output.parent.iterdir()] == [output.name]
    if ending == "html":
        page = data.decode("utf-8")
        assert not re.search("https?:", page)
        assert "0.wav" in page
        assert "recognised: " in page


def test_silence_is_no_failure(asr, model_file, tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(4000), 8000)
    output = tmp_path / "a.html"
    code, out, err = asr("attention", model_file, tmp_path / "silent.wav", "--output", output)
    assert code == 0
    assert "is silent" in err
    assert out.startswith("\n")
    assert output.exists()


def test_what_cannot_be_used_is_one_sentence(refused, model_file, recordings, tmp_path):
    file = recordings / "0.wav"
    picture = tmp_path / "a.png"
    soundfile.write(tmp_path / "sound.png", np.zeros(10), 8000, format="WAV")
    for arguments, words in [
        ((), "CHECKPOINT"),
        ((model_file,), "AUDIO"),
        ((tmp_path / "none", file, "--output", picture), "no such model file"),
        ((model_file, tmp_path / "no.wav", "--output", picture), "does not exist"),
        ((model_file, recordings, "--output", picture), "is a folder"),
        ((model_file, file, "--output", "a.pdf"), ".pdf is not one of .png, .svg, .html"),
        ((model_file, file, "--output", "a"), "none is not one of .png, .svg, .html"),
        ((model_file, file, "--text", "?!", "--output", picture), "holds no words"),
        ((model_file, file, "--text", "a", "--beam", 2), "leave one of them out"),
        ((model_file, file, "--beam", 0), "whole number from 1"),
        ((model_file, file, "--device", "abacus"), "abacus"),
        ((model_file, file, "--format", "xml"), "xml"),
        ((model_file, tmp_path / "sound.png", "--output", tmp_path / "sound.png"), "is read by"),
        ((model_file, file, "--output", file / "a.png"), "part of the path is a file"),
    ]:
        assert words in refused("attention", *arguments), arguments
    assert not picture.exists()


def test_lack_of_memory_is_one_sentence(refused, model_file, recordings, monkeypatch):
    def exhausted(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(Recognizer, "transcribe_samples", exhausted)
    message = refused("attention", model_file, recordings / "0.wav")
    assert message == "asr-attn: out of memory; cut long recordings into shorter ones\n"


def test_help_has_examples(asr):
    code, out, _ = asr("attention", "--help")
    assert code == 0
    for words in ("examples:", "exit codes:", ".html", "--text REFERENCE"):
        assert words in out
