import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_attn.lm.arpa import read_arpa, write_arpa
from asr_attn.lm.ngram import NgramModel
from asr_attn.lm.ngrams import NgramOrder, Ngrams
from tests.lm.brute_force import log10_prob, table_of

LN_10 = math.log(10)
BY_HAND = """\
\\data\\
ngram 1=5
ngram 2=3
ngram 3=1

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.25
-0.5\t</s>
-0.75\ta\t-0.5
-1\tb\t-0.125

\\2-grams:
-0.375\t<s> a\t-0.0625
-0.25\ta b\t-1
-2\tb </s>

\\3-grams:
-0.03125\t<s> a b

\\end\\
"""
CELLS = [1 << 24, 60, 0]


def test_by_hand(tmp_path):
    path = tmp_path / "a.arpa"
    path.write_text(BY_HAND, encoding="utf-8")
    for cells in CELLS:
        model = NgramModel.load(path, cells)
        assert (model.order, model.symbols) == (3, ("<unk>", "<s>", "</s>", "a", "b"))

        def scores(*history, model=model):
            state = model.start(1)
            for token in model.encode(history):
                state = model.advance(state, torch.tensor([token]))
            return [round(value / LN_10, 5) for value in model.score(state)[0].tolist()]

        none = -math.inf
        # after <s>: "<s> a" is listed; all else backs off by -0.25
        assert scores() == [-1.75, none, -0.75, -0.375, -1.25]
        # after "<s> a": "<s> a b" is listed; then "a" by -0.0625, and -0.5 for what follows neither
        assert scores("a") == [-2.0625, none, -1.0625, -1.3125, -0.03125]
        # after "a b", whose weight is -1: "b </s>" is listed, all else gets -0.125 of b as well
        assert scores("a", "b") == [-2.625, none, -3, -1.875, -2.125]
        # an unknown word has no weight, and nothing from before it counts
        assert scores("a", "b", "zebra") == [-1.5, none, -0.5, -0.75, -1]
        # "b a" is not listed: the context after it is just "a"
        assert scores("b", "a") == [-2.0, none, -1.0, -1.25, -0.25]


def states_of(model, symbols, order):
    """Every history up to the model's order and one longer, with its state."""
    known = [symbol for symbol in symbols if symbol not in ("<s>", "</s>")]
    histories = [("<s>",)]
    states = model.start(1)
    layer, layer_states = histories, states
    for _ in range(order):
        tokens = torch.tensor(model.encode(known))
        layer = [(*history, symbol) for history in layer for symbol in known]
        layer_states = model.advance(
            layer_states.repeat_interleave(len(known)), tokens.repeat(len(layer_states))
        )
        histories = histories + layer
        states = torch.cat([states, layer_states])
    return histories, states


@pytest.mark.parametrize("cells", CELLS)
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_equals_back_off_with_a_dict_after_every_context(random_text, trained, order, cells):
    ngrams = trained(random_text(order, 40, 5), order, prune=(0, 0, 1)[:order])
    table = table_of(ngrams)
    model = NgramModel(ngrams, cells)
    histories, states = states_of(model, ngrams.symbols, order)
    found = model.score(states)
    asked = [symbol for symbol in ngrams.symbols if symbol != "<s>"]
    expected = torch.tensor(
        [[log10_prob(table, h, s, order) * LN_10 for s in asked] for h in histories]
    )
    columns = torch.tensor(model.encode(asked))
    torch.testing.assert_close(found[:, columns], expected, rtol=0, atol=2e-5)
    assert (found[:, model.beginning] == -math.inf).all()
    # training spreads exactly all probability
    torch.testing.assert_close(found.exp().sum(1), torch.ones(len(found)), rtol=0, atol=1e-5)
    for token in columns.tolist():
        log_probs, following = model.step(states, torch.full_like(states, token))
        torch.testing.assert_close(log_probs, found[:, token], rtol=0, atol=2e-5)
        assert torch.equal(following, model.advance(states, torch.full_like(states, token)))


def without_suffixes(ngrams: Ngrams, random: np.random.Generator) -> Ngrams:
    """A model that other toolkits could have pruned: n-grams whose suffixes are not listed."""
    orders = [ngrams.orders[0]]
    for order in ngrams.orders[1:]:
        before = {tuple(words) for words in orders[-1].words}
        keep = np.array(
            [tuple(w[:-1]) in before and random.random() < 0.6 for w in order.words], dtype=bool
        )
        weights = np.where(random.random(keep.sum()) < 0.5, 0.0, order.backoffs[keep])
        orders.append(NgramOrder(order.words[keep], order.log_probs[keep], weights))
    return Ngrams(ngrams.symbols, tuple(orders))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 20), st.integers(2, 5), st.sampled_from(CELLS))
def test_n_grams_whose_suffixes_are_missing(random_text, trained, seed, order, cells):
    random = np.random.default_rng(seed)
    ngrams = without_suffixes(trained(random_text(seed, 20, 4), order), random)
    table = table_of(ngrams)
    model = NgramModel(ngrams, cells)
    history, state = ["<s>"], model.start(1)
    for _ in range(12):
        found = model.score(state)[0]
        for i, symbol in enumerate(ngrams.symbols):
            if symbol != "<s>":
                expected = log10_prob(table, history, symbol, order) * LN_10
                assert found[i].item() == pytest.approx(expected, abs=2e-5)
        token = int(random.choice([i for i, s in enumerate(ngrams.symbols) if s[0] != "<"] or [0]))
        history.append(ngrams.symbols[token])
        state = model.advance(state, torch.tensor([token]))


def test_rows_do_not_depend_on_one_another(random_text, trained):
    ngrams = trained(random_text(9, 60, 6), 3)
    for cells in CELLS:
        model = NgramModel(ngrams, cells)
        _, states = states_of(model, ngrams.symbols, 3)
        shuffled = states[torch.randperm(len(states), generator=torch.Generator().manual_seed(0))]
        one_by_one = torch.cat([model.score(state[None]) for state in shuffled[:50]])
        assert torch.equal(model.score(shuffled)[:50], one_by_one)
        assert model.score(states[:0]).shape == (0, len(ngrams.symbols))


def test_moves_with_its_tensors(random_text, trained):
    model = NgramModel(trained(random_text(9, 60, 6), 3), 0)
    same = copy.deepcopy(model).to("cpu")
    assert torch.equal(model.score(model.start(2)), same.score(same.start(2)))
    moved = model.to("meta")
    assert moved.start(2).device.type == "meta"
    assert not model.state_dict()


def test_kenlm_agrees(random_text, trained, tmp_path):
    kenlm = pytest.importorskip("kenlm")
    for order in (2, 3, 5):
        text = random_text(order, 200, 25)
        path = tmp_path / f"{order}.arpa"
        write_arpa(path, trained(text, order))
        other, model = kenlm.Model(str(path)), NgramModel(read_arpa(path))
        for sentence in [*random_text(77, 30, 30), []]:
            state, total = model.start(1), 0.0
            for token in [*model.encode(sentence), model.end]:
                log_probs, state = model.step(state, torch.tensor([token]))
                total += log_probs.item()
            assert total / LN_10 == pytest.approx(other.score(" ".join(sentence)), abs=1e-3)
