"""Measures what each choice of Mini LibriSpeech's training brings: one is changed at a time.

There are two groups of contestants, and both start from the model of the package:

  begin    how attention begins: of that model they have the encoder and the CTC head; attention and
           decoder are new
  trained  what is learnt from the recordings: they train the whole model on

Each has one epoch of short pieces and one of whole utterances, on one core. What they make of dev
is compared with what the unchanged settings make of it, on the same utterances. A run whose file is
in ablation/ is not done again: stop it and start it as you like. For pseudo_labels, README.md says
how to make the file of transcripts.

Examples:
  python recipes/mini_librispeech/ablation.py begin
  python recipes/mini_librispeech/ablation.py trained as_it_is ema
  python recipes/mini_librispeech/ablation.py begin --table      # only the table, in README.md
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from asr_attn.config import CONFIG_FILE
from asr_attn.evaluation.comparison import compare
from asr_attn.evaluation.result_files import pair_results

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DEV = "data/mini_librispeech/dev.jsonl"
END = "<!-- end of ablation -->"
AS_IT_IS = "as_it_is"
COMMON = (
    "experiment=mini_librispeech",
    "trainer=cpu",
    "trainer.threads=1",
    "trainer.check_val_every_n_epoch=1",
    # one more epoch comes first: of the few utterances that are short enough, and by CTC alone; it
    # ends with the words located
    "training.ctc_warmup=0.01",
    "training.align_at=[0.01]",
    "data.loading.curriculum=[{until: 0.5, max_words: 12}]",
    "data.loading.batch_seconds=90",
    "data.loading.mixing.share=0",
    "augmentation.masks_grow_until=0",
    "data.test=null",
    "trainer.max_epochs=3",
    "scheduler.warmup_steps=50",
    "optimizer.lr=1e-3",
)
BEGIN_GROUP: Mapping[str, tuple[str, ...]] = {
    AS_IT_IS: (),
    "no_short_pieces": ("data.loading.curriculum=[{until: 0.3, max_words: 12}]",),
    "no_window": ("model.attention.window_back=-1", "model.attention.window_ahead=-1"),
    "no_shortcut": ("model.decoder.shortcut=false",),
    "guided_by_diagonal": ("training.guided_by=diagonal",),
    "no_guidance": ("training.guided_attention=0",),
    "content_attention": ("model.attention=additive",),
    "mixing": ("data.loading.mixing.share=0.5", "data.loading.mixing.until=1"),
}
TRAINED_GROUP: Mapping[str, tuple[str, ...]] = {
    AS_IT_IS: (),
    # how far a row moves by itself
    "other_seed": ("seed=1",),
    "no_speed": ("augmentation.speed=[1.0]",),
    "no_volume": ("augmentation.gain_db=0",),
    "no_vocal_tract": ("augmentation.vocal_tract=0",),
    "no_spec_augment": (
        "augmentation.frequency_masks=0",
        "augmentation.time_masks=0",
        "augmentation.time_masks_per_frame=0",
    ),
    "larger_masks": (
        "augmentation.frequency_mask_bins=27",
        "augmentation.time_masks_per_frame=0.01",
    ),
    "time_warp": ("augmentation.time_warp_frames=20",),
    "tempo": ("augmentation.tempo=[0.9,1.0,1.1]",),
    "pitch": ("augmentation.pitch_semitones=2",),
    "noise": (
        "augmentation.noise_probability=0.3",
        "augmentation.noise_kinds=[white,pink,brown,babble]",
    ),
    "reverberation": ("augmentation.reverb_probability=0.2",),
    "few_hours": ("augmentation=few_hours",),
    "intermediate_ctc": ("training.intermediate_ctc=0.3",),
    "no_label_smoothing": ("training.label_smoothing=0",),
    "subword_sampling": ("tokenizer.sampling=0.1",),
    "ema": ("training.ema=0.999",),
    "pseudo_labels": (
        "data.also_train=[data/mini_librispeech/heard.jsonl]",
        "data.least_confidence=0.5",
        "data.max_duration=35",
    ),
}
GROUPS = {"begin": BEGIN_GROUP, "trained": TRAINED_GROUP}
"""Settings of each contestant of a group beside the common ones."""
START = {
    "begin": ("start_from=mini-librispeech", "start_with=encoder"),
    "trained": ("start_from=mini-librispeech",),
}


def train(name: str, settings: Sequence[str], runs: Path, results: Path) -> str:
    """Train and measure one contestant; the sentence to print."""
    if (results / f"{name}.json").exists():
        return f"{name}: done before"
    folder = runs / name
    begin = [*settings, f"run_dir={folder}"]
    overrides = [f"resume={folder}"] if (folder / CONFIG_FILE).exists() else begin
    if not (folder / "finished").exists():
        failure = _run([str(ROOT / "train.py"), *overrides])
        if failure is not None:
            return f"{name}: failed: {failure}"
        (folder / "finished").touch()
    heard = folder / "dev.jsonl"
    evaluate = ["-m", "asr_attn.cli", "evaluate", str(folder), DEV, "--doubt-penalty", "0"]
    failure = _run([*evaluate, "--hypotheses", str(heard)])
    if failure is not None:
        return f"{name}: failed: {failure}"
    paired = pair_results([heard])
    found = {
        "name": name,
        "commit": _output(["git", "rev-parse", "--short", "HEAD"]),
        "errors": dict(zip(paired.names, paired.errors[:, 0].tolist(), strict=True)),
        "words": dict(zip(paired.names, paired.words.tolist(), strict=True)),
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{name}.json").write_text(json.dumps(found) + "\n", encoding="utf-8")
    return f"{name}: WER {100 * paired.errors.sum() / paired.words.sum():.2f} %"


def _run(arguments: Sequence[str]) -> str | None:
    """Run Python on one core; what it complained of, or None."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else None


