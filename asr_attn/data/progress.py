"""How long work on many recordings tells how far it is."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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
