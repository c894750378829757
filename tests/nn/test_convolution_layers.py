"""Layers with convolutions against torch's functions on each sequence alone."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from asr_attn.nn.branchformer import BranchformerLayer, ConvolutionalGatingMlp, Merge
from asr_attn.nn.conformer import ConformerLayer, ConvolutionModule
from asr_attn.nn.convolution import DepthwiseConv
from asr_attn.nn.masking import attention_mask

LENGTHS = [11, 6, 2, 1]
SIZE = 6
CAUSAL = pytest.mark.parametrize("causal", [False, True])


def random(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double()


def batch(seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    x = torch.full((len(LENGTHS), max(LENGTHS), SIZE), 1e3, dtype=torch.float64)
    for row, length in zip(x, LENGTHS, strict=True):
        row[:length] = torch.randn(length, SIZE)
    return x


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return x @ layer.weight.T + layer.bias


def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + layer.eps).sqrt()
    return centred / scale * layer.weight + layer.bias


def depthwise(layer: DepthwiseConv, x: Tensor, causal: bool) -> Tensor:
    """Each output (D,) of ``x`` (T, D) as a sum over the kernel."""
    weight = layer.conv.weight[:, 0]
    kernel_size = weight.size(1)
    first = 1 - kernel_size if causal else -(kernel_size // 2)
    rows = []
    for t in range(len(x)):
        row = layer.conv.bias
        for k in range(kernel_size):
            if 0 <= t + first + k < len(x):
                row = row + weight[:, k] * x[t + first + k]
        rows.append(row)
    return torch.stack(rows)


def feedforward(layers: nn.Sequential, x: Tensor) -> Tensor:
    inner = linear(layers[1], norm(layers[0], x))
    return linear(layers[4], inner * torch.sigmoid(inner))


def convolution_module(module: ConvolutionModule, x: Tensor, causal: bool) -> Tensor:
    value, gate = linear(module.project_in, norm(module.norm_in, x)).split(SIZE, dim=-1)
    x = norm(module.norm_depthwise, depthwise(module.depthwise, value * gate.sigmoid(), causal))
    return linear(module.project_out, x * x.sigmoid())


def gating(module: ConvolutionalGatingMlp, x: Tensor, causal: bool) -> Tensor:
    inner = f.gelu(linear(module.project_in, x))
    half = inner.size(-1) // 2
    gate = depthwise(module.depthwise, norm(module.norm, inner[:, half:]), causal)
    return linear(module.project_out, inner[:, :half] * gate)


def merged(module: Merge, one: Tensor, other: Tensor, causal: bool) -> Tensor:
    both = torch.cat([one, other], dim=-1)
    return linear(module.project, both + depthwise(module.depthwise, both, causal))


def check(out: Tensor, expected: list[Tensor]) -> None:
    for row, right in zip(out, expected, strict=True):
        torch.testing.assert_close(row[: len(right)], right, atol=1e-10, rtol=1e-10)


def alone(x: Tensor) -> list[Tensor]:
    return [row[:length] for row, length in zip(x, LENGTHS, strict=True)]


def lengths() -> Tensor:
    return torch.tensor(LENGTHS)


@CAUSAL
@pytest.mark.parametrize("kernel_size", [1, 3, 9])
def test_depthwise_convolution(kernel_size, causal):
    layer = random(DepthwiseConv(SIZE, kernel_size, causal))
    check(layer(batch(), lengths()), [depthwise(layer, x, causal) for x in alone(batch())])


@CAUSAL
def test_convolution_module(causal):
    module = random(ConvolutionModule(SIZE, 5, 0.0, causal))
    expected = [convolution_module(module, x, causal) for x in alone(batch())]
    check(module(batch(), lengths()), expected)


@CAUSAL
def test_convolutional_gating_mlp(causal):
    module = random(ConvolutionalGatingMlp(SIZE, 10, 5, 0.0, causal))
    check(module(batch(), lengths()), [gating(module, x, causal) for x in alone(batch())])


def test_gates_start_at_one():
    module = ConvolutionalGatingMlp(SIZE, 10, 5, 0.0).double()
    x = batch()[:1]
    expected = linear(module.project_out, f.gelu(linear(module.project_in, x))[..., :5])
    torch.testing.assert_close(module(x, torch.tensor([11])), expected, atol=1e-4, rtol=0)


@CAUSAL
def test_merge(causal):
    module = random(Merge(SIZE, 3, causal))
    one, other = batch(1), batch(2)
    expected = [merged(module, *pair, causal) for pair in zip(alone(one), alone(other))]
    check(module(one, other, lengths()), expected)


@CAUSAL
def test_conformer_layer(causal):
    layer = random(ConformerLayer(SIZE, 3, 10, 5, 0.0, "relative", causal))
    expected = []
    for x in alone(batch()):
        x = x + feedforward(layer.feedforward_first, x) / 2
        everything = torch.ones(1, 1, len(x), dtype=torch.bool)
        x = x + layer.attention(norm(layer.norm_attention, x)[None], everything)[0]
        x = x + convolution_module(layer.convolution, x, causal)
        x = x + feedforward(layer.feedforward_last, x) / 2
        expected.append(norm(layer.norm, x))
    check(layer(batch(), lengths(), attention_mask(lengths(), max(LENGTHS))), expected)


@CAUSAL
def test_branchformer_layer(causal):
    layer = random(BranchformerLayer(SIZE, 3, 10, 8, 5, 3, 0.0, "relative", causal))
    expected = []
    for x in alone(batch()):
        x = x + feedforward(layer.feedforward_first, x) / 2
        everything = torch.ones(1, 1, len(x), dtype=torch.bool)
        far = layer.attention(norm(layer.norm_attention, x)[None], everything)[0]
        near = gating(layer.gating, norm(layer.norm_gating, x), causal)
        x = x + merged(layer.merge, far, near, causal)
        x = x + feedforward(layer.feedforward_last, x) / 2
        expected.append(norm(layer.norm, x))
    check(layer(batch(), lengths(), attention_mask(lengths(), max(LENGTHS))), expected)


def test_refuses_sizes_that_cannot_be():
    with pytest.raises(ValueError, match="odd and at least 1, not 4"):
        DepthwiseConv(SIZE, 4)
    with pytest.raises(ValueError, match="odd and at least 1, not -1"):
        DepthwiseConv(SIZE, -1)
    with pytest.raises(ValueError, match="inner_size must be even, not 5"):
        ConvolutionalGatingMlp(SIZE, 5, 3, 0.0)
