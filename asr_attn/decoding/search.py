"""The search that a model is used with: which scorers are asked, and by which algorithm."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.bonuses import LengthBonus
from asr_attn.decoding.ctc_prefix import CtcPrefixScorer
from asr_attn.decoding.greedy import greedy_search
from asr_attn.decoding.hotwords import HotwordScorer
from asr_attn.decoding.hypothesis import Hypothesis, SearchConfig
from asr_attn.decoding.internal_lm import InternalLmScorer
from asr_attn.decoding.scorers import AttentionScorer, Scorer
from asr_attn.models.asr import AsrModel
from asr_attn.text.tokenizer import EOS

Weighted = tuple[Scorer, float]
"""A scorer and its weight."""


def model_scorers(network: AsrModel, config: SearchConfig) -> list[Weighted]:
    """The scorers that a model brings by itself, with their weights."""
    share = 1.0 - config.ctc_weight
    found: list[Weighted] = []
    if share > 0:
        attention = AttentionScorer(
            network.speller, config.coverage / share, config.coverage_threshold
        )
        found.append((attention, share))
    if config.ctc_weight > 0:
        found.append((CtcPrefixScorer(network.ctc_log_probs), config.ctc_weight))
    if config.internal_lm_weight > 0:
        found.append((InternalLmScorer(network.speller), -config.internal_lm_weight))
    if config.length_bonus != 0:
        found.append((LengthBonus(network.ctc.out_features, config.length_bonus), 1.0))
    return found


def search(
    network: AsrModel,
    memory: Tensor,
    lengths: Tensor,
    config: SearchConfig,
    further: Sequence[Weighted] = (),
    nbest: int = 1,
) -> list[list[Hypothesis]]:
    """Find what was said: by greedy search where attention alone is asked with a beam of 1.

    Args:
        network: the model.
        memory: (B, S, D).
        lengths: (B,).
        config: settings.
        further: scorers beside those of the model, such as a language model. With hotwords, which
            may raise a score above 0, hypotheses are ranked by their scores as they are: divided
            by a power of its length, a score above 0 would make short ones better.
        nbest: hypotheses to return per utterance.

    Returns:
        Up to ``nbest`` hypotheses per utterance, best first; at least one.
    """
    if config.plain and config.beam == 1 and nbest == 1 and not further:
        return [[found] for found in greedy_search(network.speller, memory, lengths, config)]
    scorers = [*model_scorers(network, config), *further]
    return beam_search(scorers, memory, lengths, _ranking(config, further), nbest)


def _ranking(config: SearchConfig, further: Sequence[Weighted]) -> SearchConfig:
    if any(isinstance(scorer, HotwordScorer) for scorer, _ in further):
        return replace(config, length_exponent=0.0)
    return config


@torch.inference_mode()
def score_text(
    network: AsrModel,
    memory: Tensor,
    tokens: Sequence[int],
    truncated: bool,
    config: SearchConfig,
    further: Sequence[Weighted] = (),
) -> Hypothesis:
    """Score a text that no search found, as a search would have.

    Args:
        network: the model.
        memory: (1, S, D) of one utterance, without padding.
        tokens: ids without start and end.
        truncated: the text has no end.
        config: settings.
        further: scorers beside those of the model.
    """
    scorers = [each for each in (*model_scorers(network, config), *further) if each[1] != 0]
    lengths = torch.tensor([memory.size(1)], device=memory.device)
    states = [scorer.start(memory, lengths) for scorer, _ in scorers]
    totals = [0.0] * len(scorers)
    last = EOS
    for token in (*tokens, *(() if truncated else (EOS,))):
        read = torch.tensor([last], device=memory.device)
        for i, (scorer, _) in enumerate(scorers):
            scores, states[i] = scorer.score(read, states[i])
            totals[i] += float(scores[0, token])
        last = token
    value = sum(weight * total for (_, weight), total in zip(scorers, totals))
    score = _ranking(config, further).rank(value, max(1, len(tokens) + (not truncated)))
    parts = {scorer.name: total for (scorer, _), total in zip(scorers, totals)}
    return Hypothesis(tuple(tokens), value, score, truncated, parts)
