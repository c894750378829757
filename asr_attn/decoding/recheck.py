"""Looking at what a search found, and searching again where it may be wrong."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr_attn.decoding.doubts import Doubt, find_doubts
from asr_attn.decoding.hypothesis import Hypothesis, SearchConfig
from asr_attn.decoding.reading import Reading, read_texts
from asr_attn.decoding.search import Weighted, search
from asr_attn.models.asr import AsrModel

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


@torch.inference_mode()
def checked_search(
    network: AsrModel,
    memory: Tensor,
    lengths: Tensor,
    speech: Sequence[NDArray[np.bool_]],
    config: SearchConfig,
    further: Sequence[Weighted] = (),
    nbest: int = 1,
) -> list[Checked]:
    """Search, and look for loops, skips and ends that came too soon.

    Where there are some, hypotheses lose ``config.doubt_penalty`` for each: the best of a beam is
    chosen anew. If doubts are left, or there is no beam, the utterance is searched again with safer
    settings: a beam of at least 10 and half of the score from CTC (or, where CTC has not been
    learnt, a reward for coverage). So is one whose hypothesis is cut off at the longest permitted
    output. What a further search finds is taken only if it is not cut off, or there are fewer
    doubts of it.

    Args:
        network: the model, in evaluation mode.
        memory: (B, S, D).
        lengths: (B,) memory steps.
        speech: B times (S,) True where a step carries speech.
        config: settings; with a penalty of 0 nothing is searched again.
        further: scorers beside those of the model.
        nbest: hypotheses to return per utterance.
    """
    found = search(network, memory, lengths, config, further, nbest)
    best = _look(network, memory, lengths, speech, found)
    if config.doubt_penalty == 0:
        return best
    for safer in (False, True) if config.beam > 1 else (True,):
        rows = [i for i, each in enumerate(best) if _faults(each) != NO_FAULTS]
        attempts = [
            _safer(config, network, memory[i, : lengths[i]]) if safer else config for i in rows
        ]
        for attempt in dict.fromkeys(attempts):
            part = [i for i, own in zip(rows, attempts) if own == attempt]
            index = torch.tensor(part, device=memory.device)
            lists = search(
                network, memory[index], lengths[index], attempt, further, max(nbest, RIVALS)
            )
            for i, hypotheses in zip(part, lists):
                other = _least_doubted(
                    network, memory[i : i + 1, : lengths[i]], speech[i], hypotheses, attempt
                )
                if _faults(other) < _faults(best[i]):
                    best[i] = replace(other, hypotheses=other.hypotheses[:nbest])
    return best


def _look(
    network: AsrModel,
    memory: Tensor,
    lengths: Tensor,
    speech: Sequence[NDArray[np.bool_]],
    found: Sequence[Sequence[Hypothesis]],
) -> list[Checked]:
    """Read the best hypothesis of each list."""
    readings = read_texts(network, memory, lengths, [each[0].tokens for each in found])
    seconds = network.seconds_per_step
    return [
        Checked(
            tuple(each),
            reading,
            find_doubts(
                reading.tokens, reading.weights, heard, seconds, reading.ctc, reading.ctc_log_probs
            ),
        )
        for each, reading, heard in zip(found, readings, speech)
    ]


def _faults(checked: Checked) -> tuple[bool, int]:
    """Whether the best hypothesis is cut off, and how many doubts there are of it."""
    return checked.hypotheses[0].truncated, len(checked.doubts)


def _least_doubted(
    network: AsrModel,
    memory: Tensor,
    speech: NDArray[np.bool_],
    hypotheses: Sequence[Hypothesis],
    config: SearchConfig,
) -> Checked:
    """The best hypothesis of an utterance (1, S, D), each doubt of it costing a penalty."""
    count = len(hypotheses)
    looked = _look(
        network,
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
