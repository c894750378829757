"""Kinds of findings, and what a finding is."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """One way in which data can be wrong.

    Attributes:
        title: for a report.
        note: True for what may be as it should; it changes no exit code.
    """

    title: str
    note: bool = False


KINDS: dict[str, Kind] = {
    "line": Kind("lines that are no utterances"),
    "unreadable": Kind("audio that cannot be read"),
    "beyond-end": Kind("utterances that begin or end past the end of their file"),
    "leak": Kind("recordings in two splits"),
    "conflict": Kind("recordings with different texts"),
    "silent": Kind("texts beside silence"),
    "label": Kind("texts that the model finds unlikely"),
    "duration": Kind("durations that are not those of the files"),
    "untranscribed": Kind("sound without text"),
    "pace": Kind("texts too long or too short for their sound"),
    "clipped": Kind("clipped sound"),
    "channels": Kind("channels that cancel each other"),
    "duplicate": Kind("recordings that are there twice"),
    "same-id": Kind("ids in two splits"),
    "some-speakers": Kind("speakers in two splits"),
    "script": Kind("texts in another script than the others"),
    "language": Kind("languages that few utterances have"),
    "short": Kind("very short utterances"),
    "long": Kind("very long utterances"),
    "rate": Kind("mixed sample rates", note=True),
    "speakers": Kind("speakers in all splits", note=True),
    "text": Kind("texts in two splits", note=True),
}
"""By name, the most harmful first."""

REMOVABLE = tuple(
    name for name, kind in KINDS.items() if not kind.note and name not in ("line", "some-speakers")
)
"""Kinds whose utterances can be left out; lines that are no utterances always are."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with an utterance or with a split.

    Attributes:
        kind: key of `KINDS`.
        split: name of the split.
        id: of the utterance; "" if the finding is of the split.
        what: is wrong, in words.
        severity: orders the findings of one kind, the worst first.
        details: figures and names for programs.
    """

    kind: str
    split: str
    id: str
    what: str
    severity: float = 0.0
    details: tuple[tuple[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": self.kind,
            "split": self.split,
            "id": self.id or None,
            "what": self.what,
            **dict(self.details),
        }
