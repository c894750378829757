"""Dynamics by the formulas of their papers, and what they promise at the edges."""

import numpy as np
import pytest
import torch
from torch import Tensor

from asr_attn.nn.attention import SoftAttention, SoftAttentionConfig
from asr_attn.nn.attention.dynamics import DYNAMICS, Dynamics
from asr_attn.nn.attention.interface import AttentionState
from asr_attn.nn.attention.monotonic import expected_stops
from asr_attn.nn.attention.normalizers import NORMALIZERS


def normalised(x: np.ndarray) -> np.ndarray:
    return x / x.sum()


def forward(energies: np.ndarray, before: np.ndarray, reach: int, move: float) -> np.ndarray:
    y = normalised(np.exp(energies))
    out = np.zeros(len(before))
    for s in range(len(before)):
        out[s] = y[s] * sum(before[s - m] for m in range(reach + 1) if s - m >= 0)
    return normalised(out)


def forward_agent(energies: np.ndarray, before: np.ndarray, reach: int, move: float) -> np.ndarray:
    y = normalised(np.exp(energies))
    out = np.zeros(len(before))
    for s in range(len(before)):
        moved = sum(before[s - m] for m in range(1, reach + 1) if s - m >= 0)
        out[s] = y[s] * ((1 - move) * before[s] + move / reach * moved)
    return normalised(out)


def stepwise(energies: np.ndarray, before: np.ndarray, reach: int, move: float) -> np.ndarray:
    """Every walk on its own: from where it is, until it stays or has moved by ``reach``."""
    stay = 1 / (1 + np.exp(-energies))
    last = len(before) - 1
    out = np.zeros(len(before))
    for start, probability in enumerate(before):
        at = start
        while True:
            here = 1.0 if at in (last, start + reach) else stay[at]
            out[at] += probability * here
            probability *= 1 - here
            if here == 1.0:
                break
            at += 1
    return out


FORMULAS = {"forward": forward, "forward_agent": forward_agent, "stepwise": stepwise}


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("reach", [1, 2, 20])
@pytest.mark.parametrize("name", DYNAMICS)
def test_attention_equals_the_formula_over_several_steps_for_each_utterance_alone(
    name, reach, heads, example
):
    torch.manual_seed(0)
    config = SoftAttentionConfig(score="dot", size=6, heads=heads, dynamics=name, reach=reach)
    module = SoftAttention(4, 6, config).double()
    p = {key: value.detach().numpy() for key, value in module.named_parameters()}
    keys = module.prepare(example.memory, example.lengths)
    state = module.initial_state(keys)
    lengths = example.lengths.tolist()
    before = [np.eye(1, length).repeat(heads, axis=0) for length in lengths]
    total = [np.zeros((heads, length)) for length in lengths]
    move = np.full((3, heads), 0.5)
    for query in example.queries:
        context, weights, state = module(query, keys, state)
        for row, length in enumerate(lengths):
            q = np.split(p["score.project_query.weight"] @ query[row].numpy(), heads)
            memory = example.memory[row, :length].numpy()
            k = np.split(p["score.project_memory.weight"] @ memory.T, heads)
            for h in range(heads):
                energies = q[h] @ k[h] + p.get("dynamics.offset", np.zeros(heads))[h]
                before[row][h] = FORMULAS[name](energies, before[row][h], reach, move[row, h])
            total[row] = total[row] + before[row]
            np.testing.assert_allclose(
                weights[row, :, :length].detach(), before[row], atol=1e-12, rtol=1e-9
            )
            np.testing.assert_allclose(state.total[row, :, :length].detach(), total[row])
            assert not weights[row, :, length:].any()
            if name == "forward_agent":
                summary = np.concatenate([query[row].numpy(), context[row].detach().numpy()])
                agent = p["dynamics.agent.weight"] @ summary + p["dynamics.agent.bias"]
                move[row] = 1 / (1 + np.exp(-agent))
                np.testing.assert_allclose(state.own[row, :, 0].detach(), move[row])


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("name", ["forward", "forward_agent"])
def test_padding_has_no_part_whatever_normalizes(name, normalizer, example):
    """Sparse normalizers compare all energies, so that large ones in the padding would tell."""
    torch.manual_seed(0)
    config = SoftAttentionConfig(
        score="dot", size=6, heads=2, dynamics=name, reach=2, normalizer=normalizer
    )
    module = SoftAttention(4, 6, config).double()

    def attend(memory: Tensor, lengths: Tensor, queries: Tensor) -> Tensor:
        keys = module.prepare(memory, lengths)
        state, found = module.initial_state(keys), []
        for query in queries:
            _, weights, state = module(query, keys, state)
            found.append(weights)
        return torch.stack(found)

    together = attend(example.memory, example.lengths, example.queries)
    for row, length in enumerate(example.lengths.tolist()):
        part = slice(row, row + 1)
        alone = attend(
            example.memory[part, :length], example.lengths[part], example.queries[:, part]
        )
        torch.testing.assert_close(together[:, part, :, :length], alone)
        assert not together[:, row, :, length:].any()


def call(
    name: str,
    energies: Tensor,
    before: Tensor,
    reach: int = 1,
    normalizer: str = "softmax",
    move: float = 0.5,
    allowed: Tensor | None = None,
) -> Tensor:
    """Dynamics alone, of one utterance and head: energies (S,), weights before (S,)."""
    config = SoftAttentionConfig(dynamics=name, reach=reach, normalizer=normalizer)
    dynamics: Dynamics = DYNAMICS[name](4, config)
    for parameter in dynamics.parameters():
        torch.nn.init.zeros_(parameter)
    own = torch.full((1, 1, 1), move, dtype=before.dtype)
    state = AttentionState(before[None, None], before[None, None], own, own[..., 0])
    if allowed is None:
        allowed = torch.ones(len(before), dtype=torch.bool)
    out: Tensor = dynamics(energies[None, None], allowed[None, None], state)
    return out[0, 0]


