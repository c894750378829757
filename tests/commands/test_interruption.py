"""What is done when a command is stopped stays, and nothing else looks as if it were done."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asr_attn.commands.line_output import InOrder, line_output
from asr_attn.errors import InputError
from asr_attn.recognizer import Recognizer

TWO_A_BATCH = ("--batch-seconds", "1.5")


@pytest.fixture
def stopped(monkeypatch):
    """Lets recognition break off by an error when so many batches are done."""

    def arrange(error: BaseException, batches: int, at_each=lambda: None) -> None:
        transcribe = Recognizer.transcribe_samples
        left = [batches]

        def breaking(self, waveforms, **options):
            at_each()
            if not left[0]:
                raise error
            left[0] -= 1
            return transcribe(self, waveforms, **options)

        monkeypatch.setattr(Recognizer, "transcribe_samples", breaking)

    return arrange


NO_MEMORY = RuntimeError("DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(KeyboardInterrupt(), 130, "interrupted: "), (NO_MEMORY, 2, "")],
)
def test_lines_that_are_done_stay_in_a_file_of_another_name(
    asr, model_file, recordings, texts, tmp_path, stopped, error, code, said
):
    output = tmp_path / "out.txt"
    output.write_text("earlier\n", encoding="utf-8")
    stopped(error, 2)
    found, out, err = asr("transcribe", model_file, recordings, "--output", output, *TWO_A_BATCH)
    partial = tmp_path / "out.txt.partial"
    lines = partial.read_text(encoding="utf-8").splitlines()
    assert 0 < len(lines) < 5
    # those that waited for others are there, too
    every = [f"{recordings / n}.wav\t{texts[n]}" for n in "01234"]
    assert lines == [line for line in every if line in lines]
    assert (found, out) == (code, "")
    counted = f"asr-attn: {said}{len(lines)} of 5 recordings are done; they are in {partial}\n"
    assert counted in err
    assert output.read_text(encoding="utf-8") == "earlier\n"
    assert {path.name for path in tmp_path.iterdir()} >= {"out.txt", "out.txt.partial"}
    assert not list(tmp_path.glob(".*"))


def test_lines_are_passed_on_before_the_next_batch(
    asr, model_file, recordings, texts, capsys, stopped
):
    seen: list[str] = []
    stopped(KeyboardInterrupt(), 3, lambda: seen.append(capsys.readouterr().out))
    code, _, err = asr("transcribe", model_file, recordings, *TWO_A_BATCH)
    assert code == 130
    assert seen[0] == ""
    assert seen[1].startswith(f"{recordings / '0.wav'}\t{texts['0']}\n")
    lines = "".join(seen).splitlines()
    assert lines == [f"{recordings / n}.wav\t{texts[n]}" for n in "01234"[: len(lines)]]
    assert 0 < len(lines) < 5
    assert err == f"asr-attn: interrupted: {len(lines)} of 5 recordings are done\n"


def test_hypotheses_stay_and_no_figures_are_given(
    asr, model_file, manifest, texts, tmp_path, stopped
):
    heard, output = tmp_path / "heard.jsonl", tmp_path / "wer.json"
    options = ("--hypotheses", heard, "--output", output, *TWO_A_BATCH)
    stopped(KeyboardInterrupt(), 2)
    code, out, err = asr("evaluate", model_file, manifest, *options)
    assert (code, out) == (130, "")
    records = [json.loads(line) for line in (tmp_path / "heard.jsonl.partial").open()]
    assert 0 < len(records) < 5
    names = [found["id"][1:] for found in records]
    assert names == sorted(names, reverse=True)
    for found, name in zip(records, names, strict=True):
        assert found["text"] == texts[name]
        assert found["reference"] == "a b"
    assert f"{len(records)} of 5 recordings are done; they are in {heard}.partial" in err
    assert not heard.exists()
    assert not output.exists()


@pytest.mark.parametrize("to_file", [False, True])
def test_figures_of_finished_evaluations_stay(
    asr, model_file, manifest, tmp_path, stopped, to_file
):
    other = manifest.with_name("other.jsonl")
    other.write_bytes(manifest.read_bytes())
    expected = json.loads(asr("evaluate", model_file, manifest, "--format", "json")[1])
    stopped(KeyboardInterrupt(), 1)
    output = tmp_path / "wer.json"
    options = ("--output", output) if to_file else ()
    code, out, err = asr("evaluate", model_file, manifest, other, "--format", "json", *options)
    assert code == 130
    assert "the figures of 1 of 2 evaluations are there" in err
    found = json.loads((tmp_path / "wer.json.partial").read_text() if to_file else out)
    assert (found["manifest"], found["wer"]) == (str(manifest), expected["wer"])
    assert not output.exists()


SIGNALLED = """
import os, signal, sys
from asr_attn import cli
from asr_attn.recognizer import Recognizer
transcribe, calls = Recognizer.transcribe_samples, []
def signalled(self, waveforms, **options):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    return transcribe(self, waveforms, **options)
Recognizer.transcribe_samples = signalled
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals as on Unix")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("ignored", [False, True])
def test_signals_that_end_a_process_let_it_keep_what_is_done(
    model_file, recordings, tmp_path, name, ignored
):
    output = tmp_path / "out.txt"
    command = [sys.executable, "-c", SIGNALLED, name, "transcribe", str(model_file)]
    number = getattr(signal, name)
    done = subprocess.run(
        [*command, str(recordings), "--output", str(output), *TWO_A_BATCH],
        capture_output=True,
        timeout=120,
        preexec_fn=(lambda: signal.signal(number, signal.SIG_IGN)) if ignored else None,
    )
    if ignored:  # as under nohup
        assert (done.returncode, done.stderr) == (0, b"")
        assert len(output.read_text().splitlines()) == 5
    else:
        assert done.returncode == 128 + number
        assert f"; they are in {output}.partial" in done.stderr.decode()
        assert 0 < len(Path(f"{output}.partial").read_text().splitlines()) < 5
        assert not output.exists()
    assert not list(tmp_path.glob(".*"))


def test_a_line_that_is_written_when_the_signal_comes_is_counted(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt), line_output(tmp_path / "a", 3) as lines:  # noqa: PT012
        lines.write("first\n")
        append = lines._write

        def interrupted(line: str) -> None:
            append(line)
            raise KeyboardInterrupt

        lines._write = interrupted
        lines.write("second\n")
    assert (tmp_path / "a.partial").read_text() == "first\nsecond\n"
    assert "interrupted: 2 of 3 recordings are done" in capsys.readouterr().err


def test_half_a_line_is_no_line(tmp_path):
    """A disk that is full takes what it can."""
    resource = pytest.importorskip("resource", reason="limits as on Unix")
    output = tmp_path / "out.txt"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot be written"), line_output(output, 3) as lines:  # noqa: PT012
            lines.write("first\n")
            lines.write("second\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt.partial"]
    assert (tmp_path / "out.txt.partial").read_text() == "first\n"


def test_results_are_passed_on_in_order_as_soon_as_they_can_be():
    used: list[tuple[int, str]] = []
    failed = {1}
    results = InOrder(lambda i, text: used.append((i, text)), failed)
    results.add(3, "d")
    assert used == []
    results.add(0, "a")
    assert used == [(0, "a")]
    failed.add(2)
    results.advance()
    assert used == [(0, "a"), (3, "d")]
    results.add(7, "h")
    results.add(5, "f")
    results.rest()
    assert used[2:] == [(5, "f"), (7, "h")]
