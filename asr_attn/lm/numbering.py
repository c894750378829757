"""A text as numbers."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from asr_attn.lm.ngrams import END, SPECIALS, START, UNKNOWN, Array
from asr_attn.lm.storage import Workspace

UNKNOWN_ID = SPECIALS.index(UNKNOWN)
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
    sentences: Iterable[Sequence[str]],
    order: int,
    workspace: Workspace,
    vocabulary: Iterable[str],
    most: int = 0,
) -> NumberedText:
    """Give numbers to the symbols of a text.

    Args:
        sentences: the symbols of each.
        order: one start less than this comes before each sentence.
        workspace: where the text is kept.
        vocabulary: symbols that get a number in any case, after the special ones.
        most: so many other symbols, the most frequent ones, get a number at most, and the rest
            becomes <unk>; 0: all do.

    Raises:
        InputError: a temporary file cannot be written.
    """
    ids = _Ids()
    for symbol in (*SPECIALS, *vocabulary):
        ids[symbol]
    always = len(ids)
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
    text = NumberedText(chunks, tuple(ids), count, tokens)
    return _limited(text, always, most) if 0 < most < len(ids) - always else text


def _limited(text: NumberedText, always: int, most: int) -> NumberedText:
    """Make all but the ``always`` first and the ``most`` frequent of the other symbols <unk>."""
    counts = np.zeros(len(text.symbols), dtype=np.int64)
    for chunk in text.chunks:
        counts += np.bincount(chunk, minlength=len(counts))
    # of those that are equally frequent, those that came first
    frequent = np.sort(np.argsort(-counts[always:], kind="stable")[:most]) + always
    kept = [*range(always), *frequent.tolist()]
    numbers = np.full(len(text.symbols), UNKNOWN_ID, dtype=np.int32)
    numbers[kept] = np.arange(len(kept))
    for chunk in text.chunks:
        chunk[:] = numbers[chunk]
    return replace(text, symbols=tuple(text.symbols[number] for number in kept))
