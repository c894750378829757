import dataclasses
import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.greedy import greedy_search
from asr_attn.decoding.hypothesis import Hypothesis, SearchConfig
from asr_attn.decoding.scorers import AttentionScorer
from asr_attn.models.decoders import (
    TransformerDecoder,
    TransformerDecoderConfig,
    TransformerDecoderState,
)
from asr_attn.nn.attention import ATTENTIONS, SoftAttentionConfig
from asr_attn.nn.masking import padding_mask
from asr_attn.text.tokenizer import BLANK, EOS

LENGTHS = torch.tensor([7, 4, 1])
VOCABULARY = 6
MEMORY_SIZE = 6
INPUTS = torch.tensor([[EOS, 3, 4, 5, 3], [EOS, 5, 5, 2, 4], [EOS, 4, 3, 3, 2]])
SCALED_DOT = SoftAttentionConfig("scaled_dot", score="scaled_dot", size=12, heads=2)
CONFIG = TransformerDecoderConfig(
    hidden_size=8, layers=2, heads=4, feedforward_size=12, dropout=0.3
)
HEADS = 4
"""Heads that attend to the memory, in all layers."""


def make(
    seed: int = 0,
    vocabulary: int = VOCABULARY,
    sharpness: float = 1.0,
    config: TransformerDecoderConfig = CONFIG,
    attention: SoftAttentionConfig = SCALED_DOT,
) -> TransformerDecoder:
    torch.manual_seed(seed)
    speller = TransformerDecoder(vocabulary, MEMORY_SIZE, attention, config).eval()
    for name, parameter in speller.named_parameters():
        mean = float("norm" in name and name.endswith("weight"))
        nn.init.normal_(parameter, mean=mean, std=0.5)
    speller.output.weight.data.mul_(sharpness)
    return speller


def make_memory(seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    memory = torch.randn(3, 7, MEMORY_SIZE)
    for row, length in zip(memory, LENGTHS.tolist(), strict=True):
        row[length:] = 100.0
    return memory


def tensors(state: TransformerDecoderState) -> Iterator[Tensor]:
    for field in dataclasses.fields(state):
        yield getattr(state, field.name)


def torchs_layer(ours: nn.Module) -> nn.TransformerDecoderLayer:
    """Torch's layer with the weights of ours."""
    theirs = nn.TransformerDecoderLayer(
        8, 4, 12, dropout=0.3, activation="gelu", batch_first=True, norm_first=True
    )
    own, cross = ours.self_attention, ours.cross_attention
    theirs.self_attn.in_proj_weight.data.copy_(own.project_in.weight)
    theirs.self_attn.in_proj_bias.data.copy_(own.project_in.bias)
    theirs.self_attn.out_proj.load_state_dict(own.project_out.state_dict())
    theirs.multihead_attn = nn.MultiheadAttention(8, 2, batch_first=True, kdim=6, vdim=6)
    theirs.multihead_attn.q_proj_weight.data.copy_(cross.project_query.weight)
    theirs.multihead_attn.k_proj_weight.data.copy_(cross.project_keys.weight)
    theirs.multihead_attn.v_proj_weight.data.copy_(cross.project_values.weight)
    theirs.multihead_attn.in_proj_bias.data.copy_(
        torch.cat([cross.project_query.bias, torch.randn(8), cross.project_values.bias])
    )
    theirs.multihead_attn.out_proj.load_state_dict(cross.project_out.state_dict())
    for name, part in (
        ("norm1", ours.norm_self),
        ("norm2", ours.norm_cross),
        ("norm3", ours.norm_feedforward),
        ("linear1", ours.feedforward[0]),
        ("linear2", ours.feedforward[3]),
    ):
        getattr(theirs, name).load_state_dict(part.state_dict())
    return theirs.eval()


def test_equals_torchs_decoder_layers():
    attention = dataclasses.replace(SCALED_DOT, size=8)  # torch has one width for all
    speller, memory = make(attention=attention), make_memory()
    output = speller(memory, LENGTHS, INPUTS)
    position, pair = np.arange(5)[:, None], np.arange(0, 8, 2)
    angles = position / 10000 ** (pair / 8)
    table = np.zeros((5, 8))
    table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)
    x = speller.embedding(INPUTS) * math.sqrt(8) + torch.tensor(table).float()
    later, padded = torch.ones(5, 5, dtype=torch.bool).triu(1), ~padding_mask(LENGTHS, 7)
    weights = []
    for ours in speller.layers:
        layer = torchs_layer(ours)
        middle = x + layer._sa_block(layer.norm1(x), later, None)
        _, attended = layer.multihead_attn(
            layer.norm2(middle), memory, memory, padded, average_attn_weights=False
        )
        weights.append(attended)
        x = layer(x, memory, tgt_mask=later, memory_key_padding_mask=padded)
    expected = speller.output(speller.norm(x))
    torch.testing.assert_close(output.logits, expected, atol=1e-4, rtol=1e-4)
    layer_major = torch.cat(weights, dim=1).transpose(1, 2)
    torch.testing.assert_close(output.weights, layer_major, atol=1e-5, rtol=1e-4)


