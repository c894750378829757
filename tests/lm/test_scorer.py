import math

import pytest
import torch

from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.errors import InputError
from asr_attn.lm.arpa import write_arpa
from asr_attn.lm.loading import load_scorer
from asr_attn.lm.ngram import NgramModel
from asr_attn.lm.scorer import NgramScorer
from asr_attn.lm.vocabulary import token_symbols
from asr_attn.text.tokenizer import (
    BLANK,
    EOS,
    SPECIALS,
    UNK,
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    WordTokenizer,
)
from tests.lm.brute_force import log10_prob, table_of

LN_10 = math.log(10)
TEXTS = ["ab a", "a b", "bab", "abba ab", "b", "ab ba ab"]


def symbols_of(text):
    return ["<space>" if character == " " else character for character in text]


@pytest.fixture(scope="module")
def tokenizer():
    return CharTokenizer.train(TEXTS)


@pytest.fixture(scope="module")
def ngrams(trained):
    return trained([symbols_of(text) for text in TEXTS], 4)


@pytest.fixture(scope="module")
def scorer(ngrams, tokenizer):
    return NgramScorer(NgramModel(ngrams), tokenizer)


def started(scorer, n):
    return scorer.start(torch.zeros(n, 1, 1), torch.ones(n, dtype=torch.long))


def test_symbols_of_tokens(tokenizer):
    assert token_symbols(tokenizer) == ["<unk>", "</s>", "<unk>", "<space>", "a", "b"]


@pytest.mark.parametrize("text", ["ab a", "bb  aa", "", "xa b", "abxab"])
def test_a_sentence_gets_its_probability(scorer, ngrams, tokenizer, text):
    table = table_of(ngrams)
    tokens = [*tokenizer.encode(text), EOS]
    symbols = ["<s>", *(s if s in "ab <space>" else "<unk>" for s in symbols_of(text)), "</s>"]
    state, last = started(scorer, 1), torch.tensor([EOS])
    for i, token in enumerate(tokens):
        log_probs, state = scorer.score(last, state)
        expected = log10_prob(table, symbols[: i + 1], symbols[i + 1], 4) * LN_10
        assert log_probs[0, token].item() == pytest.approx(expected, abs=2e-5)
        assert log_probs.shape == (1, 6)
        assert log_probs[0, BLANK] == -math.inf
        assert log_probs[0].exp().sum().item() == pytest.approx(1, abs=1e-5)
        last = torch.tensor([token])


def test_select_reorders_hypotheses(scorer, tokenizer):
    texts = ["ab a", "bab ", "a  b"]
    tokens = torch.tensor([tokenizer.encode(text) for text in texts])
    state = started(scorer, 3)
    _, state = scorer.score(torch.full((3,), EOS), state)
    for step in range(3):
        expected, state = scorer.score(tokens[:, step], state)
    index = torch.tensor([2, 0, 0, 1])
    found, _ = scorer.score(tokens[index, 3], state.select(index))
    expected, _ = scorer.score(tokens[:, 3], state)
    assert torch.equal(found, expected[index])


def test_in_a_beam_search(scorer, ngrams):
    table = table_of(ngrams)
    memory, lengths = torch.zeros(2, 3, 1), torch.tensor([3, 2])
    config = SearchConfig(beam=40, length_exponent=0.0, max_tokens_per_step=1.0)
    found = beam_search([(scorer, 1.0)], memory, lengths, config, nbest=3)
    names = ["<unk>", "<space>", "a", "b"]
    sentences = [()] + [(x,) for x in names] + [(x, y) for x in names for y in names]
    sentences += [(x, y, z) for x in names for y in names for z in names]
    for row, longest in zip(found, lengths.tolist()):
        scores = []
        for sentence in sentences:
            if len(sentence) <= longest:
                whole = ["<s>", *sentence, "</s>"]
                parts = [log10_prob(table, whole[:i], whole[i], 4) for i in range(1, len(whole))]
                scores.append(sum(parts) * LN_10)
        best = sorted(scores, reverse=True)[:3]
        assert [h.log_prob for h in row if not h.truncated] == pytest.approx(best, abs=1e-4)


def test_models_of_other_tokens_are_refused(ngrams):
    for characters, words in [
        (" abcé", r"2 of the recogniser only \('c', 'é'\); train"),
        (" a", r"1 of the language model only \('b'\); train"),
        ("'abcdefg", r"6 of the recogniser only .*, \.\.\.\) and 1 of the .* only \('<space>'\)"),
    ]:
        other = CharTokenizer.train([characters])
        with pytest.raises(InputError, match=words) as caught:
            NgramScorer(NgramModel(ngrams), other, "lm.arpa")
        assert str(caught.value).startswith("lm.arpa: ")


@pytest.mark.parametrize(
    "tokenizer",
    [
        BpeTokenizer((" the", "the", " ", "t", "h", "e")),
        ByteTokenizer(),
        WordTokenizer(("the", "a")),
    ],
    ids=lambda tokenizer: tokenizer.KIND,
)
def test_tokens_of_every_kind_have_symbols_of_their_own(tokenizer, trained, tmp_path):
    symbols = token_symbols(tokenizer)
    own = symbols[SPECIALS:]
    assert len(set(own)) == len(tokenizer) - SPECIALS
    assert all(len(symbol.split()) == 1 and symbol.isprintable() for symbol in own)
    tokens = tokenizer.encode("the a the")
    text = [[symbols[token] for token in tokens]] * 3
    path = tmp_path / "lm.arpa"
    write_arpa(path, trained(text, 2, vocabulary=symbols))
    scorer = load_scorer(path, tokenizer)
    assert isinstance(scorer, NgramScorer)
    log_probs, _ = scorer.score(torch.tensor([EOS]), started(scorer, 1))
    assert int(log_probs[0].argmax()) == tokens[0]


def test_unknown_characters_are_unknown_symbols(scorer):
    assert scorer.columns[UNK] == scorer.columns[BLANK] == scorer.model.unknown
