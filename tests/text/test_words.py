import json
from collections import Counter

import pytest

from asr_attn.errors import CheckpointError, InputError
from asr_attn.text.tokenizer import BLANK, EOS, UNK, WordTokenizer, tokenizer_from_dict
from tests.text.scripts import ALPHABETS, texts

TEXTS = ["b a", "a c", "a", "c d"]


def test_the_most_frequent_words_come_first():
    assert WordTokenizer.train(TEXTS).words == ("a", "c", "b", "d")
    assert WordTokenizer.train(TEXTS, 5).words == ("a", "c")
    assert len(WordTokenizer.train(TEXTS, 5)) == 5


@pytest.mark.parametrize("script", ALPHABETS)
def test_round_trips(script):
    lines = texts(script, 30)
    tokenizer = WordTokenizer.train(lines)
    counts = Counter(word for line in lines for word in line.split())
    assert set(tokenizer.words) == set(counts)
    for line in lines:
        ids = tokenizer.encode(line)
        assert len(ids) == len(line.split())
        assert tokenizer.decode([EOS, *ids, BLANK]) == "".join(tokenizer.texts(ids)) == line
    assert tokenizer_from_dict(json.loads(json.dumps(tokenizer.to_dict()))) == tokenizer


def test_unknown_words_and_spaces():
    tokenizer = WordTokenizer.train(TEXTS, 5)
    assert tokenizer.encode(" a  x c ") == [3, UNK, 4]
    assert tokenizer.decode([UNK, 3, UNK]) == "\u2047 a \u2047"
    assert tokenizer.unknown(["a b x", "b"]) == {"b": 2, "x": 1}
    assert tokenizer.spellings == ("", "", " \u2047", " a", " c")


@pytest.mark.parametrize("size", [2, 3, 8, 100])
def test_sizes_that_cannot_be_are_refused(size):
    with pytest.raises(InputError, match=rf"size={size}: .* 4 different words; .* 4 to 7, or"):
        WordTokenizer.train(TEXTS, size)
    assert len(WordTokenizer.train(TEXTS, 7)) == 7
    assert len(WordTokenizer.train(TEXTS, 4)) == 4


def test_training_on_no_text():
    with pytest.raises(InputError, match="no text"):
        WordTokenizer.train(["", " "])


@pytest.mark.parametrize("words", [[], ["a", "a"], ["a b"], [""], [" a"], None, "ab", [1]])
def test_malformed_data(words):
    with pytest.raises(CheckpointError, match="tokenizer"):
        tokenizer_from_dict({"kind": "words", "words": words})
