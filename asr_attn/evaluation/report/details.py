"""What a report shows and plays of single utterances."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from asr_attn.audio.reading import read_audio
from asr_attn.data.batches import pad_waveforms
from asr_attn.data.planning import plan_batches
from asr_attn.evaluation.attention import UtteranceAttention, teacher_forced_attention
from asr_attn.evaluation.attention_diagnosis import describe
from asr_attn.evaluation.attention_health import AttentionHealth, attention_health
from asr_attn.evaluation.explanation_agreement import Agreement
from asr_attn.evaluation.explanations import explain
from asr_attn.evaluation.report.evidence import evidence_of
from asr_attn.evaluation.report.packing import levels, outline, packed, sound_address
from asr_attn.evaluation.report.subjects import Subject
from asr_attn.recognizer import Recognizer
from asr_attn.text.tokenizer import UNKNOWN_SIGN

POINTS = 1200
"""Of the outline of a waveform."""
FRAME_SECONDS = 0.02
"""Of a column of the spectrogram."""
BANDS = 40
"""Of the spectrogram."""


@dataclass(frozen=True)
class Look:
    """What was seen of one recogniser's attention.

    Attributes:
        health: of the attention in each utterance.
        drawn: an object to draw, by the number of an utterance that is shown.
        agreement: of attention with other explanations, in each utterance that is explained.
    """

    health: list[AttentionHealth]
    drawn: dict[int, dict[str, Any]]
    agreement: list[Agreement]


def look(
    subject: Subject,
    chosen: Collection[int],
    explained: Collection[int],
    batch_seconds: float,
    on_step: Callable[[int], None],
) -> Look:
    """Look where attention goes in all utterances, and keep what is shown of some.

    Args:
        subject: whose attention it is.
        chosen: numbers of utterances that are shown.
        explained: of them, those whose words are explained.
        batch_seconds: audio that is read at once.
        on_step: is told how many utterances more are done.

    Returns:
        What was seen.
    """
    recognizer = subject.recognizer
    encode = recognizer.model.tokenizer.encode
    texts = [" ".join(word.text for word in t.words) for t in subject.transcripts]
    health: dict[int, AttentionHealth] = {}
    drawn: dict[int, dict[str, Any]] = {}
    agreement: list[Agreement] = []
    for batch in plan_batches([u.duration for u in subject.utterances], batch_seconds, None):
        waveforms = [sound_of(subject, i) for i in batch]
        tokens = [encode(texts[i]) for i in batch]
        found = teacher_forced_attention(recognizer.model, waveforms, tokens)
        for i, waveform, attention in zip(batch, waveforms, found):
            health[i] = attention_health(
                attention.weights, attention.seconds_per_step, attention.speech
            )
            if i in chosen:
                drawn[i] = _attention(subject, i, attention, health[i])
            if i in explained and texts[i] and UNKNOWN_SIGN not in texts[i]:
                explanation = explain(recognizer, waveform, texts[i])
                drawn[i]["evidence"] = evidence_of(explanation)
                agreement.append(explanation.overall)
        on_step(len(batch))
    return Look([health[i] for i in range(len(texts))], drawn, agreement)


def sound_of(subject: Subject, number: int) -> NDArray[np.float32]:
    """Samples of an utterance at the model's rate."""
    utterance = subject.utterances[number]
    rate = subject.recognizer.sample_rate
    return read_audio(utterance.audio, rate, utterance.offset, utterance.duration)


def heard(subject: Subject, number: int, codec: str) -> dict[str, Any]:
    """Sound, waveform and spectrogram of an utterance, to draw and to play.

    Args:
        subject: at whose sample rate.
        number: of the utterance.
        codec: of the sound; "none" leaves it out.
    """
    samples = sound_of(subject, number)
    rate = subject.recognizer.sample_rate
    features, hop = _spectrogram(subject.recognizer, samples)
    low, high = np.percentile(features, (5, 99.8))
    wave = outline(samples, POINTS)
    return {
        "seconds": round(len(samples) / rate, 4),
        "audio": None if codec == "none" else sound_address(samples, rate, codec),
        "wave": packed(wave),
        "points": len(wave),
        "spectrogram": packed(levels(features, float(low), float(high))),
        "frames": len(features),
        "bands": features.shape[1],
        "hop": hop,
    }


@torch.inference_mode()
def _spectrogram(
    recognizer: Recognizer, samples: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Log-mel features with fewer frames and bands, and seconds from frame to frame."""
    network = recognizer.model.network
    device = network.ctc.weight.device
    padded, lengths = pad_waveforms([samples])
    features, _ = network.features.log_mel(padded.to(device), lengths.to(device))
    found: NDArray[np.float32] = features[0].float().cpu().numpy()
    hop = recognizer.model.features.hop_length / recognizer.sample_rate
    together = max(1, round(FRAME_SECONDS / hop))
    bands = max(1, found.shape[1] // BANDS)
    found = np.pad(found, ((0, -len(found) % together), (0, -found.shape[1] % bands)), mode="edge")
    found = found.reshape(len(found) // together, together, -1, bands).mean(axis=(1, 3))
    return found, hop * together


def _attention(
    subject: Subject, number: int, attention: UtteranceAttention, health: AttentionHealth
) -> dict[str, Any]:
    """What one recogniser heard in an utterance, as JSON values."""
    transcript = subject.transcripts[number]
    _, heads, steps = attention.weights.shape
    step = attention.seconds_per_step
    return {
        "tokens": attention.labels,
        "heads": heads,
        "steps": steps,
        "step": step,
        # by their square roots, so that what is spread over many steps is seen
        "weights": packed(levels(np.sqrt(attention.weights.transpose(1, 0, 2)), 0.0, 1.0)),
        "ctc": [[round(s.start * step, 3), round(s.end * step, 3)] for s in attention.ctc],
        "words": [
            {
                "text": word.text,
                "start": round(word.start, 3),
                "end": round(word.end, 3),
                "confidence": round(word.confidence, 4),
                "tokens": list(word.tokens),
            }
            for word in transcript.words
        ],
        "pairs": subject.own_pairs[number],
        "doubts": [[d.kind, round(d.start, 2), round(d.end, 2)] for d in transcript.doubts],
        "sentence": describe(health),
        "again": transcript.searched_again,
        "evidence": None,
    }
