r"""What each part of the beam search costs, in time and in memory.

A run and a manifest are searched with more and more scorers, and a clock stands around what each of
them does: `start`, `score` and the `select` of its state. What is left of the search's time is its
own: ranking, bookkeeping, hypotheses. A part's cost is its seconds in all, over the seconds of
audio. Every round measures all sets of scorers, and the median of the rounds is shown, so that a
busy moment of the machine falls on all alike.

The language models are made of the texts of `--train`: a 4-gram of the tokens, a 3-gram of words.
Hotwords are phrases of up to five words of those texts, drawn at random, each once.

With `--memory`, all utterances joined are searched as one, without an end of the sentence, up to
the longest permitted output, and the table tells how many bytes the tokens of the beam and the
states of the scorers take after so many tokens.

Examples:
  python benchmarks/search_cost.py runs/strings data/fsdd/strings/test.jsonl \
      --train data/fsdd/strings/train.jsonl
  python benchmarks/search_cost.py runs/strings data/fsdd/strings/test.jsonl \
      --train data/fsdd/strings/train.jsonl --batch 16 --format json
"""

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asr_attn.audio.reading import read_audio
from asr_attn.checkpoint import TrainedModel, load_model
from asr_attn.data.batches import pad_waveforms
from asr_attn.data.manifest import read_manifest
from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.bonuses import LengthBonus, NoState
from asr_attn.decoding.ctc_prefix import CtcPrefixScorer
from asr_attn.decoding.hotwords import Hotword, HotwordScorer
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.decoding.scorers import AttentionScorer
from asr_attn.lm.kneser_ney import KneserNeyConfig, train
from asr_attn.lm.ngram import NgramModel
from asr_attn.lm.scorer import NgramScorer
from asr_attn.lm.storage import Workspace
from asr_attn.lm.vocabulary import token_symbols
from asr_attn.lm.word_scorer import WordScorer
from asr_attn.text.normalizer import normalize
from asr_attn.text.tokenizer import EOS

WEIGHTS = {"attention": 0.7, "CTC": 0.3, "4-gram": 0.3, "words": 0.3}
"""Of the scorers; that of hotwords is 1."""
SETS = (
    ("attention",),
    ("attention", "CTC"),
    ("attention", "CTC", "4-gram"),
    ("attention", "CTC", "words"),
    ("attention", "CTC", "4-gram", "10 hotwords"),
    ("attention", "CTC", "4-gram", "10000 hotwords"),
)
HEAVIEST = ("attention", "CTC", "4-gram", "words", "10000 hotwords")
ENCODING, REST = "features, encoder", "the search itself"


