import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_attn.errors import CheckpointError, InputError
from asr_attn.text.tokenizer import BLANK, EOS, UNK, CharTokenizer, Tokenizer, tokenizer_from_dict


def test_ids_are_specials_then_sorted_characters():
    tokenizer = CharTokenizer.train(["be a", "", "c'a"])
    assert (BLANK, EOS, UNK) == (0, 1, 2)
    assert tokenizer.characters == (" ", "'", "a", "b", "c", "e")
    assert len(tokenizer) == 9
    assert tokenizer.encode("a be") == [5, 3, 6, 8]
    assert tokenizer.encode("") == []


def test_order_of_the_texts_does_not_matter():
    assert CharTokenizer.train(["ab", "c d"]) == CharTokenizer.train(iter(["d c", "ba", "a"]))


def test_unknown_characters():
    tokenizer = CharTokenizer.train(["ab c"])
    assert tokenizer.encode("axb") == [4, UNK, 5]
    assert tokenizer.decode([4, UNK, 5]) == "a\u2047b"
    assert tokenizer.unknown(["axb", "yxé", "abc"]) == {"x": 2, "y": 1, "é": 1}
    assert list(tokenizer.unknown(["yxx"])) == ["x", "y"]
    assert tokenizer.unknown(["ab", ""]) == {}


def test_decode_drops_blank_and_eos():
    tokenizer = CharTokenizer.train(["ab "])
    assert tokenizer.decode([EOS, 4, BLANK, BLANK, 3, 5, EOS]) == "a b"
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize("token", [-1, 5, 1000])
def test_decode_refuses_ids_outside_the_vocabulary(token):
    with pytest.raises(ValueError, match=str(token)):
        CharTokenizer.train(["ab"]).decode([3, token])


def test_combining_marks_are_characters_of_their_own():
    composed, decomposed = "\u00e9", "e\u0301"
    tokenizer = CharTokenizer.train([composed])
    assert len(tokenizer) == 4
    assert tokenizer.encode(decomposed) == [UNK, UNK]
    both = CharTokenizer.train([composed, decomposed])
    assert both.characters == ("e", "\u00e9", "\u0301")
    for text in (composed, decomposed):
        assert both.decode(both.encode(text)) == text


@given(st.lists(st.text(), min_size=1).filter(any))
def test_round_trips(texts):
    tokenizer = CharTokenizer.train(texts)
    for text in texts:
        ids = tokenizer.encode(text)
        assert len(ids) == len(text)
        assert all(UNK < i < len(tokenizer) for i in ids)
        assert tokenizer.decode(ids) == text
    assert tokenizer.unknown(texts) == {}
    stored = json.loads(json.dumps(tokenizer.to_dict()))
    assert tokenizer_from_dict(stored) == tokenizer
    assert tokenizer_from_dict(stored).encode(texts[0]) == tokenizer.encode(texts[0])


def test_training_on_no_text():
    for texts in ([], [""], ["", ""]):
        with pytest.raises(InputError, match="no text"):
            CharTokenizer.train(texts)


def test_stored_form():
    tokenizer: Tokenizer = CharTokenizer.train(["b a"])
    assert tokenizer.to_dict() == {"kind": "characters", "characters": [" ", "a", "b"]}
    assert CharTokenizer.from_dict(tokenizer.to_dict()) == tokenizer


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "unigram", "characters": ["a"]},
        {"kind": ["characters"], "characters": ["a"]},
        {"kind": "characters"},
        {"kind": "characters", "characters": []},
        {"kind": "characters", "characters": "ab"},
        {"kind": "characters", "characters": ["a", 1]},
        {"kind": "characters", "characters": ["a", "bc"]},
        {"kind": "characters", "characters": ["a", ""]},
        {"kind": "characters", "characters": ["b", "a"]},
        {"kind": "characters", "characters": ["a", "a"]},
        ["characters"],
        None,
    ],
)
def test_malformed_data(data):
    with pytest.raises(CheckpointError) as caught:
        tokenizer_from_dict(data)
    assert "tokenizer" in str(caught.value)
    with pytest.raises(CheckpointError):
        CharTokenizer.from_dict(data)
