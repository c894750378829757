"""What readers and writers of formats can be told beside the path."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias


class Bar(Protocol):
    """Shows how much of something is done."""

    def advance(self, count: int = 1) -> None:
        """So many more are done."""


Bars: TypeAlias = Callable[[str, int], AbstractContextManager[Bar]]
"""Makes a bar of what is done and how many there are."""


class _NoBar:
    def advance(self, count: int = 1) -> None:
        """Shows nothing."""


@contextmanager
def no_bars(what: str, total: int) -> Iterator[Bar]:
    """A bar that shows nothing."""
    yield _NoBar()


@dataclass(frozen=True)
class Options:
    """How a format is read.

    Attributes:
        audio_folder: where relative paths of audio start; None is what the format says.
        columns: of a table, the column of each key of a manifest; others are found by their names.
        store: folder to make for audio that is in no file yet.
        bars: show how far it is.
    """

    audio_folder: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    store: Path | None = None
    bars: Bars = no_bars
