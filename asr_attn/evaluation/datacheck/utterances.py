"""What is wrong with single utterances: their files, levels, durations and texts."""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asr_attn.data.manifest import Utterance
from asr_attn.evaluation.datacheck.findings import Finding
from asr_attn.evaluation.datacheck.listening import Sound

SHORTEST = 0.1
"""Seconds."""
FASTEST_SPEECH = 50.0
"""Characters per second that nobody speaks."""
# Sound that is this loud and stands out this much is speech, or worth listening to
_LOUD_DB, _CLEAR_DB = -45.0, 12.0
_CLIPPED = 1e-3
_FEW = 20
# Texts as long or short for their sound as one in millions, if logarithms were normal
_DEVIATIONS = 5.0
_LEAST_SPREAD = math.log(1.15)
_FEW_SHARE = 0.02


@dataclass(frozen=True)
class Limits:
    """What is put up with.

    Attributes:
        tolerance: seconds between a manifest's duration and the file's.
        longest: seconds of an utterance.
    """

    tolerance: float = 0.1
    longest: float = 30.0


def sound_findings(
    split: str, utterance: Utterance, sound: Sound, whole: bool, limits: Limits
) -> Iterator[Finding]:
    """Findings of one utterance, whatever the others are.

    Args:
        split: its split.
        utterance: as its manifest says.
        sound: what was heard.
        whole: whether it is the only one of its file and begins where that begins, so that it
            should last as long.
        limits: what is put up with.
    """

    def finding(kind: str, what: str, severity: float = 0.0) -> Finding:
        return Finding(kind, split, utterance.id, what, severity)

    if sound.fault:
        yield finding("unreadable", sound.fault.rstrip("."))
        return
    beyond = utterance.duration - sound.available
    if beyond > limits.tolerance:
        end = utterance.offset + utterance.duration
        length = utterance.offset + sound.available
        kind = "duration" if whole else "beyond-end"
        says = f"lasts {utterance.duration:.2f} s" if whole else f"ends at {end:.2f} s"
        yield finding(kind, f"{says} by the manifest; the file lasts {length:.2f} s", beyond)
    elif whole and -beyond > limits.tolerance:
        what = f"lasts {utterance.duration:.2f} s by the manifest; the file {sound.available:.2f} s"
        yield finding("duration", what, -beyond)
    if sound.levels is None:
        return
    yield from (finding("channels", note) for note in sound.notes)
    yield from _level_findings(split, utterance, sound)
    seconds = actual_duration(utterance, sound)
    if seconds < SHORTEST:
        yield finding("short", f"lasts {1000 * seconds:.0f} ms", -seconds)
    if seconds > limits.longest:
        yield finding("long", f"lasts {seconds:.1f} s", seconds)


def actual_duration(utterance: Utterance, sound: Sound) -> float:
    """Seconds of sound that an utterance has."""
    return max(0.0, min(utterance.duration, sound.available))


def _level_findings(split: str, utterance: Utterance, sound: Sound) -> Iterator[Finding]:
    levels = sound.levels
    assert levels is not None, "checked before"
    if utterance.text and levels.silent:
        what = f"is silent (loudest 25 ms: {levels.loudest:.0f} dBFS), text {utterance.text!r}"
        yield Finding("silent", split, utterance.id, what, float(len(utterance.text)))
    if not utterance.text and levels.loudest > _LOUD_DB and levels.snr > _CLEAR_DB:
        what = f"has no text; its loudest 25 ms have {levels.loudest:.0f} dBFS"
        yield Finding("untranscribed", split, utterance.id, what, levels.loudest)
    if levels.clipped > _CLIPPED:
        what = f"{100 * levels.clipped:.1f} % of the samples are cut off at {levels.peak:.2f}"
        yield Finding("clipped", split, utterance.id, what, levels.clipped)


def pace_findings(items: Sequence[tuple[str, Utterance, Sound]]) -> Iterator[Finding]:
    """Texts too long or too short for their sound, by characters per second.

    They are compared with the median of those of the same language, in median absolute deviations
    of logarithms; and with what nobody speaks.
    """
    groups: dict[str | None, list[tuple[str, Utterance, float]]] = {}
    for split, utterance, sound in items:
        if utterance.text and sound.levels is not None:
            seconds = max(actual_duration(utterance, sound), 1e-3)
            pace = len(utterance.text) / seconds
            groups.setdefault(utterance.language, []).append((split, utterance, pace))
    for group in groups.values():
        logs = np.log([pace for _, _, pace in group])
        middle = float(np.median(logs))
        spread = max(1.4826 * float(np.median(np.abs(logs - middle))), _LEAST_SPREAD)
        for (split, utterance, pace), log in zip(group, logs):
            far = abs(float(log) - middle) / spread
            if (far > _DEVIATIONS and len(group) >= _FEW) or pace > FASTEST_SPEECH:
                what = (
                    f"{pace:.1f} characters a second, usual are {math.exp(middle):.1f}: "
                    f"{_shortened(utterance.text)!r}"
                )
                yield Finding("pace", split, utterance.id, what, far)


def script_findings(items: Sequence[tuple[str, Utterance]]) -> Iterator[Finding]:
    """Texts with letters of a script, and utterances of a language, that few others have.

    Scripts that are written together (Japanese) are common if each is.
    """
    texts = Counter(name for _, u in items for name in scripts(u.text))
    languages = Counter(u.language for _, u in items)
    total = len(items)
    if total < _FEW:
        return
    for split, utterance in items:
        rare = {s: n for s, n in scripts(utterance.text).items() if texts[s] < _FEW_SHARE * total}
        if rare:
            letters = "".join(dict.fromkeys("".join(rare.values())))
            what = (
                f"has letters of {', '.join(sorted(rare))} ({letters[:20]}): "
                f"{_shortened(utterance.text)!r}"
            )
            yield Finding("script", split, utterance.id, what, float(len(letters)))
        if languages[utterance.language] < _FEW_SHARE * total:
            what = f"has the language {utterance.language or 'none'}, as few others do"
            yield Finding("language", split, utterance.id, what)


def scripts(text: str) -> Mapping[str, str]:
    """The letters of a text by script, as Unicode names them ("LATIN", "CYRILLIC")."""
    found: dict[str, str] = {}
    for letter in unicodedata.normalize("NFKC", text):
        if unicodedata.category(letter) in ("Lu", "Ll", "Lt", "Lo"):
            name = unicodedata.name(letter, "UNKNOWN").split()[0].split("-")[0]
            found[name] = found.get(name, "") + letter
    return found


def _shortened(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
