"""The figures of an evaluation, and how they are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from asr_attn.errors import InputError
from asr_attn.evaluation.error_intervals import ErrorIntervals, error_intervals
from asr_attn.evaluation.error_rates import ErrorCounts
from asr_attn.evaluation.intervals import Interval
from asr_attn.evaluation.scoring import (
    Group,
    Scores,
    UnknownWords,
    score_characters,
    score_words,
)

if TYPE_CHECKING:  # scoring texts needs no torch
    import numpy as np
    from numpy.typing import NDArray

    from asr_attn.evaluation.word_confidence import ConfidenceFigures
    from asr_attn.transcript import Transcript

SHOWN = 10
"""Most frequent errors that are shown of each kind."""


@dataclass(frozen=True)
class Evaluation:
    """How well texts were recognised.

    Attributes:
        scores: words and errors of each utterance.
        character_scores: the same of characters, spaces included.
        normalizer: form of the texts and its version, see ``evaluation.normalization``.
        audio_seconds: length of the recordings; None where only texts were compared.
        recognition_seconds: wall time of recognising them, files read included.
        confidence: how true the confidence of the words is; None where only texts were compared.
        speakers: number of each utterance's speaker, where there are enough of them for an interval
            over speakers; else None, and intervals are over utterances.
        groups: figures of groups of utterances, by the field that they are grouped by.
        unknown_words: words of the references that the training texts do not have; None where these
            were not given.
        peak_memory: greatest memory of the process in MB; None where the system does not tell.
        transcripts: what was recognised, by utterance id.
        failures: why recordings could not be read, by utterance id; they count nowhere else.
    """

    scores: Scores
    character_scores: Scores
    normalizer: str = "none/1"
    audio_seconds: float | None = None
    recognition_seconds: float | None = None
    confidence: "ConfidenceFigures | None" = None
    speakers: "NDArray[np.int64] | None" = None
    groups: "Mapping[str, Sequence[Group]]" = field(default_factory=dict)
    unknown_words: "UnknownWords | None" = None
    peak_memory: float | None = None
    transcripts: "Mapping[str, Transcript]" = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def words(self) -> ErrorCounts:
        """Errors in words."""
        return self.scores.counts()

    @cached_property
    def characters(self) -> ErrorCounts:
        """Errors in characters."""
        return self.character_scores.counts()

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of recognition per second of audio."""
        if not self.audio_seconds or self.recognition_seconds is None:
            return None
        return self.recognition_seconds / self.audio_seconds

    @cached_property
    def intervals(self) -> ErrorIntervals:
        """95 % intervals of the error rates."""
        return error_intervals(self.scores, self.character_scores, self.speakers)

    @property
    def interval_unit(self) -> str:
        """What was resampled for the intervals."""
        return "utterances" if self.speakers is None else "speakers"

    def hallucinations(self) -> dict[str, int]:
        """What was written where nothing was said."""
        written = self.scores.inserted[self.scores.words == 0]
        return {
            "utterances": len(written),
            "with_words": int((written > 0).sum()),
            "words": int(written.sum()),
        }

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON values; rates are shares (1 is 100 %), None where undefined."""
        found = self.intervals
        figures: dict[str, Any] = {
            "wer": self.words.known_rate,
            "wer_interval": _ends(found.words),
            "interval_unit": self.interval_unit,
            "cer": self.characters.known_rate,
            "cer_interval": _ends(found.characters),
            "mer": self.words.match_error_rate,
            "mer_interval": _ends(found.match_errors),
            "wil": self.words.information_lost,
            "wil_interval": _ends(found.information_lost),
            "normalizer": self.normalizer,
            "sentence_error_rate": self.words.sentence_rate,
            "sentence_error_rate_interval": _ends(found.sentences),
            "words": _counts(self.words),
            "characters": _counts(self.characters),
            "sentences": self.words.sentences,
            "wrong_sentences": self.words.wrong_sentences,
            "hallucinations": self.hallucinations(),
            "confusions": _confusions(self.scores),
        }
        if self.groups:
            figures["groups"] = {
                name: [{**asdict(g), "wer": g.rate} for g in groups]
                for name, groups in self.groups.items()
            }
        if self.unknown_words is not None:
            figures["unknown_words"] = asdict(self.unknown_words)
        if self.peak_memory is not None:
            figures["peak_memory_mb"] = round(self.peak_memory, 1)
        if self.audio_seconds is not None:
            figures |= {
                "audio_seconds": self.audio_seconds,
                "recognition_seconds": self.recognition_seconds,
                "real_time_factor": self.real_time_factor,
                "silent": sum(t.silent for t in self.transcripts.values()),
                "truncated": sum(t.truncated for t in self.transcripts.values()),
                "searched_again": sum(t.searched_again for t in self.transcripts.values()),
                "doubted": sum(bool(t.doubts) for t in self.transcripts.values()),
                "failed": len(self.failures),
            }
        if self.confidence is not None:
            figures["confidence"] = asdict(self.confidence)
        return figures


def score_texts(references: Sequence[str], hypotheses: Sequence[str]) -> Evaluation:
    """Compare texts with texts of the same order.

    Raises:
        InputError: there are no texts.
        ValueError: the numbers of references and hypotheses differ.
    """
    if not references:
        raise InputError("there are no references; give one line for each utterance")
    return Evaluation(score_words(references, hypotheses), score_characters(references, hypotheses))


def require_words(references: Sequence[str]) -> None:
    """Make sure that there is something to count errors against.

    Raises:
        InputError: the references hold no words.
    """
    if not any(text.split() for text in references):
        raise InputError(
            f"the {len(references)} references hold no words, so there is no error rate; give "
            "references of what was said"
        )


def _ends(interval: Interval | None) -> list[float] | None:
    return [interval.low, interval.high] if interval is not None else None


def _counts(counts: ErrorCounts) -> dict[str, int]:
    return {
        "total": counts.total,
        "errors": counts.errors,
        "substitutions": counts.substitutions,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
    }


def _confusions(scores: Scores) -> dict[str, list[Any]]:
    """The most frequent errors."""
    return {
        "substitutions": [
            {"said": said, "recognised": other, "count": count}
            for (said, other), count in scores.substitutions.most_common(SHOWN)
        ],
        "deletions": [
            {"said": word, "count": count} for word, count in scores.deletions.most_common(SHOWN)
        ],
        "insertions": [
            {"recognised": word, "count": count}
            for word, count in scores.insertions.most_common(SHOWN)
        ],
    }
