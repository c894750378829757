"""Making a report on one or two recognisers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

import asr_attn
from asr_attn.evaluation.attention_diagnosis import describe
from asr_attn.evaluation.attention_health import pooled
from asr_attn.evaluation.comparison import compare
from asr_attn.evaluation.conclusion import conclusion
from asr_attn.evaluation.explanation_agreement import mean_agreement
from asr_attn.evaluation.report.choosing import choose
from asr_attn.evaluation.report.details import Look, heard, look
from asr_attn.evaluation.report.page import page_of
from asr_attn.evaluation.report.rows import rows_of
from asr_attn.evaluation.report.subjects import Subject
from asr_attn.evaluation.segments import matched_pairs_test, segment_differences


@dataclass(frozen=True)
class Report:
    """A report, and what is in it.

    Attributes:
        page: HTML.
        utterances: in the table.
        details: of them, those with sound and pictures.
        explained: of these, those whose words are explained.
        sound_bytes: of compressed sound in the page.
    """

    page: str
    utterances: int
    details: int
    explained: int
    sound_bytes: int


def report(
    subjects: Sequence[Subject],
    title: str,
    *,
    details: int,
    explained: int,
    codec: str,
    batch_seconds: float,
    on_step: Callable[[int], None] = lambda count: None,
) -> Report:
    """Write a report on one recogniser, or on two side by side.

    Args:
        subjects: one or two, of the same utterances.
        title: of the page.
        details: how many utterances are shown in detail.
        explained: how many of them are explained beyond attention.
        codec: of the sound: "opus", "mp3" or "none".
        batch_seconds: audio that is read at once.
        on_step: is told how many utterances more are done, for each subject.
    """
    chosen = choose(subjects, details)
    first = list(chosen)[:explained]
    looks = [look(s, chosen, first, batch_seconds, on_step) for s in subjects]
    healths = [seen.health for seen in looks]
    shown = {}
    sound = 0
    for i in chosen:
        shown[i] = heard(subjects[0], i, codec) | {"of": [seen.drawn[i] for seen in looks]}
        sound += len(shown[i]["audio"] or "") * 3 // 4
    rows = rows_of(subjects, healths, chosen)
    data = {
        "title": title,
        "made": datetime.now().astimezone().isoformat(" ", "seconds"),
        "version": asr_attn.__version__,
        "normalizer": subjects[0].evaluation.normalizer,
        "seconds": round(subjects[0].evaluation.audio_seconds or 0.0, 1),
        "failures": dict(subjects[0].evaluation.failures),
        "subjects": [_subject(s, seen) for s, seen in zip(subjects, looks)],
        "comparison": _comparison(*subjects) if len(subjects) == 2 else None,
        "rows": rows,
        "sound": sound,
    }
    return Report(page_of(title, data, shown), len(rows), len(shown), len(first), sound)


def _subject(subject: Subject, seen: Look) -> dict[str, Any]:
    """Figures of all utterances together."""
    model = subject.recognizer.model
    together = pooled(seen.health)
    return {
        "name": subject.name,
        "path": str(subject.path),
        "parameters": model.network.parameter_count(),
        "info": {key: value for key, value in model.info.items() if _plain(value)},
        "search": asdict(subject.recognizer.search),
        "calibrated": model.calibration is not None,
        "figures": subject.evaluation.to_dict(),
        "curves": subject.curves,
        "health": {key: v for key, v in together.to_dict().items() if key != "heads"},
        "heads": len(together.heads) or 1,
        "aligned": float(np.mean([health.aligned for health in seen.health])),
        "diagnosis": describe(together),
        "agreement": asdict(mean_agreement(seen.agreement)) if seen.agreement else None,
        "explained": len(seen.agreement),
    }


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _comparison(first: Subject, second: Subject) -> Mapping[str, Any]:
    """Which one is better, as ``asr-attn compare`` says it."""
    a, b = first.evaluation, second.evaluation
    segments: list[int] = []
    for pairs, others in zip(first.pairs, second.pairs):
        said = " ".join(one for kind, one, _ in pairs if kind != "i")
        texts = (" ".join(o for kind, _, o in p if kind != "d") for p in (pairs, others))
        segments += segment_differences(said, *texts)
    result = compare(
        a.scores.errors[:, None],
        b.scores.errors[:, None],
        a.scores.words,
        matched_pairs_test(segments),
        a.speakers,
    )
    names = (first.name, second.name)
    text = conclusion(result, len(first.utterances), names, a.interval_unit)
    return {**asdict(result), "conclusion": text}
