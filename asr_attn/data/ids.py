"""Ids that come twice, found in little memory."""

from array import array
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

Place = TypeVar("Place")


class Ids:
    """Remembers ids in 8 bytes each: a hash, which tells that all differ, or that some may not."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def add(self, name: str) -> None:
        """There is an id."""
        self._hashes.append(hash(name))

    def repeated(self, again: Iterable[tuple[str, Place]]) -> Iterator[tuple[str, Place, Place]]:
        """Yields each id that was there before, its place, and the first place of it.

        Args:
            again: all ids once more, and where they are; only gone through if need be.
        """
        hashes = np.sort(np.array(self._hashes, dtype=np.int64))
        twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        if not twice:
            return
        first: dict[str, Place] = {}
        for name, place in again:
            if hash(name) not in twice:
                continue
            if name in first:
                yield name, place, first[name]
            else:
                first[name] = place
