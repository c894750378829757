"""A text as numbers."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asr_attn.lm.ngrams import END, SPECIALS, START, Array
from asr_attn.lm.storage import Workspace

START_ID = SPECIALS.index(START)
END_ID = SPECIALS.index(END)
_SYMBOLS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class NumberedText:
    """A text as numbers.

    Attributes:
        chunks: the text in parts of whole sentences, each with its starts and its end.
        symbols: the vocabulary in the order of the numbers.
        sentences: of the text.
        tokens: of the text, starts and ends of sentences not counted.
    """

    chunks: list[Array]
    symbols: tuple[str, ...]
    sentences: int
    tokens: int


class _Ids(dict[str, int]):
    """Gives every new symbol the next number."""

    def __missing__(self, symbol: str) -> int:
        self[symbol] = number = len(self)
        return number


def number_symbols(
    sentences: Iterable[Sequence[str]], order: int, workspace: Workspace, vocabulary: Iterable[str]
) -> NumberedText:
    """Give numbers to the symbols of a text.

    Args:
        sentences: the symbols of each.
        order: one start less than this comes before each sentence.
        workspace: where the text is kept.
        vocabulary: symbols that get a number in any case, after the special ones.

    Raises:
        InputError: a temporary file cannot be written.
    """
    ids = _Ids()
    for symbol in (*SPECIALS, *vocabulary):
        ids[symbol]
    number = ids.__getitem__
    start = array("i", [START_ID] * (order - 1))
    limit = max(1, min(_SYMBOLS_AT_ONCE, workspace.memory // 32))
    chunks: list[Array] = []
    waiting = array("i")
    count = tokens = 0
    for sentence in sentences:
        count += 1
        tokens += len(sentence)
        waiting += start
        waiting.extend(map(number, sentence))
        waiting.append(END_ID)
        if len(waiting) >= limit:
            chunks.append(workspace.stored(np.array(waiting, dtype=np.int32)))
            waiting = array("i")
    if waiting:
        chunks.append(workspace.stored(np.array(waiting, dtype=np.int32)))
    return NumberedText(chunks, tuple(ids), count, tokens)
