"""Every encoder, attention and decoder together: they fit, or the reason is said."""

import pytest
import torch

from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.greedy import greedy_search
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.decoding.scorers import AttentionScorer
from asr_attn.models.asr import AsrModel
from asr_attn.models.decoders import DECODERS
from asr_attn.models.encoders import ENCODERS
from asr_attn.nn.attention import ATTENTIONS
from asr_attn.text.tokenizer import EOS
from tests.models.small import small_network

SAMPLES = [4000, 2345]
SEARCH = SearchConfig(beam=2, max_tokens_per_step=0.4)


def make(encoder: str, attention: str, decoder: str) -> AsrModel:
    model = small_network(encoder, attention, decoder)
    for name, parameter in model.decoder.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.7)
    return model


def decode(model: AsrModel, waveforms: torch.Tensor, lengths: list[int]) -> list[list]:
    """Hypotheses of each utterance: of greedy search, then those of a beam."""
    memory, steps = model.encode(waveforms, torch.tensor(lengths))
    greedy = greedy_search(model.speller, memory, steps, SEARCH)
    lists = beam_search([(AttentionScorer(model.speller), 1.0)], memory, steps, SEARCH, nbest=2)
    return [[one, *more] for one, more in zip(greedy, lists, strict=True)]


def decodes_the_same_alone_and_in_a_batch(model: AsrModel) -> None:
    torch.manual_seed(4)
    waveforms = torch.zeros(2, max(SAMPLES))
    for row, length in zip(waveforms, SAMPLES, strict=True):
        row[:length] = 0.1 * torch.randn(length)
    with torch.inference_mode():
        together = decode(model, waveforms, SAMPLES)
        apart = [
            decode(model, waveforms[i : i + 1, :length], [length])[0]
            for i, length in enumerate(SAMPLES)
        ]
    assert any(hypothesis.tokens for row in together for hypothesis in row)
    for row, alone in zip(together, apart, strict=True):
        for one, other in zip(row, alone, strict=True):
            assert one.tokens == other.tokens
            assert one.truncated == other.truncated
            assert one.log_prob == pytest.approx(other.log_prob, abs=1e-3)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_with_every_decoder(encoder, decoder):
    decodes_the_same_alone_and_in_a_batch(make(encoder, "scaled_dot", decoder))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_every_attention_with_every_decoder(attention, decoder):
    if decoder == "transformer" and attention != "scaled_dot":
        with pytest.raises(ValueError, match=f"model/attention={attention} has no part in it"):
            make("listener", attention, decoder)
    else:
        decodes_the_same_alone_and_in_a_batch(make("listener", attention, decoder))


@pytest.mark.parametrize(
    ("attention", "decoder"),
    [("location", "lstm"), ("hard_sampled", "lstm"), ("scaled_dot", "transformer")],
)
def test_memory_that_is_not_finite_gives_logits_that_are_not_and_no_error(attention, decoder):
    network = small_network("listener", attention, decoder).train()
    torch.manual_seed(2)
    memory = torch.randn(2, 9, network.encoder.output_size)
    memory[1] = torch.nan
    inputs = torch.full((2, 6), EOS)
    output = network.speller(memory, torch.tensor([9, 9]), inputs, sampling=1.0)
    assert output.logits[0].isfinite().all()
    assert not output.logits[1].isfinite().any()
