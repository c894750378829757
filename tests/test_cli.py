import dataclasses
import errno
import json
import os
import pathlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_attn import cli
from asr_attn.audio.reading import audio_duration
from asr_attn.recognizer import Recognizer, load

RATE = 8000


@pytest.fixture
def asr(capsys):
    """Runs a command: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run


@pytest.fixture
def refused(asr):
    """Runs a command that must say one sentence, do nothing else and exit with 2."""

    def run(*arguments: object) -> str:
        code, out, err = asr(*arguments)
        assert code == 2
        assert out == ""
        assert err.startswith("asr-attn: ")
        assert err.count("\n") == 1
        return err

    return run


def write_lines(path: Path, records: list[dict]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


@pytest.fixture
def manifest(recordings: Path) -> Path:
    """Lists the recordings backwards, with ids of their own."""
    records = [
        {"id": f"u{p.stem}", "audio": p.name, "text": "A b.", "duration": audio_duration(p)}
        for p in sorted(recordings.glob("*.wav"), reverse=True)
    ]
    return write_lines(recordings / "list.jsonl", records)


@pytest.fixture
def texts(model_file: Path, recordings: Path) -> dict[str, str]:
    recognizer = load(model_file)
    return {p.stem: recognizer.transcribe(p).text for p in sorted(recordings.glob("*.wav"))}


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


# transcribe: what comes out


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
        }
    code, out, _ = asr("transcribe", model_file, recordings / "0.wav", "--format", "jsonl")
    assert [record["id"] for record in json_lines(out)] == [str(recordings / "0.wav")]
    text = tmp_path / "out.txt"
    assert asr("transcribe", model_file, recordings, "--output", text)[:2] == (0, "")
    assert len(text.read_text(encoding="utf-8").splitlines()) == 5


def test_what_the_text_does_not_show_is_said(asr, model_file, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(tmp_path / "tick.wav", np.full(RATE // 20, 0.1), RATE)
    code, out, err = asr("transcribe", model_file, tmp_path / "silent.wav")
    assert (code, out) == (0, "\n")
    assert err == f"asr-attn: {tmp_path / 'silent.wav'} is silent; nothing to transcribe\n"
    code, out, err = asr("transcribe", model_file, tmp_path / "tick.wav", "--beam", 3)
    assert code == 0
    assert len(out.splitlines()) == 1
    transcribe = Recognizer.transcribe_samples

    def cut_off(self, waveforms, **options):
        found = transcribe(self, waveforms, **options)
        return [dataclasses.replace(t, truncated=True) for t in found]

    monkeypatch.setattr(Recognizer, "transcribe_samples", cut_off)
    code, _, err = asr("transcribe", model_file, tmp_path / "tick.wav")
    assert code == 0
    assert err.startswith(f"asr-attn: {tmp_path / 'tick.wav'}: the transcript was cut off")


# transcribe: what goes wrong


def bad_files(folder: Path) -> dict[str, str]:
    """Unusable files in a folder, and a word of what is said about each."""
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("not sound", encoding="utf-8")
    soundfile.write(folder / "cut.wav", np.full(RATE, 0.1), RATE)
    (folder / "cut.wav").write_bytes((folder / "cut.wav").read_bytes()[:3000])
    soundfile.write(folder / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    soundfile.write(folder / "none.wav", np.zeros(0), RATE)
    return {
        "empty.wav": "0 bytes",
        "text.wav": "text",
        "cut.wav": "cut short",
        "nan.wav": "NaN",
        "none.wav": "no samples",
        "missing.wav": "does not exist",
    }


def test_each_bad_file_alone_is_refused_in_one_sentence(refused, model_file, tmp_path):
    output = tmp_path / "out.txt"
    for name, word in bad_files(tmp_path).items():
        message = refused("transcribe", model_file, tmp_path / name, "--output", output)
        assert message.startswith(f"asr-attn: {tmp_path / name} ")
        assert word in message
    assert not output.exists()


def test_the_others_are_done_when_some_fail(asr, model_file, recordings, texts, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    names = bad_files(bad)
    files = [bad / "missing.wav", recordings / "1.wav", bad, recordings / "0.wav"]
    code, out, err = asr("transcribe", model_file, *files)
    assert code == 1
    assert out.splitlines() == [f"{recordings / n}.wav\t{texts[n]}" for n in "10"]
    lines = err.splitlines()
    assert lines[0] == "asr-attn: 6 of 8 recordings could not be read:"
    assert len(lines) == 7
    for name in names:
        assert sum(line.startswith(f"  {bad / name} ") for line in lines) == 1


def test_when_all_fail_the_earlier_output_stays(asr, model_file, tmp_path):
    (tmp_path / "bad").mkdir()
    bad_files(tmp_path / "bad")
    output = tmp_path / "out.txt"
    output.write_text("earlier", encoding="utf-8")
    code, _, err = asr("transcribe", model_file, tmp_path / "bad", "--output", output)
    assert code == 2
    assert "none of the 5 recordings could be read" in err
    assert output.read_text(encoding="utf-8") == "earlier"


def test_bad_manifests_are_refused(asr, refused, model_file, recordings, manifest, tmp_path):
    bad = recordings / "bad.jsonl"
    bad.write_text("", encoding="utf-8")
    assert "lists no utterances" in refused("transcribe", model_file, bad)
    assert "no manifest" in refused("transcribe", model_file, tmp_path / "no.jsonl")
    assert "no manifest" in refused("evaluate", model_file, tmp_path / "no.jsonl")
    lines = manifest.read_text(encoding="utf-8").splitlines()
    for text, words in [
        ('{"id": "a"', "not JSON"),
        ('{"id": "a"}', 'missing key "audio"'),
        ("\n".join([lines[0], lines[0]]), "already on line 1"),
        (lines[0].replace("4.wav", "nine.wav"), "no audio file"),
    ]:
        bad.write_text(text, encoding="utf-8")
        for command in ("transcribe", "evaluate"):
            code, out, err = asr(command, model_file, bad)
            assert (code, out) == (2, "")
            assert err.startswith(f"asr-attn: {bad} has ")
            assert words in err


def test_bad_models_are_refused(refused, model_file, recordings, tmp_path):
    (tmp_path / "empty").mkdir()
    file = recordings / "0.wav"
    assert "no such model file" in refused("transcribe", tmp_path / "none", file)
    assert "no model.safetensors" in refused("transcribe", tmp_path / "empty", file)
    assert "not a whole model file" in refused("transcribe", file, file)
    data = model_file.read_bytes()
    model_file.write_bytes(data[:-10])
    assert "not a whole model file" in refused("transcribe", model_file, file)
    model_file.write_bytes(data.replace(b'{\\"format\\": 1,', b'{\\"format\\": 9,', 1))
    assert "format version 9" in refused("transcribe", model_file, file)


def test_usage_errors_are_one_sentence(refused, model_file, recordings, tmp_path):
    file = recordings / "0.wav"
    (tmp_path / "hollow").mkdir()
    for arguments, words in [
        ((), "COMMAND"),
        (("listen",), "invalid choice"),
        (("transcribe",), "CHECKPOINT"),
        (("transcribe", model_file), "FILE"),
        (("transcribe", model_file, file, "--beem", 3), "--beem"),
        (("transcribe", model_file, file, "--beam", "0"), "whole number above 0"),
        (("transcribe", model_file, file, "--beam", "two"), "whole number above 0"),
        (("transcribe", model_file, file, "--batch-seconds", "nan"), "seconds above 0"),
        (("transcribe", model_file, file, "--format", "csv"), "csv"),
        (("transcribe", model_file, file, "--device", "abacus"), "abacus"),
        (("transcribe", model_file, tmp_path / "hollow"), "no audio files"),
        (("transcribe", model_file, file, "--output", file), "is read by this command"),
        (("transcribe", model_file, file, "--output", model_file), "is read by this command"),
        (("evaluate",), "CHECKPOINT and MANIFEST"),
        (("evaluate", model_file), "CHECKPOINT and MANIFEST"),
        (("evaluate", "--reference", file), "give both"),
        (("evaluate", model_file, "--reference", file, "--hypothesis", file), "CHECKPOINT goes"),
        (("evaluate", "--reference", file, "--hypothesis", file, "--beam", 2), "--beam goes"),
        (("evaluate", model_file, file, "--normalize"), "--normalize goes"),
    ]:
        assert words in refused(*arguments)
    assert audio_duration(file) == pytest.approx(1.3)


def test_unwritable_output_is_refused_before_the_work(
    refused, model_file, recordings, manifest, monkeypatch, tmp_path
):
    def never(*_: object, **__: object) -> None:
        pytest.fail("recognised before the output was known to be writable")

    monkeypatch.setattr(Recognizer, "transcribe_samples", never)
    at = recordings / "0.wav" / "out.txt"
    for message in (
        refused("transcribe", model_file, recordings, "--output", at),
        refused("evaluate", model_file, manifest, "--output", at),
        refused("evaluate", model_file, manifest, "--hypotheses", at),
    ):
        assert f"{at}: cannot be written: part of the path is a file" in message
    message = refused("transcribe", model_file, recordings, "--output", tmp_path)
    assert "it is a folder" in message

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", read_only)
    message = refused("transcribe", model_file, recordings, "--output", tmp_path / "out.txt")
    assert "read-only" in message


def test_a_disk_that_fills_up_keeps_the_earlier_output(
    refused, model_file, recordings, monkeypatch, tmp_path
):
    output = tmp_path / "out.txt"
    output.write_text("earlier", encoding="utf-8")
    open_file = pathlib.Path.open

    def full(self: Path, mode: str = "r", *arguments: object, **options: object):
        stream = open_file(self, mode, *arguments, **options)
        if mode != "w":
            return stream

        def write(_: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        stream.write = write
        return stream

    monkeypatch.setattr(pathlib.Path, "open", full)
    before = set(tmp_path.iterdir())
    message = refused("transcribe", model_file, recordings, "--output", output)
    assert f"{output}: cannot be written: the disk is full" in message
    assert output.read_text(encoding="utf-8") == "earlier"
    assert set(tmp_path.iterdir()) == before


def test_interruption_is_quiet_and_leaves_no_output(
    asr, model_file, recordings, monkeypatch, tmp_path
):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Recognizer, "transcribe_samples", interrupt)
    before = set(tmp_path.iterdir())
    output = tmp_path / "out.txt"
    assert asr("transcribe", model_file, recordings, "--output", output) == (130, "", "")
    assert set(tmp_path.iterdir()) == before


def test_lack_of_memory_is_one_sentence(refused, model_file, recordings, monkeypatch):
    def exhausted(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(Recognizer, "transcribe_samples", exhausted)
    assert "--batch-seconds" in refused("transcribe", model_file, recordings)


@pytest.mark.skipif(os.name == "nt", reason="pipes and devices as on Unix")
def test_closed_pipes_and_full_devices_are_handled(model_file, recordings):
    command = [sys.executable, "-m", "asr_attn.cli", "transcribe", str(model_file)]
    command += [str(recordings), str(recordings)]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=120)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
    if Path("/dev/full").exists():
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=120)
        assert done.returncode == 2
        assert done.stderr.startswith(b"asr-attn: standard output: cannot be written: the disk")


def test_help_is_there_without_torch():
    script = """
