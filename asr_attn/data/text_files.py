"""Text files of lines: UTF-8, compressed by gzip or not, read and written as streams."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from asr_attn.errors import ManifestError

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def is_manifest_name(path: Path) -> bool:
    """Whether a path is called as manifests are: ``*.jsonl`` or ``*.jsonl.gz``."""
    return path.name.lower().endswith((".jsonl", ".jsonl.gz"))


def name_without_endings(path: Path) -> str:
    """The stem of a file, without the ending in front of .gz."""
    return Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem


def byte_lines(path: Path, stream: IO[bytes]) -> Iterator[tuple[int, bytes, str | None]]:
    """Yield the number of each line, its bytes with their end, and what is wrong with its form.

    Data in gzip format are found by their first bytes. A UTF-8 byte order mark is left out. Lines
    end in LF or CR LF; a file with CR alone or in UTF-16 has a fault, and no line is merged.

    Args:
        path: what the file is called in messages.
        stream: the file, open at its start.

    Raises:
        ManifestError: the gzip data are damaged or cut short.
        OSError: the file cannot be read.
    """
    try:
        for number, line in enumerate(_unpacked(path, stream), start=1):
            if number == 1:
                if line.startswith(_UTF_16):
                    yield number, line, "the file is UTF-16; save it as UTF-8"
                    return
                line = line.removeprefix(_BYTE_ORDER_MARK)
            fault = None
            if b"\0" in line:
                fault = "has a zero byte; the file is damaged, or UTF-16: save it as UTF-8"
            elif b"\r" in line and b"\r" in line.rstrip(b"\r\n"):
                fault = "has a carriage return (CR) inside; save the file with line ends LF"
            yield number, line, fault
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ManifestError(
            f"{path} is damaged or cut short gzip data ({error}); make or copy the file again."
        ) from None


@contextmanager
def packed_stream(path: Path, stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give a stream to write to that compresses where the name of the file ends in .gz.

    The same data give the same bytes: neither a name nor a time is stored.

    Args:
        path: the name of the file that is made.
        stream: takes the bytes.
    """
    if path.suffix.lower() != ".gz":
        yield stream
        return
    with gzip.GzipFile("", "wb", compresslevel=6, fileobj=stream, mtime=0) as packed:
        yield cast(IO[bytes], packed)


def _unpacked(path: Path, stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream, which need not be seekable."""
    first = stream.readline()
    if not first.startswith(_GZIP):
        if path.suffix.lower() == ".gz":
            raise gzip.BadGzipFile("Not a gzipped file")
        if first:
            yield first
        yield from stream
        return
    yield from gzip.GzipFile(fileobj=cast(IO[bytes], _Rejoined(first, stream)))


class _Rejoined:
    """A stream whose first bytes were read already.

    Args:
        head: those bytes.
        stream: the rest.
    """

    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes, all if it is negative."""
        if size < 0:
            data, self._head = self._head + self._stream.read(), b""
        elif self._head:
            data, self._head = self._head[:size], self._head[size:]
        else:
            data = self._stream.read(size)
        return data
