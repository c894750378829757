"""The figures of an evaluation, and how they are shown."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from asr_attn.errors import InputError
from asr_attn.evaluation.error_rates import ErrorCounts, count_errors

if TYPE_CHECKING:  # scoring texts needs no torch
    from asr_attn.evaluation.word_confidence import ConfidenceFigures
    from asr_attn.recognizer import Transcript


@dataclass(frozen=True)
class Evaluation:
    """How well texts were recognised.

    Attributes:
        words: errors in words.
        characters: errors in characters, spaces included.
        normalizer: form of the texts and its version, see ``evaluation.normalization``.
        audio_seconds: length of the recordings; None where only texts were compared.
        recognition_seconds: wall time of recognising them, files read included.
        confidence: how true the confidence of the words is; None where only texts were compared.
        transcripts: what was recognised, by utterance id.
        failures: why recordings could not be read, by utterance id; they count nowhere else.
    """

    words: ErrorCounts
    characters: ErrorCounts
    normalizer: str = "none/1"
    audio_seconds: float | None = None
    recognition_seconds: float | None = None
    confidence: "ConfidenceFigures | None" = None
    transcripts: "Mapping[str, Transcript]" = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def real_time_factor(self) -> float | None:
        """Seconds of recognition per second of audio."""
        if not self.audio_seconds or self.recognition_seconds is None:
            return None
        return self.recognition_seconds / self.audio_seconds

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON values; rates are shares (1 is 100 %), None where undefined."""
        figures: dict[str, Any] = {
            "wer": _finite(self.words.rate),
            "cer": _finite(self.characters.rate),
            "normalizer": self.normalizer,
            "sentence_error_rate": self.words.sentence_rate,
            "words": _counts(self.words),
            "characters": _counts(self.characters),
            "sentences": self.words.sentences,
            "wrong_sentences": self.words.wrong_sentences,
        }
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

    def to_text(self) -> str:
        """All figures as a table for people."""
        names = ("", "rate", "errors", "of", "substituted", "deleted", "inserted")
        rows = [names, _row("WER (words)", self.words), _row("CER (characters)", self.characters)]
        wrong, sentences = self.words.wrong_sentences, self.words.sentences
        rows.append(("sentences", _percent(self.words.sentence_rate), str(wrong), str(sentences)))
        widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(names))]
        lines = [
            "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths)))
            for row in rows
        ]
        if self.audio_seconds is not None and self.recognition_seconds is not None:
            lines.append(
                f"{self.audio_seconds:.1f} s of audio recognised in {self.recognition_seconds:.1f} "
                f"s: real-time factor {self.real_time_factor or 0:.3f}"
            )
        silent = sum(t.silent for t in self.transcripts.values())
        truncated = sum(t.truncated for t in self.transcripts.values())
        if silent:
            lines.append(f"{silent} silent: nothing to recognise")
        if truncated:
            lines.append(f"{truncated} cut off at the longest permitted output")
        again = sum(t.searched_again for t in self.transcripts.values())
        doubted = sum(bool(t.doubts) for t in self.transcripts.values())
        if again or doubted:
            lines.append(
                f"{again} searched again, since words seemed repeated or left out; {doubted} still "
                "seem so"
            )
        if self.confidence is not None and self.confidence.words:
            lines.append(_confidence(self.confidence))
        if self.failures:
            lines.append(f"{len(self.failures)} could not be read and are NOT in these figures")
        return "\n".join(lines) + "\n"


def score_texts(references: Sequence[str], hypotheses: Sequence[str]) -> Evaluation:
    """Compare texts with texts of the same order.

    Raises:
        InputError: the references hold no words.
        ValueError: the numbers of references and hypotheses differ.
    """
    require_words(references)
    return Evaluation(
        count_errors(references, hypotheses),
        count_errors(references, hypotheses, characters=True),
    )


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


def _counts(counts: ErrorCounts) -> dict[str, int]:
    return {
        "total": counts.total,
        "errors": counts.errors,
        "substitutions": counts.substitutions,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
    }


def _row(name: str, counts: ErrorCounts) -> tuple[str, ...]:
    figures = (
        counts.errors,
        counts.total,
        counts.substitutions,
        counts.deletions,
        counts.insertions,
    )
    return (name, _percent(counts.rate), *map(str, figures))


def _confidence(figures: "ConfidenceFigures") -> str:
    """How true confidence is, in a sentence."""
    error = f"confidence of words: off by {100 * figures.calibration_error:.1f} % (ECE)"
    if figures.discrimination is None:
        return error
    return (
        f"{error}; a right word is surer than a wrong one in {100 * figures.discrimination:.0f} %"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if math.isfinite(share) else "none"


def _finite(rate: float) -> float | None:
    return rate if math.isfinite(rate) else None
