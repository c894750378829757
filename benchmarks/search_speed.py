"""Speed of the beam search beside SpeechBrain's, in the same process, turn by turn.

Two questions:

1. The same work: decoders of the same sizes with random weights, which never end a sentence, so
   that both sides take the same number of steps (`--tokens`). Ours is the LSTM decoder with
   location-aware attention; SpeechBrain's is its `AttentionalRNNDecoder`, with
   `S2SRNNBeamSearcher` and its `CTCScorer`.
2. The same model (`--model`, `--manifest`): SpeechBrain's `S2SBeamSearcher` is given our decoder,
   and both search the same memories. The model's score of what each finds is compared, by the
   same formula, beside the utterances per second.

SpeechBrain is not among the requirements: `pip install speechbrain==1.1.2`.

Examples:
  python benchmarks/search_speed.py
  python benchmarks/search_speed.py --model runs/strings --manifest data/fsdd/strings/test.jsonl
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asr_attn.audio.reading import read_audio
from asr_attn.checkpoint import load_model
from asr_attn.data.batches import pad_waveforms
from asr_attn.data.manifest import read_manifest
from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.ctc_prefix import CtcPrefixScorer
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.decoding.scorers import AttentionScorer, Scorer
from asr_attn.models.decoders.lstm import LstmDecoder, LstmDecoderConfig
from asr_attn.nn.attention import SoftAttentionConfig
from asr_attn.text.tokenizer import BLANK, EOS

try:
    from speechbrain.decoders.scorer import CTCScorer, ScorerBuilder
    from speechbrain.decoders.seq2seq import S2SBeamSearcher, S2SRNNBeamSearcher
    from speechbrain.nnet.RNN import AttentionalRNNDecoder
except ImportError:
    sys.exit("this benchmark compares with SpeechBrain; pip install speechbrain==1.1.2")

MEMORY, HIDDEN, ATTENTION, EMBEDDING, CHANNELS, KERNEL, VOCABULARY = 256, 256, 256, 128, 10, 201, 80
START = 2
"""SpeechBrain's start of a sentence, which may not be its end; to ours it is `EOS`."""

Search = Callable[[Tensor, Tensor], list[tuple[list[int], float]]]


