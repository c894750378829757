r"""ARPA files: back-off models as text.

    \data\
    ngram 1=4
    ngram 2=1

    \1-grams:
    -0.6<TAB>a<TAB>-0.3
    ...
    \2-grams:
    -0.2<TAB><s> a

    \end\

Logarithms are to base 10. A line is a probability, the n-gram's symbols and, but for the longest
n-grams, the weight of backing off (0 when it is left out).
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from asr_attn.errors import InputError
from asr_attn.files import atomic_path
from asr_attn.lm.arpa_reader import ArpaReader
from asr_attn.lm.ngrams import Array, NgramOrder, Ngrams

_ROWS_AT_ONCE = 1 << 16
_MAKE_AGAIN = "make or copy the file again"


def write_arpa(path: Path, ngrams: Ngrams) -> None:
    """Write a model, compressed if the name ends in .gz; the old file stays if anything fails.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_path(path) as scratch, _opened_to_write(path, scratch) as stream:
        stream.write("\\data\\\n")
        for k, order in enumerate(ngrams.orders, start=1):
            stream.write(f"ngram {k}={len(order)}\n")
        names = np.array(ngrams.symbols, dtype=object)
        for k, order in enumerate(ngrams.orders, start=1):
            stream.write(f"\n\\{k}-grams:\n")
            longest = k == len(ngrams.orders)
            for begin in range(0, len(order), _ROWS_AT_ONCE):
                stream.writelines(_lines(order, begin, names, longest))
        stream.write("\n\\end\\\n")


@contextmanager
def _opened_to_write(path: Path, scratch: Path) -> Iterator[IO[str]]:
    if path.suffix.lower() != ".gz":
        with scratch.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
        return
    with (
        scratch.open("wb") as raw,  # without a name or a time: the same model is the same file
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as stream,
    ):
        yield stream


def _lines(order: NgramOrder, begin: int, names: Array, longest: bool) -> Iterator[str]:
    part = slice(begin, begin + _ROWS_AT_ONCE)
    columns = [names[column].tolist() for column in order.words[part].T]
    values = order.log_probs[part].tolist()
    if longest:
        for value, *words in zip(values, *columns):
            yield f"{value:.7g}\t{' '.join(words)}\n"
        return
    for value, backoff, *words in zip(values, order.backoffs[part].tolist(), *columns):
        yield f"{value:.7g}\t{' '.join(words)}\t{backoff:.7g}\n"


def read_arpa(path: Path) -> Ngrams:
    """Read a model, compressed or not.

    Raises:
        InputError: it cannot be read, or is not a sound ARPA file; the sentence names the line.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not packed:
                return ArpaReader(path, raw).read()
            with gzip.open(raw) as stream:
                return ArpaReader(path, stream).read()
    except EOFError:
        raise InputError(f"{path} is cut short: the gzip data has no end; {_MAKE_AGAIN}") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged gzip data ({error}); {_MAKE_AGAIN}") from None
    except OSError as error:
        if path.is_dir():
            raise InputError(f"{path} is a folder; name an ARPA file") from None
        if not path.exists():
            raise InputError(f"{path}: there is no such language model; check the path") from None
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path} cannot be read ({reason}); check its permissions") from None
