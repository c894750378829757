"""Words as tokens: for commands, digits and other small vocabularies."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from asr_attn.errors import InputError
from asr_attn.text.interface import (
    SPECIAL_SPELLINGS,
    SPECIALS,
    UNK,
    UNKNOWN_SIGN,
)
from asr_attn.text.listed import ListedTokenizer


@dataclass(frozen=True)
class WordTokenizer(ListedTokenizer):
    """One id for each word; words are what spaces are between.

    Attributes:
        words: the vocabulary, most frequent first; the first has the id 3.
        spellings: (V,) the same with the space before them, after those of the special ids.
    """

    KIND: ClassVar[str] = "words"
    SYMBOLS: ClassVar[str] = "words"
    unit: ClassVar[str] = "words"

    words: tuple[str, ...]
    spellings: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = {word: SPECIALS + i for i, word in enumerate(self.words)}
        if not ids or len(ids) < len(self.words) or any([w] != w.split() for w in ids):
            raise ValueError("words must be a non-empty tuple of words without spaces, each once")
        spellings = (*SPECIAL_SPELLINGS[:UNK], " " + UNKNOWN_SIGN, *(f" {w}" for w in self.words))
        object.__setattr__(self, "_ids", ids)
        object.__setattr__(self, "spellings", spellings)

    @classmethod
    def train(cls, texts: Iterable[str], size: int = 0) -> "WordTokenizer":
        """Takes the most frequent words of the texts as vocabulary.

        Args:
            texts: the training texts.
            size: number of ids, specials included; 0 takes all words.

        Raises:
            InputError: the texts have not so many words, or none.
        """
        counts = Counter(word for text in texts for word in text.split())
        if not counts:
            raise InputError(
                "A tokenizer cannot be made from no text: every transcript is empty; "
                "give a training manifest with words in it."
            )
        if size and not SPECIALS < size <= SPECIALS + len(counts):
            raise InputError(
                f"tokenizer.size={size}: the training texts have {len(counts)} different words; "
                f"set it to a number from {SPECIALS + 1} to {SPECIALS + len(counts)}, or to 0 for "
                "all of them"
            )
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(tuple(ranked[: size - SPECIALS] if size else ranked))

    def encode(self, text: str) -> list[int]:
        """Returns one id for each word of the text, `UNK` for the unknown."""
        return [self._ids.get(word, UNK) for word in text.split()]

    def unknown(self, texts: Iterable[str]) -> dict[str, int]:
        """Counts the words that the vocabulary does not hold, most frequent first."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(word for word in text.split() if word not in self._ids)
        return dict(counts.most_common())
