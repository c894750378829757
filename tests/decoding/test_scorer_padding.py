"""Scorers that look at the memory: what lies behind an utterance must not count."""

import math

import pytest
import torch

from asr_attn.decoding.internal_lm import InternalLmScorer
from asr_attn.decoding.scorers import AttentionScorer
from asr_attn.models.decoders import DECODERS
from asr_attn.text.tokenizer import EOS
from tests.models.small import small_network

LENGTHS = torch.tensor([6, 4, 1])


@pytest.mark.parametrize("filling", [0.0, 1e4, math.nan])
@pytest.mark.parametrize("decoder", sorted(DECODERS))
@pytest.mark.parametrize("kind", ["internal", "attention", "coverage"])
def test_scores_are_those_of_the_utterance_alone(kind: str, decoder: str, filling: float) -> None:
    if math.isnan(filling) and kind != "internal":
        pytest.skip("encoders give finite padding; zero weights times NaN are NaN")
    attention = "location" if decoder == "lstm" else "scaled_dot"
    speller = small_network("listener", attention, decoder).speller
    scorer = {
        "internal": InternalLmScorer(speller),
        "attention": AttentionScorer(speller),
        "coverage": AttentionScorer(speller, coverage=0.7, threshold=0.1),
    }[kind]
    torch.manual_seed(3)
    memory = torch.randn(3, 6, 8)
    for row, length in enumerate(LENGTHS.tolist()):
        memory[row, length:] = filling

    def walk(rows: slice, width: int) -> torch.Tensor:
        part = memory[rows, :width]
        state = scorer.start(part, LENGTHS[rows])
        found = []
        for token in (EOS, 3, 4):
            scores, state = scorer.score(torch.full((len(part),), token), state)
            found.append(scores)
        return torch.stack(found, dim=1)

    with torch.inference_mode():
        together = walk(slice(None), 6)
        for row, length in enumerate(LENGTHS.tolist()):
            alone = walk(slice(row, row + 1), length)[0]
            torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-4)
