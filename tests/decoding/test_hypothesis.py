import math

import pytest
import torch

from asr_attn.decoding.hypothesis import SearchConfig


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0, 1.7])
def test_longest_output_counts_the_end(share):
    lengths = list(range(1, 60))
    found = SearchConfig(max_tokens_per_step=share).max_tokens(torch.tensor(lengths)).tolist()
    assert found == [math.ceil(round(length * share, 6)) + 1 for length in lengths]


@pytest.mark.parametrize(("exponent", "divisor"), [(0.0, 1.0), (0.5, 2.0), (1.0, 4.0)])
def test_rank(exponent, divisor):
    assert SearchConfig(length_exponent=exponent).rank(-6.0, 4) == pytest.approx(-6.0 / divisor)


@pytest.mark.parametrize("wrong", ["beam=0", "length_exponent=-0.1", "max_tokens_per_step=0"])
def test_refuses_settings_that_make_no_sense(wrong):
    name, value = wrong.split("=")
    with pytest.raises(ValueError, match=name):
        SearchConfig(**{name: type(getattr(SearchConfig(), name))(value)})


@pytest.mark.parametrize(
    "name",
    [
        "lm_weight",
        "internal_lm_weight",
        "length_exponent",
        "coverage_threshold",
        "max_tokens_per_step",
    ],
)
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e300])
def test_refuses_numbers_beyond_all_bounds(name, value):
    with pytest.raises(ValueError, match=name):
        SearchConfig(**{name: value})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lm": None}, "makes way for a language model: set search.lm"),
        ({"lm": "a.arpa", "ctc_weight": 1.0}, "needs attention"),
        ({"lm": "a.arpa", "internal_lm_weight": -0.1}, "must not be negative"),
    ],
)
def test_what_the_decoder_expects_is_taken_away_where_that_makes_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        SearchConfig(**{"internal_lm_weight": 0.2, **settings})
