"""Characters as tokens."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from asr_attn.errors import InputError
from asr_attn.text.interface import (
    SPECIAL_SPELLINGS,
    SPECIALS,
    UNK,
    checked_ids,
)
from asr_attn.text.listed import ListedTokenizer


@dataclass(frozen=True)
class CharTokenizer(ListedTokenizer):
    """One id for each character (Unicode code point), the space being one like any other.

    Attributes:
        characters: the vocabulary in ascending order; the first has the id 3.
        spellings: (V,) the same after those of the special ids.
    """

    KIND: ClassVar[str] = "characters"
    SYMBOLS: ClassVar[str] = "characters"
    unit: ClassVar[str] = "characters"

    characters: tuple[str, ...]
    spellings: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.characters or any(len(character) != 1 for character in self.characters):
            raise ValueError("characters must be a non-empty tuple of single characters")
        if any(a >= b for a, b in zip(self.characters, self.characters[1:], strict=False)):
            raise ValueError("characters must be in ascending order, each once")
        ids = {character: SPECIALS + i for i, character in enumerate(self.characters)}
        object.__setattr__(self, "_ids", ids)
        object.__setattr__(self, "spellings", (*SPECIAL_SPELLINGS, *self.characters))

    @classmethod
    def train(cls, texts: Iterable[str]) -> "CharTokenizer":
        """Takes the characters of the texts as vocabulary.

        Raises:
            InputError: the texts hold no characters.
        """
        characters: set[str] = set()
        for text in texts:
            characters.update(text)
        if not characters:
            raise InputError(
                "A tokenizer cannot be made from no text: every transcript is empty; "
                "give a training manifest with words in it."
            )
        return cls(tuple(sorted(characters)))

    def encode(self, text: str) -> list[int]:
        """Returns one id for each character of the text, `UNK` for the unknown."""
        return [self._ids.get(character, UNK) for character in text]

    def unknown(self, texts: Iterable[str]) -> dict[str, int]:
        """Counts the characters that the vocabulary does not hold, most frequent first."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(character for character in text if character not in self._ids)
        return dict(counts.most_common())

    def texts(self, ids: Iterable[int]) -> list[str]:
        """Returns the character of each id, "" for blanks and ends of sentence."""
        return [self.spellings[token] for token in checked_ids(ids, len(self))]
