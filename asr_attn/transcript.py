"""Transcripts: the text of a recording with its words, times, confidence and scores."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from asr_attn.audio.silence import Kept
from asr_attn.decoding.doubts import Doubt
from asr_attn.decoding.words import TimedToken, Word


@dataclass(frozen=True)
class Transcript:
    """What was recognised.

    Attributes:
        text: words.
        duration: seconds of audio.
        log_prob: weighted sum of what the scorers of the search gave; with attention alone, the
            natural logarithm of the model's probability of the text.
        score: what hypotheses were ranked by (length-normalised ``log_prob``).
        truncated: True when the longest permitted output was reached before the end.
        silent: True when there was nothing to recognise: silence, or a steady sound, such as hum.
        parts: what each scorer of the search gave, without its weight; empty for greedy search.
        words: the words, when each was said and how sure that is.
        tokens: the tokens, and when each was said.
        confidence: mean confidence of the words; without words, that nothing was said. See
            ``Recognizer.calibrated``.
        doubts: loops, speech left out, ends that came too soon and words in silence, as attention
            and CTC show them; with the words that were taken out because of it.
        notes: what was done to the sound when its file was read, to be put after its name.
        searched_again: True when the text comes from a further search, with safer settings, since
            there were more doubts of what the first one found.
        alternatives: further hypotheses, next best first, where they were asked for; without words
            and doubts.
    """

    text: str
    duration: float
    log_prob: float = 0.0
    score: float = 0.0
    truncated: bool = False
    silent: bool = False
    parts: Mapping[str, float] = field(default_factory=dict)
    words: tuple[Word, ...] = ()
    tokens: tuple[TimedToken, ...] = ()
    confidence: float | None = None
    doubts: tuple[Doubt, ...] = ()
    searched_again: bool = False
    alternatives: tuple["Transcript", ...] = ()
    notes: tuple[str, ...] = ()


def moved_in_time(transcript: Transcript, kept: Kept) -> Transcript:
    """Give the transcript of a recording without its silence the times of the whole recording.

    Args:
        transcript: of what is left of the recording.
        kept: what is left, and where it lies in the whole.
    """
    time = kept.time

    def moved(times: tuple[float, float]) -> tuple[float, float]:
        return time(times[0]), time(times[1])

    return replace(
        transcript,
        words=tuple(
            replace(w, start=time(w.start), end=time(w.end), heard=moved(w.heard))
            for w in transcript.words
        ),
        tokens=tuple(
            replace(t, ctc=t.ctc and moved(t.ctc), attention=moved(t.attention))
            for t in transcript.tokens
        ),
        doubts=tuple(replace(d, start=time(d.start), end=time(d.end)) for d in transcript.doubts),
    )
