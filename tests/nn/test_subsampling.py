import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from asr_attn.nn.subsampling import ConvSubsampling, join_pairs


def reference(layer: ConvSubsampling, x: np.ndarray) -> np.ndarray:
    """Convolution, layer norm and GELU of one sequence (T, D), term by term."""
    weight = layer.conv.weight.detach().numpy()  # (output, input, kernel)
    bias = layer.conv.bias.detach().numpy()
    half = weight.shape[2] // 2
    rows = []
    for centre in range(0, len(x), layer.stride):
        row = bias.copy()
        for k in range(weight.shape[2]):
            frame = centre + k - half
            if 0 <= frame < len(x):
                row = row + weight[:, :, k] @ x[frame]
        row = (row - row.mean()) / np.sqrt(row.var() + layer.norm.eps)
        row = row * layer.norm.weight.detach().numpy() + layer.norm.bias.detach().numpy()
        rows.append(row * 0.5 * (1 + erf(row / math.sqrt(2))))
    return np.stack(rows)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 11), min_size=1, max_size=3),
    st.sampled_from([1, 3, 5]),
    st.integers(1, 4),
)
def test_each_sequence_equals_the_formula_whatever_its_padding(lengths, kernel_size, stride):
    torch.manual_seed(0)
    layer = ConvSubsampling(3, 4, kernel_size, stride).double()
    x = torch.full((len(lengths), 11, 3), 1e3, dtype=torch.float64)
    for row, length in zip(x, lengths, strict=True):
        row[:length] = torch.randn(length, 3)
    out, steps = layer(x, torch.tensor(lengths))
    assert out.shape == (len(lengths), math.ceil(11 / stride), 4)
    assert steps.tolist() == [math.ceil(length / stride) for length in lengths]
    for row, source, length, count in zip(out, x, lengths, steps.tolist(), strict=True):
        expected = reference(layer, source[:length].numpy())
        np.testing.assert_allclose(row[:count].detach().numpy(), expected, atol=1e-10)
        assert not row[count:].any()


def test_refuses_an_even_kernel():
    with pytest.raises(ValueError, match="odd"):
        ConvSubsampling(3, 4, 4, 2)


@pytest.mark.parametrize("lengths", [[6, 3, 1], [7, 4, 5]])
def test_pairs_are_neighbours_side_by_side(lengths):
    x = torch.zeros(3, max(lengths), 2)
    for row, length in zip(x, lengths, strict=True):
        row[:length] = torch.randn(length, 2)
    out, steps = join_pairs(x, torch.tensor(lengths))
    assert steps.tolist() == [-(-length // 2) for length in lengths]
    assert out.shape == (3, -(-max(lengths) // 2), 4)
    for row, source, length, count in zip(out, x, lengths, steps.tolist(), strict=True):
        for step in range(count):
            assert torch.equal(row[step, :2], source[2 * step])
            second = source[2 * step + 1] if 2 * step + 1 < length else torch.zeros(2)
            assert torch.equal(row[step, 2:], second)
        assert not row[count:].any()
