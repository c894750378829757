"""From text to the numbers that a model is trained on, and back: all kinds of tokenizers."""

from collections.abc import Mapping
from typing import Any, Final

from asr_attn.errors import CheckpointError
from asr_attn.text.characters import CharTokenizer
from asr_attn.text.interface import (
    BLANK,
    EOS,
    SPECIALS,
    UNK,
    UNKNOWN_SIGN,
    StoredTokenizer,
    Tokenizer,
)
from asr_attn.text.subwords import BpeTokenizer, SubwordTokenizer, UnigramTokenizer
from asr_attn.text.symbol_tokens import SymbolTokenizer, stored_symbols
from asr_attn.text.utf8 import ByteTokenizer
from asr_attn.text.words import WordTokenizer

__all__ = [
    "BLANK",
    "EOS",
    "SPECIALS",
    "SUBWORDS",
    "TOKENIZERS",
    "UNK",
    "UNKNOWN_SIGN",
    "BpeTokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "SubwordTokenizer",
    "SymbolTokenizer",
    "Tokenizer",
    "UnigramTokenizer",
    "WordTokenizer",
    "tokenizer_from_dict",
]

SUBWORDS: Final[Mapping[str, type[SubwordTokenizer]]] = {
    BpeTokenizer.KIND: BpeTokenizer,
    UnigramTokenizer.KIND: UnigramTokenizer,
}
"""Those whose tokens are pieces of words."""
TOKENIZERS: Final[Mapping[str, type[StoredTokenizer]]] = {
    CharTokenizer.KIND: CharTokenizer,
    BpeTokenizer.KIND: BpeTokenizer,
    UnigramTokenizer.KIND: UnigramTokenizer,
    ByteTokenizer.KIND: ByteTokenizer,
    WordTokenizer.KIND: WordTokenizer,
}
"""The kinds of tokenizers by the names that settings and checkpoints have for them."""


def tokenizer_from_dict(data: Mapping[str, Any]) -> Tokenizer:
    """Makes the tokenizer that any tokenizer's `to_dict` wrote.

    Raises:
        CheckpointError: the kind is unknown or the data is malformed.
    """
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in TOKENIZERS:
        raise CheckpointError(
            f"The tokenizer is of an unknown kind ({kind!r}); known: {', '.join(TOKENIZERS)}. "
            "The model may come from a newer version."
        )
    base = TOKENIZERS[kind].from_dict(data)
    try:
        symbols = stored_symbols(data)
    except ValueError as error:
        raise CheckpointError(
            f"The tokenizer is damaged: {error}; use an undamaged copy of the model."
        ) from None
    return SymbolTokenizer(base, symbols) if symbols else base
