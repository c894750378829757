"""Results of one line per recording, which outlive an interruption."""

import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Generic, TypeVar

from asr_attn.commands.terminal import say
from asr_attn.files import blaming, partial_of, put_in_place, replaced_file

T = TypeVar("T")


class Lines:
    """Writes lines that are seen at once.

    Args:
        write: takes a line and passes it on at once.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self.count = 0

    def write(self, line: str) -> None:
        """Write one line, with its end."""
        self.count += 1  # before, since an interruption mostly comes while a line is passed on
        self._write(line)


@contextmanager
def line_output(path: Path | None, total: int) -> Iterator[Lines]:
    """Open a file for lines, which appears when all are written; None: standard output.

    If the block ends before, whatever ends it, the lines are in FILE.partial, and that is said.
    What is not whole is not among them.

    Args:
        path: the file.
        total: recordings, each of which may give a line.

    Raises:
        InputError: the file cannot be written. Other errors in the block stay what they are.
    """
    if path is None:
        lines = Lines(_to_standard_output)
        try:
            yield lines
        except KeyboardInterrupt:
            say(f"interrupted: {lines.count} of {total} recordings are done")
            raise
        return
    with replaced_file(path) as scratch:
        with blaming(path):
            stream = scratch.open("wb", buffering=0)
        lines = Lines(lambda line: _append(stream, path, line))
        try:
            with stream:
                yield lines
        except BaseException as error:
            # what is no file, such as a pipe, has passed everything on
            count, kept = (lines.count, "") if scratch == path else _kept(scratch, path)
            stopped = "interrupted: " if isinstance(error, KeyboardInterrupt) else ""
            if stopped or kept:
                say(f"{stopped}{count} of {total} recordings are done{kept}")
            raise


def _to_standard_output(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def _append(stream: RawIOBase, path: Path, line: str) -> None:
    data = memoryview(line.encode("utf-8", "surrogateescape"))
    with blaming(path):
        while data:
            data = data[stream.write(data) or 0 :]


def _kept(scratch: Path, path: Path) -> tuple[int, str]:
    """Keep the whole lines of a file that was not finished: their number, and where they are."""
    partial = partial_of(path)
    try:
        content = scratch.read_bytes()
        count, size = content.count(b"\n"), content.rfind(b"\n") + 1
        if not count:
            return 0, ""
        os.truncate(scratch, size)  # a disk that is full may have taken half a line
        put_in_place(scratch, partial)
    except OSError as error:
        return 0, f"; they are lost, since {partial} cannot be written ({error.strerror})"
    return count, f"; they are in {partial}"


class InOrder(Generic[T]):
    """Passes results on in the order of their numbers, as soon as those before are there.

    Args:
        use: is given each result and its number.
        failed: numbers without a result.
    """

    def __init__(self, use: Callable[[int, T], None], failed: Collection[int] = ()) -> None:
        self._use = use
        self._failed = failed
        self._waiting: dict[int, T] = {}
        self._turn = 0

    def add(self, number: int, result: T) -> None:
        """Take a result in, and pass on what its coming sets free."""
        self._waiting[number] = result
        self.advance()

    def advance(self) -> None:
        """Pass on what is next; numbers may have failed since the last time."""
        while self._turn in self._waiting or self._turn in self._failed:
            if self._turn in self._waiting:
                self._use(self._turn, self._waiting.pop(self._turn))
            self._turn += 1

    def rest(self) -> None:
        """Pass on what is still waiting, since no more results come."""
        for number in sorted(self._waiting):
            self._use(number, self._waiting.pop(number))
