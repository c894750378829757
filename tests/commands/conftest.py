"""Fixtures for the commands: running one, and what to run it on."""

import json
from pathlib import Path

import pytest

from asr_attn import cli
from asr_attn.audio.reading import audio_duration
from asr_attn.recognizer import load


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


@pytest.fixture
def manifest(recordings: Path) -> Path:
    """Lists the recordings backwards, with ids of their own."""
    records = [
        {"id": f"u{p.stem}", "audio": p.name, "text": "A b.", "duration": audio_duration(p)}
        for p in sorted(recordings.glob("*.wav"), reverse=True)
    ]
    path = recordings / "list.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture
def texts(model_file: Path, recordings: Path) -> dict[str, str]:
    recognizer = load(model_file)
    return {p.stem: recognizer.transcribe(p).text for p in sorted(recordings.glob("*.wav"))}
