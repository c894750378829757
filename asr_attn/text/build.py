"""The choice of a tokenizer, and making it from training texts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from asr_attn.errors import InputError
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.text.symbol_tokens import SymbolTokenizer
from asr_attn.text.symbols import without_symbols
from asr_attn.text.tokenizer import (
    SPECIALS,
    SUBWORDS,
    TOKENIZERS,
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    WordTokenizer,
)

SIZED = (*SUBWORDS, WordTokenizer.KIND)
"""Kinds of tokenizers whose number of tokens can be chosen."""


@dataclass(frozen=True)
class TokenizerConfig:
    """What the model writes, and how texts are brought to one form first."""

    name: str = "characters"
    """Kind of tokens: characters, bpe or unigram (pieces of words), bytes or words."""
    size: int = 0
    """Number of tokens, those for blank, end and unknown included. Of words, the most frequent are
    taken, or with 0 all; characters and bytes are as many as there are, and this is 0."""
    sampling: float = 0.0
    """Cuts the training texts in other ways at each epoch; 0 does not. With bpe the probability
    that a merge is left out (BPE-dropout; 0.1 is usual); with unigram the power that the
    probabilities of all cuts are raised to: 1 draws a cut as often as it is likely, less makes them
    more alike (0.2 is usual)."""
    normalizer: NormalizerConfig = field(default_factory=NormalizerConfig)
    """Form of the texts."""

    def __post_init__(self) -> None:
        if self.name not in TOKENIZERS:
            raise ValueError(
                f"tokenizer.name={self.name!r} is not known; known: {', '.join(TOKENIZERS)}"
            )
        if self.name in SUBWORDS and self.size <= SPECIALS:
            raise ValueError(
                f"tokenizer={self.name} needs tokenizer.size, the number of tokens, not {self.size}"
            )
        if self.name == WordTokenizer.KIND and self.size and self.size <= SPECIALS:
            raise ValueError(
                f"tokenizer.size={self.size}: needs a number above {SPECIALS}, or 0 for all words"
            )
        if self.name not in SIZED and self.size:
            raise ValueError(
                f"tokenizer.size={self.size}: {self.name} are as many as there are; leave it out, "
                "or use tokenizer=bpe or unigram"
            )
        if self.name not in SUBWORDS and self.sampling:
            raise ValueError(
                f"tokenizer.sampling={self.sampling:g}: {self.name} cannot be cut in other ways; "
                "leave it out, or use tokenizer=bpe or unigram"
            )
        if not 0 <= self.sampling <= 1 or (self.name == BpeTokenizer.KIND and self.sampling == 1):
            raise ValueError(
                "tokenizer.sampling is a number from 0 to 1, and with bpe below 1, not "
                f"{self.sampling}"
            )


def build_tokenizer(config: TokenizerConfig, texts: Sequence[str]) -> Tokenizer:
    """Make the tokenizer of normalised training texts.

    Symbols that the normaliser keeps have a token each, which counts among their number.

    Raises:
        InputError: they do not go with the number of tokens.
    """
    symbols = config.normalizer.kept_symbols
    if not symbols:
        return _build(config.name, config.size, texts)
    others = [without_symbols(text, symbols) for text in texts]
    size = max(config.size - len(symbols), SPECIALS + 1) if config.size else 0
    try:
        return SymbolTokenizer(_build(config.name, size, others), symbols)
    except InputError as error:
        raise InputError(f"beside {len(symbols)} symbols: {error}") from None


def _build(name: str, size: int, texts: Sequence[str]) -> Tokenizer:
    """The tokenizer of other text than symbols."""
    if name in SUBWORDS:
        return SUBWORDS[name].train(texts, size)
    if name == WordTokenizer.KIND:
        return WordTokenizer.train(texts, size)
    if name == ByteTokenizer.KIND:
        return ByteTokenizer()
    # the space belongs in even if all texts are single words: joined examples need it
    return CharTokenizer.train([" ", *texts])
