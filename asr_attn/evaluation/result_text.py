"""Evaluations as people read them: one in full, several as a table."""

import csv
import io
from collections.abc import Sequence

from asr_attn.evaluation.error_rates import ErrorCounts
from asr_attn.evaluation.intervals import Interval
from asr_attn.evaluation.results import SHOWN, Evaluation
from asr_attn.evaluation.scoring import Group, Scores
from asr_attn.evaluation.word_confidence import ConfidenceFigures

COLUMNS = (
    *("model", "manifest", "wer", "wer_low", "wer_high", "cer", "cer_low", "cer_high"),
    *("mer", "mer_low", "mer_high", "wil", "wil_low", "wil_high"),
    *("sentence_error_rate", "sentence_error_rate_low", "sentence_error_rate_high"),
    *("words", "errors", "utterances", "real_time_factor", "normalizer"),
)
"""Of a table of several evaluations."""


def evaluation_text(result: Evaluation) -> str:
    """All figures of one evaluation."""
    lines = _rates(result)
    lines += _recognition(result)
    for name, groups in result.groups.items():
        lines += ["", *_group_lines(name, groups)]
    if result.words.errors:
        lines += ["", *_confusion_lines(result.scores)]
    return "\n".join(lines) + "\n"


def _rates(result: Evaluation) -> list[str]:
    """Error rates as a table."""
    found, counts = result.intervals, result.words
    over = f"95 % (over {result.interval_unit})"
    names = ("", "rate", over, "errors", "of", "substituted", "deleted", "inserted")
    wrong, count = str(counts.wrong_sentences), str(counts.sentences)
    rows: list[tuple[str, ...]] = [
        names,
        _row("WER (words)", counts, found.words),
        _row("CER (characters)", result.characters, found.characters),
        ("sentences", _percent(counts.sentence_rate), _span(found.sentences), wrong, count),
        ("MER", _percent(counts.match_error_rate), _span(found.match_errors)),
        ("WIL", _percent(counts.information_lost), _span(found.information_lost)),
    ]
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(names))]
    return [
        "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths)))
        for row in rows
    ]


def _recognition(result: Evaluation) -> list[str]:
    """What there is to say beside error rates, a line each."""
    lines = []
    if not result.words.total:
        lines.append(f"no reference words, so there is no WER; inserted: {result.words.insertions}")
    if result.audio_seconds is not None and result.recognition_seconds is not None:
        lines.append(
            f"{result.audio_seconds:.1f} s of audio recognised in {result.recognition_seconds:.1f} "
            f"s: real-time factor {result.real_time_factor or 0:.3f}"
        )
    if result.peak_memory is not None:
        lines.append(f"greatest memory: {result.peak_memory:.0f} MB")
    if (empty := result.hallucinations())["utterances"]:
        lines.append(
            f"{empty['with_words']} of {empty['utterances']} recordings in which nothing is said "
            f"were given words ({empty['words']})"
        )
    if result.unknown_words is not None:
        lines.append(str(result.unknown_words))
    found = result.transcripts.values()
    for count, text in (
        (sum(t.silent for t in found), "silent: nothing to recognise"),
        (sum(t.truncated for t in found), "cut off at the longest permitted output"),
        (sum(t.searched_again for t in found), "searched again: words seemed repeated or left out"),
        (
            sum(any(not doubt.removed for doubt in t.doubts) for t in found),
            "in which words may still be repeated, left out or written in silence",
        ),
        (
            sum(any(doubt.removed for doubt in t.doubts) for t in found),
            "from which words in silence were taken out",
        ),
    ):
        if count:
            lines.append(f"{count} {text}")
    if result.confidence is not None and result.confidence.words:
        lines.append(_confidence(result.confidence))
    if result.failures:
        lines.append(f"{len(result.failures)} could not be read and are NOT in these figures")
    return lines


