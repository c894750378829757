"""The report of ``asr-attn data check`` for people."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from asr_attn.evaluation.datacheck.cleaning import Cleaned
from asr_attn.evaluation.datacheck.findings import KINDS, Finding
from asr_attn.evaluation.datacheck.splits import Split
from asr_attn.evaluation.datacheck.statistics import Histogram, Statistics

if TYPE_CHECKING:
    from asr_attn.evaluation.datacheck.labels import Judged

_BAR = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"


def split_lines(split: Split, statistics: Statistics) -> Iterator[str]:
    """Figures of a split."""
    yield f"{split.name} ({split.path})"
    rows = [
        ("sound", _time(statistics.seconds)),
        ("utterances", f"{statistics.utterances:,}"),
        ("speakers", f"{statistics.speakers:,}" if statistics.speakers else "none named"),
        ("words", f"{statistics.words:,}, {statistics.vocabulary:,} different"),
        ("level", _spread(statistics.level, "dBFS")),
        ("signal to noise", _spread(statistics.snr, "dB, estimated")),
    ]
    yield from (f"  {name:16} {value}" for name, value in rows)
    yield from _histogram_lines("seconds", statistics.durations)
    yield from _histogram_lines("characters a second", statistics.paces)


def findings_lines(findings: Sequence[Finding], show: int) -> Iterator[str]:
    """Findings by kind, then notes."""
    wrong = [finding for finding in findings if not KINDS[finding.kind].note]
    notes = [finding for finding in findings if KINDS[finding.kind].note]
    if not wrong:
        yield "Nothing is wrong."
    for kind, group in groupby(wrong, key=lambda finding: finding.kind):
        found = list(group)
        yield f"{KINDS[kind].title} ({kind}): {len(found):,}"
        yield from (f"  {_line(finding)}" for finding in found[:show])
        yield from _more(len(found) - show)
    yield from (f"note: {KINDS[note.kind].title}: {_line(note)}" for note in notes)


def labels_lines(judged: "Sequence[Judged]", show: int) -> Iterator[str]:
    """Texts that the model finds least likely."""
    yield f"texts by their loss under the model, in nats per token, the worst of {len(judged):,}"
    for one in judged[:show]:
        mark = "!" if one.suspicious else " "
        yield f" {mark}{one.loss:7.2f}  {one.split} {one.utterance.id}"
        yield f"{'':11}text   {one.utterance.text}"
        yield f"{'':11}model  {one.heard}"


def cleaned_lines(name: str, cleaned: Cleaned, show: int) -> Iterator[str]:
    """What a cleaned manifest lacks, and why."""
    yield (
        f"cleaned {name}: {len(cleaned.utterances):,} utterances left, {len(cleaned.removed):,} "
        f"removed, {len(cleaned.mended):,} durations mended, {cleaned.lines:,} lines dropped"
    )
    removed = [f"  removed {name}: {', '.join(why)}" for name, why in cleaned.removed.items()]
    mended = [
        f"  mended {name}: duration {old:.3f} s, now {new:.3f} s"
        for name, (old, new) in cleaned.mended.items()
    ]
    for lines in (removed, mended):
        yield from lines[:show]
        yield from _more(len(lines) - show)


def _line(finding: Finding) -> str:
    return (
        f"{finding.split} {finding.id} {finding.what}"
        if finding.id
        else (f"{finding.split}: {finding.what}")
    )


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield f"  and {count:,} more (--show)"


def _histogram_lines(title: str, histogram: Histogram) -> Iterator[str]:
    if not histogram.counts:
        return
    yield f"  {title}"
    decimals = _decimals(histogram.edges[1] - histogram.edges[0])
    edges = [f"{edge:.{decimals}f}" for edge in histogram.edges]
    rows = [(f"{a} to {b}", n) for a, b, n in zip(edges, edges[1:], histogram.counts)]
    if histogram.below:
        rows.insert(0, (f"under {edges[0]}", histogram.below))
    if histogram.above:
        rows.append((f"over {edges[-1]}", histogram.above))
    width = max(len(label) for label, _ in rows)
    most = max(count for _, count in rows)
    for label, count in rows:
        yield f"    {label:>{width}} {count:8,}  {_bar(count / most)}".rstrip()


def _bar(share: float) -> str:
    eighths = round(8 * _BAR * share)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def _decimals(step: float) -> int:
    return next((d for d in range(4) if abs(round(step, d) - step) < 1e-9), 4)


def _time(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.2f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _spread(values: tuple[float, float, float] | None, unit: str) -> str:
    if values is None:
        return "none"
    low, middle, high = values
    return f"{middle:.0f} {unit} (from {low:.0f} to {high:.0f} for nine in ten)"
