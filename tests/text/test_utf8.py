import codecs
import unicodedata

import numpy as np
import pytest

from asr_attn.errors import CheckpointError
from asr_attn.text.tokenizer import BLANK, EOS, SPECIALS, UNK, ByteTokenizer, tokenizer_from_dict
from tests.text.scripts import ALPHABETS, texts

BYTES = ByteTokenizer()


@pytest.mark.parametrize("script", ALPHABETS)
def test_ids_are_the_bytes_of_utf8(script):
    for text in texts(script, 20):
        ids = BYTES.encode(text)
        assert bytes(i - SPECIALS for i in ids) == text.encode("utf-8")
        assert BYTES.decode([EOS, *ids, BLANK]) == text
        assert "".join(BYTES.texts(ids)) == text


def test_any_text_round_trips_with_its_spaces():
    random = np.random.default_rng(0)
    codes = random.integers(0, 0x110000, 3000)
    text = "  a b " + "".join(chr(c) for c in codes if not 0xD800 <= c < 0xE000) + " "
    assert BYTES.decode(BYTES.encode(text)) == text
    assert BYTES.unknown([text]) == {}
    assert len(BYTES) == 259


def test_bytes_that_are_no_utf8_decode_as_pythons_decoder_does():
    random = np.random.default_rng(0)
    for _ in range(300):
        raw = bytes(random.choice([0x20, 0x41, 0x80, 0xA9, 0xC3, 0xE4, 0xF0, 0xFF], 8).tolist())
        ids = [SPECIALS + byte for byte in raw]
        assert BYTES.decode(ids) == codecs.decode(raw, "utf-8", "replace")
        assert "".join(BYTES.texts(ids)) == BYTES.decode(ids)


def test_a_character_is_added_by_its_last_byte():
    ids = BYTES.encode("né的")
    assert BYTES.texts(ids) == ["n", "", "é", "", "", "的"]
    assert BYTES.texts([*ids[:2], UNK, BLANK, ids[3]]) == ["n", "", "\ufffd\u2047", "", "\ufffd"]
    assert BYTES.decode([ids[1], BLANK, ids[2]]) == "é"


def test_half_of_a_surrogate_pair_does_not_raise():
    assert "a" in BYTES.decode(BYTES.encode("\ud800a"))


def test_letters_are_different_and_only_the_space_is_one():
    letters = BYTES.spellings[SPECIALS:]
    assert len(set(letters)) == 256
    assert [letter for letter in letters if letter.isspace()] == [" "]
    assert all(len(x) == 1 and unicodedata.category(x) not in ("Cc", "Cf") for x in letters)
    assert BYTES.spell("é a") == "".join(BYTES.spellings[i] for i in BYTES.encode("é a"))


def test_stored_form():
    assert tokenizer_from_dict(BYTES.to_dict()) == BYTES
    with pytest.raises(CheckpointError):
        ByteTokenizer.from_dict({"kind": "words"})


@pytest.mark.parametrize("token", [-1, 259])
def test_decode_refuses_ids_outside_the_vocabulary(token):
    with pytest.raises(ValueError, match=str(token)):
        BYTES.decode([token])
