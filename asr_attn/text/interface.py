"""What models, search and checkpoints need of a tokenizer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, Self

BLANK: Final = 0
"""No symbol: the blank of CTC."""
EOS: Final = 1
"""Start and end of a sentence."""
UNK: Final = 2
"""What is outside the vocabulary: a character, or with words a word."""

SPECIALS: Final = 3
"""How many ids come before those of the text's own symbols."""
UNKNOWN_SIGN: Final = "\u2047"
"""What the unknown looks like in decoded text."""
SPECIAL_SPELLINGS: Final = ("", "", UNKNOWN_SIGN)
"""Spellings of the ids 0 to 2, where the unknown is a character."""


class Tokenizer(Protocol):
    """From text to ids and back; the ids 0 to 2 mean the same in all.

    A tokenizer takes text as it is: normalise it before. Its tokens are spelt in letters, which are
    the characters of the text unless the tokens are parts of characters. Words begin and end where
    tokens do: a spelling has no space but at its start, where it says that a word begins.

    """

    @property
    def KIND(self) -> str:  # noqa: N802 - a constant of most classes
        """Its name in settings and in checkpoints."""
        ...

    @property
    def unit(self) -> str:
        """What `unknown` counts: "characters" or "words"."""
        ...

    @property
    def spellings(self) -> Sequence[str]:
        """The letters (V,) that each token adds within a sentence, a space before them included.

        A blank and an end of sentence add none.
        """
        ...

    def spell(self, text: str) -> str:
        """Returns the text in the letters that `spellings` are made of."""
        ...

    def encode(self, text: str) -> list[int]:
        """Returns the ids of the text without start and end, `UNK` for what it cannot write."""
        ...

    def texts(self, ids: Iterable[int]) -> list[str]:
        """Returns what each of the ids adds to the text that `decode` makes of all of them."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of the ids, without blanks and ends of sentence.

        Raises:
            ValueError: an id is outside the vocabulary.
        """
        ...

    def __len__(self) -> int:
        """The number of ids V, specials included."""
        ...

    def unknown(self, texts: Iterable[str]) -> dict[str, int]:
        """Counts the characters or words that it cannot write, most frequent first."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Returns the tokenizer as builtins, its "kind" among them, for `from_dict`."""
        ...


class StoredTokenizer(Tokenizer, Protocol):
    """A kind of tokenizers, each of which can be made of what was stored of it."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Makes the tokenizer that `to_dict` wrote.

        Raises:
            CheckpointError: the data was not written by `to_dict`.
        """
        ...


def checked_ids(ids: Iterable[int], size: int) -> list[int]:
    """The ids, all of which must be below ``size``.

    Raises:
        ValueError: one is not.
    """
    found = [int(token) for token in ids]
    for token in found:
        if not 0 <= token < size:
            raise ValueError(f"token {token} is not one of the {size} of this tokenizer")
    return found
