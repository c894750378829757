r"""Speed of the beam search beside SpeechBrain's, in the same process, turn by turn.

Two questions:

1. The same work: decoders of the same sizes with random weights, which never end a sentence, so
   that both sides take the same number of steps (`--tokens`). Ours is the LSTM decoder with
   location-aware attention; SpeechBrain's is its `AttentionalRNNDecoder`, with
   `S2SRNNBeamSearcher` and its `CTCScorer`.
2. The same model (`--model`, `--manifest`): SpeechBrain's `S2SBeamSearcher` is given our decoder,
   and both search the same memories. The model's score of what each finds is compared, by the
   same formula, beside the utterances per second.

With `--lm`, a third scorer on both sides is an n-gram model of the tokens, from the same ARPA file
and with the same weight: our `NgramScorer`, and SpeechBrain's `KenLMScorer` as a partial scorer
(of the 20 likeliest tokens, as it recommends). In the score of what was found, its part is that of
KenLM. With random weights, the vocabulary is that of the file, which must be of characters.

SpeechBrain is not among the requirements, and no more is KenLM, which `--lm` needs:

  pip install speechbrain==1.1.2
  pip install kenlm

Where pip finds no wheel of KenLM, it compiles it, with a C++ compiler and `pip install cmake`.

Examples:
  python benchmarks/search_speed.py
  python benchmarks/search_speed.py --model runs/strings --manifest data/fsdd/strings/test.jsonl
  asr-attn lm train data/fsdd/strings/train.jsonl --order 4 --units tokens --model runs/strings \
      --output tokens.arpa
  python benchmarks/search_speed.py --model runs/strings --manifest data/fsdd/strings/test.jsonl \
      --lm tokens.arpa
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from speechbrain_search import (  # type: ignore[import-not-found]
    ATTENTION,
    CHANNELS,
    EMBEDDING,
    HIDDEN,
    KERNEL,
    MEMORY,
    Found,
    Head,
    Search,
    Settings,
    quiet,
    random_searcher,
    searcher_of,
)
from torch import Tensor, nn

from asr_attn.audio.reading import read_audio
from asr_attn.checkpoint import load_model
from asr_attn.data.batches import pad_waveforms
from asr_attn.data.manifest import read_manifest
from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.ctc_prefix import CtcPrefixScorer
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.decoding.scorers import AttentionScorer
from asr_attn.lm.ngram import NgramModel
from asr_attn.lm.ngrams import SPACE, SPECIALS
from asr_attn.lm.scorer import NgramScorer
from asr_attn.lm.vocabulary import token_symbols
from asr_attn.models.decoders.lstm import LstmDecoder, LstmDecoderConfig
from asr_attn.nn.attention import SoftAttentionConfig
from asr_attn.text.tokenizer import EOS, CharTokenizer, Tokenizer

CHARACTERS = CharTokenizer.train(map(chr, range(0x4E00, 0x4E00 + 77)))
"""80 tokens for random weights."""


def ours(
    decoder: LstmDecoder,
    head: nn.Module,
    settings: Settings,
    tokenizer: Tokenizer,
    tokens_per_step: float = 1.0,
) -> Search:
    """Our search."""
    config = SearchConfig(settings.beam, 1.0, tokens_per_step, ctc_weight=settings.ctc)
    scorers: list[tuple[Any, float]] = [
        (AttentionScorer(decoder), 1.0 - settings.ctc),
        (CtcPrefixScorer(lambda m: head(m).log_softmax(dim=-1)), settings.ctc),
    ]
    if settings.lm is not None:
        model = NgramModel.load(settings.lm)
        scorers.append((NgramScorer(model, tokenizer), settings.lm_weight))

    def search(memory: Tensor, lengths: Tensor) -> Found:
        found = [n[0] for n in beam_search(scorers, memory, lengths, config)]
        return [(list(h.tokens), h.log_prob) for h in found]

    return search


def rounds_of(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each round; they take turns, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, work in sides.items():
            start = time.perf_counter()
            work()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def asked(options: argparse.Namespace) -> list[tuple[float, Path | None]]:
    """Shares of CTC, and language models, that are measured."""
    choices: list[tuple[float, Path | None]] = [(0.0, None), (0.3, None)]
    return choices if options.lm is None else [*choices, (0.0, options.lm), (0.3, options.lm)]


def same_work(options: argparse.Namespace) -> None:
    """Question 1."""
    tokenizer = CHARACTERS if options.lm is None else characters_of(options.lm)
    size = len(tokenizer)
    symbols = token_symbols(tokenizer)
    attention = SoftAttentionConfig(size=ATTENTION, channels=CHANNELS, kernel_size=KERNEL)
    decoder_config = LstmDecoderConfig(hidden_size=HIDDEN, embedding_size=EMBEDDING)
    print(
        "| batch | CTC | LM | ours, utterances/s | SpeechBrain | ratio (median; least, greatest) |"
    )
    print("|---|---|---|---|---|---|")
    for batch in (1, 16):
        for ctc, lm in asked(options):
            torch.manual_seed(0)
            head = Head(MEMORY, size)
            memory = torch.randn(batch, options.steps, MEMORY)
            lengths = torch.full((batch,), options.steps)
            settings = Settings(options.beam, ctc, lm, options.lm_weight, symbols)
            decoder = LstmDecoder(size, MEMORY, attention, decoder_config).eval()
            quiet(decoder.output)
            ratio = options.tokens / options.steps
            limit = (options.tokens - 1) / options.steps
            searches = {
                "ours": ours(decoder, head, settings, tokenizer, limit),
                "theirs": random_searcher(settings, ratio, head),
            }
            sides = {name: partial(search, memory, lengths) for name, search in searches.items()}
            seconds = rounds_of(sides, options.rounds)
            print(f"| {batch} | {ctc} | {yes(lm)} | {row(seconds, batch)} |", flush=True)


def characters_of(lm: Path) -> CharTokenizer:
    """The tokens of an ARPA file of characters."""
    symbols = [" " if s == SPACE else s for s in NgramModel.load(lm).symbols if s not in SPECIALS]
    return CharTokenizer(tuple(sorted(symbols)))


def yes(lm: Path | None) -> str:
    """A language model as a cell of a table."""
    return "no" if lm is None else "yes"


def row(seconds: dict[str, list[float]], utterances: int) -> str:
    """Utterances per second of both sides and their ratio, as cells of a table."""
    mine, other = seconds["ours"], seconds["theirs"]
    ratios = [b / a for a, b in zip(mine, other)]
    speeds = [utterances / statistics.median(each) for each in (mine, other)]
    return (
        f"{speeds[0]:.2f} | {speeds[1]:.2f} | "
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f})"
    )


def same_model(options: argparse.Namespace) -> None:
    """Question 2."""
    model = load_model(options.model)
    network = model.network
    assert isinstance(network.decoder, LstmDecoder)
    symbols = token_symbols(model.tokenizer)
    utterances = read_manifest(options.manifest)[: options.utterances]
    print("| batch | CTC | LM | ours, texts/s | SpeechBrain | ratio | score, ours | SpeechBrain |")
    print("|---|---|---|---|---|---|---|---|")
    for batch in (1, 16):
        memories = []
        for i in range(0, len(utterances), batch):
            waves = [
                read_audio(u.audio, model.features.sample_rate, u.offset, u.duration)
                for u in utterances[i : i + batch]
            ]
            with torch.inference_mode():
                memories.append(network.encode(*pad_waveforms(waves)))
        memories = [(memory.clone(), lengths.clone()) for memory, lengths in memories]
        for ctc, lm in asked(options):
            settings = Settings(options.beam, ctc, lm, options.lm_weight, symbols)
            searches = {
                "ours": ours(network.decoder, network.ctc, settings, model.tokenizer),
                "theirs": searcher_of(network.decoder, settings, network.ctc),
            }
            sides = {name: partial(find, search, memories) for name, search in searches.items()}
            seconds = rounds_of(sides, options.rounds)
            scores = {
                name: statistics.mean(
                    scores_of(network, memories, find(search, memories), settings)
                )
                for name, search in searches.items()
            }
            print(
                f"| {batch} | {ctc} | {yes(lm)} | {row(seconds, len(utterances))} | "
                f"{scores['ours']:.4f} | {scores['theirs']:.4f} |",
                flush=True,
            )


def find(search: Search, memories: list[tuple[Tensor, Tensor]]) -> list[list[int]]:
    """What a search finds in batches of memories."""
    return [tokens for memory, lengths in memories for tokens, _ in search(memory, lengths)]


@torch.inference_mode()
def scores_of(
    network: Any, memories: list[tuple[Tensor, Tensor]], found: list[list[int]], settings: Settings
) -> list[float]:
    """Score per token of given texts, by a pass over each, torch's CTC loss and KenLM."""
    language = language_of(settings)
    scores, texts = [], iter(found)
    for memory, lengths in memories:
        for i in range(len(memory)):
            tokens = next(texts)
            inputs, targets = torch.tensor([[EOS, *tokens]]), torch.tensor([*tokens, EOS])
            one, length = memory[i : i + 1, : lengths[i]], lengths[i : i + 1]
            logits = network.speller(one, length, inputs).logits[0]
            attention = logits.log_softmax(dim=-1).gather(1, targets[:, None]).sum()
            loss = nn.functional.ctc_loss(
                network.ctc_log_probs(one)[0],
                torch.tensor(tokens, dtype=torch.long),
                length,
                torch.tensor(len(tokens)),
                reduction="sum",
            )
            ctc = settings.ctc
            total = (1.0 - ctc) * attention - ctc * loss if ctc else attention
            scores.append((float(total) + language(tokens)) / len(targets))
    return scores