def _confusion_lines(scores: Scores) -> list[str]:
    """The most frequent errors, a line for each kind."""
    taken = [
        (f"{said} -> {other}", n) for (said, other), n in scores.substitutions.most_common(SHOWN)
    ]
    kinds = (
        ("substituted", taken),
        ("deleted", scores.deletions.most_common(SHOWN)),
        ("inserted", scores.insertions.most_common(SHOWN)),
    )
    return [
        f"most {name}: " + ", ".join(f"{what} ({count})" for what, count in pairs)
        for name, pairs in kinds
        if pairs
    ]


def _group_lines(name: str, groups: Sequence[Group]) -> list[str]:
    """A table of groups."""
    rows = [(name, "WER", "95 %", "errors", "of", "utterances")]
    for group in groups:
        rate = "" if group.rate is None else _percent(group.rate)
        counts = (str(group.errors), str(group.words), str(group.utterances))
        rows.append((group.name, rate, _span(group.interval), *counts))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths)))
        for row in rows
    ]


def _confidence(figures: "ConfidenceFigures") -> str:
    """How true confidence is, in a sentence."""
    low, high = figures.calibration_error_interval
    error = (
        f"confidence of words: off by {100 * figures.calibration_error:.1f} % (ECE; 95 %: "
        f"{100 * low:.1f} to {100 * high:.1f} %)"
    )
    if figures.discrimination is None:
        return error
    return (
        f"{error}; a right word is surer than a wrong one in {100 * figures.discrimination:.0f} %"
    )


def _row(name: str, counts: ErrorCounts, interval: Interval | None) -> tuple[str, ...]:
    figures = (
        counts.errors,
        counts.total,
        counts.substitutions,
        counts.deletions,
        counts.insertions,
    )
    return (name, _percent(counts.known_rate), _span(interval), *map(str, figures))


def _span(interval: Interval | None) -> str:
    return f"{100 * interval.low:.2f} to {100 * interval.high:.2f} %" if interval else ""


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.2f} %"


def _cells(source: dict[str, object], result: Evaluation) -> dict[str, object]:
    """A row of a table of several evaluations."""
    found = result.intervals
    return {
        "model": source.get("model", ""),
        "manifest": source.get("manifest", ""),
        **_with_ends("wer", result.words.known_rate, found.words),
        **_with_ends("cer", result.characters.known_rate, found.characters),
        **_with_ends("mer", result.words.match_error_rate, found.match_errors),
        **_with_ends("wil", result.words.information_lost, found.information_lost),
        **_with_ends("sentence_error_rate", result.words.sentence_rate, found.sentences),
        "words": result.words.total,
        "errors": result.words.errors,
        "utterances": result.words.sentences,
        "real_time_factor": result.real_time_factor,
        "normalizer": result.normalizer,
    }


def _with_ends(name: str, rate: float | None, interval: Interval | None) -> dict[str, object]:
    low, high = (interval.low, interval.high) if interval is not None else (None, None)
    return {name: rate, f"{name}_low": low, f"{name}_high": high}


def csv_table(results: Sequence[tuple[dict[str, object], Evaluation]]) -> str:
    """Several evaluations as CSV with a header; rates are shares."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_cells(source, result) for source, result in results)
    return stream.getvalue()


def markdown_table(results: Sequence[tuple[dict[str, object], Evaluation]]) -> str:
    """Several evaluations as a table of Markdown."""
    rates = ("WER", "95 %", "CER", "95 %", "sentences", "95 %")
    head = ("model", "test set", *rates, "words", "RTF", "normalizer")
    rows = [head, ("---",) * len(head)]
    for source, result in results:
        found, speed = result.intervals, result.real_time_factor
        rows.append(
            (
                str(source.get("model", "")),
                str(source.get("manifest", "")),
                _percent(result.words.known_rate),
                _span(found.words),
                _percent(result.characters.known_rate),
                _span(found.characters),
                _percent(result.words.sentence_rate),
                _span(found.sentences),
                str(result.words.total),
                "" if speed is None else f"{speed:.3f}",
                result.normalizer,
            )
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
