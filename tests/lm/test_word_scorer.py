import math
from dataclasses import dataclass, fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.errors import InputError
from asr_attn.lm.ngram import NgramModel
from asr_attn.lm.word_scorer import WordScorer
from asr_attn.text.tokenizer import (
    BLANK,
    EOS,
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    SubwordTokenizer,
    UnigramTokenizer,
    WordTokenizer,
)
from tests.lm.brute_force import log10_prob, table_of

LN_10 = math.log(10)
TEXTS = ["the cat", "the cats sat", "a cat sat at the", "sat", "the the a", "a test at", "tea"]
PENALTY = -2.5


@dataclass
class Pieces:
    """Stands for a tokenizer of pieces of words, which carry the space before them."""

    spellings: tuple[str, ...] = (
        *("", "", "?", " ", " the", " ca", " t", "t", "s", "a", "e", " sat", " a"),
    )

    def __len__(self):
        return len(self.spellings)

    def spell(self, text):
        return text

    def encode(self, text):
        """Greedily; there are other ways."""
        text, out = f" {text}", []
        while text:
            fitting = [i for i, t in enumerate(self.spellings) if t and text.startswith(t)]
            out.append(max(fitting, key=lambda i: len(self.spellings[i])))
            text = text[len(self.spellings[out[-1]]) :]
        return out

    def decode(self, ids):
        return "".join(self.spellings[i] for i in ids)

    def unknown(self, texts):
        return {}


CHARACTERS = CharTokenizer.train(["abcehst "])


@pytest.fixture(scope="module")
def ngrams(trained):
    return trained([text.split() for text in TEXTS], 3)


@pytest.fixture(scope="module")
def scorers(ngrams):
    model = NgramModel(ngrams, dense_cells=0)
    return {
        "characters": WordScorer(model, CHARACTERS, PENALTY),
        "pieces": WordScorer(model, Pieces(), PENALTY),
    }


def start(scorer, n):
    return scorer.start(torch.zeros(n, 1, 1), torch.ones(n, dtype=torch.long))


def walk(scorer, tokens):
    """Changes of each token of a sentence, and of its end: the sums they add up to."""
    state, last, total = start(scorer, 1), torch.tensor([EOS]), 0.0
    for token in [*tokens, EOS]:
        changes, state = scorer.score(last, state)
        assert changes[0, BLANK] == -math.inf
        total += changes[0, token].item()
        last = torch.tensor([token])
    return total


def words_log_prob(table, words):
    """By the definition: words that are not listed are <unk> and pay for their characters."""
    total, history = 0.0, ["<s>"]
    for word in words:
        symbol = word if (word,) in table else "<unk>"
        total += log10_prob(table, history, symbol, 3) * LN_10
        total += 0 if symbol == word else PENALTY * len(word)
        history.append(symbol)
    return total + log10_prob(table, history, "</s>", 3) * LN_10


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.sampled_from(["the", "cat", "cats", "a", "sat", "test", "te", "c", "bath", "thee", ""]),
        max_size=6,
    )
)
def test_a_sentence_gets_the_probability_of_its_words(scorers, ngrams, words):
    text = " ".join(words)  # with spaces at the ends and two in a row now and then
    found = walk(scorers["characters"], CHARACTERS.encode(text))
    assert found == pytest.approx(words_log_prob(table_of(ngrams), text.split()), abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["the", "cats", "a", "sat", "tea", "at", "ate"]), max_size=6))
def test_the_same_with_pieces_of_words(scorers, ngrams, words):
    pieces = Pieces()
    tokens = [token for word in words for token in pieces.encode(word)]
    assert pieces.decode(tokens).split() == words
    found = walk(scorers["pieces"], tokens)
    assert found == pytest.approx(words_log_prob(table_of(ngrams), words), abs=1e-4)


MANY_KINDS = {
    "unigram": UnigramTokenizer(
        (" the", " ca", " t", "at", "th", " ", *"abcehst"), (-1.0,) * 5 + (-3.0,) * 8
    ),
    "bpe": BpeTokenizer(("th", "at", " s", "ea", " the", " ca", " ", *"abcehst")),
    "bytes": ByteTokenizer(),
    "words": WordTokenizer(("the", "cat", "cats", "sat", "a", "at", "test", "tea")),
}


@pytest.mark.parametrize("kind", MANY_KINDS)
def test_the_same_with_every_kind_of_tokenizer(ngrams, kind):
    tokenizer = MANY_KINDS[kind]
    scorer = WordScorer(NgramModel(ngrams, dense_cells=0), tokenizer, PENALTY)
    random = np.random.default_rng(0)
    for _ in range(25):
        words = list(random.choice(["the", "cats", "a", "sat", "tea", "at", "ate", "bath"], 4))
        text = " ".join(words)
        expected = words_log_prob(table_of(ngrams), words)
        if kind == "words":  # an unknown word has one letter, the sign for it
            expected -= PENALTY * sum(len(w) - 1 for w in words if w in ("ate", "bath"))
        assert walk(scorer, tokenizer.encode(text)) == pytest.approx(expected, abs=1e-4)
        if isinstance(tokenizer, SubwordTokenizer):  # however it is cut
            sampled = tokenizer.sample(text, 0.5, random)
            assert walk(scorer, sampled) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["characters", "pieces"])