def test_stepping_equals_the_full_pass():
    speller, memory = make(), make_memory()
    output = speller(memory, LENGTHS, INPUTS)
    assert output.logits.shape == (3, 5, VOCABULARY)
    assert output.weights.shape == (3, 5, HEADS, 7)
    assert torch.equal(output.choices, torch.zeros(3, 5, HEADS))
    state = speller.init_state(memory, LENGTHS)
    for u in range(INPUTS.size(1)):
        log_probs, weights, state = speller.step(INPUTS[:, u], state)
        expected = output.logits[:, u].log_softmax(dim=-1)
        torch.testing.assert_close(log_probs, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(weights, output.weights[:, u], atol=1e-6, rtol=1e-5)


def test_a_step_costs_one_position():
    """Layers see one step each, the memory is projected before, and what is kept grows by one."""
    speller = make()
    state = speller.init_state(make_memory(), LENGTHS)
    widths = []
    for name, part in speller.named_modules():
        if isinstance(part, nn.Linear):
            part.register_forward_hook(
                lambda _, args, __, name=name: widths.append((name, args[0].size(1)))
            )
    first = state
    assert first.memory_keys.shape == (3, 2, 2, 7, 6)
    assert first.memory_values.shape == (3, 2, 2, 7, 4)
    for u in range(4):
        assert state.position == u
        assert state.keys.shape == state.values.shape == (3, 2, 4, u, 2)
        widths.clear()
        _, _, after = speller.step(INPUTS[:, u], state)
        assert {width for _, width in widths} == {1}
        assert not any("project_keys" in name or "project_values" in name for name, _ in widths)
        assert after.memory_keys is first.memory_keys
        assert after.memory_values is first.memory_values
        assert torch.equal(after.keys[:, :, :, :u], state.keys)
        assert torch.equal(after.values[:, :, :, :u], state.values)
        state = after


def test_a_step_feels_the_tokens_up_to_its_own():
    speller, memory = make(), make_memory()
    embedded = []

    def probe(module, args, out):
        embedded.append(out.detach().requires_grad_())
        return embedded[-1]

    speller.embedding.register_forward_hook(probe)
    output = speller(memory, LENGTHS, INPUTS)
    for part in (output.logits, output.weights[:, :, 2:]):  # those of the second layer
        for u in range(5):
            loss = part[0, u].square().sum()
            (gradient,) = torch.autograd.grad(loss, embedded[0], retain_graph=True)
            assert gradient[0].any(dim=-1).nonzero().flatten().tolist() == list(range(u + 1))
            assert not gradient[1:].any()


def test_padding_changes_nothing():
    speller, memory = make(), make_memory()
    output = speller(memory, LENGTHS, INPUTS)
    for i, length in enumerate(LENGTHS.tolist()):
        alone = speller(memory[i : i + 1, :length], LENGTHS[i : i + 1], INPUTS[i : i + 1, :3])
        torch.testing.assert_close(output.logits[i, :3], alone.logits[0], atol=1e-5, rtol=1e-5)
        attended = output.weights[i, :3, :, :length]
        torch.testing.assert_close(attended, alone.weights[0], atol=1e-6, rtol=1e-5)
        assert not output.weights[i, :, :, length:].any()
        torch.testing.assert_close(output.weights[i].sum(-1), torch.ones(5, HEADS))


def test_selecting_then_stepping_equals_stepping_then_selecting():
    speller, memory = make(), make_memory()
    index = torch.tensor([2, 0, 1, 1, 0])
    state = speller.init_state(memory, LENGTHS)
    for u in range(2):
        _, _, state = speller.step(INPUTS[:, u], state)
    log_probs, weights, after = speller.step(INPUTS[:, 2], state)
    chosen_probs, chosen_weights, before = speller.step(INPUTS[index, 2], state.select(index))
    torch.testing.assert_close(chosen_probs, log_probs[index])
    torch.testing.assert_close(chosen_weights, weights[index])
    for one, other in zip(tensors(before), tensors(after.select(index)), strict=True):
        torch.testing.assert_close(one, other)


def test_select_reorders_every_tensor_of_the_state():
    """Rows are marked by their number, so that a field that is forgotten shows."""
    speller = make()
    state = speller.init_state(make_memory(), LENGTHS)
    _, _, state = speller.step(INPUTS[:, 0], state)
    marked = {
        field.name: torch.arange(3)
        .reshape(3, *[1] * (getattr(state, field.name).dim() - 1))
        .expand(getattr(state, field.name).shape)
        for field in dataclasses.fields(state)
    }
    chosen = dataclasses.replace(state, **marked).select(torch.tensor([2, 2, 0, 1]))
    for tensor in tensors(chosen):
        assert tensor.size(0) == 4
        assert tensor.reshape(4, -1)[:, 0].tolist() == [2, 2, 0, 1]


def test_steps_leave_the_state_they_start_from_as_it_is():
    speller = make()
    _, _, state = speller.step(INPUTS[:, 0], speller.init_state(make_memory(), LENGTHS))
    before = [tensor.clone() for tensor in tensors(state)]
    first, _, _ = speller.step(INPUTS[:, 1], state)
    second, _, _ = speller.step(INPUTS[:, 1], state)
    assert torch.equal(first, second)
    for one, other in zip(before, tensors(state), strict=True):
        assert torch.equal(one, other)


# search --------------------------------------------------------------------------------------


def read_anew(speller: TransformerDecoder, memory: Tensor, texts: list[tuple[int, ...]]) -> Tensor:
    """Log-probabilities (N, V) after each of ``texts``, of one length, by full passes."""
    inputs = torch.tensor([[EOS, *text] for text in texts])
    steps = torch.full((len(texts),), memory.size(0))
    logits = speller(memory.expand(len(texts), -1, -1), steps, inputs).logits
    return logits[:, -1].log_softmax(dim=-1)


def reference_beam(
    speller: TransformerDecoder, memory: Tensor, limit: int, config: SearchConfig
) -> list[Hypothesis]:
    """Beam search over lists for one utterance (S, D), with nothing kept between steps."""
    beam: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    finished = []
    for step in range(1, limit + 1):
        table = read_anew(speller, memory, [text for text, _ in beam]).tolist()
        grown = [
            ((*text, token), total + table[i][token])
            for i, (text, total) in enumerate(beam)
            for token in range(len(table[i]))
            if token != BLANK
        ]
        best = sorted(grown, key=lambda pair: -pair[1])[: config.beam]
        beam = [pair for pair in best if pair[0][-1] != EOS]
        for text, total in best:
            if text[-1] == EOS or step == limit:
                ended = text[-1] == EOS
                score = total / len(text) ** config.length_exponent
                finished.append(Hypothesis(text[:-1] if ended else text, total, score, not ended))
    return sorted(finished, key=lambda h: (h.truncated, -h.score))


@torch.inference_mode()
def everything(speller: TransformerDecoder, memory: Tensor, limit: int) -> dict[tuple, float]:
    """Log-probability of every output of at most ``limit`` tokens, by full passes."""
    out = {}
    words = [token for token in range(4) if token not in (BLANK, EOS)]
    for length in range(limit + 1):
        for text in itertools.product(words, repeat=length):
            target = [*text, EOS][:limit]
            inputs = torch.tensor([[EOS, *text][:limit]])
            logits = speller(memory[None], torch.tensor([len(memory)]), inputs).logits[0]
            log_probs = logits.log_softmax(dim=-1)
            out[text] = float(log_probs[range(len(target)), target].sum())
    return out


def found_by(speller, memory, lengths, config, nbest=1) -> list[list[Hypothesis]]:
    return beam_search([(AttentionScorer(speller), 1.0)], memory, lengths, config, nbest)


def same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [h.tokens for h in found] == [h.tokens for h in expected]
    assert [h.truncated for h in found] == [h.truncated for h in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
        assert one.score == pytest.approx(other.score, abs=1e-4)


@pytest.mark.parametrize("seed", range(2))
def test_a_beam_that_holds_everything_equals_enumeration(seed):
    speller, memory = make(seed, vocabulary=4), make_memory()[:1, :3]
    config = SearchConfig(beam=4**4)
    found = found_by(speller, memory, torch.tensor([3]), config, nbest=1000)[0]
    known = everything(speller, memory[0], limit=4)
    assert len(found) == len(known) == 31
    for hypothesis in found:
        tokens = len(hypothesis.tokens)
        assert hypothesis.truncated == (tokens == 4)
        assert hypothesis.log_prob == pytest.approx(known[hypothesis.tokens], abs=1e-4)
    ended = {text: p / (len(text) + 1) ** 0.7 for text, p in known.items() if len(text) < 4}
    assert found[0].tokens == max(ended, key=ended.__getitem__)


@pytest.mark.parametrize("beam", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_a_beam_equals_a_search_that_reads_every_hypothesis_anew(beam, seed):
    """Also: batched equals single, for the reference searches one utterance at a time."""
    speller, memory = make(seed, sharpness=0.5), make_memory(seed)
    config = SearchConfig(beam=beam)
    found = found_by(speller, memory, LENGTHS, config, nbest=2)
    for row, length in enumerate(LENGTHS.tolist()):
        with torch.inference_mode():
            expected = reference_beam(speller, memory[row, :length], length + 1, config)
        same(found[row], expected[:2])


def test_beam_of_one_equals_greedy_and_batched_equals_single():
    longest = 0
    for seed in range(8):
        speller, memory = make(seed), make_memory(seed)
        config = SearchConfig(beam=1)
        greedy = greedy_search(speller, memory, LENGTHS, config)
        same([one for one, *_ in found_by(speller, memory, LENGTHS, config)], greedy)
        longest = max(longest, *(len(h.tokens) for h in greedy))
        for row, length in enumerate(LENGTHS.tolist()):
            alone = memory[row : row + 1, :length], LENGTHS[row : row + 1]
            same(greedy_search(speller, *alone, config), [greedy[row]])
    assert longest >= 5


# training ------------------------------------------------------------------------------------


def test_gradients_reach_every_parameter():
    speller, memory = make().train(), make_memory().requires_grad_()
    logits = speller(memory, LENGTHS, INPUTS, sampling=0.5).logits
    logits.square().sum().backward()
    for name, parameter in speller.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    assert memory.grad is not None
    for row, length in zip(memory.grad, LENGTHS.tolist(), strict=True):
        assert row[:length].any(dim=-1).all()
        assert not row[length:].any()


def test_gradients_are_those_of_finite_differences():
    config = TransformerDecoderConfig(hidden_size=4, layers=1, heads=2, feedforward_size=3)
    attention = dataclasses.replace(SCALED_DOT, size=2)
    speller = make(vocabulary=3, config=config, attention=attention).double()
    names = [name for name, _ in speller.named_parameters()]
    parameters = [parameter.detach().requires_grad_() for parameter in speller.parameters()]
    memory = make_memory()[:2, :3].double().requires_grad_()
    inputs = torch.tensor([[EOS, 2, 0], [EOS, 0, 2]])

    def read(memory: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        args = (memory, torch.tensor([3, 2]), inputs)
        values = dict(zip(names, parameters, strict=True))
        output = torch.func.functional_call(speller, values, args)
        return output.logits, output.weights

    assert torch.autograd.gradcheck(read, (memory, *parameters))


def test_no_sampling_is_teacher_forcing_and_draws_nothing():
    speller, memory = make(), make_memory()
    torch.manual_seed(5)
    expected = speller(memory, LENGTHS, INPUTS).logits
    unused = torch.rand(1)
    torch.manual_seed(5)
    logits = speller(memory, LENGTHS, INPUTS, sampling=0.0).logits
    assert torch.equal(logits, expected)
    assert torch.equal(torch.rand(1), unused)


@pytest.mark.parametrize("training", [False, True])
def test_sampling_always_reads_its_own_draws(training):
    # a distribution so sharp that every draw is the likeliest token, which dropout would change
    speller, memory = make(sharpness=1e4), make_memory()
    given = speller(memory, LENGTHS, INPUTS).logits
    assert given.softmax(dim=-1).amax(dim=-1).min() > 0.999
    own = torch.cat([INPUTS[:, :1], given.argmax(dim=-1)[:, :-1]], dim=1)
    assert (own != INPUTS)[:, 1:].any()
    expected = speller(memory, LENGTHS, own).logits
    read, learnt = [], []

    def probe(module, args, out):
        read.append(args[0])
        learnt.append(out.requires_grad)

    speller.embedding.register_forward_hook(probe)
    speller.train(training)
    output = speller(memory, LENGTHS, INPUTS, sampling=1.0)
    assert torch.equal(read[-1], own)
    assert learnt == [False, True]
    if not training:
        torch.testing.assert_close(output.logits, expected)
    assert all(part.training == training for part in speller.modules())


def test_sampling_leaves_what_was_frozen_in_evaluation():
    speller, memory = make().train(), make_memory()
    speller.layers[0].eval()
    before = [part.training for part in speller.modules()]
    speller(memory, LENGTHS, INPUTS, sampling=1.0)
    assert [part.training for part in speller.modules()] == before


def test_sampling_from_one_token_reads_the_start():
    speller, memory = make(), make_memory()
    given = speller(memory, LENGTHS, INPUTS[:, :1]).logits
    assert torch.equal(speller(memory, LENGTHS, INPUTS[:, :1], sampling=1.0).logits, given)


def test_draws_follow_the_models_distribution_and_are_read_as_often_as_said():
    speller, memory = make(sharpness=0.3), make_memory()
    rows, sampling, given = 4000, 0.6, 4
    read = []
    speller.embedding.register_forward_hook(lambda _, args, __: read.append(args[0]))
    inputs = torch.tensor([[EOS, given, given]]).expand(rows, -1)
    memory, lengths = memory[:1].expand(rows, -1, -1), LENGTHS[:1].expand(rows)
    teacher = speller(memory[:1], lengths[:1], inputs[:1]).logits[0].softmax(dim=-1)
    torch.manual_seed(2)
    speller(memory, lengths, inputs, sampling=sampling)
    assert (read[-1][:, 0] == EOS).all()
    for u in (1, 2):
        shares = torch.bincount(read[-1][:, u], minlength=VOCABULARY) / rows
        expected = sampling * teacher[u - 1]
        expected[given] += 1 - sampling
        assert (shares - expected).abs().max() < 5 * math.sqrt(0.25 / rows)
        assert expected.max() < 0.9


def test_dropout_only_in_training():
    speller, memory = make(), make_memory()
    assert torch.equal(*(speller(memory, LENGTHS, INPUTS).logits for _ in range(2)))
    speller.train()
    assert not torch.equal(*(speller(memory, LENGTHS, INPUTS).logits for _ in range(2)))


def test_dropout_of_attention_is_on_its_weights():
    config = dataclasses.replace(CONFIG, dropout=0.0)
    attention = dataclasses.replace(SCALED_DOT, dropout=0.5)
    speller, memory = make(config=config, attention=attention), make_memory()
    exact = speller(memory, LENGTHS, INPUTS)
    dropped = speller.train()(memory, LENGTHS, INPUTS)
    assert not torch.equal(dropped.logits, exact.logits)
    assert torch.equal(dropped.weights[:, :, :2], exact.weights[:, :, :2])  # the first layer's


@pytest.mark.parametrize("sampling", [0.0, 1.0])
def test_bf16_autocast(sampling):
    speller, memory = make(), make_memory()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = speller(memory, LENGTHS, INPUTS, sampling=sampling)
        state = speller.init_state(memory, LENGTHS)
        log_probs, _, state = speller.step(INPUTS[:, 0], state)
        log_probs, _, _ = speller.step(INPUTS[:, 1], state)
    assert output.logits.dtype == output.weights.dtype == log_probs.dtype == torch.float32
    output.logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in speller.parameters())
    exact = speller(memory, LENGTHS, INPUTS).logits
    torch.testing.assert_close(log_probs, exact[:, 1].log_softmax(-1), atol=1e-4, rtol=1e-4)


def test_embeddings_weigh_as_much_as_positions_at_first():
    speller = TransformerDecoder(500, 4, SCALED_DOT, TransformerDecoderConfig(hidden_size=64))
    scaled = speller.embedding.weight * math.sqrt(64)
    assert scaled.std().item() == pytest.approx(1.0, abs=0.02)


# settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in ATTENTIONS if name != "scaled_dot"])
def test_refuses_other_attention_and_says_what_to_set(name):
    with pytest.raises(ValueError, match="by scaled dot products in every layer") as error:
        TransformerDecoder(VOCABULARY, MEMORY_SIZE, ATTENTIONS[name][1], CONFIG)
    assert f"model/attention={name} has no part in it" in str(error.value)
    assert "set model/attention=scaled_dot model.attention.heads=4, or" in str(error.value)
    assert str(error.value).endswith("model/decoder=lstm")


@pytest.mark.parametrize(
    ("key", "value", "fitting"),
    [
        ("score", "dot", "scaled_dot"),
        ("normalizer", "entmax15", "softmax"),
        ("temperature", 2.0, "1.0"),
        ("window_back", 3, "-1"),
        ("window_ahead", 0, "-1"),
        ("dynamics", "forward", "none"),
        ("draw", "gumbel", "none"),
    ],
)
def test_refuses_what_changes_scaled_dot_products(key, value, fitting):
    attention = dataclasses.replace(SCALED_DOT, **{key: value})
    with pytest.raises(ValueError, match="has no part in it") as error:
        TransformerDecoder(VOCABULARY, MEMORY_SIZE, attention, CONFIG)
    assert f"so model.attention.{key}={value} has" in str(error.value)
    assert f"set model.attention.{key}={fitting}, or model/decoder=lstm" in str(error.value)


def test_refuses_heads_that_do_not_divide_the_width():
    attention = dataclasses.replace(SCALED_DOT, heads=3)
    with pytest.raises(ValueError, match=r"hidden_size=8 must be a multiple of attention\.heads=3"):
        TransformerDecoder(VOCABULARY, MEMORY_SIZE, attention, CONFIG)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hidden_size": 0}, "at least 1"),
        ({"layers": 0}, "at least 1"),
        ({"heads": 0}, "at least 1"),
        ({"feedforward_size": 0}, "at least 1"),
        ({"hidden_size": 10, "heads": 4}, "multiple of decoder.heads=4"),
        ({"hidden_size": 9, "heads": 3}, "must be even"),
        ({"dropout": 1.0}, "below 1"),
        ({"dropout": -0.1}, "at least 0"),
    ],
)
def test_refuses_settings_that_make_no_sense(wrong, message):
    with pytest.raises(ValueError, match=message):
        TransformerDecoderConfig(**wrong)