class Head(nn.Module):
    """An output layer under the name that SpeechBrain looks for its size by."""

    def __init__(self, size: int, vocabulary: int) -> None:
        super().__init__()
        self.w = nn.Linear(size, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (..., V) of (..., D)."""
        logits: Tensor = self.w(x)
        return logits


def quiet(output: nn.Linear) -> None:
    """Keep a decoder from ending sentences."""
    with torch.no_grad():
        output.bias[EOS] = -1e4


def ours_random(beam: int, tokens: int, ctc: float, steps: int, head: Head) -> Search:
    """Our decoder with random weights."""
    attention = SoftAttentionConfig(size=ATTENTION, channels=CHANNELS, kernel_size=KERNEL)
    config = LstmDecoderConfig(hidden_size=HIDDEN, embedding_size=EMBEDDING)
    decoder = LstmDecoder(VOCABULARY, MEMORY, attention, config).eval()
    quiet(decoder.output)
    return ours(decoder, head, SearchConfig(beam, 1.0, (tokens - 1) / steps, ctc_weight=ctc))


def ours(decoder: LstmDecoder, head: nn.Module, config: SearchConfig) -> Search:
    """Our search."""
    scorers: list[tuple[Scorer, float]] = [
        (AttentionScorer(decoder), 1.0 - config.ctc_weight),
        (CtcPrefixScorer(lambda m: head(m).log_softmax(dim=-1)), config.ctc_weight),
    ]

    def search(memory: Tensor, lengths: Tensor) -> list[tuple[list[int], float]]:
        found = [n[0] for n in beam_search(scorers, memory, lengths, config)]
        return [(list(h.tokens), h.log_prob) for h in found]

    return search


def theirs_random(beam: int, tokens: int, ctc: float, steps: int, head: Head) -> Search:
    """SpeechBrain's decoder with random weights."""
    decoder = AttentionalRNNDecoder(
        "lstm",
        "location",
        HIDDEN,
        ATTENTION,
        1,
        enc_dim=MEMORY,
        input_size=EMBEDDING,
        channels=CHANNELS,
        kernel_size=KERNEL // 2,
    )
    embedding, output = nn.Embedding(VOCABULARY, EMBEDDING), Head(HIDDEN, VOCABULARY)
    quiet(output.w)
    searcher = S2SRNNBeamSearcher(
        embedding=embedding,
        decoder=decoder,
        linear=output,
        **common(beam, tokens / steps, ctc, head),
    ).eval()
    return theirs(searcher)


def common(beam: int, ratio: float, ctc: float, head: nn.Module) -> dict[str, Any]:
    """Settings of SpeechBrain's searchers, those of its LibriSpeech recipe where it has a say."""
    scorer = None
    if ctc:
        part = CTCScorer(ctc_fc=head, blank_index=BLANK, eos_index=EOS)
        scorer = ScorerBuilder(partial_scorers=[part], weights={"ctc": ctc})
    return {
        "bos_index": START,
        "eos_index": EOS,
        "min_decode_ratio": 0.0,
        "max_decode_ratio": ratio,
        "beam_size": beam,
        "scorer": scorer,
        "using_eos_threshold": False,
        "length_normalization": True,
    }


def theirs(searcher: Any) -> Search:
    """SpeechBrain's search."""

    @torch.no_grad()
    def search(memory: Tensor, lengths: Tensor) -> list[tuple[list[int], float]]:
        found, _, scores, _ = searcher(memory, lengths / memory.size(1))
        values = scores[:, 0].tolist() if scores.dim() > 1 else scores.tolist()
        return [([t for t in tokens if t != EOS], value) for tokens, value in zip(found, values)]

    return search


class OurDecoderTheirSearch(S2SBeamSearcher):  # type: ignore[misc]
    """SpeechBrain's search over one of our decoders."""

    def __init__(self, decoder: LstmDecoder, **settings: Any) -> None:
        super().__init__(**settings)
        self.decoder = decoder
        self.size = decoder.output.out_features

    def set_n_out(self) -> int:
        """V."""
        return self.size

    def reset_mem(self, batch_size: int, device: Any) -> None:
        """The state is made at the first step."""

    def forward_step(self, tokens: Tensor, state: Any, memory: Tensor, lengths: Tensor) -> Any:
        """One step of our decoder."""
        if state is None:
            state = self.decoder.init_state(memory, lengths.long())
        inputs = torch.where(tokens == self.bos_index, EOS, tokens)
        log_probs, weights, state = self.decoder.step(inputs, state)
        log_probs[:, [BLANK, START]] = -1e20
        return log_probs, state, weights.mean(dim=1)

    def permute_mem(self, state: Any, index: Tensor) -> Any:
        """Reorder the hypotheses."""
        return state.select(index)


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


def same_work(options: argparse.Namespace) -> None:
    """Question 1."""
    print("| batch | CTC | ours, utterances/s | SpeechBrain | ratio (median; least, greatest) |")
    print("|---|---|---|---|---|")
    for batch in (1, 16):
        for ctc in (0.0, 0.3):
            torch.manual_seed(0)
            head = Head(MEMORY, VOCABULARY)
            memory = torch.randn(batch, options.steps, MEMORY)
            lengths = torch.full((batch,), options.steps)
            arguments = (options.beam, options.tokens, ctc, options.steps, head)
            searches = {"ours": ours_random(*arguments), "theirs": theirs_random(*arguments)}
            sides = {name: partial(search, memory, lengths) for name, search in searches.items()}
            seconds = rounds_of(sides, options.rounds)
            print(f"| {batch} | {ctc} | {row(seconds, batch)} |", flush=True)


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
    utterances = read_manifest(options.manifest)[: options.utterances]
    print("| batch | CTC | ours, utterances/s | SpeechBrain | ratio | score, ours | SpeechBrain |")
    print("|---|---|---|---|---|---|---|")
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
        for ctc in (0.0, 0.3):
            config = SearchConfig(options.beam, 1.0, ctc_weight=ctc)
            settings = common(options.beam, 1.0, ctc, network.ctc)
            searcher = OurDecoderTheirSearch(network.decoder, **settings).eval()
            searches = {
                "ours": ours(network.decoder, network.ctc, config),
                "theirs": theirs(searcher),
            }
            sides = {name: partial(find, search, memories) for name, search in searches.items()}
            seconds = rounds_of(sides, options.rounds)
            scores = {
                name: statistics.mean(model_scores(network, memories, find(search, memories), ctc))
                for name, search in searches.items()
            }
            print(
                f"| {batch} | {ctc} | {row(seconds, len(utterances))} | "
                f"{scores['ours']:.4f} | {scores['theirs']:.4f} |",
                flush=True,
            )


def find(search: Search, memories: list[tuple[Tensor, Tensor]]) -> list[list[int]]:
    """What a search finds in batches of memories."""
    return [tokens for memory, lengths in memories for tokens, _ in search(memory, lengths)]


@torch.inference_mode()
def model_scores(
    network: Any, memories: list[tuple[Tensor, Tensor]], found: list[list[int]], ctc: float
) -> list[float]:
    """Joint score per token of given texts, by a pass over each and torch's CTC loss."""
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
            total = (1.0 - ctc) * attention - ctc * loss if ctc else attention
            scores.append(float(total) / len(targets))
    return scores


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
