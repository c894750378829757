"""What the commands share: messages, progress and results, each where it belongs."""

import contextlib
import io
import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from asr_attn.data.text_files import packed_stream
from asr_attn.errors import InputError
from asr_attn.files import blaming, file_identity, partial_of, replaced_file


def say(message: str) -> None:
    """Tell the user something beside the results, on standard error."""
    with contextlib.suppress(OSError):  # nobody listens: the results still matter
        print(f"asr-attn: {message}", file=sys.stderr, flush=True)


def prepare_output() -> None:
    """Write UTF-8 to pipes and files on every system, and file names as the system has them."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def abandon_output() -> None:
    """Let what is still buffered for standard output go nowhere: it cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class _Output(io.FileIO):
    """A file that blames itself for what fails in opening, writing and closing it, and only that.

    Args:
        scratch: where to write.
        path: what the file is called in messages.
    """

    def __init__(self, scratch: Path, path: Path) -> None:
        self._path = path
        with blaming(path):
            super().__init__(scratch, "w")

    def write(self, data: Any, /) -> Any:
        with blaming(self._path):
            return super().write(data)

    def close(self) -> None:
        with blaming(self._path):
            super().close()


@contextmanager
def opened(path: Path | None) -> Iterator[IO[str]]:
    """Open a file for results at once and keep it only if all goes well; None: standard output.

    A file whose name ends in .gz is compressed.

    Raises:
        InputError: the file cannot be written. Other errors in the block stay what they are.
    """
    if path is None:
        yield sys.stdout
        return
    with (
        replaced_file(path) as scratch,
        io.BufferedWriter(_Output(scratch, path)) as raw,
        packed_stream(path, raw) as packed,
        io.TextIOWrapper(
            packed,
            encoding="utf-8",
            errors="surrogateescape",
            newline="\n",
        ) as stream,
    ):
        yield stream


def json_line(record: Mapping[str, Any]) -> str:
    """One line of JSON Lines, readable where it can be."""
    line = json.dumps(record, ensure_ascii=False, allow_nan=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:  # a file name that is not Unicode
        line = json.dumps(record, allow_nan=False)
    return line + "\n"


def text_name(name: str) -> str:
    """A name as lines of text have it: as it is, or as a string of JSON where it would break them.

    That is a name with control characters or line separators, and one in double quotes, which
    would be taken for such a string.
    """
    quoted = len(name) > 1 and name[0] == name[-1] == '"'
    if not quoted and not any(unicodedata.category(sign) in ("Cc", "Zl", "Zp") for sign in name):
        return name
    return json.dumps(name)


def refuse_overwriting(outputs: Mapping[str, Path | None], inputs: Iterable[Path]) -> None:
    """Make sure that results go into files of their own, however the paths are spelt or linked.

    Args:
        outputs: by the option that names them.
        inputs: files that are read; those that are not there are passed over.

    Raises:
        InputError: an output is an input, or two outputs are the same file.
    """
    taken: dict[object, str] = {}
    for option, path in outputs.items():
        if path is None or (path.exists() and not path.is_file()):
            continue
        for written in (path, partial_of(path)):
            place = file_identity(written) if written.exists() else str(written.resolve())
            if place in taken:
                raise InputError(
                    f"{option} {path}: {written} is already written by {taken[place]}; name "
                    "another file"
                )
            taken[place] = f"{option} {path}"
    if not any(isinstance(place, tuple) for place in taken):  # nothing there that could be lost
        return
    for given in inputs:
        if (written_by := taken.get(_identity(given))) is not None:
            raise InputError(f"{written_by}: {given} is read by this command; name another file")


def _identity(path: Path) -> object:
    try:
        return file_identity(path)
    except OSError:
        return None


class Progress:
    """A bar on standard error, where that is a terminal; otherwise nothing.

    Args:
        what: is being done.
        total: recordings.
    """

    def __init__(self, what: str, total: int) -> None:
        self._bar: Any = None
        if total > 1 and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int = 1) -> None:
        """So many recordings more are done."""
        if self._bar is not None:
            self._bar.advance(self._task, count)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the bar away while something else is printed."""
        self.__exit__()
        yield
        self.__enter__()
