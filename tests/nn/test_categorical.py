import torch

from asr_attn.nn.categorical import sample


def test_draws_as_often_as_the_probabilities_say():
    torch.manual_seed(0)
    probabilities = torch.tensor([[0.1, 0.2, 0.7], [0.0, 0.5, 0.5]])
    draws = sample(probabilities.expand(20000, 2, 3))
    assert draws.shape == (20000, 2)
    for row in range(2):
        shares = torch.bincount(draws[:, row], minlength=3) / len(draws)
        assert torch.allclose(shares, probabilities[row], atol=0.015)  # four standard errors
    assert not (draws[:, 1] == 0).any()


def test_distributions_that_are_not_finite_give_some_category_and_leave_the_others_alone():
    probabilities = torch.eye(4)
    probabilities[1] = torch.nan
    probabilities[2, 3] = torch.nan
    drawn = sample(probabilities)
    assert drawn[0] == 0
    assert drawn[3] == 3
    assert ((drawn >= 0) & (drawn < 4)).all()