def _output(command: Sequence[str]) -> str:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def table(results: Sequence[Mapping[str, Any]], changes: Mapping[str, tuple[str, ...]]) -> str:
    """A line for each contestant, the best first, with the difference that the change made."""
    by_name = {found["name"]: found for found in results}
    base = by_name[AS_IT_IS]
    names = list(base["words"])
    words = np.array([base["words"][name] for name in names])
    before = np.array([[base["errors"][name]] for name in names])
    rows = []
    for name, found in by_name.items():
        errors = np.array([[found["errors"][utterance]] for utterance in names])
        made = compare(before, errors, words)
        low, high = 100 * made.interval.low, 100 * made.interval.high
        difference = f"{100 * made.difference:+.1f} ({low:+.1f} to {high:+.1f})"
        settings = (
            " ".join(f"`{setting}`" for setting in changes[name]) or "the settings as they are"
        )
        rows.append((made.rate_b, name, settings, "" if name == AS_IT_IS else difference))
    lines = [
        f"| {settings} | {100 * rate:.1f} % | {difference} |"
        for rate, _, settings, difference in sorted(rows)
    ]
    header = "| changed | dev WER | points more (95 %) |\n|---|---|---|"
    return "\n".join([header, *lines])


def write_table(group: str, results: Path, readme: Path) -> None:
    """Put the table of a group's results between its marks in a file."""
    found = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))
    ]
    begin = f"<!-- ablation, {group}: made by ablation.py -->"
    before, _, rest = readme.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(END)[2]
    rows = table(found, GROUPS[group])
    readme.write_text(f"{before}{begin}\n\n{rows}\n\n{END}{after}", encoding="utf-8")


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="\n".join(
            fill(f"{group}: {', '.join(names)}", 100) for group, names in GROUPS.items()
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("names", nargs="*", metavar="NAME", help="contestants (default: all)")
    parser.add_argument("--table", action="store_true", help="make the table, train nothing")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side (default: 2)")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/ablation"), help="folder (default: %(default)s)"
    )
    options = parser.parse_intermixed_args()
    changes = GROUPS[options.group]
    unknown = [name for name in options.names if name not in changes]
    if unknown:
        print(f"{', '.join(unknown)}: not known; known: {', '.join(changes)}", file=sys.stderr)
        return 2
    results = HERE / "ablation" / options.group
    names = [] if options.table else options.names or list(changes)
    if names:
        if not (ROOT / DEV).is_file():
            print(f"{DEV} is missing; run prepare.py first", file=sys.stderr)
            return 2
        runs = options.runs.resolve() / options.group
        common = [*COMMON, *START[options.group]]
        with ThreadPoolExecutor(options.jobs) as pool:
            for sentence in pool.map(
                lambda name: train(name, [*common, *changes[name]], runs, results), names
            ):
                print(sentence, flush=True)
    if not (results / f"{AS_IT_IS}.json").is_file():
        print(f"nothing to compare with: {AS_IT_IS} has no result yet", file=sys.stderr)
        return 2
    write_table(options.group, results, HERE / "README.md")
    return 0 if all((results / f"{name}.json").is_file() for name in names) else 1


if __name__ == "__main__":
    sys.exit(main())
