"""The same recording more than once: within a split, and in two."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from asr_attn.data.manifest import Utterance
from asr_attn.data.progress import Bars, no_bars
from asr_attn.evaluation.datacheck.confirmation import is_same
from asr_attn.evaluation.datacheck.findings import Finding
from asr_attn.evaluation.datacheck.fingerprint import SPEEDS
from asr_attn.evaluation.datacheck.listening import Part, Sound, in_processes, samples_of
from asr_attn.evaluation.datacheck.matching import Candidate, find_candidates

Places = Sequence[tuple[str, Utterance]]
"""Utterances and the splits they are in."""


def find_duplicates(
    places: Places,
    sounds: Sequence[Sound],
    jobs: int,
    bars: Bars = no_bars,
) -> list[list[int]]:
    """Groups of utterances that are one recording.

    Args:
        places: utterances.
        sounds: what was heard of them.
        jobs: processes.
        bars: show how far it is.

    Returns:
        Numbers of the utterances of each group, two or more, in order.
    """
    groups = _Groups(len(places))
    first: dict[bytes, int] = {}
    for i, sound in enumerate(sounds):
        if sound.levels is not None and not sound.levels.silent:
            groups.join(first.setdefault(sound.digest, i), i)
    chosen = [i for i in sorted(first.values()) if sounds[i].words]
    words = {speed: [sounds[i].words[k] for i in chosen] for k, speed in enumerate(SPEEDS)}
    candidates = find_candidates(words)
    parts = [Part(u.audio, u.offset, u.duration) for _, u in places]
    pairs = [(parts[chosen[c.slow]], parts[chosen[c.fast]], c) for c in candidates]
    with bars("comparing", len(pairs)) as bar:
        for candidate, same in zip(candidates, in_processes(_same, pairs, jobs)):
            bar.advance()
            if same:
                groups.join(chosen[candidate.slow], chosen[candidate.fast])
    return groups.found()


def _same(pair: tuple[Part, Part, Candidate]) -> bool:
    slow, fast, candidate = pair
    return is_same(samples_of(slow), samples_of(fast), candidate)


class _Groups:
    """Sets that are joined (union-find)."""

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))

    def root(self, i: int) -> int:
        """What stands for the group of an element."""
        while self._parents[i] != i:
            self._parents[i] = self._parents[self._parents[i]]
            i = self._parents[i]
        return i

    def join(self, a: int, b: int) -> None:
        """Make one group of two."""
        a, b = sorted((self.root(a), self.root(b)))
        self._parents[b] = a

    def found(self) -> list[list[int]]:
        """Groups of two and more."""
        groups: dict[int, list[int]] = defaultdict(list)
        for i in range(len(self._parents)):
            groups[self.root(i)].append(i)
        return [group for group in groups.values() if len(group) > 1]


def duplicate_findings(
    places: Places, groups: Sequence[Sequence[int]], spell: Callable[[str], str]
) -> Iterator[Finding]:
    """Findings of the kinds leak, conflict and duplicate.

    One utterance of each group is left as it is: that of the last split, for what is measured on
    must stay, and the first there. Where texts differ nobody knows which is right: a conflict is a
    finding of all of them.
    """
    last = {split: number for number, split in enumerate(dict.fromkeys(s for s, _ in places))}
    for group in groups:
        kept = max(group, key=lambda i: (last[places[i][0]], -i))
        texts = {spell(places[i][1].text) for i in group}
        for i in group:
            if len(texts) > 1:
                yield _finding("conflict", places, i, _twin(places, group, i))
        for i in group:
            if i != kept:
                kind = "duplicate" if places[i][0] == places[kept][0] else "leak"
                yield _finding(kind, places, i, kept)


def _twin(places: Places, group: Sequence[int], i: int) -> int:
    """Another of the group, of another text if there is one."""
    rest = [j for j in group if j != i]
    return min(rest, key=lambda j: places[j][1].text == places[i][1].text)


def _finding(kind: str, places: Places, i: int, other: int) -> Finding:
    split, utterance = places[i]
    there, twin = places[other]
    where = f"{twin.id}" if there == split else f"{twin.id} in {there}"
    texts = f": {utterance.text!r}, there {twin.text!r}" if utterance.text != twin.text else ""
    details = (("other_split", there), ("other_id", twin.id))
    return Finding(kind, split, utterance.id, f"is the recording {where}{texts}", 0.0, details)
