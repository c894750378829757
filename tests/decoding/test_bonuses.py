import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr_attn.decoding.bonuses import LengthBonus, coverage_score
from asr_attn.text.tokenizer import BLANK, EOS


@pytest.mark.parametrize("bonus", [1.0, 0.25, -0.5])
def test_a_sentence_gets_the_bonus_times_its_tokens(bonus):
    scorer = LengthBonus(6, bonus)
    text = [3, 3, 5, 2, EOS]
    state = scorer.start(torch.zeros(1, 4, 2), torch.tensor([4]))
    total, last = 0.0, EOS
    for token in text:
        scores, state = scorer.score(torch.tensor([last]), state)
        total += float(scores[0, token])
        last = token
    assert total == pytest.approx(4 * bonus)
    assert scorer.gain == float(scores.max())


def test_length_is_the_same_for_every_hypothesis_and_for_no_blank():
    scorer = LengthBonus(5)
    state = scorer.start(torch.zeros(2, 4, 2), torch.tensor([4, 3]))
    tokens = torch.tensor([EOS, 3, 4])
    scores, state = scorer.score(tokens, state.select(torch.tensor([1, 0, 1])))
    assert scores.tolist() == [[0.0, 0.0, 1.0, 1.0, 1.0]] * 3
    assert (BLANK, EOS) == (0, 1)
    assert scorer.score(tokens[:0], state)[0].shape == (0, 5)


def random_total(seed: int, tokens: int) -> torch.Tensor:
    """Attention (3, tokens, 2, 9) of three hypotheses."""
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(3, tokens, 2, 9, generator=generator)).softmax(dim=-1)


@pytest.mark.parametrize("softness", [0.0, 0.2])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 1.0])
def test_coverage_equals_counting_step_by_step(threshold, softness):
    lengths = torch.tensor([9, 4, 1])
    for seed in range(5):
        total = random_total(seed, 4).sum(dim=1)
        found = coverage_score(total, lengths, threshold, softness)
        for row, length in enumerate(lengths.tolist()):
            expected = 0.0
            for step in range(length):
                value = (float(total[row, 0, step]) + float(total[row, 1, step])) / 2
                if softness:
                    low, high = threshold - softness, threshold + softness
                    expected += min(max((value - low) / (high - low), 0.0), 1.0)
                else:
                    expected += value > threshold
            assert float(found[row]) == pytest.approx(expected, abs=1e-4)


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.5]))
def test_coverage_never_falls(seed, softness):
    lengths = torch.tensor([9, 6, 2])
    totals = random_total(seed, 6).cumsum(dim=1).unbind(1)
    scores = torch.stack([coverage_score(t, lengths, softness=softness) for t in totals])
    assert (scores.diff(dim=0) >= 0).all()
    assert (scores <= lengths).all()


def test_a_loop_gains_nothing():
    lengths = torch.tensor([4])
    once = torch.eye(4)[None, :3].sum(dim=1, keepdim=True)
    assert float(coverage_score(once, lengths)) == 3.0
    assert float(coverage_score(7 * once, lengths)) == 3.0


def test_a_long_memory_is_counted_exactly_in_half_precision():
    total = torch.ones(1, 1, 5000, dtype=torch.float16)
    assert float(coverage_score(total, torch.tensor([4999]))) == 4999.0
