"""The table of all utterances of a report, as JSON values."""

from collections.abc import Mapping, Sequence
from typing import Any

from asr_attn.evaluation.attention_health import AttentionHealth
from asr_attn.evaluation.report.subjects import Subject


def rows_of(
    subjects: Sequence[Subject],
    healths: Sequence[Sequence[AttentionHealth]],
    chosen: Mapping[int, Sequence[str]],
) -> list[dict[str, Any]]:
    """An object for each of N utterances, with short keys: there may be thousands.

    Args:
        subjects: one or two recognisers.
        healths: of each, the health of attention in the N utterances.
        chosen: why an utterance is shown in detail, by its number.
    """
    rows = []
    for i, utterance in enumerate(subjects[0].utterances):
        row: dict[str, Any] = {
            "id": utterance.id,
            "seconds": round(utterance.duration, 2),
            "of": [_cell(s, i, h[i]) for s, h in zip(subjects, healths, strict=True)],
        }
        if utterance.speaker is not None:
            row["speaker"] = utterance.speaker
        if i in chosen:
            row["why"] = list(chosen[i])
        rows.append(row)
    return rows


def _cell(subject: Subject, number: int, health: AttentionHealth) -> dict[str, Any]:
    """How one recogniser did on one utterance."""
    scores, transcript = subject.evaluation.scores, subject.transcripts[number]
    cell: dict[str, Any] = {
        "pairs": [[k, a] if k == "=" else [k, a, b] for k, a, b in subject.pairs[number]],
        "errors": int(scores.errors[number]),
        "words": int(scores.words[number]),
        "confidence": None if transcript.confidence is None else round(transcript.confidence, 4),
        "surprise": round(float(subject.surprise[number]), 2),
        "entropy": round(health.entropy, 3),
        "diagonality": round(health.diagonality, 3),
        "aligned": health.aligned,
    }
    if transcript.doubts:
        cell["doubts"] = sorted({doubt.kind for doubt in transcript.doubts})
    return cell
