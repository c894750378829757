import pytest

from asr_attn.errors import InputError
from asr_attn.text.build import TokenizerConfig, build_tokenizer
from asr_attn.text.tokenizer import TOKENIZERS
from tests.test_architecture import loaded_with

TEXTS = ["the cat sat on the mat", "a cat", "the rat sat"] * 3


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (TokenizerConfig(), 3 + len(set("".join(TEXTS)))),
        (TokenizerConfig("bpe", 20), 20),
        (TokenizerConfig("unigram", 16), 16),
        (TokenizerConfig("bytes"), 259),
        (TokenizerConfig("words"), 3 + 7),
        (TokenizerConfig("words", 6), 6),
    ],
)
def test_makes_what_is_asked_for(config, size):
    tokenizer = build_tokenizer(config, TEXTS)
    assert config.name == tokenizer.KIND
    assert isinstance(tokenizer, TOKENIZERS[config.name])
    assert len(tokenizer) == len(tokenizer.spellings) == size
    assert tokenizer.decode(tokenizer.encode("the cat")) == "the cat"


def test_characters_have_a_space_even_without_one_in_the_texts():
    assert build_tokenizer(TokenizerConfig(), ["ab"]).encode(" ") == [3]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "syllables"}, r"tokenizer\.name='syllables' is not known; known: characters, "),
        ({"name": "bpe"}, r"tokenizer=bpe needs tokenizer\.size"),
        ({"name": "unigram", "size": 3}, r"tokenizer=unigram needs tokenizer\.size"),
        ({"name": "words", "size": 3}, r"tokenizer\.size=3: needs a number above 3"),
        ({"name": "bytes", "size": 259}, r"tokenizer\.size=259: bytes are as many as there are"),
        ({"size": 30}, r"tokenizer\.size=30: characters are as many as there are"),
        ({"sampling": 0.1}, r"tokenizer\.sampling=0\.1: characters cannot be cut in other ways"),
        ({"name": "bpe", "size": 30, "sampling": 1.0}, r"from 0 to 1, and with bpe below 1"),
        ({"name": "unigram", "size": 30, "sampling": -0.1}, r"from 0 to 1"),
        ({"name": "unigram", "size": 30, "sampling": float("nan")}, r"from 0 to 1"),
    ],
)
def test_settings_that_do_not_go_together(config, message):
    with pytest.raises(ValueError, match=message):
        TokenizerConfig(**config)


def test_texts_that_are_too_few_are_told():
    with pytest.raises(InputError, match=r"tokenizer\.size=300: the training texts are too few"):
        build_tokenizer(TokenizerConfig("unigram", 300), TEXTS)


def test_sentencepiece_is_loaded_by_nothing_but_training_pieces():
    loaded = loaded_with("asr_attn.text.build")
    assert "asr_attn.text.piece_training" in loaded
    assert "sentencepiece" not in loaded
