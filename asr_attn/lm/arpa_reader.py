"""Reading ARPA files, and telling what is wrong with them."""

import math
import warnings
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NoReturn

import numpy as np

from asr_attn.errors import InputError, InputWarning
from asr_attn.lm.ngrams import END, START, UNKNOWN, Array, NgramOrder, Ngrams, duplicate

_LINES_AT_ONCE = 1 << 12
_MAKE_AGAIN = "make or copy the file again"
_KENLM_BINARY = b"mmap lm http://kheafield.com/code"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_UNKNOWN_IN_CAPITALS = "<UNK>"
LOG_ZERO = -99.0
"""Logarithm to base 10 that SRILM's files have for a probability of 0; -inf is read as this."""
LOG_OF_NO_UNKNOWN = -100.0
"""The same of ``<unk>`` in a file without it, as KenLM has it."""


@dataclass(frozen=True)
class _Rows:
    """The n-grams of a section so far."""

    words: "array[int]"
    values: "array[float]"
    backoffs: "array[float]"

    def __len__(self) -> int:
        return len(self.values)


class ArpaReader:
    """Takes an ARPA file, line by line or, where all is as it should be, many lines at once.

    Args:
        path: what the file is called in messages.
        stream: its lines.
    """

    def __init__(self, path: Path, stream: Iterable[bytes]) -> None:
        self.path = path
        self.lines = iter(stream)
        self.number = 0  # of the last line taken, from 1
        self.again: str | None = None  # a line that is to be taken once more
        self.ids: dict[str, int] = {}
        self.symbols: list[str] = []  # as the model has them, by id

    def read(self) -> Ngrams:
        """Read all of it.

        Raises:
            InputError: it is not a sound ARPA file.
        """
        counts = self._header()
        orders: list[NgramOrder] = []
        for k, count in enumerate(counts, start=1):
            orders.append(self._section(k, count, orders, longest=k == len(counts)))
            if k == 1:
                orders = [self._with_specials(orders[0])]
            following = "\\end\\" if k == len(counts) else f"\\{k + 1}-grams:"
            if (line := self._next()) != following:
                self._refuse(
                    f"{following} should follow the {k}-grams, not {_shown(line)}", _MAKE_AGAIN
                )
        if (line := self._next()) is not None:  # to the end: only there gzip tells of damage
            self._refuse(f"{_shown(line)} comes after \\end\\", _MAKE_AGAIN)
        return Ngrams(tuple(self.symbols), tuple(orders))

    def _with_specials(self, unigrams: NgramOrder) -> NgramOrder:
        """See to it that there are sentence ends and an unknown word, which is ``<unk>``.

        KenLM takes ``<UNK>`` for the unknown word, and a file without one as if it had one of
        probability ``LOG_OF_NO_UNKNOWN``.
        """
        if missing := [name for name in (START, END) if name not in self.ids]:
            self._refuse(
                f"the 1-grams lack {' and '.join(missing)}",
                "train the model again with sentence ends",
            )
        self.symbols = list(self.ids)
        if UNKNOWN in self.ids:
            return unigrams
        if (capitals := self.ids.get(_UNKNOWN_IN_CAPITALS)) is not None:
            self.ids[UNKNOWN] = capitals  # longer n-grams may have either
            self.symbols[capitals] = UNKNOWN
            return unigrams
        self.ids[UNKNOWN] = len(self.symbols)
        self.symbols.append(UNKNOWN)
        warnings.warn(
            f"{self.path} has no {UNKNOWN}: words that it does not list get a log10 probability of "
            f"{LOG_OF_NO_UNKNOWN:g}, so they are hardly ever chosen",
            InputWarning,
            stacklevel=2,
        )
        return NgramOrder(
            np.arange(len(self.symbols), dtype=np.int32).reshape(-1, 1),
            np.append(unigrams.log_probs, np.float32(LOG_OF_NO_UNKNOWN)),
            np.append(unigrams.backoffs, np.float32(0.0)),
        )

    def _refuse(self, fault: str, remedy: str, line: int | None = None) -> NoReturn:
        raise InputError(f"{self.path}:{line or self.number}: {fault}; {remedy}")

    def _line(self) -> str | None:
        """The next line without its end; None when there is none."""
        self.number += 1
        if self.again is not None:
            line, self.again = self.again, None
            return line
        raw = next(self.lines, None)
        if raw is None:
            return None
        try:
            return raw.decode("utf-8").rstrip("\r\n\t ")
        except UnicodeDecodeError as error:
            self._refuse(f"byte {error.start + 1} is not UTF-8", "save the file as UTF-8")

    def _next(self) -> str | None:
        """The next line that is not empty; None when there is none."""
        line = self._line()
        while line == "":
            line = self._line()
        return line

    def _header(self) -> list[int]:
        self._find_data()
        counts: list[int] = []
        line = self._next()
        while line is not None and line.replace("\t", " ").startswith("ngram "):
            name, _, value = line[len("ngram ") :].partition("=")
            if name.strip() != str(len(counts) + 1) or not value.strip().isdecimal():
                self._refuse(f"{_shown(line)} should be ngram {len(counts) + 1}=COUNT", _MAKE_AGAIN)
            counts.append(int(value))
            line = self._next()
        if not counts:
            self._refuse("no line ngram 1=COUNT follows \\data\\", _MAKE_AGAIN)
        if line != "\\1-grams:":
            self._refuse(f"\\1-grams: should follow the counts, not {_shown(line)}", _MAKE_AGAIN)
        return counts

    def _find_data(self) -> None:
        """Skip what comes before the model, which may be anything."""
        for raw in self.lines:
            self.number += 1
            if self.number == 1:
                if raw.startswith(_UTF_16):
                    raise InputError(f"{self.path} is UTF-16; save it as UTF-8")
                raw = raw.removeprefix(_BYTE_ORDER_MARK)
            if raw.strip(b"\r\n\t ") == b"\\data\\":
                return
            if self.number == 1 and raw.startswith(_KENLM_BINARY):
                raise InputError(
                    f"{self.path} is a binary file of KenLM; name the ARPA file it was made from"
                )
        raise InputError(f"{self.path} is not an ARPA file: it has no \\data\\; name another")

    def _section(self, k: int, count: int, orders: list[NgramOrder], longest: bool) -> NgramOrder:
        """Read the lines of the n-grams of length k."""
        first = self.number + 1
        rows = _Rows(array("i"), array("f"), array("f"))
        more = True
        while more:
            expected = min(_LINES_AT_ONCE, max(0, count - len(rows)))
            batch = list(islice(self.lines, expected))
            if batch and self._many(batch, k, longest, rows):
                continue
            self.lines = chain(batch, self.lines)
            for _ in range(max(1, len(batch))):
                more = more and self._one(k, longest, rows, is_last=len(rows) >= count)
        if len(rows) != count:
            self._refuse(
                f"the header promises {count} {k}-grams but there are {len(rows)}", _MAKE_AGAIN
            )
        order = NgramOrder(
            np.array(rows.words, dtype=np.int32).reshape(count, k),
            np.array(rows.values, dtype=np.float32),
            np.array(rows.backoffs, dtype=np.float32),
        )
        self._check(order, orders, first)
        return order

    def _many(self, batch: list[bytes], k: int, longest: bool, rows: "_Rows") -> bool:
        """Take lines of the usual form; if any is not, take none and return False."""
        try:
            lines = b"".join(batch).decode("utf-8").removesuffix("\n").split("\n")
            values, words, *weights = zip(*[line.split("\t") for line in lines], strict=True)
            names = " ".join(words).split(" ")
            numbers = np.array([values, *weights], dtype=object).astype(np.float64)
            if k == 1:  # in its own way, for the symbols become known here
                return False
            ids = [self.ids[name] for name in names]
        except (ValueError, KeyError):
            return False
        usual = len(lines) == len(batch) and all(text.count(" ") == k - 1 for text in words)
        if not usual or len(weights) > (not longest) or not np.isfinite(numbers).all():
            return False
        if (numbers[0] > 0).any():
            return False
        rows.words.extend(ids)
        rows.values.frombytes(numbers[0].astype(np.float32).tobytes())
        backoffs = numbers[1] if weights else np.zeros(len(lines))
        rows.backoffs.frombytes(backoffs.astype(np.float32).tobytes())
        self.number += len(lines)
        return True

    def _one(self, k: int, longest: bool, rows: "_Rows", is_last: bool) -> bool:
        """Take one line; False if it is not an n-gram, and so the section has ended.

        An empty line ends a section only where all n-grams were there (``is_last``).
        """
        line = self._line()
        if line == "" and not is_last:
            return True
        if not line or line[0] == "\\":
            if line:  # a heading without an empty line before it
                self.again = line
                self.number -= 1
            return False
        fields = [field for field in line.replace("\t", " ").split(" ") if field]
        if len(fields) != k + 1 and (longest or len(fields) != k + 2):
            weight = "" if longest else " and perhaps a back-off weight"
            self._refuse(
                f"{_shown(line)} should be a log-probability, {k} symbols{weight}", _MAKE_AGAIN
            )
        value = self._number(fields[0], "log-probability")
        backoff = self._number(fields[-1], "back-off") if len(fields) > k + 1 else 0.0
        if k == 1 and self.ids.setdefault(fields[1], len(rows)) != len(rows):
            self._refuse(f"{fields[1]} is listed twice", _MAKE_AGAIN)
        try:
            rows.words.extend([self.ids[field] for field in fields[1 : k + 1]])
        except KeyError as error:
            self._refuse(f"{error.args[0]} is not among the 1-grams", _MAKE_AGAIN)
        rows.values.append(value)
        rows.backoffs.append(backoff)
        return True

    def _number(self, field: str, what: str) -> float:
        try:
            value = float(field)
        except ValueError:
            value = math.nan
        if value == -math.inf:
            return LOG_ZERO
        if not math.isfinite(value) or (what == "log-probability" and value > 0):
            kind = "a number that is not above 0" if what == "log-probability" else "a number"
            self._refuse(f"the {what} {_shown(field)} is not {kind}", _MAKE_AGAIN)
        return value

    def _check(self, order: NgramOrder, orders: list[NgramOrder], first: int) -> None:
        """Refuse n-grams that are listed twice, or whose context is not listed."""
        if not orders or not len(order):
            return
        size = len(self.symbols)
        keys = packed_keys(order.words, size)
        if twice := duplicate(keys):
            again, before = (first + row for row in twice)
            self._refuse(f"is the same n-gram as line {before}", _MAKE_AGAIN, again)
        contexts = packed_keys(order.words[:, :-1], size)
        known = packed_keys(orders[-1].words, size)
        lost = np.flatnonzero(~np.isin(contexts, known))
        if lost.size:
            context = " ".join(self.symbols[word] for word in order.words[lost[0], :-1])
            self._refuse(
                f"the context {_shown(context)} is not among the shorter n-grams",
                "write the model without pruning contexts away",
                first + int(lost[0]),
            )


def packed_keys(words: Array, size: int) -> Array:
    """One sortable value for each row of ``words`` (n, k): int64 if it fits, else bytes."""
    if size ** words.shape[1] < 2**63:
        keys = np.zeros(len(words), dtype=np.int64)
        for column in words.T:
            keys *= size
            keys += column
        return keys
    rows = np.ascontiguousarray(words, dtype=">i4")
    return rows.view(f"V{4 * words.shape[1]}").ravel()


def _shown(text: str | None) -> str:
    if text is None:
        return "the end of the file"
    text = text.replace("\t", " ")
    return f"'{text if len(text) <= 60 else text[:57] + '...'}'"
