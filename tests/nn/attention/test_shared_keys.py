"""Hypotheses that share the keys of their utterance attend as if each had its own."""

import pytest
import torch

from asr_attn.nn.attention import ATTENTIONS, AttentionKeys, make_attention

B, S, MEMORY, QUERY = 3, 7, 6, 8
LENGTHS = torch.tensor([7, 4, 6])


def keys_of(tensors: AttentionKeys, rows: torch.Tensor) -> AttentionKeys:
    """A row of its own for each hypothesis."""
    return AttentionKeys(tensors.keys[rows], tensors.values[rows], tensors.mask[rows])


def utterance_of(keys: AttentionKeys) -> list[int]:
    """Which utterance each hypothesis reads, told by marked values."""
    return keys.values[:, 0, 0, 0].repeat_interleave(keys.each).long().tolist()


def marked() -> AttentionKeys:
    values = torch.arange(B).float()[:, None, None, None].expand(B, 1, S, 2).clone()
    return AttentionKeys(values.clone(), values, torch.ones(B, S, dtype=torch.bool))


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("name", ATTENTIONS)
def test_shared_equals_own(name, heads):
    torch.manual_seed(1)
    config = ATTENTIONS[name][1]
    changes = {"heads": heads}
    module = make_attention(QUERY, MEMORY, type(config)(**{**vars(config), **changes})).eval()
    module.double()
    memory = torch.randn(B, S, MEMORY, dtype=torch.float64)
    with torch.inference_mode():
        prepared = module.prepare(memory, LENGTHS)
        state = module.initial_state(prepared)
        spread = torch.arange(B).repeat_interleave(4)
        shared, own = prepared.select(spread), keys_of(prepared, spread)
        assert shared.each == 4
        assert shared.keys.data_ptr() == prepared.keys.data_ptr()
        one = other = state.select(spread)
        moves = torch.tensor([1, 1, 0, 3, 6, 5, 4, 4, 8, 11, 10, 9])
        for _ in range(3):
            query = torch.randn(4 * B, QUERY, dtype=torch.float64)
            context, weights, one = module(query, shared, one)
            context_own, weights_own, other = module(query, own, other)
            torch.testing.assert_close(context, context_own)
            torch.testing.assert_close(weights, weights_own)
            shared, one, other = shared.select(moves), one.select(moves), other.select(moves)
            own = keys_of(own, moves)
            assert shared.each == 4


def test_moving_hypotheses_within_their_utterances_copies_nothing():
    keys = marked().select(torch.tensor([0, 0, 1, 1, 2, 2]))
    moved = keys.select(torch.tensor([1, 1, 2, 3, 5, 4]))
    assert moved.keys.data_ptr() == keys.keys.data_ptr()
    assert utterance_of(moved) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    "index",
    [
        [0, 1, 4, 5],  # an utterance leaves
        [4, 5, 0, 1],  # utterances change places
        [0, 2, 4],  # one hypothesis each
        [0, 0, 0, 2, 3, 3, 4, 4, 5],  # more of them
        [0, 1, 2, 4],  # unequal numbers
        [5, 0, 3, 1],  # anything
        [2, 3],
        [],
    ],
)
def test_any_choice_takes_the_right_utterances(index):
    keys = marked().select(torch.tensor([0, 0, 1, 1, 2, 2]))
    chosen = keys.select(torch.tensor(index, dtype=torch.long))
    assert utterance_of(chosen) == [i // 2 for i in index]
    assert chosen.allowed.shape == (len(index), 1, S)
    again = chosen.select(torch.arange(len(index)).flip(0))
    assert utterance_of(again) == [i // 2 for i in reversed(index)]


def test_the_mask_goes_with_the_utterances():
    mask = torch.arange(S) < LENGTHS[:, None]
    keys = AttentionKeys(torch.zeros(B, 1, S, 2), torch.zeros(B, 1, S, 2), mask)
    chosen = keys.select(torch.tensor([0, 0, 1, 1, 2, 2]))
    assert chosen.allowed[:, 0].sum(1).tolist() == [7, 7, 4, 4, 6, 6]