class Clock:
    """Adds up seconds by part."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def timed(self, part: str, work: Any, *arguments: Any) -> Any:
        """What ``work`` returns; its time goes to ``part``."""
        start = time.perf_counter()
        out = work(*arguments)
        self.seconds[part] += time.perf_counter() - start
        return out


@dataclass(frozen=True)
class TimedState:
    """The state of a scorer, with a clock around its ``select``."""

    inner: Any
    part: str
    clock: Clock

    def select(self, index: Tensor) -> "TimedState":
        """Take the rows named by ``index`` (N,)."""
        inner = self.clock.timed(self.part, self.inner.select, index)
        return TimedState(inner, self.part, self.clock)


class TimedScorer:
    """A scorer with a clock around it."""

    def __init__(self, part: str, scorer: Any, clock: Clock) -> None:
        self.name = part
        self.gain = scorer.gain
        self.scorer = scorer
        self.clock = clock

    def start(self, memory: Tensor, lengths: Tensor) -> TimedState:
        """State before the first token."""
        inner = self.clock.timed(self.name, self.scorer.start, memory, lengths)
        return TimedState(inner, self.name, self.clock)

    def score(self, tokens: Tensor, state: Any) -> tuple[Tensor, TimedState]:
        """Scores of the next tokens, and new state."""
        scores, inner = self.clock.timed(self.name, self.scorer.score, tokens, state.inner)
        return scores, TimedState(inner, self.name, self.clock)


class Endless(LengthBonus):
    """A scorer that lets no sentence end."""

    def score(self, tokens: Tensor, state: Any) -> tuple[Tensor, NoState]:
        """The same for all hypotheses (N, V)."""
        scores, nothing = super().score(tokens, state)
        scores[:, EOS] = -1e9
        return scores, nothing


def make_scorers(model: TrainedModel, texts: Sequence[str]) -> dict[str, Any]:
    """All scorers by the names of their parts."""
    network, tokenizer = model.network, model.tokenizer
    symbols = token_symbols(tokenizer)
    tokens = [[symbols[token] for token in tokenizer.encode(text)] for text in texts]
    words = [text.split() for text in texts]
    phrases = phrases_of(sorted({word for sentence in words for word in sentence}), 10_000)
    hotwords = {
        f"{count} hotwords": HotwordScorer([Hotword(p, 1.0) for p in phrases[:count]], tokenizer)
        for count in (10, 10_000)
    }
    return {
        "attention": AttentionScorer(network.speller),
        "CTC": CtcPrefixScorer(network.ctc_log_probs),
        "4-gram": NgramScorer(language_model(tokens, 4, symbols), tokenizer),
        "words": WordScorer(language_model(words, 3), tokenizer),
        **hotwords,
    }


def language_model(
    sentences: Iterable[Sequence[str]], order: int, vocabulary: Iterable[str] = ()
) -> NgramModel:
    """Train an n-gram model in memory."""
    with Workspace(1 << 28) as workspace:
        return NgramModel(train(sentences, KneserNeyConfig(order), workspace, vocabulary).ngrams)


def phrases_of(words: Sequence[str], count: int) -> list[str]:
    """Draw ``count`` phrases of up to five words, each once."""
    random = np.random.default_rng(0)
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(random.choice(words, random.integers(1, 6)))] = None
    return list(found)


def batches_of(
    model: TrainedModel, manifest: Path, count: int, size: int
) -> tuple[list[tuple[Tensor, Tensor]], float]:
    """Padded waveforms with their lengths, and seconds of audio in all."""
    utterances = read_manifest(manifest)[:count]
    rate = model.features.sample_rate
    waves = [read_audio(u.audio, rate, u.offset, u.duration) for u in utterances]
    seconds = sum(map(len, waves)) / rate
    return [pad_waveforms(waves[i : i + size]) for i in range(0, len(waves), size)], seconds


@torch.inference_mode()
def measure(
    model: TrainedModel,
    scorers: Mapping[str, Any],
    names: Sequence[str],
    batches: list[tuple[Tensor, Tensor]],
    beam: int,
) -> dict[str, float]:
    """Seconds of each part, over all batches."""
    clock = Clock()
    asked = [(TimedScorer(n, scorers[n], clock), WEIGHTS.get(n, 1.0)) for n in names]
    exponent = 0.0 if any("hotwords" in name for name in names) else 0.7
    config = SearchConfig(beam, exponent)
    whole = 0.0
    for waves, lengths in batches:
        memory, steps = clock.timed(ENCODING, model.network.encode, waves, lengths)
        start = time.perf_counter()
        beam_search(asked, memory, steps, config)
        whole += time.perf_counter() - start
    scoring = sum(seconds for part, seconds in clock.seconds.items() if part != ENCODING)
    return {**clock.seconds, REST: whole - scoring}


def medians(rounds: list[dict[str, float]], seconds: float) -> dict[str, float]:
    """Median of each part's time, per second of audio, and of the sum."""
    found = {part: statistics.median(r[part] for r in rounds) for part in rounds[0]}
    found["in all"] = statistics.median(sum(r.values()) for r in rounds)
    return {part: value / seconds for part, value in found.items()}


def tensors_of(state: Any) -> Iterator[Tensor]:
    """All tensors that a state holds."""
    if isinstance(state, Tensor):
        yield state
    elif is_dataclass(state):
        for field in fields(state):
            yield from tensors_of(getattr(state, field.name))


