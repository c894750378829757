import math

import pytest
import torch

from asr_attn.nn.dropout import Dropout


def dropped(p: float, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return Dropout(p)(torch.ones(shape))


@pytest.mark.parametrize("p", [0.05, 0.1, 0.3, 0.5, 0.9])
def test_rate_is_that_of_the_rounded_probability(p):
    n = 400_001
    rate = round(p * 256) / 256
    out = dropped(p, (n,))
    deviation = math.sqrt(n * rate * (1 - rate))
    assert abs(int((out == 0).sum()) - n * rate) < 5 * deviation


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_every_byte_of_a_word_decides_alike_and_on_its_own(p):
    keep = (dropped(p, (80_000, 8)) != 0).double()
    expected = 1 - round(p * 256) / 256
    assert (keep.mean(dim=0) - expected).abs().max() < 5 * math.sqrt(0.25 / 80_000)
    correlation = torch.corrcoef(keep.T) - torch.eye(8, dtype=torch.float64)
    assert correlation.abs().max() < 5 / math.sqrt(80_000)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.999])
def test_scale_makes_the_expectation_exact(p):
    out = dropped(p, (10_000,))
    kept = 1 - min(round(p * 256), 255) / 256
    assert out[out != 0].unique().tolist() == pytest.approx([1 / kept])


def test_probability_is_rounded_to_a_multiple_of_a_256th():
    x = torch.randn(1000)
    assert torch.equal(Dropout(0.0019)(x), x)
    assert (dropped(0.002, (100_000,)) == 0).any()
    assert (dropped(0.999, (100_000,)) != 0).any()


def test_gradient_has_the_mask_and_scale_of_the_output():
    torch.manual_seed(1)
    x = torch.randn(5, 7, 3, requires_grad=True)
    y = Dropout(0.4)(x)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, (y / x).detach())
    assert 0 < int((x.grad == 0).sum()) < x.numel()


def test_identity_when_not_training_or_with_probability_zero():
    x = torch.randn(4, 5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


@pytest.mark.parametrize("shape", [(), (1,), (7,), (8,), (9,), (3, 5, 2), (0, 4)])
def test_any_shape(shape):
    assert dropped(0.5, shape).shape == shape


def test_not_contiguous_input():
    torch.manual_seed(3)
    x = torch.randn(6, 5).t()
    y = Dropout(0.5)(x)
    assert torch.equal(y[y != 0], 2 * x[y != 0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_dtype_is_kept(dtype):
    assert Dropout(0.5)(torch.ones(9, dtype=dtype)).dtype == dtype


def test_seed_decides():
    assert torch.equal(dropped(0.5, (100,), 1), dropped(0.5, (100,), 1))
    assert not torch.equal(dropped(0.5, (100,), 1), dropped(0.5, (100,), 2))


@pytest.mark.parametrize("p", [-0.1, 1.0, math.nan])
def test_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match="dropout"):
        Dropout(p)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_rate_on_a_gpu():
    out = Dropout(0.3)(torch.ones(400_000, device="cuda"))
    assert float((out == 0).float().mean()) == pytest.approx(0.3, abs=0.005)
