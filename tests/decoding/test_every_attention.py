"""Search with a real decoder over every attention mechanism.

The reference keeps no state between its steps: each hypothesis is read anew from its first token,
so that it cannot forget to reorder anything.
"""

import math

import pytest
import torch

from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.greedy import greedy_search
from asr_attn.decoding.hypothesis import Hypothesis, SearchConfig
from asr_attn.decoding.internal_lm import InternalLmScorer
from asr_attn.decoding.scorers import AttentionScorer
from asr_attn.models.decoders import LstmDecoder, LstmDecoderConfig
from asr_attn.nn.attention import ATTENTIONS
from asr_attn.text.tokenizer import BLANK, EOS

LENGTHS = torch.tensor([7, 4, 1])


def make(attention: str, seed: int) -> tuple[LstmDecoder, torch.Tensor]:
    torch.manual_seed(seed)
    config = LstmDecoderConfig(hidden_size=8, embedding_size=5)
    speller = LstmDecoder(6, 4, ATTENTIONS[attention][1], config).eval()
    with torch.no_grad():
        for name, parameter in speller.named_parameters():
            if not name.startswith("attention."):
                parameter.normal_()
            elif name.endswith("stop.offset"):
                parameter.zero_()  # so that attention also stops
            elif name.endswith("stop.length"):
                parameter.fill_(3.0)
        speller.output.bias[EOS] -= 3.0
    return speller, 2 * torch.randn(3, 7, 4)


@torch.inference_mode()
def rereading_beam(
    speller: LstmDecoder, memory: torch.Tensor, config: SearchConfig
) -> list[Hypothesis]:
    """Beam search over one utterance (1, S, D), up to the longest permitted output."""
    lengths = torch.tensor([memory.size(1)])
    limit = math.ceil(memory.size(1) * config.max_tokens_per_step) + 1
    beam: list[tuple[list[int], float]] = [([], 0.0)]
    finished = []
    for step in range(1, limit + 1):
        grown = []
        for tokens, value in beam:
            logits = speller(memory, lengths, torch.tensor([[EOS, *tokens]])).logits
            for token, log_prob in enumerate(logits[0, -1].log_softmax(-1).tolist()):
                if token != BLANK:
                    grown.append(([*tokens, token], value + log_prob))
        best = sorted(grown, key=lambda pair: -pair[1])[: config.beam]
        beam = [pair for pair in best if pair[0][-1] != EOS]
        for tokens, value in best:
            ended = tokens[-1] == EOS
            if ended or step == limit:
                text = tuple(tokens[:-1] if ended else tokens)
                score = value / len(tokens) ** config.length_exponent
                finished.append(Hypothesis(text, value, score, truncated=not ended))
    return sorted(finished, key=lambda h: (h.truncated, -h.score))


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_equals_a_search_that_reads_every_hypothesis_anew(attention, beam):
    config = SearchConfig(beam=beam, max_tokens_per_step=0.6)
    longest = 0
    for seed in range(3):
        speller, memory = make(attention, seed)
        scorers = [(AttentionScorer(speller), 1.0)]
        found = beam_search(scorers, memory, LENGTHS, config, nbest=2)
        if beam == 1:
            greedy = greedy_search(speller, memory, LENGTHS, config)
            assert [h.tokens for h in greedy] == [hypotheses[0].tokens for hypotheses in found]
        for row, length in enumerate(LENGTHS.tolist()):
            expected = rereading_beam(speller, memory[row : row + 1, :length], config)[:2]
            assert [h.tokens for h in found[row]] == [h.tokens for h in expected]
            for one, other in zip(found[row], expected, strict=True):
                assert one.truncated == other.truncated
                assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
            longest = max(longest, len(expected[0].tokens))
    assert longest >= 3


@pytest.mark.parametrize("attention", ATTENTIONS)
@torch.inference_mode()
def test_what_is_expected_without_hearing_rests_on_the_mean_of_the_memory(attention):
    speller, memory = make(attention, 0)
    tokens = torch.tensor([[EOS, 3, 2, 5], [EOS, 2, 2, 4], [EOS, 4, 5, 5]])
    scorer = InternalLmScorer(speller)
    state, scores = scorer.start(memory, LENGTHS), []
    for read in tokens.unbind(dim=1):
        log_probs, state = scorer.score(read, state)
        scores.append(log_probs)
    for row, length in enumerate(LENGTHS.tolist()):
        mean = memory[row, :length].mean(dim=0)[None, None]
        expected = speller(mean, torch.tensor([1]), tokens[row : row + 1]).logits[0]
        found = torch.stack(scores, dim=1)[row]
        torch.testing.assert_close(found, expected.log_softmax(dim=-1), rtol=1e-4, atol=1e-4)
