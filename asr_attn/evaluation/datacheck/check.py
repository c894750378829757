"""The whole check of some splits."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from asr_attn.data.manifest import Utterance
from asr_attn.data.progress import Bars, no_bars
from asr_attn.evaluation.datacheck.between import common_findings, rate_findings
from asr_attn.evaluation.datacheck.duplicates import duplicate_findings, find_duplicates
from asr_attn.evaluation.datacheck.findings import KINDS, Finding
from asr_attn.evaluation.datacheck.listening import Sound, listen
from asr_attn.evaluation.datacheck.splits import Split
from asr_attn.evaluation.datacheck.statistics import Statistics, measure_split
from asr_attn.evaluation.datacheck.utterances import (
    Limits,
    pace_findings,
    script_findings,
    sound_findings,
)
from asr_attn.text.normalizer import NormalizerConfig, normalize

_ORDER = {kind: number for number, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        findings: the most harmful kinds first, and the worst of each first.
        sounds: for each split, what was heard of each utterance; without fingerprints.
        statistics: of each split.
    """

    findings: Sequence[Finding]
    sounds: Sequence[Sequence[Sound]]
    statistics: Sequence[Statistics]


def check_splits(
    splits: Sequence[Split],
    limits: Limits,
    jobs: int = 1,
    duplicates: bool = True,
    bars: Bars = no_bars,
) -> Checked:
    """Check manifests and the sound they name.

    Args:
        splits: from `read_splits`. Of a recording in two of them, the one in the last is left
            alone.
        limits: what is put up with.
        jobs: processes.
        duplicates: whether to look for recordings that are there twice.
        bars: show how far it is.

    Raises:
        InputError: a process was ended from outside.
    """
    places = [(split.name, utterance) for split in splits for utterance in split.utterances]
    with bars("listening", len(places)) as bar:
        heard = []
        for sound in listen([utterance for _, utterance in places], jobs, duplicates):
            heard.append(sound)
            bar.advance()
    findings = [fault for split in splits for fault in split.faults]
    if duplicates:
        groups = find_duplicates(places, heard, jobs, bars)
        findings += duplicate_findings(places, groups, _spell)
        heard = [replace(sound, words=()) for sound in heard]
    findings += _utterance_findings(places, heard, limits)
    findings += common_findings(splits, _spell)
    sounds = _divided(heard, [len(split.utterances) for split in splits])
    for split, own in zip(splits, sounds):
        findings += rate_findings(split, own)
    statistics = [measure_split(split, own) for split, own in zip(splits, sounds)]
    return Checked(sorted_findings(findings), sounds, statistics)


def sorted_findings(findings: Sequence[Finding]) -> list[Finding]:
    """The most harmful kinds first, and the worst of each first."""
    return sorted(findings, key=lambda f: (_ORDER[f.kind], -f.severity))


def _utterance_findings(
    places: Sequence[tuple[str, Utterance]], sounds: Sequence[Sound], limits: Limits
) -> Iterator[Finding]:
    users = Counter((split, utterance.audio) for split, utterance in places)
    for (split, utterance), sound in zip(places, sounds):
        whole = not utterance.offset and users[split, utterance.audio] == 1
        yield from sound_findings(split, utterance, sound, whole, limits)
    yield from pace_findings([(*place, sound) for place, sound in zip(places, sounds)])
    yield from script_findings(places)


def _divided(sounds: Sequence[Sound], sizes: Sequence[int]) -> list[Sequence[Sound]]:
    remaining = iter(sounds)
    return [[next(remaining) for _ in range(size)] for size in sizes]


def _spell(text: str) -> str:
    """Texts that differ in case or punctuation only are the same."""
    return normalize(text, NormalizerConfig())
