"""Pieces of words as tokens, as SentencePiece learns them.

Texts are cut at spaces, and a word is cut into pieces with the space before it. Only training needs
SentencePiece: pieces are plain text, and cutting is done here, which makes drawing reproducible.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from asr_attn.text.interface import (
    SPECIAL_SPELLINGS,
    SPECIALS,
    UNK,
)
from asr_attn.text.listed import ListedTokenizer
from asr_attn.text.piece_training import Piece, train_pieces
from asr_attn.text.segmentation import UnigramModel, Ways, drawn, merged

K = TypeVar("K")
V = TypeVar("V")

REMEMBERED = 1 << 15
"""Words whose pieces are remembered at most."""
_UNKNOWN_PENALTY = 10.0
"""How much less likely than any piece an unknown character is (as in SentencePiece)."""


@dataclass(frozen=True)
class SubwordTokenizer(ListedTokenizer):
    """What tokenizers of pieces share.

    Attributes:
        pieces: the vocabulary; the first has the id 3. A piece that begins a word begins with a
            space.
        spellings: (V,) the same after those of the special ids.
    """

    KIND: ClassVar[str]
    SYMBOLS: ClassVar[str] = "pieces"
    unit: ClassVar[str] = "characters"

    pieces: tuple[str, ...]
    spellings: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)
    _remembered: dict[str, list[int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = {piece: SPECIALS + i for i, piece in enumerate(self.pieces)}
        if not ids or len(ids) < len(self.pieces):
            raise ValueError("pieces must be a non-empty tuple of different texts")
        for piece in ids:
            inside = piece.removeprefix(" ")
            if piece != " " and [inside] != inside.split():
                raise ValueError(f"the piece {piece!r} has a space that is not before a word")
        object.__setattr__(self, "_ids", ids)
        object.__setattr__(self, "_remembered", {})
        object.__setattr__(self, "spellings", (*SPECIAL_SPELLINGS, *self.pieces))

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> Self:
        """Learns the pieces of texts.

        Args:
            texts: the training texts.
            size: number of ids, specials included.

        Raises:
            InputError: the texts cannot be cut into so many pieces, or so few; or there are none.
        """
        return cls._of(train_pieces(cls.KIND, texts, size - SPECIALS))

    @classmethod
    def _of(cls, pieces: list[Piece]) -> Self:
        """Of what was learnt."""
        raise NotImplementedError

    def _cut(self, word: str) -> list[str]:
        """The pieces of a word that has the space before it."""
        raise NotImplementedError

    def _draw(self, word: str, strength: float, random: np.random.Generator) -> list[str]:
        """The same at random."""
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        """Returns the ids of the pieces, `UNK` for each unknown character."""
        found: list[int] = []
        for word in text.split():
            ids = self._remembered.get(word)
            if ids is None:
                ids = _remember(self._remembered, word, self._numbered(self._cut(f" {word}")))
            found += ids
        return found

    def sample(self, text: str, strength: float, random: np.random.Generator) -> list[int]:
        """Returns the ids of the text cut in one of its many ways (subword regularisation).

        Args:
            text: what to cut.
            strength: see the settings, ``tokenizer.sampling``.
            random: draws.
        """
        found: list[int] = []
        for word in text.split():
            found += self._numbered(self._draw(f" {word}", strength, random))
        return found

    def _numbered(self, pieces: list[str]) -> list[int]:
        return [self._ids.get(piece, UNK) for piece in pieces]

    def unknown(self, texts: Iterable[str]) -> dict[str, int]:
        """Counts the characters that are no pieces, most frequent first."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(c for word in text.split() for c in word if c not in self._ids)
        return dict(counts.most_common())


@dataclass(frozen=True)
class BpeTokenizer(SubwordTokenizer):
    """Pieces made by merging neighbours, the most frequent pairs first (Sennrich et al. 2016).

    A piece is merged before those that come after it.
    """

    KIND: ClassVar[str] = "bpe"

    @classmethod
    def _of(cls, pieces: list[Piece]) -> Self:
        return cls(tuple(piece.text for piece in pieces))

    def _cut(self, word: str) -> list[str]:
        return merged(word, self._ids)

    def _draw(self, word: str, strength: float, random: np.random.Generator) -> list[str]:
        return merged(word, self._ids, strength, random)


@dataclass(frozen=True)
class UnigramTokenizer(SubwordTokenizer):
    """Pieces that make the training texts likely (Kudo 2018).

    Attributes:
        log_probs: of the pieces.
    """

    KIND: ClassVar[str] = "unigram"

    log_probs: tuple[float, ...]
    _model: UnigramModel = field(init=False, repr=False, compare=False)
    _ways: dict[tuple[str, float], Ways] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.log_probs) != len(self.pieces):
            raise ValueError("each piece must have one log-probability")
        if not all(math.isfinite(value) for value in self.log_probs):
            raise ValueError("the log-probabilities of pieces must be finite")
        unknown = min(self.log_probs) - _UNKNOWN_PENALTY
        model = UnigramModel(
            dict(zip(self.pieces, self.log_probs)), unknown, max(map(len, self.pieces))
        )
        object.__setattr__(self, "_model", model)
        object.__setattr__(self, "_ways", {})

    @classmethod
    def _of(cls, pieces: list[Piece]) -> Self:
        texts, log_probs = zip(*pieces)
        return cls(texts, log_probs)

    @classmethod
    def _stored(cls, symbols: tuple[str, ...], data: Mapping[str, Any]) -> Self:
        values = data.get("log_probs")
        if not isinstance(values, list) or not all(type(v) in (int, float) for v in values):
            raise ValueError('"log_probs" must be a list of numbers')
        return cls(symbols, tuple(map(float, values)))

    def _cut(self, word: str) -> list[str]:
        return self._model.likeliest(word)

    def _draw(self, word: str, strength: float, random: np.random.Generator) -> list[str]:
        ways = self._ways.get((word, strength))
        if ways is None:
            ways = _remember(self._ways, (word, strength), self._model.ways(word, strength))
        return drawn(word, ways, random)

    def to_dict(self) -> dict[str, Any]:
        """Returns the pieces with their log-probabilities, and the kind of tokenizer."""
        return {**super().to_dict(), "log_probs": list(self.log_probs)}


def _remember(memory: dict[K, V], key: K, value: V) -> V:
    if len(memory) >= REMEMBERED:
        memory.clear()
    memory[key] = value
    return value
