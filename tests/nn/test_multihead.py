import pytest
import torch
from torch import nn

from asr_attn.nn.masking import Span, attention_mask, padding_mask
from asr_attn.nn.multihead import MultiHeadSelfAttention, TransformerLayer
from asr_attn.nn.positions import POSITIONS

LENGTHS = torch.tensor([6, 3, 1])
SPANS = [
    Span(),
    Span(ahead=0),
    Span(back=2, ahead=1),
    Span(back=0, ahead=3),
    Span(back=0, ahead=0),
    Span(chunk=4),
    Span(chunk=3, left_chunks=1),
    Span(chunk=2, left_chunks=0),
]


def copy_attention(ours: MultiHeadSelfAttention, theirs: nn.MultiheadAttention) -> None:
    theirs.in_proj_weight.data.copy_(ours.project_in.weight.data)
    theirs.in_proj_bias.data.copy_(ours.project_in.bias.data)
    theirs.out_proj.load_state_dict(ours.project_out.state_dict())


def garbage_batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sequences with garbage after them, the mask of attention, and what is real."""
    torch.manual_seed(0)
    real = padding_mask(LENGTHS, 6)
    x = torch.randn(3, 6, 8).masked_fill(~real[:, :, None], 1e3)
    return x, attention_mask(LENGTHS, 6), real


def randomize(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)


def sees(span: Span, i: int, j: int) -> bool:
    if span.chunk:
        first = 0
        if span.left_chunks >= 0:
            first = (i // span.chunk - span.left_chunks) * span.chunk
        return first <= j < (i // span.chunk + 1) * span.chunk
    return (span.back < 0 or j >= i - span.back) and (span.ahead < 0 or j <= i + span.ahead)


def test_equals_torchs_multihead_attention():
    ours = MultiHeadSelfAttention(8, 2)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    randomize(ours)
    copy_attention(ours, theirs)
    x, mask, real = garbage_batch()
    expected, _ = theirs(x, x, x, key_padding_mask=~real, need_weights=False)
    torch.testing.assert_close(ours(x, mask)[real], expected[real], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("span", SPANS)
def test_equals_torchs_multihead_attention_under_every_mask(span):
    ours = MultiHeadSelfAttention(8, 2).double()
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).double()
    randomize(ours)
    copy_attention(ours, theirs)
    x = torch.randn(2, 9, 8, dtype=torch.float64)
    unseen = torch.tensor([[not sees(span, i, j) for j in range(9)] for i in range(9)])
    expected, _ = theirs(x, x, x, attn_mask=unseen, need_weights=False)
    out = ours(x, attention_mask(torch.tensor([9, 9]), 9, span))
    torch.testing.assert_close(out, expected, atol=1e-12, rtol=1e-12)


def test_layer_equals_torchs_encoder_layer():
    torch.manual_seed(1)
    ours = TransformerLayer(8, 2, 12, dropout=0.3).eval()
    theirs = nn.TransformerEncoderLayer(
        8, 2, 12, dropout=0.3, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    for norm in (ours.norm_attention, ours.norm_feedforward):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    copy_attention(ours.attention, theirs.self_attn)
    theirs.norm1.load_state_dict(ours.norm_attention.state_dict())
    theirs.norm2.load_state_dict(ours.norm_feedforward.state_dict())
    theirs.linear1.load_state_dict(ours.feedforward[0].state_dict())
    theirs.linear2.load_state_dict(ours.feedforward[3].state_dict())
    x, mask, real = garbage_batch()
    expected = theirs(x, src_key_padding_mask=~real)
    torch.testing.assert_close(ours(x, mask)[real], expected[real], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("span", SPANS)
def test_padding_changes_nothing(span, positions):
    torch.manual_seed(2)
    layer = TransformerLayer(8, 2, 16, 0.0, positions).double()
    randomize(layer)
    x, _, real = garbage_batch()
    x = x.double().requires_grad_()
    out = layer(x, attention_mask(LENGTHS, 6, span))
    for row, length in enumerate(LENGTHS.tolist()):
        mask = attention_mask(LENGTHS[row : row + 1], length, span)
        alone = layer(x[row : row + 1, :length], mask)
        torch.testing.assert_close(out[row, :length], alone[0], atol=1e-10, rtol=1e-10)
    out[real].square().sum().backward()
    assert x.grad is not None
    assert not x.grad[~real].any()
    assert x.grad[real].any(dim=-1).all()


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("span", SPANS)
def test_a_step_sees_what_the_span_says_and_nothing_else(span, positions):
    torch.manual_seed(3)
    layer = TransformerLayer(8, 2, 12, 0.0, positions).double()
    randomize(layer)
    mask = attention_mask(torch.tensor([9]), 9, span)
    x = torch.randn(9, 8, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x[None], mask)[0], x)
    felt = (jacobian != 0).any(dim=3).any(dim=1)
    assert felt.tolist() == [[sees(span, i, j) for j in range(9)] for i in range(9)]


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_padding_and_empty_sequences_give_no_nan(positions, dtype):
    layer = TransformerLayer(8, 2, 12, 0.0, positions)
    mask = attention_mask(torch.tensor([12, 1, 0]), 12, Span(back=2, ahead=1))
    x = torch.randn(3, 12, 8, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        out = layer(x, mask)
    out.float().square().sum().backward()
    assert out.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("branch", ["attention", "feedforward"])
def test_dropout_is_on_both_branches(branch):
    x, mask, real = garbage_batch()
    layer = TransformerLayer(8, 2, 12, dropout=0.5)
    silent = layer.feedforward[3] if branch == "attention" else layer.attention.project_out
    nn.init.zeros_(silent.weight)
    nn.init.zeros_(silent.bias)
    change = (layer(x, mask) - x)[real]
    assert 0.2 < float((change == 0).float().mean()) < 0.8
    assert not torch.equal(layer(x, mask), layer(x, mask))


@pytest.mark.parametrize("positions", POSITIONS)
def test_runs_in_bf16(positions):
    torch.manual_seed(4)
    layer = TransformerLayer(8, 2, 12, 0.0, positions)
    x, mask, real = garbage_batch()
    x = x.masked_fill(~real[:, :, None], 0.0)
    exact = layer(x, mask)[real]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = layer(x, mask)[real]
    rough.float().sum().backward()
    torch.testing.assert_close(rough.float(), exact, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("trained", [False, True])
def test_attention_is_fused_unless_a_trained_bias_forbids_it(positions, trained):
    layer = MultiHeadSelfAttention(8, 2, positions)
    x, mask, _ = garbage_batch()
    with torch.profiler.profile() as profile, torch.set_grad_enabled(trained):
        layer(x, mask)
    fused = any("flash_attention" in event.key for event in profile.key_averages())
    assert fused is not (positions == "relative" and trained)


def test_refuses_sizes_and_names_that_do_not_go_together():
    with pytest.raises(ValueError, match="multiple of heads"):
        MultiHeadSelfAttention(10, 4)
    with pytest.raises(ValueError, match="not one of none, sinusoidal, relative, rotary"):
        MultiHeadSelfAttention(8, 4, "absolute")
