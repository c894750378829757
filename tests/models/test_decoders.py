import dataclasses
import math
from collections.abc import Iterator

import pytest
import torch

from asr_attn.models.decoders import DECODERS, LstmDecoder, LstmDecoderConfig, LstmDecoderState
from asr_attn.nn.attention import (
    ATTENTIONS,
    MixtureAttentionConfig,
    MonotonicAttentionConfig,
    SoftAttentionConfig,
)
from asr_attn.text.tokenizer import EOS

LENGTHS = torch.tensor([7, 4, 1])
VOCABULARY = 6


def make(
    layers: int = 1, sharpness: float = 1.0, attention: str = "location", heads: int = 1
) -> LstmDecoder:
    torch.manual_seed(0)
    config = LstmDecoderConfig(hidden_size=8, embedding_size=5, layers=layers, dropout=0.3)
    settings = ATTENTIONS[attention][1]
    if isinstance(settings, SoftAttentionConfig):
        settings = dataclasses.replace(settings, size=6, channels=3, kernel_size=5, reach=3)
    elif isinstance(settings, MonotonicAttentionConfig):
        settings = dataclasses.replace(settings, size=6)
    elif isinstance(settings, MixtureAttentionConfig):
        settings = dataclasses.replace(settings, components=2)
    settings = dataclasses.replace(settings, heads=heads)  # type: ignore[call-arg]
    speller = LstmDecoder(VOCABULARY, 4, settings, config).eval()
    for parameter in speller.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    speller.output.weight.data.mul_(sharpness)
    return speller


def make_memory() -> torch.Tensor:
    torch.manual_seed(1)
    memory = torch.randn(3, 7, 4)
    for row, length in zip(memory, LENGTHS.tolist(), strict=True):
        row[length:] = 100.0
    return memory


INPUTS = torch.tensor([[EOS, 3, 4, 5, 3], [EOS, 5, 5, 2, 4], [EOS, 4, 3, 3, 2]])


def tensors(value: object) -> Iterator[torch.Tensor]:
    """Every tensor of a state, however it is nested."""
    if isinstance(value, torch.Tensor):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from tensors(getattr(value, field.name))


VARIANTS = [("location", 2, 1), *((name, 1, heads) for name in ATTENTIONS for heads in (1, 2))]


