"""All that is wrong with a list of utterances, told at once."""

from pathlib import Path

from asr_attn.errors import ManifestError

_SHOWN = 20


class Faults:
    """Gathers faults.

    Args:
        path: what has them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[str] = []

    def add(self, where: str, fault: str) -> None:
        """There is a fault at a place."""
        self._found.append(f"{where}: {fault}")

    def refuse(self) -> None:
        """Goes on if there are no faults.

        Raises:
            ManifestError: there are; the message lists them.
        """
        if not self._found:
            return
        count = "1 fault" if len(self._found) == 1 else f"{len(self._found)} faults"
        shown = [f"  {fault}" for fault in self._found[:_SHOWN]]
        if len(self._found) > _SHOWN:
            shown.append(f"  and {len(self._found) - _SHOWN} more")
        raise ManifestError("\n".join([f"{self._path} has {count}:", *shown]))
