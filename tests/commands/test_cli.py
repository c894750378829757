import argparse
import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_attn.audio.reading import audio_duration
from asr_attn.cli import _parser
from asr_attn.commands.arguments import Parser
from asr_attn.commands.terminal import opened
from asr_attn.errors import InputError
from asr_attn.recognizer import Recognizer

RATE = 8000


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


def test_an_unknown_option_names_the_nearest_and_the_help_of_its_command(refused, model_file):
    told = refused("transcribe", model_file, "a.wav", "--bem", 3)
    assert "unrecognized arguments: --bem 3; did you mean --beam?" in told
    assert "see asr-attn transcribe --help" in told


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
        (("transcribe", model_file, file, "--bea", 3), "unrecognized arguments: --bea"),
        (("transcribe", model_file, file, "--beam", "0"), "whole number from 1"),
        (("transcribe", model_file, file, "--beam", "two"), "whole number from 1"),
        (("transcribe", model_file, file, "--batch-seconds", "nan"), "not a number from 0.001"),
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
        (("evaluate", model_file, file, "--normalizer", "loud"), "loud"),
        (("evaluate", model_file, "x.jsonl", "--changes", tmp_path / "c"), "--changes goes"),
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


def test_a_write_that_fails_keeps_the_earlier_output(
    refused, model_file, recordings, monkeypatch, tmp_path
):
    resource = pytest.importorskip("resource", reason="limits as on Unix")
    output = tmp_path / "out.txt"
    output.write_text("earlier", encoding="utf-8")
    before = set(tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        message = refused("transcribe", model_file, recordings / "0.wav", "--output", output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"{output}: cannot be written: {os.strerror(errno.EFBIG)}" in message
    assert output.read_text(encoding="utf-8") == "earlier"
    assert set(tmp_path.iterdir()) == before


def test_an_output_is_not_blamed_for_what_else_fails(tmp_path):
    output = tmp_path / "out.txt"
    output.write_text("earlier", encoding="utf-8")
    with pytest.raises(OSError, match="Input/output error"), opened(output) as stream:  # noqa: PT012
        stream.write("half")
        raise OSError(errno.EIO, "Input/output error")
    assert output.read_text(encoding="utf-8") == "earlier"
    assert list(tmp_path.iterdir()) == [output]


def fail_to_read(monkeypatch, name: str) -> None:
    """Lets every call of the function fail that is given a file named 1.wav, as a bad disk does."""

    def failing(path: Path, *arguments: object):
        if path.name == "1.wav":
            raise OSError(errno.EIO, "Input/output error")
        return original(path, *arguments)

    module = sys.modules[name.rpartition(".")[0]]
    original = getattr(module, name.rpartition(".")[2])
    monkeypatch.setattr(name, failing)


@pytest.mark.parametrize(
    "function", ["asr_attn.recognizer.read_audio", "asr_attn.commands.transcribe.audio_duration"]
)
@pytest.mark.parametrize("to_file", [True, False])
def test_a_bad_disk_under_one_recording_leaves_the_others(
    asr, model_file, recordings, tmp_path, monkeypatch, function, to_file
):
    asr("transcribe", model_file, recordings / "0.wav")  # imports the command
    fail_to_read(monkeypatch, function)
    output = tmp_path / "out.txt"
    more = ("--output", output) if to_file else ()
    code, out, err = asr("transcribe", model_file, recordings, *more)
    assert code == 1
    texts = output.read_text(encoding="utf-8") if to_file else out
    assert [Path(line.split("\t")[0]).name for line in texts.splitlines()] == [
        f"{i}.wav" for i in (0, 2, 3, 4)
    ]
    assert f"  {recordings / '1.wav'} cannot be read (Input/output error)." in err
    assert "cannot be written" not in err


def test_folders_that_cannot_be_looked_into_are_one_sentence(
    refused, model_file, recordings, monkeypatch
):
    hidden = recordings / "0.wav"
    is_dir = Path.is_dir

    def denied(path: Path) -> bool:
        if path == hidden:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", denied)
    message = refused("transcribe", model_file, hidden)
    assert f"{hidden} cannot be used (Permission denied)" in message


def test_interruption_before_anything_is_done_leaves_no_output(
    asr, model_file, recordings, monkeypatch, tmp_path
):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Recognizer, "transcribe_samples", interrupt)
    before = set(tmp_path.iterdir())
    output = tmp_path / "out.txt"
    said = "asr-attn: interrupted: 0 of 5 recordings are done\n"
    assert asr("transcribe", model_file, recordings, "--output", output) == (130, "", said)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "message",
    [
        "DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes",
        "could not create a primitive",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_lack_of_memory_is_one_sentence(refused, model_file, recordings, monkeypatch, message):
    def exhausted(*_: object, **__: object) -> None:
        raise RuntimeError(message)

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
assert cli.main(["attention", "--help"]) == 0 and cli.main(["attention", "m", "a", "-x"]) == 2
assert cli.main(["evaluate"]) == 2
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for words in (b"examples:", b"exit codes:", b"normalised", b"--hypotheses FILE"):
        assert words in done.stdout


def test_an_option_that_is_given_twice_is_refused_or_gathered():
    parser = Parser()
    parser.add_argument_group("group").add_argument("--show", type=int, default=10)
    parser.add_argument("--columns", nargs="+", action="extend", default=[])
    parser.add_argument("words", nargs="*")
    for _ in range(2):  # a parser can be used again
        args = parser.parse_args(["a", "--columns", "b", "--show", "10", "--columns", "c"])
        assert (args.show, args.columns, args.words) == (10, ["b", "c"], ["a"])
    with pytest.raises(InputError, match="argument --show: is given twice; keep one"):
        parser.parse_args(["--show", "10", "--show", "20"])


def test_no_option_of_any_command_drops_a_value():
    def parsers(parser):
        yield parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for inner in action.choices.values():
                    yield from parsers(inner)

    for parser in parsers(_parser()):
        for action in parser._actions:
            if action.option_strings and action.nargs != 0:
                names = ("_StoreOnce", "_AppendAction", "_ExtendAction")
                assert type(action).__name__ in names, (parser.prog, action.option_strings)


@pytest.mark.parametrize(
    "arguments",
    [
        ("transcribe", "m", ""),
        ("transcribe", "", "a.wav"),
        ("transcribe", "m", "a.wav", "--output", ""),
        ("transcribe", "m", "a.wav", "--lm", ""),
        ("transcribe", "m", "a.wav", "--hotwords", ""),
        ("transcribe", "m", "a.wav", "--search", ""),
        ("evaluate", "m", ""),
        ("evaluate", "m", "a.jsonl", "--hypotheses", ""),
        ("evaluate", "--reference", "a", "--hypothesis", ""),
        ("compare", "", "b"),
        ("report", "m", "a.jsonl", "--output", ""),
        ("attention", "m", ""),
        ("calibrate", "m", ""),
        ("tune", "m", "", "--output", "a"),
        ("lm", "train", "", "--output", "a"),
        ("lm", "pack", "", "--output", "a.npz"),
        ("data", "check", ""),
        ("data", "check", "train="),
        ("data", "import", "kaldi", "", "--output", "a"),
        ("data", "export", "kaldi", "", "--output", "a"),
        ("runs", ""),
        ("average", "m", "", "--output", "a"),
        ("pack", "", "--output", "a"),
    ],
)
def test_an_empty_path_is_not_the_current_folder(refused, tmp_path, monkeypatch, arguments):
    (tmp_path / "a.wav").touch()
    monkeypatch.chdir(tmp_path)
    message = refused(*arguments)
    assert "the path is empty" in message or "names no file" in message
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
