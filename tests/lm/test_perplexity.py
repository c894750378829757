import json
import math

import pytest

from asr_attn.lm import perplexity
from asr_attn.lm.arpa import write_arpa
from asr_attn.lm.ngram import NgramModel
from asr_attn.lm.perplexity import Perplexity, measure
from tests.lm.brute_force import log10_prob, table_of


@pytest.mark.parametrize("order", [1, 3])
def test_equals_the_definition(random_text, trained, order, monkeypatch):
    monkeypatch.setattr(perplexity, "_SENTENCES_AT_ONCE", 7)
    ngrams = trained(random_text(1, 100, 12), order)
    table, text = table_of(ngrams), random_text(2, 60, 15)
    total = known = 0.0
    unknown = 0
    for sentence in text:
        history = ["<s>"]
        for symbol in [*sentence, "</s>"]:
            shown = symbol if (symbol,) in table else "<unk>"
            value = log10_prob(table, history, shown, order)
            total += value
            known += value if shown == symbol else 0
            unknown += shown != symbol
            history.append(shown)
    result = measure(NgramModel(ngrams, 0), text)
    tokens = sum(map(len, text))
    assert (result.sentences, result.tokens, result.unknown) == (60, tokens, unknown)
    assert unknown > 0
    assert result.perplexity == pytest.approx(10 ** (-total / (tokens + 60)), rel=1e-5)
    without = 10 ** (-known / (tokens + 60 - unknown))
    assert result.known_perplexity == pytest.approx(without, rel=1e-5)
    assert result.to_dict()["log10_prob"] == pytest.approx(total, rel=1e-5)


def test_kenlm_agrees(random_text, trained, tmp_path):
    kenlm = pytest.importorskip("kenlm")
    ngrams, text = trained(random_text(1, 300, 40), 4), random_text(2, 60, 50)
    write_arpa(tmp_path / "a.arpa", ngrams)
    model = kenlm.Model(str(tmp_path / "a.arpa"))
    total = sum(model.score(" ".join(sentence)) for sentence in text)
    count = sum(map(len, text)) + len(text)
    found = measure(NgramModel(ngrams), text)
    assert found.perplexity == pytest.approx(10 ** (-total / count), rel=1e-4)
    assert found.log_prob == pytest.approx(total * math.log(10), rel=1e-4)


def test_a_perplexity_beyond_all_numbers_is_infinite_and_null_in_json():
    hopeless = Perplexity(sentences=1, tokens=1, unknown=0, log_prob=-1e5, known_log_prob=-1e5)
    assert hopeless.perplexity == hopeless.known_perplexity == math.inf
    figures = hopeless.to_dict()
    assert figures["perplexity"] is figures["perplexity_without_unknown"] is None
    json.dumps(figures, allow_nan=False)


def test_unknown_tokens_of_probability_zero_leave_the_known_ones_a_perplexity():
    text = Perplexity(sentences=1, tokens=2, unknown=1, log_prob=-math.inf, known_log_prob=-2.0)
    assert text.perplexity == math.inf
    assert text.known_perplexity == pytest.approx(math.e)
    assert text.to_dict()["log10_prob"] is None
