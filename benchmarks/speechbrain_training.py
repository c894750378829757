r"""Speed of training beside SpeechBrain's: the same network on the same batches, turn by turn.

Both sides are a strided convolution, a bidirectional LSTM listener that halves the steps once more
after its first layer, an LSTM decoder with location-aware attention and a CTC head, of the sizes of
`experiment=mini_librispeech`, but without that model's two layers of self-attention, and with
attention as wide as the memory: SpeechBrain gives its context that width. A step is features,
SpecAugment, both losses, their gradients, clipping and AdamW; what goes before (reading and varying
audio) is left out.

SpeechBrain's side is made of its own modules, as its LibriSpeech recipe `seq2seq` uses them. It
computes in float32, as that recipe does; ours in float32 and in what `trainer.precision=auto` is.

The share of the hardware's limit is that of the operations of one of our steps, by torch's counter
(which is told of LSTM layers here, since it does not know them), over the rate of products of
matrices of 1024 × 1024 with as many threads. Element-wise work counts as nothing.

Without `data/mini_librispeech`, batches are noise and random tokens of the same lengths.
SpeechBrain is not among the requirements: pip install speechbrain==1.1.2

Example:
  python benchmarks/speechbrain_training.py --threads 1 --batches 8 --json training.json
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from speechbrain_networks import (  # type: ignore[import-not-found]
    RATE,
    VOCABULARY,
    Examples,
    Ours,
    SpeechBrain,
)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from asr_attn.data.batches import pad_waveforms, read_utterance
from asr_attn.data.manifest import read_manifest
from asr_attn.data.planning import plan_batches
from asr_attn.errors import InputError
from asr_attn.files import atomic_path
from asr_attn.nn.precision import bfloat16_pays
from asr_attn.text.build import TokenizerConfig, build_tokenizer
from asr_attn.text.normalizer import normalize
from asr_attn.text.tokenizer import SPECIALS

CLIP, LEARNING_RATE = 1.0, 2e-3
TRAIN = Path("data/mini_librispeech/train.jsonl")
TOKENS_PER_SECOND = 6.23
"""Of the unigram tokenizer of 300 on those texts."""
SHARES, SECONDS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0), (1.97, 4.1, 11.4, 13.9, 15.2, 16.0, 17.3)
"""So many of those utterances are at most so long."""
MATRIX, PRODUCTS = 1024, 20
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def real_batches(manifest: Path, count: int, batch_seconds: float) -> list[Examples]:
    """Batches of a training set, cut to tokens as training would."""
    utterances = read_manifest(manifest)
    config = TokenizerConfig("unigram", VOCABULARY)
    texts = [normalize(utterance.text, config.normalizer) for utterance in utterances]
    tokenizer = build_tokenizer(config, texts)
    batches = []
    for rows in plan_batches([u.duration for u in utterances], batch_seconds, (0,))[:count]:
        waveforms = pad_waveforms([read_utterance(utterances[i], RATE) for i in rows])
        batches.append(Examples(*waveforms, [tokenizer.encode(texts[i]) for i in rows]))
    return batches


def synthetic_batches(count: int, batch_seconds: float) -> list[Examples]:
    """Noise and random tokens, as long as the utterances of Mini LibriSpeech are."""
    random = np.random.default_rng(0)
    durations = np.interp(random.random(200), SHARES, SECONDS)
    batches = []
    for rows in plan_batches(list(durations), batch_seconds, (0,))[:count]:
        noise = [random.standard_normal(int(durations[i] * RATE), dtype=np.float32) for i in rows]
        tokens = [
            random.integers(SPECIALS, VOCABULARY, int(durations[i] * TOKENS_PER_SECOND)).tolist()
            for i in rows
        ]
        batches.append(Examples(*pad_waveforms([0.1 * samples for samples in noise]), tokens))
    return batches


def stepper(model: nn.Module, bfloat16: bool = False) -> Callable[[Examples], None]:
    """What trains a model on one batch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)

    def step(batch: Examples) -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            loss = model(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        if not loss.isfinite():
            raise RuntimeError(f"{type(model).__name__}: the loss is {loss.item()}")

    return step


def lstm_operations(x: Any, w: Any, recurrent: Any, *_: Any, **__: Any) -> int:
    """Operations of an LSTM layer, forward: two per weight and step.

    Args:
        x: shape (T, B, D) of its input.
        w: shape (4 H, D).
        recurrent: shape (4 H, H).
    """
    return 2 * int(np.prod(x[:2])) * int(np.prod(w) + np.prod(recurrent))


def operations_of(model: nn.Module, batches: Sequence[Examples]) -> int:
    """Floating-point operations of training on batches, forward and backward."""
    aten: Any = torch.ops.aten
    layers = {
        aten.mkldnn_rnn_layer: lstm_operations,
        aten.mkldnn_rnn_layer_backward: lambda *a, **k: 2 * lstm_operations(*a, **k),
    }
    with FlopCounterMode(display=False, custom_mapping=layers) as counter:
        for batch in batches:
            model(batch).backward()
    model.zero_grad()
    return int(counter.get_total_flops())


def matrix_rate(clock: Callable[[], float]) -> float:
    """Operations per second in products of float32 matrices, the median of several."""
    a, b = torch.randn(2, MATRIX, MATRIX)
    times = []
    for _ in range(PRODUCTS):
        start = clock()
        torch.mm(a, b)
        times.append(clock() - start)
    return 2 * MATRIX**3 / median(times)


def measure(batches: Sequence[Examples], rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    """Figures of all sides, the rounds alternating; the first round only warms up."""
    torch.manual_seed(0)
    models = {"ours": Ours(batches), "speechbrain": SpeechBrain()}
    half = bfloat16_pays()
    steps = {
        "speechbrain": stepper(models["speechbrain"]),
        "ours, float32": stepper(models["ours"]),
        "ours, auto": stepper(models["ours"], half),
    }
    audio = sum(batch.seconds for batch in batches)
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    rates: list[float] = []
    for number in range(rounds + 1):
        for name, step in steps.items():
            start = clock()
            for batch in batches:
                step(batch)
            if number:
                speeds[name].append(audio / (clock() - start))
        rates.append(matrix_rate(clock))
    operations = operations_of(models["ours"], batches)
    rate = median(rates)
    sides = {
        name: side_of(values, speeds["speechbrain"])
        | ({} if name == "speechbrain" else {"share": operations / audio * median(values) / rate})
        for name, values in speeds.items()
    }
    return {
        "parameters": {
            name: sum(p.numel() for p in model.parameters()) for name, model in models.items()
        },
        "auto": "bfloat16" if half else "float32",
        "audio_seconds": audio,
        "operations_per_batch": operations / len(batches),
        "matrix_operations_per_second": rate,
        "sides": sides,
    }


def side_of(speeds: Sequence[float], other: Sequence[float]) -> dict[str, Any]:
    """Seconds of audio per second, and their ratio to SpeechBrain's of the same round."""
    ratios = [own / theirs for own, theirs in zip(speeds, other, strict=True)]
    return {"speed": median(speeds), "ratio": median(ratios), "range": [min(ratios), max(ratios)]}


def report(found: dict[str, Any], count: int, threads: int) -> None:
    """Print the figures."""
    sizes = found["parameters"]
    print(
        f"{count} batches of {found['audio_seconds'] / count:.1f} s of audio, {threads} thread(s); "
        f"parameters: ours {sizes['ours']:,}, SpeechBrain {sizes['speechbrain']:,}; auto is "
        f"{found['auto']}"
    )
    print(
        f"{found['operations_per_batch'] / 1e9:.1f} G operations per batch; float32 products: "
        f"{found['matrix_operations_per_second'] / 1e9:.1f} G operations per second"
    )
    for name, side in found["sides"].items():
        low, high = side["range"]
        share = f"  {100 * side['share']:5.1f} % of float32 products" if "share" in side else ""
        print(
            f"  {name:<14} {side['speed']:8.1f} s of audio per second  ratio {side['ratio']:.2f} "
            f"({low:.2f}, {high:.2f}){share}"
        )


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, help="of computation (default: 1)")
    parser.add_argument("--batches", type=int, default=8, help="per round (default: 8)")
    parser.add_argument("--batch-seconds", type=float, default=80.0, help="most (default: 80)")
    parser.add_argument("--rounds", type=int, default=5, help="that count (default: 5)")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu counts the processor's time, for a machine with other work (default: wall)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    if min(options.threads, options.batches, options.batch_seconds, options.rounds) <= 0:
        parser.error("--threads, --batches, --batch-seconds and --rounds must be above 0")
    torch.set_num_threads(options.threads)
    try:
        if TRAIN.is_file():
            batches = real_batches(TRAIN, options.batches, options.batch_seconds)
        else:
            batches = synthetic_batches(options.batches, options.batch_seconds)
        found = measure(batches, options.rounds, CLOCKS[options.clock])
        report(found, len(batches), options.threads)
        if options.json is not None:
            figures = {
                "threads": options.threads,
                "clock": options.clock,
                "real": TRAIN.is_file(),
                **found,
            }
            with atomic_path(options.json) as scratch:
                scratch.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
