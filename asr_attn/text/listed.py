"""What tokenizers with a list of symbols share, whatever the symbols are."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from asr_attn.errors import CheckpointError
from asr_attn.text.interface import checked_ids


class ListedTokenizer:
    """A tokenizer whose symbols stand in a list, which is what is stored of it.

    A subclass is a dataclass whose first field has the name ``SYMBOLS``.
    """

    KIND: ClassVar[str]
    SYMBOLS: ClassVar[str]
    """What the list is called, as a field and where it is stored."""

    spellings: tuple[str, ...]

    def spell(self, text: str) -> str:
        """Returns the text as it is: letters are characters."""
        return text

    def texts(self, ids: Iterable[int]) -> list[str]:
        """Returns what each id adds; the first word of a sentence has no space before it."""
        found = [self.spellings[token] for token in checked_ids(ids, len(self))]
        first = next((i for i, text in enumerate(found) if text), None)
        if first is not None:
            found[first] = found[first].removeprefix(" ")
        return found

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of the ids, without blanks and ends of sentence.

        Raises:
            ValueError: an id is outside the vocabulary.
        """
        return "".join(self.texts(ids))

    def __len__(self) -> int:
        return len(self.spellings)

    def to_dict(self) -> dict[str, Any]:
        """Returns the symbols, and the kind of tokenizer."""
        return {"kind": self.KIND, self.SYMBOLS: list(getattr(self, self.SYMBOLS))}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Makes the tokenizer that `to_dict` wrote.

        Raises:
            CheckpointError: the data was not written by `to_dict`.
        """
        symbols = data.get(cls.SYMBOLS) if isinstance(data, Mapping) else None
        if not isinstance(symbols, list) or not all(isinstance(item, str) for item in symbols):
            raise CheckpointError(
                f'The tokenizer is damaged: "{cls.SYMBOLS}" must be a list of strings; '
                "use an undamaged copy of the model."
            )
        if data.get("kind") != cls.KIND:
            raise CheckpointError(
                f'The tokenizer is of the kind {data.get("kind")!r}, not "{cls.KIND}".'
            )
        try:
            return cls._stored(tuple(symbols), data)
        except ValueError as error:
            raise CheckpointError(
                f"The tokenizer is damaged: {error}; use an undamaged copy of the model."
            ) from None

    @classmethod
    def _stored(cls, symbols: tuple[str, ...], data: Mapping[str, Any]) -> Self:
        """The tokenizer of what was stored."""
        return cls(symbols)  # type: ignore[call-arg]