@pytest.mark.parametrize(("attention", "layers", "heads"), VARIANTS)
def test_stepping_equals_the_full_pass(attention, layers, heads):
    speller, memory = make(layers, attention=attention, heads=heads), make_memory()
    output = speller(memory, LENGTHS, INPUTS)
    logits, weights = output.logits, output.weights
    assert logits.shape == (3, 5, VOCABULARY)
    assert weights.shape == (3, 5, heads, 7)
    assert output.choices.shape == (3, 5, heads)
    assert bool(output.choices.any()) == (attention == "hard_sampled")
    state = speller.init_state(memory, LENGTHS)
    for u in range(INPUTS.size(1)):
        log_probs, attended, state = speller.step(INPUTS[:, u], state)
        expected = logits[:, u].log_softmax(dim=-1)
        torch.testing.assert_close(log_probs, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(attended, weights[:, u], atol=1e-6, rtol=1e-5)
        assert isinstance(state, LstmDecoderState)
        torch.testing.assert_close(state.attention.choice, output.choices[:, u])


@pytest.mark.parametrize(("attention", "layers", "heads"), VARIANTS)
def test_the_full_pass_has_the_gradients_of_stepping(attention, layers, heads):
    speller = make(layers, attention=attention, heads=heads).double()
    memory = make_memory().double().requires_grad_()
    inputs = [memory, *speller.parameters()]
    back = torch.randn(3, 5, VOCABULARY)
    full = (speller(memory, LENGTHS, INPUTS).logits.log_softmax(-1) * back).sum()
    state, total = speller.init_state(memory, LENGTHS), torch.zeros(())
    for u in range(5):
        log_probs, _, state = speller.step(INPUTS[:, u], state)
        total = total + (log_probs * back[:, u]).sum()
    found = torch.autograd.grad(full, inputs, allow_unused=True)
    for one, other in zip(found, torch.autograd.grad(total, inputs, allow_unused=True)):
        if other is None:
            assert one is None or not one.any()
        else:
            assert one is not None
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_recurrence_equals_torchs_lstm_over_tokens_and_contexts():
    speller, memory = make(2), make_memory()
    lstm = torch.nn.LSTM(5 + 4, 8, num_layers=2, batch_first=True)
    for i, cell in enumerate(speller.cells):
        for name, value in cell.named_parameters():
            getattr(lstm, f"{name}_l{i}").data.copy_(value.data)
    state = speller.init_state(memory, LENGTHS)
    read = []
    for u in range(INPUTS.size(1)):
        read.append(torch.cat([speller.embedding(INPUTS[:, u]), state.context], dim=-1))
        _, weights, state = speller.step(INPUTS[:, u], state)
        context = torch.einsum("bs,bsd->bd", weights[:, 0], memory)
        torch.testing.assert_close(state.context, context, atol=1e-5, rtol=1e-5)
    _, (hidden, cell) = lstm(torch.stack(read, dim=1))
    torch.testing.assert_close(state.hidden, hidden.transpose(0, 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(state.cell, cell.transpose(0, 1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("attention", "layers", "heads"), VARIANTS)
def test_padding_changes_nothing(attention, layers, heads):
    speller, memory = make(layers, attention=attention, heads=heads), make_memory()
    output = speller(memory, LENGTHS, INPUTS)
    logits, weights = output.logits, output.weights
    for i, length in enumerate(LENGTHS.tolist()):
        alone = speller(memory[i : i + 1, :length], LENGTHS[i : i + 1], INPUTS[i : i + 1, :3])
        attended = alone.weights[0]
        torch.testing.assert_close(logits[i, :3], alone.logits[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(weights[i, :3, :, :length], attended, atol=1e-6, rtol=1e-5)
        assert not weights[i, :, :, length:].any()


def test_later_tokens_do_not_change_earlier_steps_and_earlier_do_change_later():
    speller, memory = make(), make_memory()
    changed = INPUTS.clone()
    changed[:, 2] = 2
    before = speller(memory, LENGTHS, INPUTS).logits
    after = speller(memory, LENGTHS, changed).logits
    assert torch.equal(before[:, :2], after[:, :2])
    assert (before[:, 2:] - after[:, 2:]).abs().amax(dim=-1).gt(1e-4).all()


@pytest.mark.parametrize(("attention", "layers", "heads"), VARIANTS)
def test_selecting_then_stepping_equals_stepping_then_selecting(attention, layers, heads):
    speller, memory = make(layers, attention=attention, heads=heads), make_memory()
    index = torch.tensor([2, 0, 1, 1, 0])
    state = speller.init_state(memory, LENGTHS)
    for u in range(2):
        _, _, state = speller.step(INPUTS[:, u], state)
    log_probs, weights, after = speller.step(INPUTS[:, 2], state)
    chosen_probs, chosen_weights, before = speller.step(INPUTS[index, 2], state.select(index))
    torch.testing.assert_close(chosen_probs, log_probs[index])
    torch.testing.assert_close(chosen_weights, weights[index])
    pairs = list(zip(tensors(before), tensors(after.select(index)), strict=True))
    assert len(pairs) >= 7
    for one, other in pairs:
        torch.testing.assert_close(one, other)


def test_select_reorders_every_tensor_of_the_state():
    """Rows are marked by their number, so that a field that is forgotten shows."""
    speller = make(attention="forward_agent")  # which fills every field
    state = speller.init_state(make_memory(), LENGTHS)

    def marked(value):
        if isinstance(value, torch.Tensor):
            rows = torch.arange(3).reshape(3, *[1] * (value.dim() - 1))
            return rows.expand(value.shape).clone()
        if not dataclasses.is_dataclass(value):
            return value
        changes = {f.name: marked(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **changes)

    chosen = marked(state).select(torch.tensor([2, 2, 0, 1]))
    assert isinstance(chosen, LstmDecoderState)
    for tensor in tensors(chosen):
        assert tensor.size(0) == 4
        assert tensor.reshape(4, -1)[:, 0].tolist() == [2, 2, 0, 1]


def test_steps_leave_the_state_they_start_from_as_it_is():
    speller = make()
    state = speller.init_state(make_memory(), LENGTHS)
    before = [tensor.clone() for tensor in tensors(state)]
    first, _, _ = speller.step(INPUTS[:, 0], state)
    second, _, _ = speller.step(INPUTS[:, 0], state)
    assert torch.equal(first, second)
    for one, other in zip(before, tensors(state), strict=True):
        assert torch.equal(one, other)


def test_no_sampling_is_teacher_forcing_and_draws_nothing():
    speller, memory = make(), make_memory()
    torch.manual_seed(5)
    expected = speller(memory, LENGTHS, INPUTS).logits
    unused = torch.rand(1)
    torch.manual_seed(5)
    logits = speller(memory, LENGTHS, INPUTS, sampling=0.0).logits
    assert torch.equal(logits, expected)
    assert torch.equal(torch.rand(1), unused)


def own_words(speller: LstmDecoder, memory: torch.Tensor, steps: int) -> torch.Tensor:
    """Logits (B, U, V) of reading the likeliest token of the step before, by steps."""
    state = speller.init_state(memory, LENGTHS)
    token, out = torch.full((3,), EOS), []
    for _ in range(steps):
        log_probs, _, state = speller.step(token, state)
        token = log_probs.argmax(dim=-1)
        out.append(log_probs)
    return torch.stack(out, dim=1)


def test_sampling_always_reads_its_own_draws():
    # a distribution so sharp that every draw is the likeliest token
    speller, memory = make(sharpness=1e4), make_memory()
    logits = speller(memory, LENGTHS, INPUTS, sampling=1.0).logits
    expected = own_words(speller, memory, INPUTS.size(1))
    assert expected.exp().amax(dim=-1).min() > 0.999
    torch.testing.assert_close(logits.log_softmax(dim=-1), expected, atol=0.5, rtol=1e-3)
    given = speller(memory, LENGTHS, INPUTS).logits
    assert (given - logits).abs().amax(dim=(0, 2))[1:].gt(1).all()
    torch.testing.assert_close(given[:, 0], logits[:, 0])


def test_draws_follow_the_models_distribution_and_are_read_as_often_as_said():
    speller, memory = make(), make_memory()
    rows, sampling = 4000, 0.6
    memory = memory[:1].expand(rows, -1, -1)
    lengths = LENGTHS[:1].expand(rows)
    given = 4
    inputs = torch.tensor([[EOS, given]]).expand(rows, -1)
    torch.manual_seed(2)
    logits = speller(memory, lengths, inputs, sampling=sampling).logits
    # which token was read shows in the second step's logits
    each = torch.stack([torch.full((VOCABULARY,), EOS), torch.arange(VOCABULARY)], dim=1)
    known = speller(memory[:VOCABULARY], lengths[:VOCABULARY], each).logits
    read = (logits[:, 1, None] - known[None, :, 1]).abs().sum(dim=-1).argmin(dim=-1)
    shares = torch.bincount(read, minlength=VOCABULARY) / rows
    expected = sampling * logits[0, 0].softmax(dim=-1)
    expected[given] += 1 - sampling
    assert (shares - expected).abs().max() < 5 * math.sqrt(0.25 / rows)
    assert expected.max() < 0.9


def test_gradients_reach_every_parameter():
    speller, memory = make(2).train(), make_memory().requires_grad_()
    logits = speller(memory, LENGTHS, INPUTS, sampling=0.5).logits
    logits.square().sum().backward()
    for name, parameter in speller.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    assert memory.grad is not None
    for row, length in zip(memory.grad, LENGTHS.tolist(), strict=True):
        assert not row[length:].any()


def test_dropout_only_in_training():
    speller, memory = make(), make_memory()
    assert torch.equal(*(speller(memory, LENGTHS, INPUTS).logits for _ in range(2)))
    speller.train()
    assert not torch.equal(*(speller(memory, LENGTHS, INPUTS).logits for _ in range(2)))


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
    exact = speller(memory, LENGTHS, INPUTS).logits
    torch.testing.assert_close(log_probs, exact[:, 1].log_softmax(-1), atol=0.3, rtol=0.1)


@pytest.mark.parametrize(
    "wrong",
    [{"hidden_size": 0}, {"embedding_size": 0}, {"layers": 0}, {"dropout": 1.0}, {"dropout": -0.1}],
)
def test_refuses_settings_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match="decoder"):
        LstmDecoderConfig(**wrong)


def test_table_names_its_own_config():
    for name, (build, config) in DECODERS.items():
        assert config.name == name
        assert callable(build)
