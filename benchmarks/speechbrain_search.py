"""SpeechBrain's beam search and its scorers, as `search_speed.py` compares them with ours."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asr_attn.models.decoders.lstm import LstmDecoder
from asr_attn.text.tokenizer import BLANK, EOS

try:
    from speechbrain.decoders import scorer as scorers
    from speechbrain.decoders.seq2seq import S2SBeamSearcher, S2SRNNBeamSearcher
    from speechbrain.nnet.RNN import AttentionalRNNDecoder
except ImportError:
    sys.exit("this benchmark compares with SpeechBrain; pip install speechbrain==1.1.2")

MEMORY, HIDDEN, ATTENTION, EMBEDDING, CHANNELS, KERNEL = 256, 256, 256, 128, 10, 201
START = 2
"""SpeechBrain's start of a sentence, which may not be its end; to ours it is `EOS`."""

Found = list[tuple[list[int], float]]
Search = Callable[[Tensor, Tensor], Found]


@dataclass(frozen=True)
class Settings:
    """What both sides search with.

    Attributes:
        beam: open hypotheses.
        ctc: share of CTC in the score.
        lm: ARPA file over the tokens.
        lm_weight: of the logarithm of its probability.
        symbols: of that file, by token.
    """

    beam: int
    ctc: float
    lm: Path | None
    lm_weight: float
    symbols: Sequence[str]


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


class KenLMScorer(scorers.KenLMScorer):  # type: ignore[misc]
    """SpeechBrain's scorer, which finds its weight by this name, with sentences that start at <s>.

    SpeechBrain's own starts in the middle of one, which would make its texts worse by the model.
    """

    def __init__(self, settings: Settings) -> None:
        names = list(settings.symbols)
        super().__init__(str(settings.lm), len(names), names)
        self.beam = settings.beam

    def reset_mem(self, x: Tensor, enc_lens: Tensor) -> Any:
        """States and marks of the hypotheses at the start, for memories (B, S, D)."""
        super().reset_mem(x, enc_lens)
        start = self.kenlm.State()
        self.lm.BeginSentenceWrite(start)
        rows = len(x) * self.beam
        states = scorers.np.empty(rows, dtype=object)
        states.fill(start)
        return states, scorers.np.ones(rows)


def random_searcher(settings: Settings, ratio: float, head: Head) -> Search:
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
    vocabulary = len(settings.symbols)
    embedding, output = nn.Embedding(vocabulary, EMBEDDING), Head(HIDDEN, vocabulary)
    quiet(output.w)
    searcher = S2SRNNBeamSearcher(
        embedding=embedding, decoder=decoder, linear=output, **_common(settings, ratio, head)
    )
    return _search(searcher.eval())


def searcher_of(decoder: LstmDecoder, settings: Settings, head: nn.Module) -> Search:
    """SpeechBrain's search over one of our decoders."""
    return _search(_OurDecoder(decoder, **_common(settings, 1.0, head)).eval())


def _common(settings: Settings, ratio: float, head: nn.Module) -> dict[str, Any]:
    """Settings of SpeechBrain's searchers, those of its LibriSpeech recipe where it has a say."""
    parts, weights = [], {}
    if settings.ctc:
        parts.append(scorers.CTCScorer(ctc_fc=head, blank_index=BLANK, eos_index=EOS))
        weights["ctc"] = settings.ctc
    if settings.lm is not None:  # it recommends that n-grams score the likeliest tokens alone
        parts.append(KenLMScorer(settings))
        weights["kenlm"] = settings.lm_weight
    return {
        "bos_index": START,
        "eos_index": EOS,
        "min_decode_ratio": 0.0,
        "max_decode_ratio": ratio,
        "beam_size": settings.beam,
        "scorer": scorers.ScorerBuilder(weights, partial_scorers=parts) if parts else None,
        "using_eos_threshold": False,
        "length_normalization": True,
    }


def _search(searcher: Any) -> Search:
    @torch.no_grad()
    def search(memory: Tensor, lengths: Tensor) -> Found:
        found, _, scores, _ = searcher(memory, lengths / memory.size(1))
        values = scores[:, 0].tolist() if scores.dim() > 1 else scores.tolist()
        return [([t for t in tokens if t != EOS], value) for tokens, value in zip(found, values)]

    return search


class _OurDecoder(S2SBeamSearcher):  # type: ignore[misc]
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
