"""Compares attention mechanisms: the same listener, data and budget for each, several seeds.

Each run is a training by `train.py experiment=attention_zoo`, measured on the test strings of FSDD
(prepare them by `python recipes/fsdd/prepare.py`). What it gave is written to results/ beside this
file, one file a run, and a run whose file is there is not done again: stop it and start it as you
like. `python recipes/attention_zoo/table.py` makes the tables.

Examples:
  python recipes/attention_zoo/run.py                          # all that is missing
  python recipes/attention_zoo/run.py location gmm --seeds 0
  python recipes/attention_zoo/run.py conformer+lstm conformer+transformer
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from asr_attn.checkpoint import load_model
from asr_attn.models.decoders import DECODERS
from asr_attn.models.encoders import ENCODERS
from asr_attn.nn.attention import ATTENTIONS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / "results"
TEST = "data/fsdd/strings/test.jsonl"
LISTENER = ["model.encoder.stride=3"]
"""Settings of the listener: a memory step each 60 ms."""
LONGER_SOONER = "data.loading.curriculum=[{until: 0.15, max_words: 1}, {until: 0.3, max_words: 3}]"
"""A Transformer decoder counts tokens: after half of the training on three words at most, it writes
the first, the second and the last word of whatever it hears."""


def contestants() -> dict[str, list[str]]:
    """Name of each contestant and its settings: all attentions, then encoders with decoders."""
    pairs = {
        f"{encoder}+{decoder}": [
            f"model.encoder={encoder}",
            *LISTENER * (encoder == "listener"),
            *_decoder(decoder),
        ]
        for encoder in ENCODERS
        for decoder in DECODERS
        if (encoder, decoder) != ("listener", "lstm")
    }
    return {name: [f"model.attention={name}", *LISTENER] for name in ATTENTIONS} | pairs


def _decoder(name: str) -> list[str]:
    if name == "lstm":
        return []
    attention = ["model.attention=scaled_dot", "model.attention.heads=4"]
    schedule = ["optimizer.lr=7e-4", "scheduler.warmup_steps=200", LONGER_SOONER]
    return [f"model.decoder={name}", *attention, *schedule]


def overrides(name: str, seed: int, folder: Path) -> list[str]:
    """What ``train.py`` is told: to begin a run, or to go on with one that was stopped."""
    if (folder / "last.ckpt").exists():
        return [f"resume={folder}"]
    own = [*contestants()[name], f"seed={seed}", f"run_dir={folder}"]
    return ["experiment=attention_zoo", *own]


def compete(name: str, seed: int, runs: Path) -> str:
    """Train and measure one contestant; the sentence to print."""
    result = RESULTS / f"{name}-{seed}.json"
    if result.exists():
        return f"{name}, seed {seed}: done before"
    folder = runs / f"{name}-{seed}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = time.monotonic()
    if not (folder / "finished").exists():
        trained = subprocess.run(
            [sys.executable, str(ROOT / "train.py"), *overrides(name, seed, folder)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if trained.returncode:
            return f"{name}, seed {seed}: failed: {trained.stderr.strip().splitlines()[-1]}"
        (folder / "finished").write_text(f"{time.monotonic() - start:.1f}\n", encoding="utf-8")
    # greedily and once: a further search where attention errs would hide how often it does
    evaluate = [sys.executable, "-m", "asr_attn.cli", "evaluate"]
    measured = subprocess.run(
        [*evaluate, str(folder), TEST, "--doubt-penalty", "0", "--format", "json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if measured.returncode:
        return f"{name}, seed {seed}: failed: {measured.stderr.strip().splitlines()[-1]}"
    figures = {**_of_training(folder), **_of_test(json.loads(measured.stdout))}
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"name": name, "seed": seed, **figures}, indent=2)
    result.write_text(text + "\n", encoding="utf-8")
    return f"{name}, seed {seed}: WER {100 * figures['wer']:.2f} %"


def _of_training(folder: Path) -> dict[str, Any]:
    """Figures of a run folder."""
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    model = load_model(folder)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        "commit": commit.stdout.strip(),
        "parameters": model.network.parameter_count(),
        "epochs": len(rows),
        "training_seconds": round(sum(float(row["seconds"]) for row in rows), 1),
        "training_speed": statistics.median(float(row["speed"]) for row in rows),
        "dev_wer": model.info["dev_wer"],
        "curve": [float(row["val/wer"]) for row in rows],
        "entropy": [float(row["val/attention_entropy"]) for row in rows],
        "aligned": [float(row["val/attention_aligned"]) > 0 for row in rows],
    }


def _of_test(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Figures of the evaluation."""
    words = evaluation["words"]
    return {
        "wer": evaluation["wer"],
        "errors": words["errors"],
        "words": words["total"],
        "substitutions": words["substitutions"],
        "deletions": words["deletions"],
        "insertions": words["insertions"],
        "real_time_factor": evaluation["real_time_factor"],
    }


def main() -> int:
    """The command line; returns the exit code."""
    known = contestants()
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"contestants: {', '.join(known)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="contestants (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side (default: 2)")
    parser.add_argument("--runs", type=Path, default=Path("runs/attention_zoo"))
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in known]
    if unknown:
        print(f"{', '.join(unknown)}: not known; known: {', '.join(known)}", file=sys.stderr)
        return 2
    if not (ROOT / TEST).is_file():
        print(f"{TEST} is missing; run python recipes/fsdd/prepare.py first", file=sys.stderr)
        return 2
    names = options.names or list(known)
    tasks = [(name, seed) for seed in options.seeds for name in names]
    runs = options.runs.resolve()
    with ThreadPoolExecutor(options.jobs) as pool:
        for sentence in pool.map(lambda task: compete(task[0], task[1], runs), tasks):
            print(sentence, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
