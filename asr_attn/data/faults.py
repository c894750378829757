"""All that is wrong with a list of utterances, told at once."""

from collections import Counter
from pathlib import Path

from asr_attn.errors import ManifestError

_SHOWN = 20
_ALIKE = 3
"""Places that are listed of one and the same fault."""


class Faults:
    """Gathers faults; the first few are kept, the others are counted.

    Args:
        path: what has them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: list[str] = []
        self._alike: Counter[str] = Counter()
        self._count = 0

    def add(self, where: str, fault: str) -> None:
        """There is a fault at a place."""
        self._count += 1
        if self._alike[fault] < _ALIKE and len(self._first) < _SHOWN:
            self._alike[fault] += 1
            self._first.append(f"  {where}: {fault}")

    def refuse(self) -> None:
        """Goes on if there are no faults.

        Raises:
            ManifestError: there are; the message lists them.
        """
        if not self._count:
            return
        count = "1 fault" if self._count == 1 else f"{self._count} faults"
        more = self._count - len(self._first)
        rest = [f"  and {more} more"] if more else []
        raise ManifestError("\n".join([f"{self._path} has {count}:", *self._first, *rest]))