def bytes_of(state: Any) -> int:
    """Memory of a state, each storage once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in tensors_of(state)}
    return sum(storage.nbytes() for storage in storages.values())


@torch.inference_mode()
def memory_of(
    model: TrainedModel, scorers: Mapping[str, Any], waves: Tensor, beam: int
) -> list[dict[str, int]]:
    """Bytes held after each token of a search whose sentence does not end.

    Args:
        model: whose encoder hears the recording.
        scorers: all there are; five of them are asked.
        waves: (1, samples) of one recording.
        beam: open hypotheses.
    """
    found: list[dict[str, int]] = []

    class Weighed(TimedScorer):
        def score(self, tokens: Tensor, state: Any) -> tuple[Tensor, TimedState]:
            if self.name == HEAVIEST[0]:
                found.append({"tokens": len(found), "beam's tokens": 8 * len(tokens) * len(found)})
            found[-1][self.name] = bytes_of(state.inner)
            return super().score(tokens, state)

    clock = Clock()
    asked: list[tuple[Any, float]] = [(Weighed(n, scorers[n], clock), 1.0) for n in HEAVIEST]
    asked.append((Endless(len(model.tokenizer), 0.0), 1.0))
    memory, steps = model.network.encode(waves, torch.tensor([waves.size(1)]))
    beam_search(asked, memory, steps, SearchConfig(beam, 0.0))
    return found


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(row)} |" for row in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])


def time_table(results: Mapping[str, Mapping[str, float]]) -> str:
    """Milliseconds per second of audio."""
    parts = [ENCODING, *dict.fromkeys(n for names in SETS for n in names), REST, "in all"]
    rows = [
        [name, *(f"{1e3 * costs[part]:.2f}" if part in costs else "" for part in parts)]
        for name, costs in results.items()
    ]
    return table(["scorers", *parts], rows)


def memory_table(steps: Sequence[Mapping[str, int]]) -> str:
    """Kilobytes after 1, 2, 4, ... tokens and at the end."""
    heads = list(steps[-1])
    shown = [s for s in steps if s is steps[-1] or s["tokens"].bit_count() == 1]
    rows = [[str(s["tokens"]), *(f"{s[h] / 1024:.1f}" for h in heads[1:])] for s in shown]
    return table(heads, rows)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="model file, or folder of a run")
    parser.add_argument("manifest", type=Path, help="what is searched")
    parser.add_argument("--train", type=Path, required=True, help="manifest of texts")
    parser.add_argument("--utterances", type=int, default=100, help="(default 100)")
    parser.add_argument("--batch", type=int, default=1, help="searched at once (default 1)")
    parser.add_argument("--beam", type=int, default=10, help="(default 10)")
    parser.add_argument("--rounds", type=int, default=3, help="(default 3)")
    parser.add_argument("--threads", type=int, default=1, help="(default 1)")
    parser.add_argument("--memory", action="store_true", help="measure memory, not time")
    parser.add_argument("--format", choices=("markdown", "json"), default="markdown")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model(options.model)
    texts = [normalize(u.text, model.normalizer) for u in read_manifest(options.train)]
    scorers = make_scorers(model, texts)
    batches, seconds = batches_of(model, options.manifest, options.utterances, options.batch)
    if options.memory:
        joined = [wave[:n] for waves, lengths in batches for wave, n in zip(waves, lengths)]
        steps = memory_of(model, scorers, torch.cat(joined)[None], options.beam)
        print(json.dumps(steps) if options.format == "json" else memory_table(steps))
        return 0
    rounds: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
    for turn in range(options.rounds + 1):
        for names in SETS:
            found = measure(model, scorers, names, batches, options.beam)
            if turn:
                rounds[", ".join(names)].append(found)
    results = {name: medians(found, seconds) for name, found in rounds.items()}
    print(json.dumps(results, indent=2) if options.format == "json" else time_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
