import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_attn.errors import InputError
from asr_attn.lm import counting, suffix_trie
from asr_attn.lm.kneser_ney import FALLBACK, KneserNeyConfig, steps, train
from asr_attn.lm.storage import Workspace
from tests.lm.brute_force import BruteForce, table_of

PLENTY = 1 << 26


def train_it(text, order, memory=PLENTY, vocabulary=(), prune=()):
    with Workspace(memory) as workspace:
        training = train(text, KneserNeyConfig(order, prune), workspace, vocabulary)
        return table_of(training.ngrams), training, workspace.spilled


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    wanted = np.array([expected[gram] for gram in found])
    assert np.abs(np.array(list(found.values())) - wanted).max() < 2e-6


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_the_formulas(random_text, order, seed):
    text = random_text(seed, 80 if seed else 250, 30 if seed else 12)
    found, training, spilled = train_it(text, order)
    brute = BruteForce(text, order)
    assert_same(found, brute.table())
    assert spilled == 0
    np.testing.assert_allclose(training.discounts, brute.discounts)
    assert training.sentences == len(text)
    assert training.tokens == sum(map(len, text))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcd"), max_size=6), min_size=1, max_size=12),
    st.integers(1, 5),
    st.sampled_from([(), (0, 1), (0, 0, 1), (0, 1, 2)]),
)
def test_equals_the_formulas_on_any_text(text, order, prune):
    prune = prune[:order]
    assert_same(train_it(text, order, prune=prune)[0], BruteForce(text, order, prune=prune).table())


@pytest.mark.parametrize("prune", [(0, 1), (0, 0, 2), (0, 1, 3)])
def test_pruning(random_text, prune):
    text = random_text(5, 300, 10)
    found = train_it(text, 3, prune=prune)[0]
    assert_same(found, BruteForce(text, 3, prune=prune).table())
    assert len(found) < len(train_it(text, 3)[0])


def test_discounts_are_estimated_where_the_text_allows_it(random_text):
    _, training, _ = train_it(random_text(3, 400, 60), 3)
    assert 3 not in training.fallback
    assert training.discounts[2] != FALLBACK
    _, training, _ = train_it([["a", "b"]], 3)
    assert training.fallback == (1, 2, 3)
    assert training.discounts == (FALLBACK,) * 3


def test_by_hand():
    # n-grams: <s> a, a b, b </s> (twice), <s> b; discounts 0.5 for 1, 1 for 2, of order 1:
    # a: after <s>; b: after a and <s>; </s>: after b: counts 1, 2, 1
    found, _, _ = train_it([["a", "b"], ["b"]], 2)
    spare = (0.5 + 1 + 0.5) / 4
    a, b = 0.5 / 4 + spare / 4, 1 / 4 + spare / 4
    assert 10 ** found[("a",)][0] == pytest.approx(a)
    assert 10 ** found[("b",)][0] == pytest.approx(b)
    assert 10 ** found[("<unk>",)][0] == pytest.approx(spare / 4)
    assert 10 ** found[("<s>", "a")][0] == pytest.approx(0.5 / 2 + (0.5 + 0.5) / 2 * a)
    assert 10 ** found[("b",)][1] == pytest.approx(1 / 2)
    assert 10 ** found[("b", "</s>")][0] == pytest.approx(1 / 2 + 1 / 2 * (0.5 / 4 + spare / 4))
    assert found[("<s>",)][0] == 0


@pytest.mark.parametrize("order", [1, 3, 5])
def test_little_memory_gives_the_same(random_text, order, monkeypatch):
    monkeypatch.setattr(counting, "_MERGED_AT_ONCE", 100)
    monkeypatch.setattr(suffix_trie, "BLOCK", 37)
    text = random_text(7, 400, 200)
    found, _, spilled = train_it(text, order, memory=20_000)
    assert spilled > (1 if order == 1 else 5)
    assert found == train_it(text, order)[0]


def test_many_symbols_do_not_fit_into_one_integer(random_text, monkeypatch):
    monkeypatch.setattr(suffix_trie, "BLOCK", 50)
    text = random_text(8, 60, 20)
    vocabulary = [f"unused{i}" for i in range(70_000)]
    packing = counting.Packing(5, 17)
    assert packing.integers == 2
    for memory in (PLENTY, 50_000):
        found = train_it(text, 5, memory, vocabulary)[0]
        expected = BruteForce(text, 5).symbols
        assert len({gram for gram in found if len(gram) == 1}) == len(expected) + 70_001
        small = train_it(text, 5)[0]
        assert {gram for gram in found if len(gram) > 1} == {g for g in small if len(g) > 1}
    brute = BruteForce(text, 5, vocabulary)
    for gram in list(found)[-200:]:
        assert found[gram][0] == pytest.approx(np.log10(brute.prob(gram)), abs=2e-6)


def test_packing_keeps_the_order_of_last_symbols():
    random = np.random.default_rng(0)
    for order, bits in [(1, 1), (3, 5), (4, 17), (6, 30), (2, 33)]:
        packing = counting.Packing(order, bits)
        text = random.integers(0, min(3, 1 << bits), 60)
        ends = np.arange(order - 1, 60)
        keys = packing.pack(text, ends)
        symbols = packing.unpack(keys)
        assert all((symbols[back] == text[ends - back]).all() for back in range(order))
        by_key = sorted(range(len(ends)), key=lambda i, k=keys: tuple(k[:, i]))
        by_symbol = sorted(range(len(ends)), key=lambda i, s=symbols: tuple(s[:, i]))
        assert by_key == by_symbol


def test_unknown_symbols_in_the_text_are_counted_like_others():
    found = train_it([["a", "<unk>"], ["<unk>", "a", "a"]], 2)[0]
    assert ("a", "<unk>") in found
    assert_same(found, BruteForce([["a", "<unk>"], ["<unk>", "a", "a"]], 2).table())


def test_steps_are_reported():
    done = []
    with Workspace(PLENTY) as workspace:
        train([["a"]], KneserNeyConfig(4), workspace, on_step=lambda: done.append(1))
    assert len(done) == steps(4)


def test_refusals():
    with pytest.raises(InputError, match="no sentences"):
        train_it([], 2)
    for arguments, words in [
        ((0,), "order 0"),
        ((2, (0, 1, 2)), "more numbers"),
        ((2, (1,)), "first number must be 0"),
        ((3, (0, 2, 1)), "smaller than the one before"),
    ]:
        with pytest.raises(InputError, match=words):
            KneserNeyConfig(*arguments)
