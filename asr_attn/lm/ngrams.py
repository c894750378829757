"""N-grams with their probabilities, as an ARPA file lists them."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

UNKNOWN: Final = "<unk>"
START: Final = "<s>"
END: Final = "</s>"
SPECIALS: Final = (UNKNOWN, START, END)
"""Symbols that every model has; they come first, in this order, in models trained here."""
SPACE: Final = "<space>"
"""The symbol of a space in models of characters."""

Array = NDArray[Any]


@dataclass(frozen=True)
class NgramOrder:
    """All n-grams of one length, n of them of k symbols.

    Attributes:
        words: (n, k) indices of symbols, the oldest first.
        log_probs: (n,) logarithm to base 10 of the last symbol's probability after the others.
        backoffs: (n,) logarithm to base 10 of the weight that a shorter context gets when the
            n-gram is a context and is not followed by what is asked for; 0 for the longest.
    """

    words: Array
    log_probs: Array
    backoffs: Array

    def __len__(self) -> int:
        return len(self.log_probs)


@dataclass(frozen=True)
class Ngrams:
    """A back-off model.

    Attributes:
        symbols: the vocabulary, `SPECIALS` among it.
        orders: the n-grams of length 1, 2, ...; those of length 1 are all symbols, each once.
    """

    symbols: tuple[str, ...]
    orders: tuple[NgramOrder, ...]


def duplicate(keys: Array) -> tuple[int, int] | None:
    """Where a key comes for the second time, and where before; None if all are different."""
    order = np.argsort(keys, kind="stable")
    again = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    return (int(order[again[0] + 1]), int(order[again[0]])) if again.size else None
