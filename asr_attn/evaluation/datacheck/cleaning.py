"""Manifests without what is wrong in them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asr_attn.data.manifest import Utterance
from asr_attn.evaluation.datacheck.findings import Finding
from asr_attn.evaluation.datacheck.listening import Sound
from asr_attn.evaluation.datacheck.splits import Split

DEFAULT = ("unreadable", "silent")
"""Kinds of findings whose utterances are left out if nothing else is wanted."""
MENDED = ("duration", "beyond-end")
"""Kinds that are mended by the length of the file, if they are not to be left out."""


@dataclass(frozen=True)
class Cleaned:
    """A split that was cleaned.

    Attributes:
        utterances: that are left, with durations as their files have them.
        removed: for each id, the kinds of its findings that it was removed for.
        mended: for each id, its old and its new duration in seconds.
        lines: that were no utterances.
    """

    utterances: Sequence[Utterance]
    removed: Mapping[str, Sequence[str]]
    mended: Mapping[str, tuple[float, float]]
    lines: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the utterances."""
        return {
            "utterances": len(self.utterances),
            "removed": {name: list(kinds) for name, kinds in self.removed.items()},
            "mended": {name: {"old": old, "new": new} for name, (old, new) in self.mended.items()},
            "lines_dropped": self.lines,
        }


def clean(
    split: Split, sounds: Sequence[Sound], findings: Sequence[Finding], kinds: Collection[str]
) -> Cleaned:
    """Leave out utterances with findings of some kinds, and mend durations.

    An utterance that begins past the end of its file has no duration that would mend it, and is
    left out.

    Args:
        split: to clean.
        sounds: what was heard of its utterances.
        findings: of any splits.
        kinds: of findings whose utterances are left out.
    """
    own: dict[str, list[str]] = {}
    for finding in findings:
        if finding.split == split.name and finding.id:
            own.setdefault(finding.id, []).append(finding.kind)
    kept: list[Utterance] = []
    removed: dict[str, list[str]] = {}
    mended: dict[str, tuple[float, float]] = {}
    for utterance, sound in zip(split.utterances, sounds):
        found = list(dict.fromkeys(own.get(utterance.id, [])))
        reasons = [kind for kind in found if kind in kinds]
        if "beyond-end" in found and sound.available <= 0:
            reasons = reasons or ["beyond-end"]
        if reasons:
            removed[utterance.id] = reasons
        elif any(kind in MENDED for kind in found):
            duration = round(sound.available, 6)
            mended[utterance.id] = utterance.duration, duration
            kept.append(replace(utterance, duration=duration))
        else:
            kept.append(utterance)
    return Cleaned(kept, removed, mended, len(split.faults))