def language_of(settings: Settings) -> Callable[[list[int]], float]:
    """The weighted log-probability that KenLM gives to a sentence of tokens."""
    if settings.lm is None:
        return lambda tokens: 0.0
    import kenlm  # type: ignore[import-not-found]

    model = kenlm.Model(str(settings.lm))

    def score(tokens: list[int]) -> float:
        sentence = " ".join(settings.symbols[token] for token in tokens)
        value: float = settings.lm_weight * math.log(10) * model.score(sentence)
        return value

    return score


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--beam", type=int, default=10)
    parser.add_argument("--steps", type=int, default=350, help="memory steps (default 350)")
    parser.add_argument("--tokens", type=int, default=80, help="steps of the search (default 80)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", type=Path, help="model with an LSTM decoder")
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--utterances", type=int, default=64, help="of the manifest")
    parser.add_argument(
        "--lm", type=Path, help="ARPA file of the model's tokens; needs pip install kenlm"
    )
    parser.add_argument("--lm-weight", type=float, default=0.3, help="(default 0.3)")
    options = parser.parse_args()
    if (options.model is None) != (options.manifest is None):
        print("--model and --manifest go together", file=sys.stderr)
        return 2
    torch.set_num_threads(options.threads)
    if options.model is None:
        same_work(options)
    else:
        same_model(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
