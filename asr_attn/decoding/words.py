"""The words of a transcript: when each was said, and what speaks for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr_attn.decoding.alignment import word_boundaries, word_tokens
from asr_attn.decoding.reading import Reading
from asr_attn.models.confidence import Calibration
from asr_attn.text.tokenizer import Tokenizer

SPAN_SHARE = 0.8
"""Share of a token's weight that lies in its span."""
FEATURES = ("attention", "ctc", "agreement")
"""What speaks for a word, see ``Word``."""


@dataclass(frozen=True)
class TimedToken:
    """A token of a transcript.

    Attributes:
        text: what it adds to the transcript, a space before it included.
        ctc: seconds (start, end) by the alignment with CTC; None where CTC cannot tell.
        attention: seconds (start, end) of the middle of its attention (``attention_spans``).
    """

    text: str
    ctc: tuple[float, float] | None
    attention: tuple[float, float]


@dataclass(frozen=True)
class Word:
    """A word of a transcript.

    Attributes:
        text: as it is written.
        tokens: first token and that after the last.
        start: seconds from the start of the recording.
        end: seconds.
        source: "ctc" where CTC tells the times; "attention" where it cannot.
        heard: seconds (start, end) by attention, from the first token's to the last one's.
        attention: log-probability of its tokens by the decoder, and of a space or the end of the
            sentence after them.
        ctc: mean log-probability of its tokens by CTC, over their spans; without CTC, that of even
            chances.
        agreement: share of its attention that lies where CTC hears it, half of the way to the words
            beside it included; without CTC, 0.
        confidence: probability that it is right, as far as can be told.
    """

    text: str
    tokens: tuple[int, int]
    start: float
    end: float
    source: str
    heard: tuple[float, float]
    attention: float
    ctc: float
    agreement: float
    confidence: float = 0.0

    def features(self) -> tuple[float, ...]:
        """Values of ``FEATURES``."""
        return self.attention, self.ctc, self.agreement


def words_of(
    reading: Reading, tokenizer: Tokenizer, seconds_per_step: float, duration: float
) -> list[Word]:
    """Find the words of a text that was read, and their times.

    Times are those of an alignment by CTC (Viterbi): from the start of a word's first token to the
    end of its last. Where CTC cannot tell, they are those of attention (``attention_spans``), which
    are kept from going back.

    Args:
        reading: of the text.
        tokenizer: whose ids it has.
        seconds_per_step: seconds of audio that one memory step stands for.
        duration: seconds of audio; no word ends later.
    """
    groups = word_tokens(reading.tokens, tokenizer)
    by_attention = attention_spans(reading.weights, seconds_per_step)
    size = len(tokenizer)
    found: list[Word] = []
    starts = {first for first, _ in groups}  # a token of the next word tells nothing of this one
    begin = 0.0
    for (first, last), agreement in zip(groups, _agreement(reading, groups)):
        if reading.ctc:
            start, end = (
                reading.ctc[first].start * seconds_per_step,
                reading.ctc[last - 1].end * seconds_per_step,
            )
            ctc = float(reading.ctc_log_probs[first:last].mean())
        else:
            start = max(begin, by_attention[first][0])
            end = max(start, by_attention[last - 1][1])
            ctc = -float(np.log(size))
        begin = start
        found.append(
            Word(
                tokenizer.decode(reading.tokens[first:last]).strip(),
                (first, last),
                min(start, duration),
                min(end, duration),
                "ctc" if reading.ctc else "attention",
                _clipped(by_attention[first][0], by_attention[last - 1][1], duration),
                float(reading.log_probs[first : last + (last not in starts)].sum()),
                ctc,
                agreement,
            )
        )
    return found


def token_times(
    reading: Reading, tokenizer: Tokenizer, seconds_per_step: float, duration: float
) -> list[TimedToken]:
    """Times of the tokens of a text that was read, by CTC and by attention.

    Args:
        reading: of the text.
        tokenizer: whose ids it has.
        seconds_per_step: seconds of audio that one memory step stands for.
        duration: seconds of audio; nothing ends later.
    """
    spans: list[tuple[float, float] | None] = [None] * len(reading.tokens)
    if reading.ctc:
        ends = [(s.start * seconds_per_step, s.end * seconds_per_step) for s in reading.ctc]
        spans = [_clipped(start, end, duration) for start, end in ends]
    by_attention = attention_spans(reading.weights, seconds_per_step)
    return [
        TimedToken(text, span, _clipped(*heard, duration))
        for text, span, heard in zip(tokenizer.texts(reading.tokens), spans, by_attention)
    ]


def _clipped(start: float, end: float, duration: float) -> tuple[float, float]:
    return min(start, duration), min(max(start, end), duration)


def _agreement(reading: Reading, groups: Sequence[tuple[int, int]]) -> list[float]:
    """Share of each word's attention between the middles of the gaps that CTC leaves beside it."""
    if not reading.ctc:
        return [0.0] * len(groups)
    count = reading.weights.shape[2]
    edges = word_boundaries(reading.ctc, groups, count)
    steps = np.arange(count + 1)
    shares = []
    for (first, last), start, end in zip(groups, edges, edges[1:]):
        weights = reading.weights[first:last].mean(axis=1, dtype=np.float64)
        rows = np.concatenate([[0.0], weights.cumsum(axis=1).sum(axis=0)])
        inside = np.interp(end, steps, rows) - np.interp(start, steps, rows)
        shares.append(float(inside / rows[-1]) if rows[-1] > 0 else 0.0)
    return shares


def attention_spans(
    weights: NDArray[np.float32], seconds_per_step: float
) -> list[tuple[float, float]]:
    """When each token was heard: the middle of its attention weight, ``SPAN_SHARE`` of it.

    Args:
        weights: (U, H, S) attention weights.
        seconds_per_step: seconds of audio that one step stands for.

    Returns:
        Seconds (start, end) of each token; (0, 0) for one that attends to nothing.
    """
    tail = (1.0 - SPAN_SHARE) / 2
    spans = []
    for heads in weights:  # one by one: of a long recording they are large
        row = heads.mean(axis=0, dtype=np.float64)
        if row.sum() <= 0:
            spans.append((0.0, 0.0))
            continue
        share = row.cumsum() / row.sum()
        # from within the first step that passes a tail to the end of the one that ends the middle
        start, end = np.searchsorted(share, [tail, 1.0 - tail])
        spans.append((float(start) * seconds_per_step, float(end + 1) * seconds_per_step))
    return spans


def word_confidence(words: Sequence[Word], calibration: Calibration | None) -> list[float]:
    """Probability that each word is right.

    Args:
        words: of one or more transcripts.
        calibration: learnt on speech that was held out; without it, the confidence is the
            probability that the decoder gives to the word, which is mostly too high.
    """
    if calibration is None:
        return [float(np.exp(min(word.attention, 0.0))) for word in words]
    if not words:
        return []
    found = calibration.confidence(np.array([word.features() for word in words]))
    return [float(value) for value in found]