import sys
from asr_attn import cli
assert cli.main(["--help"]) == 0 and cli.main(["--version"]) == 0
assert cli.main(["transcribe", "--help"]) == 0 and cli.main(["evaluate", "--help"]) == 0
assert cli.main(["evaluate"]) == 2
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for words in (b"examples:", b"exit codes:", b"normalised", b"--hypotheses FILE"):
        assert words in done.stdout


# evaluate


def test_evaluating_a_model(asr, model_file, manifest, texts, tmp_path):
    heard = tmp_path / "heard.jsonl"
    code, out, _ = asr("evaluate", model_file, manifest, "--format", "json", "--hypotheses", heard)
    assert code == 0
    figures = json.loads(out)
    assert figures["words"]["total"] == 10
    assert figures["characters"]["total"] == 15
    assert figures["sentences"] == 5
    assert figures["audio_seconds"] == pytest.approx(3.5)
    assert figures["real_time_factor"] > 0
    assert (figures["failed"], figures["beam"]) == (0, 1)
    records = json_lines(heard.read_text(encoding="utf-8"))
    assert [r["id"] for r in records] == ["u4", "u3", "u2", "u1", "u0"]
    assert {r["id"][1:]: r["text"] for r in records} == texts
    assert {r["reference"] for r in records} == {"a b"}
    # the same figures from the texts alone
    code, out, _ = asr(
        "evaluate", "--reference", manifest, "--hypothesis", heard, "--normalize",
        "--format", "json",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out).items() <= figures.items()


