r"""What manifests and result files of a million lines cost, in seconds and in memory.

The data is made in a temporary folder: real audio files (FLAC, 30 s, silent), each of them listed
many times with different offsets, as long recordings are; with `--files` as many as lines there is
one utterance a file. Texts are 1 to 30 words of a vocabulary of 5,000, and one word in ten of the
results is wrong. Every measurement runs in a fresh process, once at a tenth of the lines and once
at all of them: what grows with the manifest shows. Memory is the peak of the process less what it
takes after its imports. Seconds are those of the processor, so that what else the machine does
matters little. Recognition is faked: it takes no time, and gives the results that were made.

`intervals` is the part of `evaluate` that is spent on bootstrap intervals of rates, on 2,600
utterances in 130 rooms, whatever `--lines` says: over utterances, and with the rooms as speakers.

Examples:
  python benchmarks/large_manifests.py
  python benchmarks/large_manifests.py --lines 100000 --only read --only train
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from large_data import RATE, make_data, write_lines

INTERVAL_LINES = 2600
EPOCHS = 2


def asr(*arguments: object) -> None:
    """Run a command."""
    from asr_attn import cli

    with contextlib.redirect_stdout(io.StringIO()):
        code = cli.main([str(argument) for argument in arguments])
    if code > 1:  # 1 is a finding
        raise SystemExit(f"asr-attn {arguments[0]} ended with {code}")


def step_read(folder: Path) -> None:
    """A manifest into a list of utterances."""
    from asr_attn.data.manifest import read_manifest

    read_manifest(folder / "manifest.jsonl")


def step_train(folder: Path) -> None:
    """What training does before the first batch, and again before each epoch."""
    from asr_attn.audio.augmentation import AugmentationConfig
    from asr_attn.data.datamodule import SpeechData, fingerprint_of
    from asr_attn.data.planning import LoadingConfig
    from asr_attn.settings import DataConfig
    from asr_attn.text.normalizer import NormalizerConfig
    from asr_attn.training.preparation import load_manifest

    config = DataConfig(train=str(folder / "manifest.jsonl"))
    with clock("load, with normalised texts"):
        train = load_manifest("train", config, NormalizerConfig())
    data = SpeechData(train, train[:1], RATE, LoadingConfig(), AugmentationConfig(), 0, EPOCHS)
    for epoch in range(EPOCHS):
        with clock(f"plan epoch {epoch}"):
            plan = data.plan(epoch)
    with clock("plan epoch 1 of 4 processes"):
        plan = data.plan(1, 4)
    del plan
    with clock("fingerprint for a checkpoint"):
        fingerprint_of(data.train)


def step_write(folder: Path) -> None:
    """A manifest read and written."""
    from asr_attn.data.manifest import read_manifest, write_manifest

    utterances = read_manifest(folder / "manifest.jsonl")
    with clock("writing"):
        write_manifest(folder / "again.jsonl", utterances)


def _format_steps(name: str, target: str) -> dict[str, Callable[[Path], None]]:
    return {
        f"export {name}": lambda f: asr(
            "data", "export", name, f / "manifest.jsonl", "--output", f / target
        ),
        f"import {name}": lambda f: asr(
            "data", "import", name, f / target, "--output", f / f"{name}.back.jsonl"
        ),
    }


def step_compare(folder: Path) -> None:
    """Two results of each utterance."""
    asr("compare", folder / "a.jsonl", folder / "b.jsonl")


def step_compare_speakers(folder: Path) -> None:
    """The same, with intervals over speakers."""
    asr("compare", folder / "a.jsonl", folder / "b.jsonl", "--by-speaker")


def step_texts(folder: Path) -> None:
    """References against hypotheses, by id."""
    manifest, results = folder / "manifest.jsonl", folder / "a.jsonl"
    asr("evaluate", "--reference", manifest, "--hypothesis", results, "--format", "json")


def step_evaluate(folder: Path) -> None:
    """A model on a manifest, recognition faked."""
    _evaluate(folder, "--hypotheses", folder / "hypotheses.jsonl")


def step_intervals(folder: Path) -> None:
    """The same on a few utterances, in groups, with what the intervals take."""
    from asr_attn.evaluation import intervals, results, scoring

    few = folder / "few"
    few.mkdir(exist_ok=True)
    for name in ("manifest.jsonl", "a.jsonl"):
        with (folder / name).open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in islice(lines, INTERVAL_LINES)]
        for i, row in enumerate(rows):
            row |= {"audio": f"../{row['audio']}", "room": f"room {i % 130}"}
            del row["speaker"]  # with speakers, intervals are over them
        write_lines(few / name, rows)
    spent = [0.0]

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            found = work(*arguments, **named)
            spent[0] += time.process_time() - start
            return found

        return run

    interval = timed(intervals.rate_interval)
    with (
        mock.patch.object(results, "rate_interval", interval),
        mock.patch.object(scoring, "rate_interval", interval),
    ):
        for by in ((), ("room",), ("duration",), ("rate",), ("room", "duration", "rate")):
            spent[0] = 0.0
            _evaluate(few, "--format", "json", *(word for name in by for word in ("--by", name)))
            print(f"  of all{''.join(', by ' + name for name in by)}: {spent[0]:.2f} s")
        for row in (rows := [json.loads(line) for line in (few / "manifest.jsonl").open()]):
            row["speaker"] = row.pop("room")
        write_lines(few / "manifest.jsonl", rows)
        spent[0] = 0.0
        _evaluate(few, "--format", "json", "--by", "speaker")
        print(f"  of all over speakers, by speaker: {spent[0]:.2f} s")


def _evaluate(folder: Path, *options: object) -> None:
    from asr_attn.commands import evaluate
    from asr_attn.text.normalizer import NormalizerConfig
    from asr_attn.transcript import Transcript

    def transcribe(utterances: Any, **_: Any) -> Iterator[tuple[int, Transcript]]:
        with (folder / "a.jsonl").open() as results:
            for i, (line, utterance) in enumerate(zip(results, utterances)):
                yield i, Transcript(json.loads(line)["text"], utterance.duration)

    recognizer = SimpleNamespace(
        model=SimpleNamespace(
            normalizer=NormalizerConfig(), info={}, tokenizer=SimpleNamespace(unknown=lambda _: {})
        ),
        search=SimpleNamespace(beam=8),
        sample_rate=RATE,
        transcribe_utterances=transcribe,
    )
    with mock.patch.object(evaluate, "load_recognizer", return_value=recognizer):
        asr("evaluate", "model.safetensors", folder / "manifest.jsonl", *options)


def step_check(folder: Path) -> None:
    """`data check`, with listening faked."""
    from asr_attn.evaluation.datacheck import check
    from asr_attn.evaluation.datacheck.levels import Levels
    from asr_attn.evaluation.datacheck.listening import Sound

    def listen(utterances: Any, *_: Any) -> Iterator[Sound]:
        for i, utterance in enumerate(utterances):
            levels = Levels(-20.0, -10.0, 30.0, 0.5, 0.0)
            yield Sound("", RATE, utterance.duration, levels, b"%16d" % i)

    with mock.patch.object(check, "listen", listen):
        asr("data", "check", folder / "manifest.jsonl", "--no-duplicates")


STEPS: dict[str, Callable[[Path], None]] = {
    "read": step_read,
    "write": step_write,
    "train": step_train,
    **_format_steps("nemo", "nemo.jsonl"),
    **_format_steps("csv", "list.csv"),
    **_format_steps("kaldi", "kaldi"),
    **_format_steps("lhotse", "cuts.jsonl"),
    "compare": step_compare,
    "compare by speaker": step_compare_speakers,
    "evaluate texts": step_texts,
    "evaluate a model": step_evaluate,
    "intervals": step_intervals,
    "data check": step_check,
}


@contextlib.contextmanager
def clock(what: str) -> Iterator[None]:
    """Tell how long the block takes, and the peak of memory so far."""
    start, before = time.process_time(), peak()
    yield
    print(f"  {what}: {time.process_time() - start:.1f} s, {peak() - before:+.0f} MB")


def peak() -> float:
    """Greatest resident memory of the process so far in MB."""
    import resource

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 2**20 if sys.platform == "darwin" else size / 2**10


def run_step(name: str, folder: Path) -> None:
    """Run one step in this process; the last line is what it took."""
    import asr_attn.commands.data
    import asr_attn.commands.data_formats
    import asr_attn.commands.evaluate
    import asr_attn.data.datamodule
    import asr_attn.recognizer  # noqa: F401

    start, before = time.process_time(), peak()
    STEPS[name](folder)
    print(f"{time.process_time() - start:.1f} {peak() - before:.0f}")


def main() -> None:
    """Make the data and run all steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=10_000, help="audio files (default 10000)")
    parser.add_argument("--only", action="append", choices=STEPS, help="a step; may be repeated")
    parser.add_argument("--keep", type=Path, help="folder for the data, used again if it is there")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        run_step(options.step[0], Path(options.step[1]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folders = []
        for lines in (options.lines // 10, options.lines):
            folder = (options.keep or Path(temporary)) / str(lines)
            if not folder.exists():
                make_data(folder, lines, min(options.files, lines))
            folders.append(folder)
        print(f"{'':24} {options.lines // 10:>9} lines    {options.lines:>9} lines", flush=True)
        for name in options.only or STEPS:
            show(name, folders)


def show(name: str, folders: list[Path]) -> None:
    """Run a step on each folder and print a line of the table."""
    cells, details = [], ""
    for folder in folders:
        done = subprocess.run(
            [sys.executable, __file__, "--step", name, str(folder)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        if done.returncode:
            cells.append("failed")
            details = done.stderr[-2000:]
            continue
        *rest, last = done.stdout.splitlines()
        seconds, memory = last.split()
        cells.append(f"{seconds:>6} s {memory:>5} MB")
        details = "".join(f"{line}\n" for line in rest)
    print(f"{name:24} {'   '.join(cells)}\n{details}", end="", flush=True)


if __name__ == "__main__":
    main()
