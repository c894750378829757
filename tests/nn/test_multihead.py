import pytest
import torch
from torch import nn

from asr_attn.nn.masking import padding_mask
from asr_attn.nn.multihead import MultiHeadSelfAttention, TransformerLayer

LENGTHS = torch.tensor([6, 3, 1])


def copy_attention(ours: MultiHeadSelfAttention, theirs: nn.MultiheadAttention) -> None:
    theirs.in_proj_weight.data.copy_(ours.project_in.weight.data)
    theirs.in_proj_bias.data.copy_(ours.project_in.bias.data)
    theirs.out_proj.load_state_dict(ours.project_out.state_dict())


def garbage_batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    mask = padding_mask(LENGTHS, 6)
    return torch.randn(3, 6, 8).masked_fill(~mask[:, :, None], 1e3), mask


def test_equals_torchs_multihead_attention():
    ours = MultiHeadSelfAttention(8, 2)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    copy_attention(ours, theirs)
    x, mask = garbage_batch()
    expected, _ = theirs(x, x, x, key_padding_mask=~mask, need_weights=False)
    torch.testing.assert_close(ours(x, mask)[mask], expected[mask], atol=1e-5, rtol=1e-5)


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
    x, mask = garbage_batch()
    expected = theirs(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(ours(x, mask)[mask], expected[mask], atol=1e-5, rtol=1e-5)


def test_padding_changes_nothing():
    torch.manual_seed(2)
    layer = TransformerLayer(8, 4, 16, dropout=0.0)
    x, mask = garbage_batch()
    out = layer(x, mask)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = layer(x[row : row + 1, :length], torch.ones(1, length, dtype=torch.bool))
        torch.testing.assert_close(out[row, :length], alone[0], atol=1e-5, rtol=1e-5)


def test_no_gradient_reaches_the_padding():
    layer = TransformerLayer(8, 4, 16, dropout=0.0)
    x, mask = garbage_batch()
    x.requires_grad_()
    layer(x, mask)[mask].sum().backward()
    assert x.grad is not None
    assert not x.grad[~mask].any()
    assert x.grad[mask].any(dim=-1).all()


@pytest.mark.parametrize("branch", ["attention", "feedforward"])
def test_dropout_is_on_both_branches(branch):
    x, mask = garbage_batch()
    layer = TransformerLayer(8, 2, 12, dropout=0.5)
    silent = layer.feedforward[3] if branch == "attention" else layer.attention.project_out
    nn.init.zeros_(silent.weight)
    nn.init.zeros_(silent.bias)
    change = (layer(x, mask) - x)[mask]
    assert 0.2 < float((change == 0).float().mean()) < 0.8
    assert not torch.equal(layer(x, mask), layer(x, mask))


def test_runs_in_bf16():
    layer = TransformerLayer(8, 2, 12, dropout=0.0)
    x, mask = garbage_batch()
    x = x.masked_fill(~mask[:, :, None], 0.0)
    exact = layer(x, mask)[mask]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = layer(x, mask)[mask]
    rough.float().sum().backward()
    torch.testing.assert_close(rough.float(), exact, atol=0.05, rtol=0.05)


def test_refuses_a_width_that_heads_do_not_divide():
    with pytest.raises(ValueError, match="multiple of heads"):
        MultiHeadSelfAttention(10, 4)
