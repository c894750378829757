"""What a search found, looked at; and a further search of whole utterances that are doubted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr_attn.decoding.alignment import word_tokens
from asr_attn.decoding.doubts import Doubt, find_doubts
from asr_attn.decoding.hypothesis import Hypothesis, SearchConfig
from asr_attn.decoding.reading import Reading, read_texts
from asr_attn.decoding.search import Weighted, search
from asr_attn.models.asr import AsrModel
from asr_attn.text.tokenizer import Tokenizer

SAFER_BEAM = 10
SAFER_CTC = 0.5
"""CTC reads every frame once: it neither loops nor leaves out."""
SAFER_COVERAGE = 1.0
"""In place of CTC, where that has not been learnt."""
NO_FAULTS = (False, 0)
RIVALS = 4
"""Hypotheses of a search that are compared, doubts considered."""


@dataclass(frozen=True)
class Checked:
    """What was found in an utterance.

    Attributes:
        hypotheses: best first; at least one.
        reading: of the best.
        doubts: of the best.
        again: True when the best comes from a further search, since the first one's was doubted.
    """

    hypotheses: tuple[Hypothesis, ...]
    reading: Reading
    doubts: tuple[Doubt, ...]
    again: bool = False


@dataclass(frozen=True)
class Searcher:
    """What every search of a batch has in common."""

    network: AsrModel
    tokenizer: Tokenizer
    config: SearchConfig
    further: Sequence[Weighted]
    nbest: int


def look(
    searcher: Searcher,
    memory: Tensor,
    lengths: Tensor,
    speech: Sequence[NDArray[np.bool_]],
    found: Sequence[Sequence[Hypothesis]],
) -> list[Checked]:
    """Read the best hypothesis of each list."""
    network = searcher.network
    readings = read_texts(network, memory, lengths, [each[0].tokens for each in found])
    return [
        Checked(
            tuple(each),
            reading,
            find_doubts(
                reading.tokens,
                reading.weights,
                heard,
                network.seconds_per_step,
                reading.ctc,
                reading.ctc_log_probs,
                words=word_tokens(reading.tokens, searcher.tokenizer),
            ),
        )
        for each, reading, heard in zip(found, readings, speech)
    ]


def faults(checked: Checked) -> tuple[bool, int]:
    """Whether the best hypothesis is cut off, and how many doubts there are of it."""
    return checked.hypotheses[0].truncated, len(checked.doubts)


def search_alone(searcher: Searcher, memory: Tensor, speech: NDArray[np.bool_]) -> Checked:
    """Search a stretch (1, S, D) as an utterance of its own.

    By rounding there may be a step more or less of ``speech``.
    """
    missing = max(0, memory.size(1) - len(speech))
    speech = np.pad(speech, (0, missing))[: memory.size(1)]
    lengths = torch.tensor([memory.size(1)], device=memory.device)
    alone = replace(searcher, nbest=1)
    found = search(searcher.network, memory, lengths, searcher.config, searcher.further)
    best = look(alone, memory, lengths, [speech], found)
    search_again(alone, memory, lengths, [speech], best, np.ones(1, dtype=bool))
    return best[0]


def search_again(
    searcher: Searcher,
    memory: Tensor,
    lengths: Tensor,
    speech: Sequence[NDArray[np.bool_]],
    best: list[Checked],
    allowed: NDArray[np.bool_],
) -> None:
    """Search utterances (B, S, D) with faults again, where ``allowed`` (B,); changes ``best``."""
    network, config = searcher.network, searcher.config
    for safer in (False, True) if config.beam > 1 else (True,):
        rows = [i for i, each in enumerate(best) if allowed[i] and faults(each) != NO_FAULTS]
        attempts = [
            _safer(config, network, memory[i, : lengths[i]]) if safer else config for i in rows
        ]
        for attempt in dict.fromkeys(attempts):
            part = [i for i, own in zip(rows, attempts) if own == attempt]
            index = torch.tensor(part, device=memory.device)
            lists = search(
                network,
                memory[index],
                lengths[index],
                attempt,
                searcher.further,
                max(searcher.nbest, RIVALS),
            )
            for i, hypotheses in zip(part, lists):
                other = _least_doubted(
                    searcher, memory[i : i + 1, : lengths[i]], speech[i], hypotheses, attempt
                )
                if faults(other) < faults(best[i]):
                    best[i] = replace(other, hypotheses=other.hypotheses[: searcher.nbest])


def _least_doubted(
    searcher: Searcher,
    memory: Tensor,
    speech: NDArray[np.bool_],
    hypotheses: Sequence[Hypothesis],
    config: SearchConfig,
) -> Checked:
    """The best hypothesis of an utterance (1, S, D), each doubt of it costing a penalty."""
    count = len(hypotheses)
    looked = look(
        searcher,
        memory.expand(count, -1, -1),
        torch.full((count,), memory.size(1), device=memory.device),
        [speech] * count,
        [[hypothesis] for hypothesis in hypotheses],
    )

    def value(checked: Checked) -> tuple[bool, float]:
        hypothesis = checked.hypotheses[0]
        tokens = len(hypothesis.tokens) + (not hypothesis.truncated)
        penalty = config.rank(config.doubt_penalty * len(checked.doubts), tokens)
        return not hypothesis.truncated, hypothesis.score - penalty

    best = max(looked, key=value)
    others = [h for h in hypotheses if h is not best.hypotheses[0]]
    return replace(best, hypotheses=(*best.hypotheses, *others), again=True)


def _safer(config: SearchConfig, network: AsrModel, memory: Tensor) -> SearchConfig:
    """Settings for an utterance (S, D) under which attention can do less harm."""
    beam = max(config.beam, SAFER_BEAM)
    log_probs = network.ctc_log_probs(memory[None])
    if float(log_probs.amax(dim=-1).mean()) > -0.5 * math.log(log_probs.size(-1)):
        return replace(
            config, beam=beam, ctc_weight=max(config.ctc_weight, SAFER_CTC), coverage=0.0
        )
    coverage = max(config.coverage, SAFER_COVERAGE)
    return replace(config, beam=beam, coverage=coverage, length_exponent=0.0)