def test_every_change_is_that_of_the_look_ahead(scorers, ngrams, kind):
    scorer = scorers[kind]
    tokenizer = CHARACTERS if kind == "characters" else Pieces()
    table = table_of(ngrams)
    known = [w for (w, *rest) in table if not rest and w[0] != "<"]

    def charged(text):
        """What is paid for a text that may go on: its whole words, and the look-ahead."""
        *whole, part = text.split(" ")
        words = [word for word in whole if word]
        total = (
            words_log_prob(table, words)
            - log10_prob(table, ["<s>", *(w if w in known else "<unk>" for w in words)], "</s>", 3)
            * LN_10
        )
        if part:
            ahead = [table[(word,)][0] * LN_10 for word in known if word.startswith(part)]
            unknown = table[("<unk>",)][0] * LN_10 + PENALTY * len(part)
            total += max(ahead) if ahead else unknown
        return total

    texts = ["", "t", "th", "the", "the ", "the c", "the x", "xt", "cats", "cats a", "sate s"]
    if kind == "pieces":
        texts = [" the", " the t", " cats", " sat a", " a te"]
    for text in texts:
        tokens = tokenizer.encode(text if kind == "characters" else text[1:])
        state, last = start(scorer, 1), EOS
        for token in [*tokens, None]:
            changes, state = scorer.score(torch.tensor([last]), state)
            last = token
        for token in range(2, len(tokenizer)):
            after = tokenizer.decode([token]) if token > 2 else "?"
            expected = charged(text + after) - charged(text)
            assert changes[0, token].item() == pytest.approx(expected, abs=1e-4), (text, after)


def test_hypotheses_do_not_depend_on_one_another(scorers):
    scorer = scorers["characters"]
    texts = ["the cat s", "a  beast ", "tea tea t", "xx the ca"]
    tokens = torch.tensor([CHARACTERS.encode(text) for text in texts])
    state, alone = start(scorer, 4), [start(scorer, 1) for _ in texts]
    last = torch.full((4,), EOS)
    for step in range(9):
        found, state = scorer.score(last, state)
        for i in range(4):
            expected, alone[i] = scorer.score(last[i : i + 1], alone[i])
            assert torch.equal(found[i], expected[0])
        last = tokens[:, step]
    index = torch.tensor([3, 1, 1])
    chosen = state.select(index)
    for field in fields(chosen):
        assert torch.equal(getattr(chosen, field.name), getattr(state, field.name)[index])
    assert torch.equal(scorer.score(last[index], chosen)[0], scorer.score(last, state)[0][index])


def test_in_a_beam_search(scorers, ngrams):
    config = SearchConfig(beam=30, length_exponent=0.0, max_tokens_per_step=1.0)
    memory, lengths = torch.zeros(2, 12, 1), torch.tensor([12, 5])
    for row in beam_search([(scorers["characters"], 1.0)], memory, lengths, config, nbest=3):
        for hypothesis in row:
            if not hypothesis.truncated:
                words = CHARACTERS.decode(hypothesis.tokens).split()
                expected = words_log_prob(table_of(ngrams), words)
                assert hypothesis.log_prob == pytest.approx(expected, abs=1e-4)


def test_unknown_characters_cost_as_much_as_a_letter_by_chance(ngrams):
    scorer = WordScorer(NgramModel(ngrams), CHARACTERS)
    found = [walk(scorer, CHARACTERS.encode(text)) for text in ("bee", "beee")]
    assert found[1] - found[0] == pytest.approx(-math.log(8), abs=1e-4)


def test_a_recogniser_that_cannot_write_the_words_is_refused(trained):
    model = NgramModel(trained([["THE", "CAT"], ["a", "dog"], ["THE", "DOG"]], 2))
    with pytest.raises(InputError, match=r"only 1 of its 5 words: it does not know 'T', 'H'") as e:
        WordScorer(model, CHARACTERS, called="w.arpa")
    assert str(e.value).startswith("w.arpa: ")


def test_words_of_a_large_vocabulary(trained):
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abcehst"), random.integers(1, 9))) for _ in range(3000)]
    text = [[words[i] for i in random.integers(0, 3000, 6)] for _ in range(500)]
    ngrams = trained(text, 2)
    table = table_of(ngrams)
    scorer = WordScorer(NgramModel(ngrams), CHARACTERS)
    for sentence in text[:10]:
        expected, history = 0.0, ["<s>"]
        for word in [*sentence, "</s>"]:
            expected += log10_prob(table, history, word, 2) * LN_10
            history.append(word)
        found = walk(scorer, CHARACTERS.encode(" ".join(sentence)))
        assert found == pytest.approx(expected, rel=1e-4)
