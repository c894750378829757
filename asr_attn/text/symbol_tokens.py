"""A tokenizer of any kind with a token for each non-linguistic symbol."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import numpy as np

from asr_attn.text.characters import CharTokenizer
from asr_attn.text.interface import Tokenizer, checked_ids
from asr_attn.text.subwords import SubwordTokenizer
from asr_attn.text.symbols import symbol_pattern
from asr_attn.text.utf8 import ByteTokenizer

SYMBOLS_KEY: Final = "symbols"
"""Where the symbols are stored beside the tokenizer."""


@dataclass(frozen=True)
class SymbolTokenizer:
    """Another tokenizer, whose ids stay, and behind them one id for each symbol.

    A symbol is a word of its own: spaces are before and after it.

    Attributes:
        base: of all other text.
        symbols: such as "[noise]".
    """

    base: Tokenizer
    symbols: tuple[str, ...]
    spellings: Sequence[str] = field(init=False, repr=False, compare=False)
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # where the space has a token of its own it is not part of the symbol's
        space = "" if isinstance(self.base, CharTokenizer | ByteTokenizer) else " "
        own = (f"{space}{self.base.spell(symbol)}" for symbol in self.symbols)
        ids = {symbol: len(self.base) + i for i, symbol in enumerate(self.symbols)}
        object.__setattr__(self, "spellings", (*self.base.spellings, *own))
        object.__setattr__(self, "_ids", ids)

    @property
    def KIND(self) -> str:  # noqa: N802 - as the other tokenizers have it
        """That of the other text."""
        return self.base.KIND

    @property
    def unit(self) -> str:
        """What `unknown` counts."""
        return self.base.unit

    def spell(self, text: str) -> str:
        """Returns the text in the letters that `spellings` are made of."""
        return self.base.spell(text)

    def encode(self, text: str) -> list[int]:
        """Returns the ids of the text, one for each symbol that is a word of it."""
        return self._encoded(text, self.base.encode)

    def sample(self, text: str, strength: float, random: np.random.Generator) -> list[int]:
        """Returns the ids of the text, its other words cut in one of their many ways."""
        base = self.base
        if not isinstance(base, SubwordTokenizer):
            return self.encode(text)
        return self._encoded(text, lambda part: base.sample(part, strength, random))

    def _encoded(self, text: str, encode: Callable[[str], list[int]]) -> list[int]:
        found: list[int] = []
        for part in self._parts(text):
            found += [self._ids[part]] if part in self._ids else encode(part)
        return found

    def _parts(self, text: str) -> list[str]:
        """The symbols of a text, and what is before, between and after them."""
        return [part for part in symbol_pattern(self.symbols).split(text) if part]

    def texts(self, ids: Iterable[int]) -> list[str]:
        """Returns what each of the ids adds; the first word has no space before it."""
        found: list[str] = []
        known = checked_ids(ids, len(self))
        for own, run in groupby(known, key=lambda token: token >= len(self.base)):
            if own:
                found += [f" {self.symbols[token - len(self.base)]}" for token in run]
            elif isinstance(self.base, ByteTokenizer):
                found += self.base.texts(run)
            else:
                found += [self.spellings[token] for token in run]
        if isinstance(self.base, CharTokenizer | ByteTokenizer):
            found = [
                text.removeprefix(" ") if token >= len(self.base) else text
                for token, text in zip(known, found, strict=True)
            ]
        first = next((i for i, text in enumerate(found) if text), None)
        if first is not None and not isinstance(self.base, ByteTokenizer):
            found[first] = found[first].removeprefix(" ")
        return found

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of the ids, symbols as they are written."""
        return "".join(self.texts(ids))

    def __len__(self) -> int:
        return len(self.spellings)

    def unknown(self, texts: Iterable[str]) -> dict[str, int]:
        """Counts what the other tokenizer cannot write, symbols apart."""
        return self.base.unknown(
            part for text in texts for part in self._parts(text) if part not in self._ids
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the other tokenizer as it is stored, and the symbols."""
        return {**self.base.to_dict(), SYMBOLS_KEY: list(self.symbols)}


def stored_symbols(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The symbols of a stored tokenizer; none in older ones.

    Raises:
        ValueError: they are no list of words.
    """
    symbols = data.get(SYMBOLS_KEY, [])
    if not isinstance(symbols, list) or not all(isinstance(s, str) and s for s in symbols):
        raise ValueError(f'"{SYMBOLS_KEY}" must be a list of strings')
    return tuple(symbols)
