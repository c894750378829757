"""What every mechanism promises, whatever it computes."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from asr_attn.nn.attention import (
    ATTENTIONS,
    AttentionConfig,
    AttentionState,
    MixtureAttentionConfig,
    MonotonicAttentionConfig,
    SoftAttentionConfig,
    make_attention,
)

HARD = ("hard_gumbel", "hard_sampled")
AT_MOST_ONE = ("monotonic", "mocha")
FIELDS = [field.name for field in dataclasses.fields(AttentionState)]


def small(name: str, heads: int) -> AttentionConfig:
    """The settings behind a name, for small tensors and without noise."""
    config = ATTENTIONS[name][1]
    changes: dict[str, object] = {}
    if isinstance(config, SoftAttentionConfig):
        changes = {"size": 4, "channels": 2, "kernel_size": 3, "reach": 2}
        if config.window_ahead >= 0:
            changes |= {"window_back": 1, "window_ahead": 2}
    elif isinstance(config, MonotonicAttentionConfig):
        changes = {"size": 4, "chunk": min(config.chunk, 2), "noise": 0.0}
    elif isinstance(config, MixtureAttentionConfig):
        changes = {"components": 2, "size": 3, "step": 1.3, "width": 1.0}
    return dataclasses.replace(config, heads=heads, **changes)  # type: ignore[call-arg]


def make(name: str, heads: int, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    module = make_attention(4, 6, small(name, heads))
    assert isinstance(module, nn.Module)
    if name in AT_MOST_ONE:
        nn.init.constant_(module.stop.length, 3.0)
    return module.to(dtype)


def attend(
    module: nn.Module, queries: Tensor, memory: Tensor, lengths: Tensor
) -> list[tuple[Tensor, Tensor, AttentionState]]:
    """Contexts, weights and states of one step after the other."""
    keys = module.prepare(memory, lengths)
    state = module.initial_state(keys)
    out = []
    for query in queries:
        context, weights, state = module(query, keys, state)
        out.append((context, weights, state))
    return out


class Unrolled(nn.Module):
    """A mechanism over several steps as one function of its parameters."""

    def __init__(self, mechanism: nn.Module) -> None:
        super().__init__()
        self.mechanism = mechanism

    def forward(self, *args: Tensor) -> list[tuple[Tensor, Tensor, AttentionState]]:
        return attend(self.mechanism, *args)


def every(test):
    """Run ``test`` for every mechanism, with one head and with two."""
    return pytest.mark.parametrize("name", ATTENTIONS)(
        pytest.mark.parametrize("heads", [1, 2])(test)
    )


def modes(name: str) -> list[bool]:
    """Training and not, where training does not draw at random."""
    return [False] if name in HARD else [False, True]


def test_a_name_stands_for_its_settings():
    for name, (mechanism, config) in ATTENTIONS.items():
        assert config.name == name
        assert type(make_attention(4, 6, config)) is mechanism


@every
def test_padding_changes_nothing_and_alone_equals_in_a_batch(name, heads, example):
    module = make(name, heads)
    for training in modes(name):
        module.train(training)
        together = attend(module, example.queries, example.memory, example.lengths)
        for row, length in enumerate(example.lengths.tolist()):
            alone = attend(
                module,
                example.queries[:, row : row + 1],
                example.memory[row : row + 1, :length],
                example.lengths[row : row + 1],
            )
            for (context, weights, state), (context1, weights1, state1) in zip(
                together, alone, strict=True
            ):
                torch.testing.assert_close(context[row], context1[0])
                torch.testing.assert_close(weights[row, :, :length], weights1[0])
                assert not weights[row, :, length:].any()
                for field in FIELDS:
                    one, other = getattr(state, field)[row], getattr(state1, field)[0]
                    torch.testing.assert_close(one[..., : other.size(-1)], other)
                    assert not one[..., other.size(-1) :].any()


@every
def test_padding_gets_no_gradient(name, heads, example):
    module = make(name, heads).train()
    memory = example.memory.clone().requires_grad_()
    for context, weights, _ in attend(module, example.queries, memory, example.lengths):
        (context.sum() + (weights * torch.randn_like(weights)).sum()).backward(retain_graph=True)
    assert memory.grad is not None
    assert memory.grad.isfinite().all()
    for row, length in zip(memory.grad, example.lengths.tolist(), strict=True):
        assert not row[length:].any()
        assert row[:length].any()


@every
def test_selecting_then_attending_equals_attending_then_selecting(name, heads, example):
    module = make(name, heads)
    index = torch.tensor([2, 0, 0, 1])
    for training in modes(name):
        module.train(training)
        keys = module.prepare(example.memory, example.lengths)
        state = module.initial_state(keys)
        for query in example.queries:
            chosen = module(query[index], keys.select(index), state.select(index))
            context, weights, state = module(query, keys, state)
            torch.testing.assert_close(chosen[0], context[index])
            torch.testing.assert_close(chosen[1], weights[index])
            for field in FIELDS:
                torch.testing.assert_close(
                    getattr(chosen[2], field), getattr(state.select(index), field)
                )


@every
def test_weights_and_state_are_what_is_documented(name, heads, example):
    module = make(name, heads)
    config = module.config
    for training in (False, True):
        module.train(training)
        keys = module.prepare(example.memory, example.lengths)
        assert keys.keys.shape[:3] == (3, heads, 7)
        assert keys.values.shape == (3, heads, 7, 6 // heads)
        assert keys.mask.sum(1).tolist() == example.lengths.tolist()
        total = module.initial_state(keys).total
        assert not total.any()
        before = module.initial_state(keys).own
        for context, weights, state in attend(
            module, example.queries, example.memory, example.lengths
        ):
            assert context.shape == (3, 6)
            assert weights.shape == (3, heads, 7)
            assert (weights >= 0).all()
            sums = weights.sum(-1)
            if name in AT_MOST_ONE:
                assert (sums <= 1 + 1e-12).all()
            else:
                torch.testing.assert_close(sums, torch.ones_like(sums))
            total = total + weights
            torch.testing.assert_close(state.previous, weights)
            torch.testing.assert_close(state.total, total)
            assert state.choice.shape == (3, heads)
            assert bool(state.choice.any()) == (name == "hard_sampled")
            assert (state.choice <= 0).all()
            if isinstance(config, MixtureAttentionConfig):
                assert (state.own > before).all()
                assert state.own.shape == (3, heads, config.components)
            elif name in AT_MOST_ONE:
                torch.testing.assert_close(state.own.sum(-1), sums)
            else:
                assert state.own.shape == (3, heads, int(name == "forward_agent"))
            before = state.own


@every
def test_modules_remember_nothing(name, heads, example):
    module = make(name, heads).eval()
    keys = module.prepare(example.memory, example.lengths)
    start = module.initial_state(keys)
    _, _, state = module(example.queries[0], keys, start)
    copies = [getattr(state, field).clone() for field in FIELDS]
    first, weights, _ = module(example.queries[1], keys, state)
    module(example.queries[2], keys, start)
    second, again, _ = module(example.queries[1], keys, state)
    assert torch.equal(first, second)
    assert torch.equal(weights, again)
    for field, copy in zip(FIELDS, copies, strict=True):
        assert torch.equal(getattr(state, field), copy)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("name", [name for name in ATTENTIONS if name != "hard_gumbel"])
def test_gradients_equal_finite_differences(name, heads):
    """Straight-through gradients are no derivatives; they have a test of their own."""
    module = make(name, heads).train()
    torch.manual_seed(3)
    queries, memory = torch.randn(3, 2, 4).double(), torch.randn(2, 5, 6).double()
    lengths = torch.tensor([5, 3])
    unrolled = Unrolled(module)
    names, parameters = zip(*unrolled.named_parameters(), strict=True)

    def run(queries, memory, *values):
        torch.manual_seed(5)  # the same steps are drawn at every call
        replaced = dict(zip(names, values, strict=True))
        steps = torch.func.functional_call(unrolled, replaced, (queries, memory, lengths))
        out = [context for context, _, _ in steps]
        if name == "hard_sampled":
            return (*out, *(state.choice for _, _, state in steps))
        return (*out, *(weights for _, weights, _ in steps))

    leaves = [queries, memory, *(parameter.detach().clone() for parameter in parameters)]
    for leaf in leaves:
        leaf.requires_grad_()
    assert torch.autograd.gradcheck(run, leaves, fast_mode=True)


SHARPENED = (
    "score.energy",
    "score.project_query.weight",
    "score.project_memory.weight",
    "dynamics.agent.weight",
    "output.weight",
    "output.bias",
    "stop.length",
    "chunk_score.energy",
)


@every
@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_stable_for_large_energies(name, heads, scale, example):
    example = example.to(torch.float32)
    module = make(name, heads, torch.float32).train()
    parameters = dict(module.named_parameters())
    additive = "score.energy" in parameters
    with torch.no_grad():
        for key, parameter in parameters.items():
            if key == "score.log_sharpness":
                parameter.fill_(9.2)
            elif key in SHARPENED and not (additive and key.startswith("score.project")):
                parameter.mul_(scale / parameter.abs().mean())
    memory = example.memory.clone().requires_grad_()
    steps = attend(module, example.queries, memory, example.lengths)
    loss = torch.zeros(())
    for context, weights, state in steps:
        loss = loss + context.sum() + (weights * torch.arange(7)).sum() + state.choice.sum()
        sums = weights.sum(-1)
        if name in AT_MOST_ONE:
            assert (sums <= 1 + 1e-5).all()
        else:
            torch.testing.assert_close(sums, torch.ones_like(sums))
    loss.backward()
    values = [value for context, weights, state in steps for value in (context, weights)]
    for value in (*values, *(getattr(steps[-1][2], field) for field in FIELDS)):
        assert value.isfinite().all()
    for gradient in (memory.grad, *(parameter.grad for parameter in parameters.values())):
        assert gradient is None or gradient.isfinite().all()
    assert memory.grad is not None


@every
def test_bf16_autocast_keeps_weights_and_state_in_float32(name, heads, example):
    example = example.to(torch.float32)
    module = make(name, heads, torch.float32)
    for training in (False, True):
        module.train(training)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = attend(module, example.queries, example.memory, example.lengths)
        exact = attend(module, example.queries, example.memory, example.lengths)
        for (context, weights, state), (context1, weights1, _) in zip(rough, exact, strict=True):
            assert weights.dtype == torch.float32
            assert all(getattr(state, field).dtype == torch.float32 for field in FIELDS)
            assert context.isfinite().all()
            sums = weights.sum(-1)
            if name in AT_MOST_ONE:
                assert (sums <= 1 + 1e-5).all()
            else:
                torch.testing.assert_close(sums, torch.ones_like(sums))
            if name not in (*HARD, *(() if training else AT_MOST_ONE)):  # a choice may fall over
                torch.testing.assert_close(weights, weights1, atol=0.06, rtol=0)
                torch.testing.assert_close(context.float(), context1, atol=0.2, rtol=0.1)
    loss = sum(context.float().sum() + state.choice.sum() for context, _, state in rough)
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@every
def test_a_memory_of_a_single_step(name, heads, example):
    module = make(name, heads)
    memory = example.memory[:, :1].clone()
    for training in (False, True):
        module.train(training)
        memory = memory.detach().requires_grad_()
        steps = attend(module, example.queries, memory, torch.ones(3, dtype=torch.long))
        for context, weights, _ in steps:
            assert weights.shape == (3, heads, 1)
            assert context.isfinite().all()
            if name in AT_MOST_ONE:
                assert ((weights >= 0) & (weights <= 1)).all()
            else:
                torch.testing.assert_close(weights, torch.ones_like(weights))
                if heads == 1:
                    torch.testing.assert_close(context, memory[:, 0])
        sum(context.sum() for context, _, _ in steps).backward()
        assert memory.grad is not None
        assert memory.grad.isfinite().all()
