"""Against distributions written out in full, one n-gram taken away at a time."""

import math

import numpy as np
import pytest

from asr_attn.errors import InputError
from asr_attn.lm.kneser_ney import KneserNeyConfig, train
from asr_attn.lm.storage import Workspace
from tests.lm.brute_force import counts_of, log10_prob, table_of


def train_it(text, order, entropy=0.0, prune=()):
    with Workspace(1 << 26) as workspace:
        config = KneserNeyConfig(order, prune, entropy)
        return table_of(train(text, config, workspace).ngrams)


def full_distribution(table, history, symbols, order):
    return {symbol: 10 ** log10_prob(table, history, symbol, order) for symbol in symbols}


def renormalised(table, context, order):
    """The table with the weight of one context that makes its probabilities sum to 1."""
    own = [gram for gram in table if len(gram) == len(context) + 1 and gram[:-1] == context]
    spare = 1 - sum(10 ** table[gram][0] for gram in own)
    shorter = 1 - sum(10 ** log10_prob(table, context[1:], gram[-1], order) for gram in own)
    weight = spare / shorter if own else 1.0
    return {**table, context: (table[context][0], math.log10(weight))}


def expected_table(text, order, threshold):
    """Pruning by the definition: relative entropies over all symbols, longest n-grams first."""
    table = train_it(text, order)
    symbols = [gram[0] for gram in table if len(gram) == 1 and gram != ("<s>",)]
    raw, _ = counts_of(text, order)
    positions = sum(len(sentence) + 1 for sentence in text)
    raw[0][("<s>",)] = len(text)
    for k in range(order, 1, -1):
        longer = [gram for gram in table if len(gram) == k + 1]
        needed = {gram[:-1] for gram in longer} | {gram[1:] for gram in longer}
        gone = []
        for gram in [gram for gram in table if len(gram) == k and gram not in needed]:
            context = gram[:-1]
            without = {other: row for other, row in table.items() if other != gram}
            without = renormalised(without, context, k)
            before = full_distribution(table, context, symbols, k)
            after = full_distribution(without, context, symbols, k)
            entropy = sum(p * math.log(p / after[symbol]) for symbol, p in before.items())
            share = raw[k - 2][context] / positions
            if math.exp(share * entropy) - 1 < threshold:
                gone.append(gram)
        table = {gram: row for gram, row in table.items() if gram not in gone}
        for context in {gram[:-1] for gram in gone}:
            table = renormalised(table, context, k)
    return table


@pytest.mark.parametrize(("order", "seed"), [(2, 0), (3, 1), (3, 2), (4, 3)])
@pytest.mark.parametrize("threshold", [3e-4, 2e-3])
def test_equals_the_definition(random_text, order, seed, threshold):
    text = random_text(seed, 60, 6)
    found, expected = train_it(text, order, threshold), expected_table(text, order, threshold)
    assert found.keys() == expected.keys()
    assert len(found) < len(train_it(text, order))
    for gram, row in found.items():
        assert row == pytest.approx(expected[gram], abs=1e-5)


def test_what_is_left_is_a_model(random_text):
    text = random_text(4, 300, 9)
    table = train_it(text, 3, 1e-3, prune=(0, 0, 1))
    symbols = [gram[0] for gram in table if len(gram) == 1 and gram != ("<s>",)]
    for gram in table:
        assert len(gram) == 1 or (gram[:-1] in table and gram[1:] in table)
        if len(gram) < 3 and gram[-1] != "</s>":
            assert sum(full_distribution(table, gram, symbols, 3).values()) == pytest.approx(1)


def test_a_higher_threshold_leaves_less_and_fits_worse(random_text):
    text = random_text(6, 400, 12)
    sizes, scores = [], []
    for threshold in (0.0, 1e-5, 1e-4, 1e-3, 0.5):
        table = train_it(text, 3, threshold)
        sizes.append(len(table))
        score = 0.0
        for sentence in text:
            words = ("<s>", *sentence, "</s>")
            for i in range(1, len(words)):
                score += log10_prob(table, words[:i], words[i], 3)
        scores.append(score)
    assert sizes == sorted(sizes, reverse=True)
    assert scores == sorted(scores, reverse=True)
    assert sizes[-1] == len({word for sentence in text for word in sentence}) + 3


def test_rare_words_become_unknown_ones(random_text):
    text = random_text(7, 120, 20)
    words, counts = np.unique([word for sentence in text for word in sentence], return_counts=True)
    first = [word for sentence in text for word in sentence].index
    ranked = sorted(zip(-counts, map(first, words), words))
    kept = {word for _, _, word in ranked[:8]}
    replaced = [[word if word in kept else "<unk>" for word in sentence] for sentence in text]
    with Workspace(1 << 26) as workspace:
        found = table_of(train(text, KneserNeyConfig(3, vocabulary=8), workspace).ngrams)
        expected = table_of(train(replaced, KneserNeyConfig(3), workspace).ngrams)
    assert found.keys() == expected.keys()
    assert all(row == pytest.approx(expected[gram], abs=1e-6) for gram, row in found.items())
    assert len([gram for gram in found if len(gram) == 1]) == 8 + 3


def test_symbols_known_beforehand_are_not_counted(random_text):
    text = random_text(8, 50, 10)
    with Workspace(1 << 26) as workspace:
        config = KneserNeyConfig(2, vocabulary=3)
        symbols = train(text, config, workspace, ["w9", "other"]).ngrams.symbols
    assert set(symbols[:5]) == {"<unk>", "<s>", "</s>", "w9", "other"}
    assert len(symbols) == 8


def test_refusals():
    for arguments, words in [({"entropy": 1.0}, "entropy 1"), ({"vocabulary": -1}, "negative")]:
        with pytest.raises(InputError, match=words):
            KneserNeyConfig(3, **arguments)
