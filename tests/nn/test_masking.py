import torch
from hypothesis import given
from hypothesis import strategies as st

from asr_attn.nn.masking import padding_mask, reverse_padded, zero_padding

LENGTHS = st.lists(st.integers(0, 7), min_size=1, max_size=4)


@given(LENGTHS, st.integers(0, 9))
def test_mask_is_true_where_a_step_is_before_the_end(lengths, size):
    mask = padding_mask(torch.tensor(lengths), size)
    assert mask.tolist() == [[step < length for step in range(size)] for length in lengths]
    assert mask.dtype == torch.bool


@given(LENGTHS, st.sampled_from([(), (3,), (2, 3)]))
def test_zero_padding_keeps_what_is_real_and_zeroes_the_rest(lengths, shape):
    x = torch.randn(len(lengths), 7, *shape)
    x[torch.arange(7)[None] >= torch.tensor(lengths)[:, None]] = torch.nan
    out = zero_padding(x, torch.tensor(lengths))
    for row, source, length in zip(out, x, lengths, strict=True):
        assert torch.equal(row[:length], source[:length])
        assert not row[length:].any()


@given(LENGTHS)
def test_reverse_padded_is_flip_of_the_real_part(lengths):
    x = torch.randn(len(lengths), 7, 2)
    out = reverse_padded(x, torch.tensor(lengths))
    for row, source, length in zip(out, x, lengths, strict=True):
        assert torch.equal(row[:length], source[:length].flip(0))
        assert torch.equal(row[length:], source[length:])
    assert torch.equal(reverse_padded(out, torch.tensor(lengths)), x)
