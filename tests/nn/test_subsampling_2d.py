import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm, linear

from asr_attn.nn.subsampling import Conv2dSubsampling, VggBlock, VggSubsampling

LENGTHS = [13, 12, 5, 2, 1]


def batch(bands: int) -> torch.Tensor:
    torch.manual_seed(1)
    x = torch.full((len(LENGTHS), max(LENGTHS), bands), torch.nan, dtype=torch.float64)
    for row, length in zip(x, LENGTHS, strict=True):
        row[:length] = torch.randn(length, bands)
    return x


def convolve(x: np.ndarray, conv: torch.nn.Conv2d, strides: tuple[int, int]) -> np.ndarray:
    """3x3 convolution and ReLU of ``x`` (C, T, D), term by term; what is outside counts as zero."""
    step, hop = strides
    weight, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
    _, frames, bands = x.shape
    out = np.zeros((len(bias), -(-frames // step), -(-bands // hop)))
    for t in range(out.shape[1]):
        for d in range(out.shape[2]):
            total = bias.copy()
            for dt in (-1, 0, 1):
                for dd in (-1, 0, 1):
                    at, ad = step * t + dt, hop * d + dd
                    if 0 <= at < frames and 0 <= ad < bands:
                        total = total + weight[:, :, dt + 1, dd + 1] @ x[:, at, ad]
            out[:, t, d] = np.maximum(total, 0)
    return out


def pool(x: np.ndarray) -> np.ndarray:
    """Largest of each 2x2 square of ``x`` (C, T, D); squares may stand over the edge."""
    _, frames, bands = x.shape
    rows = [
        [x[:, t : t + 2, d : d + 2].max(axis=(1, 2)) for d in range(0, bands, 2)]
        for t in range(0, frames, 2)
    ]
    return np.array(rows).transpose(2, 0, 1)


def side_by_side(x: np.ndarray) -> np.ndarray:
    return x.transpose(1, 0, 2).reshape(x.shape[1], -1)


@pytest.mark.parametrize("bands", [8, 7, 1])
def test_vgg_blocks_are_convolutions_and_pooling_whatever_the_padding(bands):
    torch.manual_seed(0)
    layer = VggSubsampling(bands, channels=2).double()
    out, steps = layer(batch(bands), torch.tensor(LENGTHS))
    assert steps.tolist() == [-(-length // 4) for length in LENGTHS]
    assert out.shape == (len(LENGTHS), int(max(steps)), layer.output_size)
    for row, source, length, count in zip(out, batch(bands), LENGTHS, steps.tolist(), strict=True):
        x = source[:length].numpy()[None]
        for block in layer.blocks:
            assert isinstance(block, VggBlock)
            for conv in block.convs:
                x = convolve(x, conv, (1, 1))
            x = pool(x)
        np.testing.assert_allclose(row[:count].detach().numpy(), side_by_side(x), atol=1e-12)
        assert not row[count:].any()


@pytest.mark.parametrize(
    ("bands", "strides"), [(8, (2, 2)), (7, (2, 2)), (1, (2, 2)), (7, (1, 3)), (8, (1, 1))]
)
def test_strided_convolutions_follow_the_formula_whatever_the_padding(bands, strides):
    torch.manual_seed(0)
    layer = Conv2dSubsampling(bands, 6, channels=3, strides=strides).double()
    torch.nn.init.normal_(layer.norm.bias)
    out, steps = layer(batch(bands), torch.tensor(LENGTHS))
    assert layer.reduction == strides[0] * strides[1]
    assert steps.tolist() == [-(-length // layer.reduction) for length in LENGTHS]
    assert out.shape == (len(LENGTHS), int(max(steps)), 6)
    for row, source, length, count in zip(out, batch(bands), LENGTHS, steps.tolist(), strict=True):
        x = source[:length].numpy()[None]
        for conv, stride in zip(layer.convs, strides, strict=True):
            x = convolve(x, conv, (stride, 2))
        flat = torch.from_numpy(side_by_side(x))
        projected = linear(flat, layer.project.weight, layer.project.bias)
        expected = layer_norm(projected, (6,), layer.norm.weight, layer.norm.bias)
        torch.testing.assert_close(row[:count], expected, atol=1e-12, rtol=1e-12)
        assert not row[count:].any()


def test_a_step_sees_no_frame_after_its_own_four():
    layer = Conv2dSubsampling(4, 6, channels=3).double()
    x = torch.randn(1, 16, 4, dtype=torch.float64, requires_grad=True)
    out, _ = layer(x, torch.tensor([16]))
    (gradient,) = torch.autograd.grad(out[0, 1].square().sum(), x)
    assert gradient[0].any(dim=-1).nonzero().flatten().tolist() == list(range(1, 8))
