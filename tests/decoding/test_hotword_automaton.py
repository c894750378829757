"""Hotwords against regular expressions, which find all occurrences of a phrase in a text."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_attn.decoding.hotwords import Hotword, HotwordScorer, HotwordState
from asr_attn.text.tokenizer import (
    BLANK,
    EOS,
    SPECIALS,
    UNK,
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    SubwordTokenizer,
    UnigramTokenizer,
    WordTokenizer,
)

LETTERS = CharTokenizer.train(["abcdefghijklmnopqrstuvwxyz '"])


class PieceTokenizer:
    """Subwords, some of which bring the space before them."""

    pieces = (" ", " a", " b", " ab", "a", "b", "ab", "ba", " aba", "c", " ca", "bc", "a")

    def encode(self, text: str, choices: list[int] | None = None) -> list[int]:
        """Cut ``text`` into pieces that start with its letters, chosen by ``choices``."""
        ids = []
        while text:
            fitting = [i for i, piece in enumerate(self.pieces) if text.startswith(piece)]
            choice = fitting[(choices.pop() if choices else 0) % len(fitting)]
            ids.append(SPECIALS + choice)
            text = text[len(self.pieces[choice]) :]
        return ids

    @property
    def spellings(self) -> tuple[str, ...]:
        return ("", "", "\u2047", *self.pieces)

    def spell(self, text: str) -> str:
        return text


def start(scorer: HotwordScorer, count: int = 1) -> HotwordState:
    return scorer.start(torch.zeros(count, 1, 1), torch.ones(count, dtype=torch.long))


def gains(scorer: HotwordScorer, ids: list[int]) -> list[float]:
    """What each token of a sentence adds, the last being its end."""
    state, last, out = start(scorer), EOS, []
    for token in [*ids, EOS]:
        scores, state = scorer.score(torch.tensor([last]), state)
        out.append(float(scores[0, token]))
        last = token
    return out


def occurrences(phrase: str, text: str) -> int:
    """Also those that overlap."""
    return phrase in text and len(re.findall(f"(?=(?<![^ ]){re.escape(phrase)}(?![^ ]))", text))


def expected(boosts: dict[str, float], text: str) -> float:
    return sum(boost * occurrences(phrase, text) for phrase, boost in boosts.items())


def scorer_of(boosts: dict[str, float], tokenizer=LETTERS) -> HotwordScorer:
    return HotwordScorer([Hotword(*pair) for pair in boosts.items()], tokenizer)


WORDS = st.text("ab", min_size=1, max_size=3)
PHRASES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
BOOSTS = st.dictionaries(PHRASES, st.integers(-4, 8).map(float), min_size=1, max_size=6)
# words more often than letters, so that there are occurrences; spaces anywhere, also doubled
TEXTS = st.lists(st.one_of(WORDS, st.sampled_from([" ", "a", "b", "c"]), st.just(" "))).map("".join)


@settings(max_examples=30, deadline=None)
@given(BOOSTS, TEXTS, st.lists(WORDS).map(" ".join))
def test_a_sentence_gets_the_boosts_of_all_occurrences(boosts, jumble, sentence):
    scorer = scorer_of(boosts)
    for text in (jumble, sentence, f"{sentence} {' '.join(boosts)}"):
        total = sum(gains(scorer, LETTERS.encode(text)))
        assert total == pytest.approx(expected(boosts, text), abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(BOOSTS, TEXTS, st.lists(st.integers(0, 9), max_size=40))
def test_however_the_text_is_cut_into_subwords(boosts, text, choices):
    tokenizer = PieceTokenizer()
    ids = tokenizer.encode(text, choices)
    total = sum(gains(scorer_of(boosts, tokenizer), ids))
    assert total == pytest.approx(expected(boosts, text), abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(BOOSTS, st.lists(TEXTS, min_size=1, max_size=4), st.randoms())
def test_hypotheses_are_independent_and_can_be_reordered(boosts, texts, random):
    scorer = scorer_of(boosts)
    rows = [LETTERS.encode(text) for text in texts]
    alone = [gains(scorer, ids) for ids in rows]
    order = list(range(len(rows)))
    state, last = start(scorer, len(rows)), [EOS] * len(rows)
    for step in range(max(map(len, rows))):
        scores, state = scorer.score(torch.tensor(last), state)
        last = [rows[i][step] if step < len(rows[i]) else BLANK for i in order]
        for row, i in enumerate(order):
            if step < len(rows[i]):
                assert float(scores[row, last[row]]) == pytest.approx(alone[i][step], abs=1e-4)
        index = [random.randrange(len(order)) for _ in order]
        state = state.select(torch.tensor(index))
        order, last = [order[i] for i in index], [last[i] for i in index]


def test_a_boost_is_paid_in_equal_parts_and_taken_back():
    scorer = scorer_of({"ten": 3.0})
    assert gains(scorer, LETTERS.encode("ten")) == pytest.approx([1, 1, 1, 0])
    assert gains(scorer, LETTERS.encode("ten a")) == pytest.approx([1, 1, 1, 0, 0, 0])
    assert gains(scorer, LETTERS.encode("tea")) == pytest.approx([1, 1, -2, 0])
    assert gains(scorer, LETTERS.encode("te")) == pytest.approx([1, 1, -2])
    assert gains(scorer, LETTERS.encode("tens")) == pytest.approx([1, 1, 1, -3, 0])


def test_a_failed_match_goes_on_with_the_longest_text_that_may_still_be_a_phrase():
    scorer = scorer_of({"a a b": 5.0, "a c": 3.0})
    # the second "a" goes on with the one and begins the other; "c" takes back four of the one
    assert gains(scorer, LETTERS.encode("a a c")) == pytest.approx([1, 1, 2, 2, 1 - 4, 0])
    assert gains(scorer, LETTERS.encode("a a b")) == pytest.approx([1, 1, 2, 2, 1 - 2, 0])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("ten", 1),
        ("often", 0),
        ("of ten", 1),
        ("tent", 0),
        ("ten t", 1),
        ("ten's", 0),
        ("ten ten", 2),
        ("tenten", 0),
        ("  ten  ", 1),
        ("", 0),
    ],
)
def test_phrases_end_at_the_boundaries_of_words(text, count):
    assert sum(gains(scorer_of({"ten": 2.0}), LETTERS.encode(text))) == pytest.approx(2.0 * count)


def test_a_phrase_within_another_counts_as_well():
    scorer = scorer_of({"new": 2.0, "new york": 5.0, "york": 1.0})
    totals = {"new": 2, "new york": 8, "newer": 0, "york": 1, "new yorker": 2, "new new york": 10}
    for text, total in totals.items():
        assert sum(gains(scorer, LETTERS.encode(text))) == pytest.approx(total, abs=1e-5)


def test_a_negative_boost_keeps_from_a_phrase():
    scorer = scorer_of({"damn": -4.0})
    assert gains(scorer, LETTERS.encode("damn")) == pytest.approx([-1, -1, -1, -1, 0])
    assert sum(gains(scorer, LETTERS.encode("damp"))) == pytest.approx(0.0)


def test_of_a_phrase_given_twice_the_last_boost_counts():
    scorer = HotwordScorer([Hotword("a b", 1.0), Hotword("c"), Hotword("a  b ", 2.0)], LETTERS)
    assert sum(gains(scorer, LETTERS.encode("a b"))) == pytest.approx(2.0)


def test_unknown_characters_and_blanks():
    scorer = scorer_of({"ten": 3.0})
    t, e, n = LETTERS.encode("ten")
    assert sum(gains(scorer, [t, e, UNK, n])) == pytest.approx(0.0)
    assert sum(gains(scorer, [t, BLANK, e, BLANK, n, BLANK])) == pytest.approx(3.0)


def test_needs_hotwords_and_a_tokenizer_that_keeps_spaces_in_front():
    with pytest.raises(ValueError, match="needs hotwords"):
        HotwordScorer([], LETTERS)
    tokenizer = PieceTokenizer()
    tokenizer.pieces = (" ", "a", "b ")
    with pytest.raises(ValueError, match="start of tokens"):
        HotwordScorer([Hotword("a")], tokenizer)


def test_tokens_that_are_words():
    tokenizer = PieceTokenizer()
    tokenizer.pieces = (" a", " b")
    a, b = SPECIALS, SPECIALS + 1
    assert gains(scorer_of({"b": 3.0}, tokenizer), [a, b, b]) == pytest.approx([0, 3, 3, 0])
    found = gains(scorer_of({"a b": 6.0}, tokenizer), [a, a, b])
    assert found == pytest.approx([2, 0, 4, 0])  # two of the three characters at once


TEXT = "né de né 的 né de"
PHRASES_OF_MANY_KINDS = {"né": 2.0, "né de": 3.0, "de": -1.0, "的": 5.0}


@pytest.mark.parametrize(
    "tokenizer",
    [
        ByteTokenizer(),
        WordTokenizer(("né", "de", "的")),
        BpeTokenizer((" n", "né", " d", " ", "n", "é", "d", "e", "的")),
        UnigramTokenizer((" né", " d", " ", "n", "é", "d", "e", "的"), (-1.0,) * 8),
    ],
    ids=lambda tokenizer: tokenizer.KIND,
)
def test_every_kind_of_tokenizer(tokenizer):
    scorer = scorer_of(PHRASES_OF_MANY_KINDS, tokenizer)
    found = gains(scorer, tokenizer.encode(TEXT))
    assert sum(found) == pytest.approx(expected(PHRASES_OF_MANY_KINDS, TEXT))
    assert sum(gains(scorer, tokenizer.encode("dé 的的 n"))) == pytest.approx(0.0)
    if isinstance(tokenizer, SubwordTokenizer):
        random = np.random.default_rng(0)
        for _ in range(20):
            ids = tokenizer.sample(TEXT, 0.5, random)
            total = sum(gains(scorer, ids))
            assert total == pytest.approx(expected(PHRASES_OF_MANY_KINDS, TEXT), abs=1e-4)


def test_no_rows():
    scorer = scorer_of({"ten": 3.0})
    scores, state = scorer.score(torch.zeros(0, dtype=torch.long), start(scorer, 0))
    assert scores.shape == (0, len(LETTERS))
    assert state.spelling.shape == (0,)


def test_ten_thousand_phrases():
    generator = torch.Generator().manual_seed(0)
    letters = torch.randint(0, 26, (10_000, 15), generator=generator)
    boosts = {}
    for row in letters.tolist():
        text = "".join(chr(ord("a") + letter) for letter in row)
        boosts[f"{text[:2]} {text[2:8]} {text[8:]}"] = 1.0 + row[0]
    scorer = scorer_of(boosts)
    for begin in range(0, 10_000, 1_999):
        text = " or ".join(list(boosts)[begin : begin + 3])
        total = sum(gains(scorer, LETTERS.encode(text)))
        assert total == pytest.approx(expected(boosts, text), abs=1e-3)


def test_what_is_worked_out_in_advance_is_what_is_asked(monkeypatch):
    import torch

    from asr_attn.decoding import hotword_automaton

    boosts = {"a b": 3.0, "ab": 2.0, "b": -1.0, "abba a": 4.0}
    spellings = ["", "", "\u2047", " ", "a", "b", " a", "ba"]
    table = hotword_automaton.build_automaton(boosts, spellings)
    monkeypatch.setattr(hotword_automaton, "DENSE_CELLS", 0)
    asked = hotword_automaton.build_automaton(boosts, spellings)
    assert table.scores is not None
    assert asked.scores is None
    states = torch.arange(len(asked.failure))
    torch.testing.assert_close(table.score(states), asked.score(states))
    for token in range(len(spellings)):
        tokens = torch.full_like(states, token)
        assert torch.equal(table.advance(states, tokens), asked.advance(states, tokens))
