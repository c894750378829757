import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr_attn.nn.recurrent import BidirectionalLSTM


def packed_twin(layer: BidirectionalLSTM, input_size: int, output_size: int) -> nn.LSTM:
    """torch's own bidirectional LSTM with the same weights."""
    twin = nn.LSTM(input_size, output_size // 2, batch_first=True, bidirectional=True).double()
    for name, value in layer.left_to_right.named_parameters():
        getattr(twin, name).data.copy_(value.data)
    for name, value in layer.right_to_left.named_parameters():
        getattr(twin, f"{name}_reverse").data.copy_(value.data)
    return twin


def run_packed(twin: nn.LSTM, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    out, _ = pad_packed_sequence(twin(packed)[0], batch_first=True, total_length=x.size(1))
    return out


@pytest.mark.parametrize("lengths", [[9, 4, 1, 6], [9, 9], [1]])
def test_equals_packed_lstm_with_gradients(lengths):
    torch.manual_seed(0)
    layer = BidirectionalLSTM(5, 8).double()
    twin = packed_twin(layer, 5, 8)
    steps = torch.tensor(lengths)
    x = torch.randn(len(lengths), 9, 5, dtype=torch.float64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    seen, expected = layer(ours, steps), run_packed(twin, theirs, steps)
    torch.testing.assert_close(seen, expected)

    direction = torch.randn_like(expected)
    (seen * direction).sum().backward()
    (expected * direction).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    for name, value in layer.left_to_right.named_parameters():
        torch.testing.assert_close(value.grad, getattr(twin, name).grad)
    for name, value in layer.right_to_left.named_parameters():
        torch.testing.assert_close(value.grad, getattr(twin, f"{name}_reverse").grad)


def test_padding_changes_nothing():
    torch.manual_seed(1)
    layer = BidirectionalLSTM(3, 4).double()
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    x[1, 4:] = 1e3
    out = layer(x, torch.tensor([7, 4]))
    torch.testing.assert_close(out[1:, :4], layer(x[1:, :4], torch.tensor([4])))
    assert not out[1, 4:].any()


def test_refuses_an_odd_width():
    with pytest.raises(ValueError, match="even"):
        BidirectionalLSTM(3, 5)
