import math

import numpy as np
import pytest
import torch

from asr_attn.nn.masking import Span, attention_mask
from asr_attn.nn.multihead import MultiHeadSelfAttention
from asr_attn.nn.positions import add_sinusoids, rotate, sinusoids

SIZE, HEADS, STEPS = 12, 3, 7


def sinusoid(position: int, size: int) -> np.ndarray:
    row = np.zeros(size)
    for i in range(size // 2):
        angle = position / 10000 ** (2 * i / size)
        row[2 * i], row[2 * i + 1] = math.sin(angle), math.cos(angle)
    return row


def numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def heads_of(layer: MultiHeadSelfAttention, x: np.ndarray) -> np.ndarray:
    """Queries, keys and values (3, H, T, D / H) of ``x`` (T, D)."""
    qkv = x @ numbers(layer.project_in.weight).T + numbers(layer.project_in.bias)
    return qkv.reshape(len(x), 3, HEADS, SIZE // HEADS).transpose(1, 2, 0, 3)


def attend(layer: MultiHeadSelfAttention, energies: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Output (T, D) of scaled energies (H, T, T), -inf where unseen, and values."""
    weights = np.exp(energies - energies.max(-1, keepdims=True))
    context = weights / weights.sum(-1, keepdims=True) @ value
    merged = context.transpose(1, 0, 2).reshape(-1, SIZE)
    return merged @ numbers(layer.project_out.weight).T + numbers(layer.project_out.bias)


def transformer_xl(layer: MultiHeadSelfAttention, x: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Dai et al. 2019, section 3.3, one query and one key at a time."""
    query, key, value = heads_of(layer, x)
    assert layer.relative is not None
    u = numbers(layer.relative.content_bias)[:, 0]
    v = numbers(layer.relative.position_bias)[:, 0]
    weight = numbers(layer.relative.project.weight)
    energies = np.full((HEADS, len(x), len(x)), -np.inf)
    for h in range(HEADS):
        columns = slice(h * SIZE // HEADS, (h + 1) * SIZE // HEADS)
        for i in range(len(x)):
            for j in range(len(x)):
                if seen[i, j]:
                    r = (weight @ sinusoid(i - j, SIZE))[columns]
                    content, position = query[h, i] @ key[h, j], query[h, i] @ r
                    bias = u[h] @ key[h, j] + v[h] @ r
                    energies[h, i, j] = (content + position + bias) / math.sqrt(SIZE // HEADS)
    return attend(layer, energies, value)


def make(positions: str) -> MultiHeadSelfAttention:
    torch.manual_seed(0)
    layer = MultiHeadSelfAttention(SIZE, HEADS, positions).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer


def test_sinusoids_follow_the_formula():
    positions = [-9, -1, 0, 1, 2, 500]
    table = sinusoids(torch.tensor(positions), 10, torch.float64)
    expected = np.stack([sinusoid(position, 10) for position in positions])
    np.testing.assert_allclose(table.numpy(), expected, atol=1e-12)


def test_sinusoids_are_added_from_step_zero_on():
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    expected = x.numpy() + np.stack([sinusoid(step, 6) for step in range(5)])
    np.testing.assert_allclose(add_sinusoids(x).numpy(), expected, atol=1e-12)


def test_long_sequences_keep_their_precision_in_low_precision():
    rough = sinusoids(torch.arange(3000), 16, torch.bfloat16)
    exact = sinusoids(torch.arange(3000), 16, torch.float64)
    assert rough.dtype == torch.bfloat16
    assert (rough.double() - exact).abs().max() < 0.01


@pytest.mark.parametrize("span", [Span(), Span(ahead=0), Span(back=2, ahead=1), Span(chunk=3)])
def test_relative_attention_is_that_of_transformer_xl(span):
    layer = make("relative")
    lengths = torch.tensor([STEPS, 4, 1])
    x = torch.randn(3, STEPS, SIZE, dtype=torch.float64)
    mask = attention_mask(lengths, STEPS, span)
    out = numbers(layer(x, mask))
    for b, length in enumerate(lengths.tolist()):
        seen = mask[b].expand(STEPS, STEPS)[:length, :length].numpy()
        expected = transformer_xl(layer, x[b, :length].numpy(), seen)
        np.testing.assert_allclose(out[b, :length], expected, atol=1e-10)


def test_rotation_is_a_product_of_complex_numbers():
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    pairs = x.numpy()[..., 0::2] + 1j * x.numpy()[..., 1::2]
    for step in range(9):
        for i in range(4):
            pairs[:, :, step, i] *= np.exp(1j * step * 10000 ** (-2 * i / 8))
    rotated = rotate(x).numpy()
    np.testing.assert_allclose(rotated[..., 0::2] + 1j * rotated[..., 1::2], pairs, atol=1e-12)


def test_rotary_scores_depend_on_the_distance_alone():
    query, key = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64).expand(2, 1, 1, 9, 8)
    scores = (rotate(query) @ rotate(key).transpose(-1, -2))[0, 0]
    for distance in range(-8, 9):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand(len(diagonal)))
    assert scores[0].unique().numel() == 9
    torch.testing.assert_close(scores[3, 3], query[0, 0, 0] @ key[0, 0, 0])


def test_rotary_attention_follows_the_formula():
    layer = make("rotary")
    x = torch.randn(1, STEPS, SIZE, dtype=torch.float64)
    query, key, value = heads_of(layer, x[0].numpy())
    width = SIZE // HEADS
    angles = [10000 ** (-2 * i / width) for i in range(width // 2)]
    energies = np.zeros((HEADS, STEPS, STEPS))
    for i in range(STEPS):
        for j in range(STEPS):
            q = query[:, i, 0::2] + 1j * query[:, i, 1::2]
            k = key[:, j, 0::2] + 1j * key[:, j, 1::2]
            turned = q * k.conj() * np.exp(1j * (i - j) * np.array(angles))
            energies[:, i, j] = turned.real.sum(-1) / math.sqrt(width)
    out = layer(x, attention_mask(torch.tensor([STEPS]), STEPS))
    np.testing.assert_allclose(numbers(out[0]), attend(layer, energies, value), atol=1e-10)


@pytest.mark.parametrize(("positions", "ordered"), [("none", False), ("relative", True)])
def test_only_positions_tell_the_order(positions, ordered):
    layer = make(positions)
    x = torch.randn(1, STEPS, SIZE, dtype=torch.float64)
    mask = attention_mask(torch.tensor([STEPS]), STEPS)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert torch.allclose(layer(x, mask)[:, order], layer(x[:, order], mask)) is not ordered


@pytest.mark.parametrize("positions", ["relative", "rotary"])
def test_attention_moves_with_what_it_hears(positions):
    """Relative and rotary attention within a window: a shifted input gives a shifted output."""
    layer = make(positions)
    x = torch.randn(1, STEPS + 3, SIZE, dtype=torch.float64)
    mask = attention_mask(torch.tensor([STEPS + 3]), STEPS + 3, Span(back=1, ahead=1))
    moved = layer(x.roll(3, dims=1), mask)
    torch.testing.assert_close(moved[:, 4:-1], layer(x, mask)[:, 1:-4])


def test_refuses_an_odd_width():
    with pytest.raises(ValueError, match="even width, not 5"):
        sinusoids(torch.arange(3), 5, torch.float32)
    with pytest.raises(ValueError, match="even width, not 3"):
        MultiHeadSelfAttention(9, 3, "rotary")(torch.zeros(1, 2, 9), torch.ones(1, 1, 2).bool())
