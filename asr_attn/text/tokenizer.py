"""From text to the numbers that a model is trained on, and back."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol

from asr_attn.errors import CheckpointError, InputError

BLANK: Final = 0
"""No symbol: the blank of CTC."""
EOS: Final = 1
"""Start and end of a sentence."""
UNK: Final = 2
"""A character outside the vocabulary."""

SPECIALS: Final = 3
"""How many ids come before those of the text's own symbols."""
UNKNOWN_SIGN: Final = "\u2047"
"""What the unknown character looks like in decoded text."""


class Tokenizer(Protocol):
    """What models, search and checkpoints need of a tokenizer; the ids 0 to 2 mean the same in all.

    `encode` adds no start or end, and a tokenizer takes text as it is: normalise it before.
    """

    def encode(self, text: str) -> list[int]:
        """Returns the ids of the text, `UNK` for what the vocabulary does not hold."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of the ids, without blanks and ends of sentence."""
        ...

    def __len__(self) -> int:
        """The number of ids, specials included."""
        ...

    def unknown(self, texts: Iterable[str]) -> dict[str, int]:
        """Counts the characters that the vocabulary does not hold, most frequent first."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Returns the tokenizer as builtins, its "kind" among them, for `tokenizer_from_dict`."""
        ...


@dataclass(frozen=True)
class CharTokenizer:
    """One id for each character (Unicode code point), the space being one like any other.

    Attributes:
        characters: the vocabulary in ascending order; the first has the id 3.
    """

    KIND: ClassVar[str] = "characters"

    characters: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.characters or any(len(character) != 1 for character in self.characters):
            raise ValueError("characters must be a non-empty tuple of single characters")
        if any(a >= b for a, b in zip(self.characters, self.characters[1:], strict=False)):
            raise ValueError("characters must be in ascending order, each once")
        ids = {character: SPECIALS + i for i, character in enumerate(self.characters)}
        object.__setattr__(self, "_ids", ids)

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

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of the ids, without blanks and ends of sentence.

        Raises:
            ValueError: an id is outside the vocabulary.
        """
        return "".join(map(self._symbol, ids))

    def _symbol(self, token: int) -> str:
        token = int(token)
        if not 0 <= token < len(self):
            raise ValueError(f"token {token} is not one of the {len(self)} of this tokenizer")
        if token == UNK:
            return UNKNOWN_SIGN
        return self.characters[token - SPECIALS] if token >= SPECIALS else ""

    def __len__(self) -> int:
        return SPECIALS + len(self.characters)

    def unknown(self, texts: Iterable[str]) -> dict[str, int]:
        """Counts the characters that the vocabulary does not hold, most frequent first."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(character for character in text if character not in self._ids)
        return dict(counts.most_common())

    def to_dict(self) -> dict[str, Any]:
        """Returns {"kind": "characters", "characters": [...]}."""
        return {"kind": self.KIND, "characters": list(self.characters)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "CharTokenizer":
        """Makes the tokenizer that `to_dict` wrote.

        Raises:
            CheckpointError: the data was not written by `to_dict`.
        """
        characters = data.get("characters") if isinstance(data, Mapping) else None
        if not isinstance(characters, list) or not all(isinstance(c, str) for c in characters):
            raise CheckpointError(
                'The tokenizer is damaged: "characters" must be a list of strings; '
                "use an undamaged copy of the model."
            )
        if data.get("kind") != cls.KIND:
            raise CheckpointError(
                f'The tokenizer is of the kind {data.get("kind")!r}, not "{cls.KIND}".'
            )
        try:
            return cls(tuple(characters))
        except ValueError as error:
            raise CheckpointError(
                f"The tokenizer is damaged: {error}; use an undamaged copy of the model."
            ) from None


TOKENIZERS: Final = {CharTokenizer.KIND: CharTokenizer}
"""The kinds of tokenizers by the name that a checkpoint holds."""


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
    return TOKENIZERS[kind].from_dict(data)