def test_evaluation_goes_where_it_is_told(asr, refused, model_file, manifest, tmp_path):
    code, out, _ = asr("evaluate", model_file, manifest, "--beam", 2)
    assert code == 0
    assert "WER (words)" in out
    assert "real-time factor" in out
    output = tmp_path / "wer.json"
    assert asr("evaluate", model_file, manifest, "--output", output)[:2] == (0, "")
    assert json.loads(output.read_text(encoding="utf-8"))["manifest"] == str(manifest)
    message = refused("evaluate", model_file, manifest, "--output", output, "--hypotheses", output)
    assert "already written by --output" in message
    before = manifest.read_bytes()
    assert "is read" in refused("evaluate", model_file, manifest, "--hypotheses", manifest)
    assert manifest.read_bytes() == before


def test_evaluation_with_unreadable_recordings(asr, model_file, recordings, manifest):
    (recordings / "3.wav").write_bytes(b"")
    code, out, err = asr("evaluate", model_file, manifest, "--format", "json")
    assert code == 1
    figures = json.loads(out)
    assert (figures["failed"], figures["sentences"]) == (1, 4)
    assert list(figures["failures"]) == ["u3"]
    assert "1 of 5 recordings could not be read" in err


def test_references_without_words_are_refused(refused, model_file, recordings, tmp_path):
    line = {"id": "a", "audio": str(recordings / "0.wav"), "text": "?!", "duration": 1.3}
    path = write_lines(tmp_path / "m.jsonl", [line])
    assert "hold no words" in refused("evaluate", model_file, path)
    empty, some = tmp_path / "r.txt", tmp_path / "h.txt"
    empty.write_text("\n\n", encoding="utf-8")
    some.write_text("a\nb\n", encoding="utf-8")
    assert "hold no words" in refused("evaluate", "--reference", empty, "--hypothesis", some)


def test_evaluating_text_files(asr, refused, tmp_path):
    reference, hypothesis = tmp_path / "r.txt", tmp_path / "h.txt"
    reference.write_text("One two.\n\nthree\n", encoding="utf-8")
    hypothesis.write_text("one two\nfour\nthree\n", encoding="utf-8")
    arguments = ("evaluate", "--reference", reference, "--hypothesis", hypothesis)
    code, out, _ = asr(*arguments, "--format", "json")
    assert code == 0
    assert json.loads(out)["words"] == {
        "total": 3, "errors": 3, "substitutions": 2, "deletions": 0, "insertions": 1,
    }  # fmt: skip
    code, out, _ = asr(*arguments, "--format", "json", "--normalize")
    assert json.loads(out)["wer"] == pytest.approx(1 / 3)
    hypothesis.write_text("one two\n", encoding="utf-8")
    message = refused(*arguments)
    assert f"{reference} has 3 lines but {hypothesis} has 1" in message
