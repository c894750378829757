import numpy as np
import pytest
import torch

from asr_attn.nn.attention import AttentionKeys, SoftAttention, SoftAttentionConfig

CONFIG = SoftAttentionConfig(size=6, channels=3, kernel_size=5)
LENGTHS = torch.tensor([8, 3, 1])


def make(dtype: torch.dtype = torch.float64) -> SoftAttention:
    torch.manual_seed(0)
    return SoftAttention(4, 5, CONFIG).to(dtype)


def inputs(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    memory = torch.randn(3, 8, 5, dtype=dtype)
    for row, length in zip(memory, LENGTHS.tolist(), strict=True):
        row[length:] = 1e3  # attention promises not to look there
    return torch.randn(4, 3, 4, dtype=dtype), memory


def formula(
    module: SoftAttention, query: np.ndarray, memory: np.ndarray, past: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Equation 8 of Chorowski et al. 2015 for one query (Q,), memory (S, D), past (2, S)."""
    weights = {name: value.detach().numpy() for name, value in module.named_parameters()}
    filters = weights["filters.weight"]
    half = filters.shape[2] // 2
    energies = np.zeros(len(memory))
    for s in range(len(memory)):
        location = np.zeros(filters.shape[0])
        for k in range(filters.shape[2]):
            if 0 <= s + k - half < len(memory):
                location += filters[:, :, k] @ past[:, s + k - half]
        hidden = np.tanh(
            weights["project_query.weight"] @ query
            + weights["project_memory.weight"] @ memory[s]
            + weights["project_memory.bias"]
            + weights["project_location.weight"] @ location
        )
        energies[s] = weights["energy.weight"][0] @ hidden
    exponential = np.exp(energies - energies.max())
    attended = exponential / exponential.sum()
    return attended @ memory, attended


def test_equals_the_formula_over_several_steps_for_each_utterance_alone():
    module = make()
    queries, memory = inputs()
    keys = module.prepare(memory, LENGTHS)
    state = module.initial_state(keys)
    past = [np.zeros((2, length)) for length in LENGTHS.tolist()]
    for query in queries:
        context, weights, state = module(query, keys, state)
        for row, length in enumerate(LENGTHS.tolist()):
            expected, attended = formula(
                module, query[row].numpy(), memory[row, :length].numpy(), past[row]
            )
            np.testing.assert_allclose(weights[row, :length].detach(), attended, atol=1e-12)
            np.testing.assert_allclose(context[row].detach(), expected, atol=1e-12)
            assert not weights[row, length:].any()
            past[row] = np.stack([attended, past[row][1] + attended])
            np.testing.assert_allclose(state[row, :, :length].detach(), past[row], atol=1e-12)
            assert not state[row, :, length:].any()


def test_weights_sum_to_one():
    module = make(torch.float32)
    queries, memory = inputs(torch.float32)
    keys = module.prepare(memory, LENGTHS)
    state = module.initial_state(keys)
    for query in queries:
        _, weights, state = module(query, keys, state)
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))
        assert (weights >= 0).all()


def test_gradients_equal_finite_differences():
    module = make()
    queries, memory = inputs()
    memory = memory.clamp(-2, 2)
    names = [name for name, _ in module.named_parameters()]

    def three_steps(queries, memory, *parameters):
        values = dict(zip(names, parameters, strict=True))

        class Wrapped(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = module

            def forward(self, queries, memory):
                keys = self.inner.prepare(memory, LENGTHS)
                state = self.inner.initial_state(keys)
                contexts = []
                for query in queries:
                    context, weights, state = self.inner(query, keys, state)
                    contexts += [context, weights]
                return tuple(contexts)

        prefixed = {f"inner.{name}": value for name, value in values.items()}
        return torch.func.functional_call(Wrapped(), prefixed, (queries, memory))

    leaves = [queries[:3].clone(), memory.clone()]
    leaves += [parameter.detach().clone() for parameter in module.parameters()]
    torch.autograd.gradcheck(three_steps, [leaf.requires_grad_() for leaf in leaves])


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_stable_for_large_energies(scale):
    module = make(torch.float32)
    queries, memory = inputs(torch.float32)
    memory.requires_grad_()
    with torch.no_grad():
        module.energy.weight.copy_(module.energy.weight.sign() * scale)
    keys = module.prepare(memory, LENGTHS)
    context, weights, _ = module(queries[0], keys, module.initial_state(keys))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))
    context.sum().backward()
    for value in (context, memory.grad, *(p.grad for p in module.parameters())):
        assert value is not None
        assert value.isfinite().all()


def test_bf16_autocast_keeps_weights_and_their_sum_in_float32():
    module = make(torch.float32)
    queries, memory = inputs(torch.float32)
    memory = memory.clamp(-2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        keys = module.prepare(memory, LENGTHS)
        state = module.initial_state(keys)
        rough, weights, state = module(queries[0], keys, state)
        rough, weights, state = module(queries[1], keys, state)
    keys = module.prepare(memory, LENGTHS)
    _, _, past = module(queries[0], keys, module.initial_state(keys))
    exact, expected, _ = module(queries[1], keys, past)
    assert weights.dtype == state.dtype == torch.float32
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))
    torch.testing.assert_close(weights, expected, atol=0.02, rtol=0)
    torch.testing.assert_close(rough.float(), exact, atol=0.05, rtol=0.05)
    rough.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_selecting_keys_then_attending_equals_attending_then_selecting():
    module = make()
    queries, memory = inputs()
    index = torch.tensor([2, 0, 0, 1])
    keys = module.prepare(memory, LENGTHS)
    _, _, state = module(queries[0], keys, module.initial_state(keys))
    after = [out[index] for out in module(queries[1], keys, state)]
    before = module(queries[1][index], keys.select(index), state[index])
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other)
    chosen = keys.select(index)
    assert isinstance(chosen, AttentionKeys)
    assert chosen.mask.sum(dim=1).tolist() == [1, 8, 8, 3]


def test_refuses_an_even_kernel():
    with pytest.raises(ValueError, match=r"attention\.kernel_size"):
        SoftAttentionConfig(kernel_size=4)
