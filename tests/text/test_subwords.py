"""Pieces of words against SentencePiece itself, which the library only trains with."""

import io
import json

import numpy as np
import pytest
import sentencepiece

from asr_attn.errors import CheckpointError, InputError
from asr_attn.text.tokenizer import (
    BLANK,
    EOS,
    SPECIALS,
    SUBWORDS,
    UNK,
    BpeTokenizer,
    UnigramTokenizer,
    tokenizer_from_dict,
)
from tests.text.scripts import ALPHABETS, texts

KINDS = list(SUBWORDS)


def reference(kind: str, lines: list[str], size: int) -> sentencepiece.SentencePieceProcessor:
    """SentencePiece with its unknown in the place of our three special ids."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=written,
        model_type=kind,
        vocab_size=size - SPECIALS + 1,
        character_coverage=1.0,
        normalization_rule_name="identity",
        split_by_unicode_script=False,
        bos_id=-1,
        eos_id=-1,
        num_threads=4,
        minloglevel=3,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())


@pytest.mark.parametrize("script", ["latin", "han", "devanagari"])
@pytest.mark.parametrize("kind", KINDS)
def test_cuts_are_those_of_sentencepiece(kind, script):
    lines = texts(script, 80)
    size = len(set("".join(lines))) + 30
    tokenizer = SUBWORDS[kind].train(lines, size)
    theirs = reference(kind, lines, size)
    assert len(tokenizer) == size
    pieces = [theirs.id_to_piece(i) for i in range(1, theirs.get_piece_size())]
    assert [piece.replace(" ", "\u2581") for piece in tokenizer.pieces] == pieces
    shuffled = ["".join(np.random.default_rng(i).permutation(list(t))) for i, t in enumerate(lines)]
    for line in [*lines, *texts(script, 20, seed=1), *shuffled]:
        expected = [max(i - 1 + SPECIALS, UNK) for i in theirs.encode(line)]
        found = tokenizer.encode(line)
        # it makes one unknown of several on end
        once = [t for i, t in enumerate(found) if t != UNK or i == 0 or found[i - 1] != UNK]
        assert once == expected


@pytest.mark.parametrize("script", ALPHABETS)
@pytest.mark.parametrize("kind", KINDS)
def test_round_trips_of_plain_and_sampled_cuts(kind, script):
    lines = texts(script, 40)
    tokenizer = SUBWORDS[kind].train(lines, len(set("".join(lines))) + 20)
    random = np.random.default_rng(0)
    ways = set()
    for line in lines:
        ids = tokenizer.encode(line)
        assert tokenizer.decode([BLANK, *ids, EOS]) == line
        assert "".join(tokenizer.texts(ids)) == line
        sampled = tokenizer.sample(line, 0.3, random)
        assert tokenizer.decode(sampled) == line
        ways.add(tuple(sampled) == tuple(ids))
        assert UNK not in sampled
    assert ways == {False, True}
    assert tokenizer.unknown(lines) == {}
    stored = tokenizer_from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert stored == tokenizer
    assert [stored.encode(line) for line in lines] == [tokenizer.encode(line) for line in lines]


@pytest.fixture(scope="module", params=KINDS)
def english(request):
    return SUBWORDS[request.param].train(["the cat sat", "the cats", "a hat that sat"] * 5, 14)


def test_spaces_beside_words_are_not_kept(english):
    assert english.decode(english.encode("  the \t cat ")) == "the cat"
    assert english.encode(" ") == english.encode("") == english.sample("", 0.5, None) == []


def test_a_token_says_whether_it_begins_a_word(english):
    ids = english.encode("the cat sat")
    spelt = "".join(english.spellings[i] for i in ids)
    assert spelt == " the cat sat"
    assert all(" " not in english.spellings[i][1:] for i in range(len(english)))


def test_unknown_characters(english):
    assert english.decode(english.encode("theé é")) == "the\u2047 \u2047"
    assert english.encode("éé").count(UNK) == 2
    assert english.unknown(["é éx", "cat"]) == {"é": 2, "x": 1}


@pytest.mark.parametrize("token", [-1, 14])
def test_decode_refuses_ids_outside_the_vocabulary(english, token):
    with pytest.raises(ValueError, match=str(token)):
        english.decode([token])


def test_equal_generators_draw_equal_cuts(english):
    rows = [
        [english.sample("the cats that sat", 0.4, random) for _ in range(20)]
        for random in (np.random.default_rng(3), np.random.default_rng(3))
    ]
    assert rows[0] == rows[1]
    assert len({tuple(row) for row in rows[0]}) > 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_texts_give_the_same_pieces(kind):
    lines = texts("latin", 60)
    assert SUBWORDS[kind].train(lines, 60) == SUBWORDS[kind].train(iter(lines), 60)


@pytest.mark.parametrize("script", ["latin", "han"])
@pytest.mark.parametrize("kind", KINDS)
def test_sizes_that_cannot_be_are_refused_and_the_named_ones_can(kind, script):
    lines = texts(script, 30)
    for wrong in (4, 5000):
        with pytest.raises(InputError, match=rf"^tokenizer\.size={wrong}: ") as caught:
            SUBWORDS[kind].train(lines, wrong)
        possible = int(str(caught.value).split()[-1])
        assert len(SUBWORDS[kind].train(lines, possible)) == possible
        with pytest.raises(InputError):
            SUBWORDS[kind].train(lines, possible + (1 if wrong == 5000 else -1))


@pytest.mark.parametrize("kind", KINDS)
def test_rare_characters_and_blocks_that_sentencepiece_reserves(kind):
    lines = ["ab ab ab"] * 300 + ["aq", "b\u2581a \u2585", "a" * 5000]
    tokenizer = SUBWORDS[kind].train(lines, 9)
    assert tokenizer.decode(tokenizer.encode("aq ab")) == "aq ab"
    assert tokenizer.decode(tokenizer.encode("b\u2581a")) == "b\u2047a"


@pytest.mark.parametrize("kind", KINDS)
def test_training_on_no_text(kind):
    for lines in ([], ["", " "]):
        with pytest.raises(InputError, match="no text"):
            SUBWORDS[kind].train(lines, 10)


BPE = {"kind": "bpe", "pieces": [" a", "a", " "]}
UNIGRAM = {"kind": "unigram", "pieces": ["a", " "], "log_probs": [-1.0, -2]}


def test_stored_form():
    assert tokenizer_from_dict(BPE) == BpeTokenizer((" a", "a", " "))
    assert tokenizer_from_dict(UNIGRAM) == UnigramTokenizer(("a", " "), (-1.0, -2.0))


@pytest.mark.parametrize(
    "data",
    [
        {"kind": "bpe"},
        {**BPE, "pieces": []},
        {**BPE, "pieces": ["a", "a"]},
        {**BPE, "pieces": ["a", ""]},
        {**BPE, "pieces": ["a b"]},
        {**BPE, "pieces": ["a", "  "]},
        {**BPE, "pieces": [1]},
        {**UNIGRAM, "log_probs": None},
        {**UNIGRAM, "log_probs": [-1.0]},
        {**UNIGRAM, "log_probs": [-1.0, "x"]},
        {**UNIGRAM, "log_probs": [-1.0, float("nan")]},
        {**UNIGRAM, "log_probs": [True, -1.0]},
    ],
)
def test_malformed_data(data):
    with pytest.raises(CheckpointError, match="tokenizer is damaged"):
        tokenizer_from_dict(data)
