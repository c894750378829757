import math

import numpy as np
import pytest
import torch
from torch import nn

from asr_attn.nn.cached_attention import CausalSelfAttention, CrossAttention
from asr_attn.nn.masking import padding_mask

LENGTHS = torch.tensor([5, 3, 1])


def randomize(module: nn.Module) -> None:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)


def make_self() -> tuple[CausalSelfAttention, torch.Tensor]:
    attention = CausalSelfAttention(8, 2).double()
    randomize(attention)
    return attention, torch.randn(3, 6, 8, dtype=torch.float64)


def make_cross(dropout: float = 0.0) -> tuple[CrossAttention, torch.Tensor, torch.Tensor]:
    """A module with four different sizes, steps, and a memory with garbage where padded."""
    attention = CrossAttention(8, 5, 6, 2, dropout).double()
    randomize(attention)
    memory = torch.randn(3, 5, 5, dtype=torch.float64)
    memory[~padding_mask(LENGTHS, 5)] = 1e3
    return attention, torch.randn(3, 4, 8, dtype=torch.float64), memory


def nothing(batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    empty = torch.zeros(batch, 2, 0, 4, dtype=torch.float64)
    return empty, empty


def test_self_attention_equals_torchs_under_a_causal_mask():
    ours, x = make_self()
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).double()
    theirs.in_proj_weight.data.copy_(ours.project_in.weight.data)
    theirs.in_proj_bias.data.copy_(ours.project_in.bias.data)
    theirs.out_proj.load_state_dict(ours.project_out.state_dict())
    later = torch.ones(6, 6, dtype=torch.bool).triu(1)
    expected, _ = theirs(x, x, x, attn_mask=later, need_weights=False)
    out, _ = ours(x, nothing())
    torch.testing.assert_close(out, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("pieces", [[1] * 6, [3, 2, 1], [1, 4, 1], [5, 1]])
def test_self_attention_in_pieces_equals_all_at_once(pieces):
    attention, x = make_self()
    expected, kept = attention(x, nothing())
    past, out = nothing(), []
    for piece in x.split(pieces, dim=1):
        before = past[0].size(2)
        read, past = attention(piece, past)
        out.append(read)
        assert [y.size(2) for y in past] == [before + piece.size(1)] * 2
    torch.testing.assert_close(torch.cat(out, dim=1), expected, atol=1e-12, rtol=1e-12)
    for one, other in zip(past, kept, strict=True):
        torch.testing.assert_close(one, other)


def test_self_attention_feels_itself_and_what_came_before():
    attention, x = make_self()
    x.requires_grad_()
    out, _ = attention(x, nothing())
    for step in range(6):
        (gradient,) = torch.autograd.grad(out[0, step].sum(), x, retain_graph=True)
        assert gradient[0].any(dim=-1).nonzero().flatten().tolist() == list(range(step + 1))
        assert not gradient[1:].any()


def test_cross_attention_equals_the_formula():
    attention, x, memory = make_cross()
    out, weights = attention(x, attention.prepare(memory), padding_mask(LENGTHS, 5))
    p = {name: value.detach().numpy() for name, value in attention.named_parameters()}
    for row, length in enumerate(LENGTHS.tolist()):
        real = memory[row, :length].numpy()
        query = x[row].numpy() @ p["project_query.weight"].T + p["project_query.bias"]
        keys = real @ p["project_keys.weight"].T
        values = real @ p["project_values.weight"].T + p["project_values.bias"]
        contexts = []
        for head in range(2):
            part, wide = slice(3 * head, 3 * head + 3), slice(4 * head, 4 * head + 4)
            energies = np.exp(query[:, part] @ keys[:, part].T / math.sqrt(3))
            share = energies / energies.sum(axis=-1, keepdims=True)
            np.testing.assert_allclose(weights[row, head, :, :length].detach(), share, atol=1e-12)
            assert not weights[row, head, :, length:].any()
            contexts.append(share @ values[:, wide])
        expected = np.concatenate(contexts, axis=-1) @ p["project_out.weight"].T
        expected += p["project_out.bias"]
        np.testing.assert_allclose(out[row].detach(), expected, atol=1e-12)


def test_cross_attention_equals_torchs():
    ours = CrossAttention(8, 5, 8, 4, 0.0).double()
    theirs = nn.MultiheadAttention(8, 4, batch_first=True, kdim=5, vdim=5).double()
    randomize(theirs)
    ours.project_query.weight.data.copy_(theirs.q_proj_weight.data)
    ours.project_keys.weight.data.copy_(theirs.k_proj_weight.data)
    ours.project_values.weight.data.copy_(theirs.v_proj_weight.data)
    query, _, value = theirs.in_proj_bias.data.chunk(3)
    ours.project_query.bias.data.copy_(query)
    ours.project_values.bias.data.copy_(value)
    ours.project_out.load_state_dict(theirs.out_proj.state_dict())
    _, x, memory = make_cross()
    mask = padding_mask(LENGTHS, 5)
    expected = theirs(x, memory, memory, key_padding_mask=~mask, average_attn_weights=False)
    for one, other in zip(ours(x, ours.prepare(memory), mask), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)


def test_dropout_is_on_the_weights_that_make_the_context_and_only_in_training():
    attention, x, memory = make_cross(dropout=0.25)
    nn.init.eye_(attention.project_out.weight)
    nn.init.zeros_(attention.project_out.bias)
    args = (x, attention.prepare(memory), padding_mask(LENGTHS, 5))
    exact, weights = attention.eval()(*args)
    assert torch.equal(attention(*args)[0], exact)
    attention.train()
    runs = [attention(*args) for _ in range(300)]
    assert all(torch.equal(attended, weights) for _, attended in runs)
    # an utterance of one step has one weight: it is dropped or made greater, for a whole head
    shares = torch.stack([out[2] for out, _ in runs]) / exact[2]
    shares = shares.unflatten(-1, (2, 4))
    torch.testing.assert_close(shares, shares[..., :1].expand_as(shares))
    kept = shares[..., 0] > 0.5
    torch.testing.assert_close(shares[..., 0], kept.double() / 0.75)
    assert abs(kept.double().mean() - 0.75) < 0.045


def test_half_precision_gives_weights_in_float32():
    attention, x, memory = make_cross()
    attention = attention.bfloat16()
    memory, x = memory.bfloat16(), x.bfloat16()
    out, weights = attention(x, attention.prepare(memory), padding_mask(LENGTHS, 5))
    assert out.dtype == torch.bfloat16
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 2, 4))


def test_refuses_sizes_that_cannot_be_cut_into_heads():
    with pytest.raises(ValueError, match="8 must be a multiple of heads 3"):
        CausalSelfAttention(8, 3)
    for size, score_size in ((8, 9), (9, 8)):
        with pytest.raises(ValueError, match="multiples of heads 4"):
            CrossAttention(size, 5, score_size, 4, 0.0)
