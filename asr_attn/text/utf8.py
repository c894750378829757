"""Bytes of UTF-8 as tokens: any text of any language, and nothing that is unknown."""

import codecs
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from asr_attn.errors import CheckpointError
from asr_attn.text.interface import SPECIAL_SPELLINGS, SPECIALS, UNK, UNKNOWN_SIGN, checked_ids

_LETTERS: Final = tuple(chr(b) if 0x20 <= b < 0x7F else chr(0x100 + b) for b in range(256))
"""Each byte as a letter: ASCII as it is, others as letters that are neither spaces nor controls."""


@dataclass(frozen=True)
class ByteTokenizer:
    """One id for each of the 256 bytes that UTF-8 is made of.

    Bytes that are no UTF-8 become replacement characters (U+FFFD) when they are decoded.
    """

    KIND: ClassVar[str] = "bytes"
    unit: ClassVar[str] = "characters"

    @property
    def spellings(self) -> tuple[str, ...]:
        """The letter that stands for each byte, after those of the special ids."""
        return (*SPECIAL_SPELLINGS, *_LETTERS)

    def spell(self, text: str) -> str:
        """Returns a letter for each byte of the text."""
        return "".join(_LETTERS[byte] for byte in _bytes_of(text))

    def encode(self, text: str) -> list[int]:
        """Returns one id for each byte of the text."""
        return [SPECIALS + byte for byte in _bytes_of(text)]

    def texts(self, ids: Iterable[int]) -> list[str]:
        """Returns what each id adds: its last byte adds a character, those before it nothing."""
        reader = codecs.getincrementaldecoder("utf-8")("replace")
        found = []
        for token in checked_ids(ids, len(self)):
            if token >= SPECIALS:
                found.append(reader.decode(bytes([token - SPECIALS])))
            else:
                found.append(reader.decode(b"", final=True) + UNKNOWN_SIGN if token == UNK else "")
        if found:
            found[-1] += reader.decode(b"", final=True)
        return found

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of the ids, without blanks and ends of sentence.

        Raises:
            ValueError: an id is outside the vocabulary.
        """
        return "".join(self.texts(ids))

    def __len__(self) -> int:
        return SPECIALS + len(_LETTERS)

    def unknown(self, texts: Iterable[str]) -> dict[str, int]:
        """Returns nothing: all text can be written."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Returns {"kind": "bytes"}."""
        return {"kind": self.KIND}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "ByteTokenizer":
        """Makes the tokenizer that `to_dict` wrote.

        Raises:
            CheckpointError: the data was not written by `to_dict`.
        """
        if not isinstance(data, Mapping) or data.get("kind") != cls.KIND:
            raise CheckpointError(f'The tokenizer is not of the kind "{cls.KIND}".')
        return cls()


def _bytes_of(text: str) -> bytes:
    # halves of surrogate pairs are no characters, but they must not end a program either
    return text.encode("utf-8", errors="surrogatepass")