def vectors(steps: int = 6) -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    return torch.randn(steps, dtype=torch.float64), torch.rand(steps).double().softmax(-1)


def test_a_reach_of_one_gives_the_papers_formulas():
    energies, before = vectors()
    y, p = energies.softmax(-1), energies.sigmoid()
    shifted = torch.cat([torch.zeros(1).double(), before[:-1]])
    out = (before + shifted) * y
    torch.testing.assert_close(call("forward", energies, before), out / out.sum())
    out = (0.7 * before + 0.3 * shifted) * y
    torch.testing.assert_close(call("forward_agent", energies, before, move=0.3), out / out.sum())
    p[-1] = 1.0
    leaving = torch.cat([torch.zeros(1).double(), ((1 - p) * before)[:-1]])
    torch.testing.assert_close(call("stepwise", energies, before), p * before + leaving)


@pytest.mark.parametrize("reach", [6, 7, 50])
def test_stepwise_of_unlimited_reach_is_the_expected_monotonic_alignment(reach):
    energies, before = vectors()
    stop = energies.sigmoid()
    stop[-1] = 1.0
    expected = expected_stops(stop[None, None], before[None, None])[0, 0]
    torch.testing.assert_close(call("stepwise", energies, before, reach), expected)


@pytest.mark.parametrize("name", DYNAMICS)
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_nothing_beyond_the_reach_has_weight_however_great_its_energy(name, scale):
    energies = scale * torch.arange(8.0)
    before = torch.zeros(8)
    before[1:3] = 0.5
    found = call(name, energies, before, reach=2)
    assert not found[0].any()
    assert not found[5:].any()
    torch.testing.assert_close(found.sum(), torch.tensor(1.0))
    if scale > 1 and name != "stepwise":
        assert found[4] == 1.0


@pytest.mark.parametrize("name", ["forward", "forward_agent"])
def test_what_is_likely_is_found_though_attention_was_almost_elsewhere(name):
    before = torch.full((8,), 1e-9)
    before[0] = 1 - 7e-9
    energies = torch.zeros(8)
    energies[6] = 40.0
    rough = call(name, energies, before, reach=2)
    exact = call(name, energies.double(), before.double(), reach=2)
    assert rough[6] > 0.99
    torch.testing.assert_close(rough.double(), exact, rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", DYNAMICS)
def test_at_the_end_of_the_memory_attention_stays(name):
    before = torch.tensor([0.0, 0.0, 1.0, 0.0])
    allowed = torch.tensor([True, True, True, False])
    for move in (0.5, 1.0):
        found = call(name, torch.tensor([5.0, 5, -5, 9]), before, 2, move=move, allowed=allowed)
        assert found.tolist() == before.tolist()


@pytest.mark.parametrize("normalizer", ["sigmoid", "sparsemax", "entmax15"])
@pytest.mark.parametrize("name", ["forward", "forward_agent"])
def test_other_normalizers_are_limited_to_the_reach_in_the_same_way(name, normalizer):
    energies, before = vectors()
    before[:2] = 0
    before = before / before.sum()
    y = NORMALIZERS[normalizer](energies)
    log_y = y.clamp(min=1e-300).log().numpy()
    expected = FORMULAS[name](log_y, before.numpy(), 2, 0.3)
    found = call(name, energies, before, 2, normalizer, move=0.3)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("normalizer", ["sigmoid", "sparsemax", "entmax15"])
def test_attention_stays_where_the_normalizer_gives_the_reach_nothing(normalizer):
    before = torch.tensor([0.6, 0.4, 0.0, 0.0, 0.0])
    energies = torch.tensor([-200.0, -200.0, -200.0, -200.0, 0.0])
    torch.testing.assert_close(call("forward", energies, before, 2, normalizer), before)


@pytest.mark.parametrize("gap", [20.0, 60.0, 85.0, 100.0, 1e4])
@pytest.mark.parametrize("normalizer", ["softmax", "sigmoid", "sparsemax"])
def test_weights_sum_to_one_and_gradients_are_finite_however_unlikely_the_reach(gap, normalizer):
    energies = torch.tensor([-gap, -gap - 1, -gap, 0.0, 0.0, 0.0], requires_grad=True)
    before = torch.tensor([0.5, 0.5, 1e-42, 1e-42, 0.0, 0.0], requires_grad=True)
    found = call("forward", energies, before, 1, normalizer)
    torch.testing.assert_close(found.sum(), torch.tensor(1.0))
    assert not found[5].any()
    (found * torch.arange(6.0)).sum().backward()
    for value in (energies.grad, before.grad):
        assert value is not None
        assert value.isfinite().all()


@pytest.mark.parametrize("normalizer", ["softmax", "sparsemax"])
def test_a_window_inside_the_reach_leaves_weights_that_sum_to_one(normalizer, example):
    torch.manual_seed(0)
    config = SoftAttentionConfig(
        score="dot",
        size=6,
        dynamics="forward",
        reach=3,
        window_back=0,
        window_ahead=1,
        normalizer=normalizer,
    )
    module = SoftAttention(4, 6, config).double()
    keys = module.prepare(example.memory, example.lengths)
    state = module.initial_state(keys)
    for query in example.queries:
        _, weights, state = module(8 * query, keys, state)
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 1).double())
        assert ((weights > 0).sum(-1) <= 2).all()
