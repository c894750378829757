"""Non-linguistic symbols: dropped from texts, or kept as one token by every tokenizer."""

import json
from dataclasses import replace

import numpy as np
import pytest

from asr_attn.errors import CheckpointError
from asr_attn.text.build import TokenizerConfig, build_tokenizer
from asr_attn.text.normalizer import NormalizerConfig, normalize
from asr_attn.text.symbols import without_symbols
from asr_attn.text.tokenizer import UNK, tokenizer_from_dict

SYMBOLS = ("[noise]", "<unk>", "uh")
DROP = NormalizerConfig(symbols=SYMBOLS)
KEEP = replace(DROP, keep_symbols=True)
TEXTS = ["one [noise] two", "<unk> three", "four", "uh five uh", "[noise]", "two one three four"]
SIZES = {"characters": 0, "bytes": 0, "words": 0, "bpe": 25, "unigram": 21}


@pytest.mark.parametrize(
    ("text", "dropped", "kept"),
    [
        ("One [NOISE] two.", "one two", "one [noise] two"),
        ("a[noise]b", "a b", "a [noise] b"),
        ("<unk>, Uh! huh uhura", "huh uhura", "<unk> uh huh uhura"),
        ("[Noise] [noise]", "", "[noise] [noise]"),
        ("noise unk", "noise unk", "noise unk"),
        ("", "", ""),
    ],
)
def test_symbols_are_dropped_or_kept(text, dropped, kept):
    assert normalize(text, DROP) == dropped
    assert normalize(text, KEEP) == kept
    assert normalize(kept, KEEP) == kept
    loud = replace(KEEP, lowercase=False)
    assert normalize("A [noise] [NOISE]", loud) == "A [noise] NOISE"
    assert without_symbols(text, ()) == text


@pytest.mark.parametrize("name", SIZES)
def test_a_symbol_is_one_token_of_every_tokenizer(name):
    texts = [normalize(text, KEEP) for text in TEXTS]
    plain = [normalize(text, DROP) for text in TEXTS]
    config = TokenizerConfig(name, SIZES[name], normalizer=KEEP)
    tokenizer = build_tokenizer(config, texts)
    if SIZES[name]:
        assert len(tokenizer) == SIZES[name]
    size = max(SIZES[name] - len(SYMBOLS), 0)
    base = build_tokenizer(TokenizerConfig(name, size, normalizer=DROP), plain)
    assert len(tokenizer) == len(base) + len(SYMBOLS)
    assert len(tokenizer.spellings) == len(tokenizer)
    assert name == tokenizer.KIND
    for text in [*texts, "[noise]", "<unk> uh", "one two"]:
        ids = tokenizer.encode(text)
        assert UNK not in ids
        assert tokenizer.decode(ids) == "".join(tokenizer.texts(ids)) == text
        count = sum(text.split().count(symbol) for symbol in SYMBOLS)
        assert sum(token >= len(base) for token in ids) == count
        # what the search spells words with is the text, but for a space before it
        spelt = "".join(tokenizer.spellings[token] for token in ids)
        assert spelt.removeprefix(" ") == tokenizer.spell(text)
        sample = getattr(tokenizer, "sample", None)
        if name in ("bpe", "unigram"):
            drawn = sample(text, 0.5, np.random.default_rng(0))
            assert tokenizer.decode(drawn) == text
    assert tokenizer.encode("one two") == base.encode("one two")
    stored = json.loads(json.dumps(tokenizer.to_dict()))
    assert tokenizer_from_dict(stored) == tokenizer
    assert tokenizer_from_dict(json.loads(json.dumps(base.to_dict()))) == base
    if name != "bytes":
        assert set(tokenizer.unknown(["[noise] \u00df one"])) == {"\u00df"}
    with pytest.raises(CheckpointError, match="symbols"):
        tokenizer_from_dict({**stored, "symbols": [3]})


@pytest.mark.parametrize(
    ("symbols", "words"),
    [(("",), "one word"), (("a b",), "one word"), (("[n]", "[N]"), "given twice")],
)
def test_bad_symbols_are_refused(symbols, words):
    with pytest.raises(ValueError, match=words):
        NormalizerConfig(symbols=symbols)


def test_symbols_count_among_the_size():
    with pytest.raises(Exception, match=r"beside 3 symbols: .*tokenizer\.size"):
        build_tokenizer(TokenizerConfig("bpe", 9, normalizer=KEEP), TEXTS)
