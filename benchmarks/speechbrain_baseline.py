r"""Trains a system of SpeechBrain's LibriSpeech recipes on our manifests, for a given time.

What comes of it can be compared with a model of ours that was given the same time on the same
machine. The systems are those of `speechbrain_systems.py`, which says what they are made of:

  crdnn        convolution, bidirectional LSTM, location-aware attention, GRU; Adadelta, NewBob
  transformer  a Transformer with CTC; AdamW, Noam; the ten best models are averaged

A folder holds a run: `tokenizer.model`, `log.jsonl` (a line per epoch), `state.pt` and `kept/` to
go on with, and in the end `greedy.jsonl` and `beam.jsonl` for `asr-attn compare`. The same command
goes on with a run that was stopped; an epoch that was not finished is done again, and its time does
not count. Time is that of the processor over the number of threads: with one thread, what else runs
on the machine takes nothing from it.
Computes in float32 on the CPU, as those recipes do by default.

SpeechBrain is not among the requirements: pip install speechbrain==1.1.2

Examples:
  python benchmarks/speechbrain_baseline.py crdnn --minutes 240 --output runs/crdnn
  asr-attn evaluate runs/mini-librispeech/DATE data/mini_librispeech/test.jsonl \
      --hypotheses ours.jsonl
  asr-attn compare runs/crdnn/greedy.jsonl ours.jsonl
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asr_attn.data.manifest import Utterance
from asr_attn.data.planning import plan_batches
from asr_attn.errors import InputError
from asr_attn.evaluation.error_rates import count_errors
from asr_attn.evaluation.normalization import MODEL, VERSION
from asr_attn.evaluation.results import score_texts
from asr_attn.files import atomic_path

try:
    from speechbrain.augment.time_domain import SpeedPerturb
    from speechbrain.utils.checkpoints import average_state_dicts
    from speechbrain_interface import RATE, Padded  # type: ignore[import-not-found]
    from speechbrain_run import (  # type: ignore[import-not-found]
        Run,
        batches_of,
        load_set,
        model_path,
        open_run,
        save,
    )
    from speechbrain_systems import SYSTEMS  # type: ignore[import-not-found]
except ImportError:
    sys.exit("this baseline is SpeechBrain's; pip install speechbrain==1.1.2")

SPEEDS = [90, 100, 110]
CLIP = 5.0
PATIENCE = 3
"""Losses in a row that are not finite before training ends, as in SpeechBrain."""
DEV_RATIO = 0.4
"""Most tokens per memory step on the dev set: a model that knows nothing yet would go on for long.
Mini LibriSpeech has 0.25."""


def train_epoch(run: Run, start: float) -> float:
    """Train until the epoch or the time is over.

    Args:
        run: what is trained.
        start: when the epoch began, by ``clock``.

    Returns:
        The mean loss of its batches.

    Raises:
        InputError: losses are no longer finite.
    """
    options, system, optimizer = run.options, run.system, run.optimizer
    seed = (options.seed, run.progress.epoch)
    torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
    order = seed if system.shuffled else None
    rows = plan_batches([u.duration for u in run.train], options.batch_seconds, order)
    losses: list[float] = []
    failed = 0
    system.train()
    optimizer.zero_grad()
    for number, (chosen, waves) in enumerate(batches_of(run.train, rows, speed()), start=1):
        share = (run.progress.seconds + clock(run) - start) / run.budget
        if share >= 1.0:
            break
        loss = system.losses(waves, [run.tokenizer.encode(u.text) for u in chosen], share)
        if loss.isfinite():
            failed = 0
            losses.append(loss.item())
            (loss / options.accumulate).backward()
        else:
            failed += 1
            print(f"note: the loss of a batch is {loss.item()}; it is left out", file=sys.stderr)
            if failed > PATIENCE:
                raise InputError(f"{run.folder}: losses are no longer finite; give another --seed")
        if number % options.accumulate == 0 or number == len(rows):
            torch.nn.utils.clip_grad_norm_(system.parameters(), CLIP)
            system.before_update(optimizer, share)
            optimizer.step()
            optimizer.zero_grad()
    return sum(losses) / max(len(losses), 1)


def clock(run: Run) -> float:
    """Seconds that each of the threads has computed, on average."""
    return time.process_time() / int(run.options.threads)


def speed() -> SpeedPerturb:
    """What varies the speed of an utterance."""
    return SpeedPerturb(orig_freq=RATE, speeds=SPEEDS)


@torch.no_grad()
def validate(run: Run, search: bool) -> dict[str, float]:
    """Loss and accuracy of the tokens of the dev set, each after the right ones, and WER."""
    system = run.system.eval()
    searcher = system.searcher(None, DEV_RATIO).eval()
    total = np.zeros(3)
    references, texts = [], []
    rows = plan_batches([u.duration for u in run.dev], run.options.batch_seconds, None)
    for chosen, waves in batches_of(run.dev, rows, None):
        tokens = [run.tokenizer.encode(u.text) for u in chosen]
        memory = system.encode(waves)
        log_probs = system.log_probs(memory, waves, tokens)
        for row, ids in zip(log_probs, tokens, strict=True):
            wanted = torch.tensor([*ids, system.eos])
            found = row[: len(wanted)]
            nll = -found.gather(1, wanted[:, None]).sum()
            total += [float(nll), int((found.argmax(dim=1) == wanted).sum()), len(wanted)]
        if search:
            references += [u.text for u in chosen]
            texts += recognize(run, searcher, memory, waves)
    loss, right, count = total.tolist()
    figures = {"dev_loss": loss / count, "accuracy": right / count}
    return figures | ({"wer": count_errors(references, texts).rate} if search else {})


def recognize(run: Run, searcher: Any, memory: torch.Tensor, waves: Padded) -> list[str]:
    """Texts that a search finds."""
    found = searcher(memory, waves.shares)[0]
    return [run.tokenizer.decode([int(t) for t in ids if t != run.system.eos]) for ids in found]


def train(run: Run) -> None:
    """Train until the time is over; state is saved after each epoch."""
    progress, system = run.progress, run.system
    while progress.seconds < run.budget:
        start = clock(run)
        loss = train_epoch(run, start)
        over = progress.seconds + clock(run) - start >= run.budget
        progress.epoch += 1
        figures = validate(run, over or progress.epoch % system.search_every == 0)
        progress.seconds += clock(run) - start
        if "wer" in figures:
            share = min(progress.seconds / run.budget, 1.0)
            system.after_epoch(run.optimizer, share, figures["wer"])
        better = figures["accuracy"] if system.chosen_by == "accuracy" else -figures["wer"]
        kept = {**progress.kept, progress.epoch: better}
        best = sorted(kept, key=lambda epoch: (kept[epoch], epoch))[-system.kept :]
        progress.kept = {epoch: kept[epoch] for epoch in best}
        line = {
            "epoch": progress.epoch,
            "minutes": progress.seconds / 60.0,
            "rate": run.optimizer.param_groups[0]["lr"],
            "loss": loss,
            **figures,
        }
        progress.log.append(line)
        save(run)
        print("  ".join(f"{name} {value:.4g}" for name, value in line.items()), flush=True)


@torch.no_grad()
def test(run: Run, utterances: Sequence[Utterance], beam: int | None, path: Path) -> None:
    """Recognise the test set with the best models, write the results and print the error rate."""
    searcher = run.system.eval().searcher(beam).eval()
    rows = plan_batches([u.duration for u in utterances], run.options.batch_seconds, None)
    texts: dict[str, str] = {}
    start = time.monotonic()
    for chosen, waves in batches_of(utterances, rows, None):
        found = recognize(run, searcher, run.system.encode(waves), waves)
        texts |= dict(zip((u.id for u in chosen), found, strict=True))
    seconds = time.monotonic() - start
    with atomic_path(path) as scratch, scratch.open("w", encoding="utf-8") as stream:
        for u in utterances:
            line = {"id": u.id, "reference": u.text, "text": texts[u.id]}
            line |= {"normalizer": f"{MODEL}/{VERSION}"}
            line |= {"speaker": u.speaker} if u.speaker is not None else {}
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    result = score_texts([u.text for u in utterances], [texts[u.id] for u in utterances])
    interval = result.intervals.words
    assert interval is not None  # training refuses sets without words
    print(
        f"{path}: WER {100 * result.words.rate:.2f} % ({100 * interval.low:.2f} to "
        f"{100 * interval.high:.2f}), {seconds:.0f} s for {sum(u.duration for u in utterances):.0f}"
        " s of audio",
        flush=True,
    )


def main(arguments: list[str] | None = None) -> int:
    """Train, or go on, and test; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = Path("data/mini_librispeech")
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument(
        "--minutes", type=float, required=True, help="of computing: training and validation"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    for name in ("train", "dev", "test"):
        parser.add_argument(
            f"--{name}", type=Path, default=data / f"{name}.jsonl", help="manifest (%(default)s)"
        )
    parser.add_argument("--batch-seconds", type=float, default=80.0, help="of audio (%(default)s)")
    parser.add_argument("--accumulate", type=int, help="batches per update (1; transformer: 2)")
    parser.add_argument("--vocabulary", type=int, default=300, help="tokens (%(default)s)")
    parser.add_argument("--beam", type=int, help="width (as published: 80 and 66); 0: no beam")
    parser.add_argument("--threads", type=int, default=1, help="of computation (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    options = parser.parse_args(arguments)
    if options.accumulate is None:
        options.accumulate = SYSTEMS[options.system].accumulate
    counts = (options.batch_seconds, options.accumulate, options.vocabulary, options.threads)
    if min(options.minutes, *counts) <= 0:
        parser.error("minutes, seconds, batches, tokens and threads must be above 0")
    torch.set_num_threads(options.threads)
    try:
        utterances = load_set(options.test)
        run = open_run(options)
        count = sum(p.numel() for p in run.system.parameters())
        print(f"{options.system}: {count / 1e6:.2f} M parameters", flush=True)
        train(run)
        models = [
            torch.load(model_path(run, epoch), weights_only=True) for epoch in run.progress.kept
        ]
        run.system.load_state_dict(average_state_dicts(models) if len(models) > 1 else models[0])
        beam = run.system.beam if options.beam is None else options.beam
        test(run, utterances, None, run.folder / "greedy.jsonl")
        if beam:
            test(run, utterances, beam, run.folder / "beam.jsonl")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on with {options.output}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
