import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_attn.nn.masking import Span, attention_mask

LIMIT = st.integers(-1, 4)
SPANS = st.one_of(
    st.builds(Span, back=LIMIT, ahead=LIMIT),
    st.builds(Span, chunk=st.integers(1, 5), left_chunks=st.integers(-1, 2)),
)


def chunk_of(step: int, size: int) -> int:
    """Number of the chunk that holds a step, by counting."""
    return next(c for c in range(step + 1) if step in range(c * size, (c + 1) * size))


def sees(span: Span, i: int, j: int) -> bool:
    if span.back >= 0 and i - j > span.back:
        return False
    if span.ahead >= 0 and j - i > span.ahead:
        return False
    if span.chunk:
        mine, other = chunk_of(i, span.chunk), chunk_of(j, span.chunk)
        first = 0 if span.left_chunks < 0 else mine - span.left_chunks
        return first <= other <= mine
    return True


@settings(deadline=None)
@given(SPANS, st.lists(st.integers(0, 9), min_size=1, max_size=3), st.integers(9, 11))
def test_mask_is_the_rule_spelt_out(span, lengths, size):
    mask = attention_mask(torch.tensor(lengths), size, span)
    mask = mask.expand(len(lengths), size, size)
    for b, length in enumerate(lengths):
        for i in range(length):
            assert mask[b, i].tolist() == [j < length and sees(span, i, j) for j in range(size)]
        assert not mask[b, :length, length:].any()
    assert mask.any(dim=-1).all()


def test_without_a_limit_all_steps_share_a_row():
    mask = attention_mask(torch.tensor([2, 3]), 3)
    assert mask.tolist() == [[[True, True, False]], [[True, True, True]]]


def test_no_row_is_empty_even_of_an_empty_sequence():
    assert attention_mask(torch.tensor([0]), 3).tolist() == [[[True, False, False]]]
    assert attention_mask(torch.tensor([0]), 3, Span(ahead=0)).any(dim=-1).all()
