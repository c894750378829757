"""What two splits have in common: ids, speakers and texts; and what a split mixes."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from asr_attn.evaluation.datacheck.findings import Finding
from asr_attn.evaluation.datacheck.listening import Sound
from asr_attn.evaluation.datacheck.splits import Split

_SHOWN = 5


def common_findings(splits: Sequence[Split], spell: Callable[[str], str]) -> Iterator[Finding]:
    """Findings of each pair of splits."""
    for a, b in combinations(splits, 2):
        ids = {u.id for u in a.utterances}
        for utterance in b.utterances:
            if utterance.id in ids:
                details = (("other_split", a.name),)
                yield Finding(
                    "same-id", b.name, utterance.id, f"is an id of {a.name}, too", 0.0, details
                )
        yield from _speakers(a, b)
        yield from _texts(a, b, spell)


def _speakers(a: Split, b: Split) -> Iterator[Finding]:
    """Speakers in both splits: meant, if it is all of a split; else perhaps overlooked."""
    one, other = ({u.speaker for u in split.utterances if u.speaker} for split in (a, b))
    common = one & other
    if not common:
        return
    count = sum(u.speaker in common for u in b.utterances)
    names = ", ".join(sorted(common)[:_SHOWN]) + (", ..." if len(common) > _SHOWN else "")
    what = (
        f"{len(common)} of {len(other)} speakers are in {a.name}, too, with {count} of "
        f"{len(b.utterances)} utterances: {names}"
    )
    details = (("other_split", a.name), ("speakers", sorted(common)))
    kind = "speakers" if common in (one, other) else "some-speakers"
    yield Finding(kind, b.name, "", what, float(count), details)


def _texts(a: Split, b: Split, spell: Callable[[str], str]) -> Iterator[Finding]:
    known = {spell(u.text) for u in a.utterances}
    count = sum(spell(u.text) in known for u in b.utterances if u.text)
    if count:
        share = count / len(b.utterances)
        what = f"{count} of {len(b.utterances)} texts ({100 * share:.0f} %) are in {a.name}, too"
        details = (("other_split", a.name), ("count", count), ("share", share))
        yield Finding("text", b.name, "", what, share, details)


def rate_findings(split: Split, sounds: Sequence[Sound]) -> Iterator[Finding]:
    """Sample rates, if a split has several: what is recorded low lacks the high frequencies."""
    rates = Counter(sound.rate for sound in sounds if sound.rate)
    if len(rates) > 1:
        parts = [f"{count} at {rate} Hz" for rate, count in sorted(rates.items())]
        details = (("rates", {str(rate): count for rate, count in sorted(rates.items())}),)
        yield Finding("rate", split.name, "", ", ".join(parts), 0.0, details)
