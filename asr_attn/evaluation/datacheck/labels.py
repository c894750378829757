"""Wrong texts, as a trained model sees them: those that it finds unlikely."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from asr_attn.audio.reading import audio_duration, read_audio
from asr_attn.checkpoint import TrainedModel
from asr_attn.data.batches import pad_waveforms
from asr_attn.data.manifest import Utterance
from asr_attn.data.planning import plan_batches
from asr_attn.decoding.reading import read_texts
from asr_attn.errors import AudioError
from asr_attn.evaluation.datacheck.findings import Finding
from asr_attn.evaluation.datacheck.listening import Part, heard_duration
from asr_attn.recognizer import Recognizer
from asr_attn.text.normalizer import normalize

BATCH_SECONDS = 60.0
"""Audio that is read at once, padding included."""
SUSPICIOUS = 1.0
"""Nats per token: a likelier text is no finding, however sure the model is of the others."""
_DEVIATIONS = 5.0


@dataclass(frozen=True)
class Judged:
    """A text and what the model makes of it.

    Attributes:
        split: name of the split.
        utterance: with its text.
        loss: nats per token of the text, the end of the sentence included.
        suspicious: whether the loss is far above those of the others.
        heard: the model's own transcript; None where it was not asked.
    """

    split: str
    utterance: Utterance
    loss: float
    suspicious: bool
    heard: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "split": self.split,
            "id": self.utterance.id,
            "text": self.utterance.text,
            "loss": round(self.loss, 4),
            "suspicious": self.suspicious,
            "heard": self.heard,
        }


def judge_texts(
    model: TrainedModel,
    items: Sequence[tuple[str, Utterance]],
    show: int,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Judged]:
    """Rank utterances by how unlikely the model finds their texts, the worst first.

    Those with wrong texts are among the first if the model was trained on others, or not for so
    long that it has learnt them by heart.

    Args:
        model: a recogniser.
        items: splits and utterances whose audio can be read.
        show: how many of the first are transcribed, besides the suspicious ones.
        advance: called with the number of utterances that are done.
    """
    losses = np.full(len(items), np.nan)
    utterances = [utterance for _, utterance in items]
    for batch, found in _losses(model, utterances):
        losses[batch] = found
        advance(len(batch))
    known = np.flatnonzero(np.isfinite(losses))
    middle = float(np.median(losses[known])) if known.size else 0.0
    spread = 1.4826 * float(np.median(np.abs(losses[known] - middle))) if known.size else 0.0
    limit = max(SUSPICIOUS, middle + _DEVIATIONS * spread)
    order = known[np.argsort(-losses[known], kind="stable")]
    ranked = [
        Judged(items[i][0], items[i][1], float(losses[i]), bool(losses[i] > limit)) for i in order
    ]
    asked = max(show, sum(one.suspicious for one in ranked))
    return [*_transcribed(model, ranked[:asked]), *ranked[asked:]]


def label_findings(judged: Sequence[Judged]) -> Iterator[Finding]:
    """The suspicious ones as findings."""
    for one in judged:
        if one.suspicious:
            what = (
                f"{one.loss:.2f} nats per token for {one.utterance.text!r}; the model hears "
                f"{one.heard!r}"
            )
            details = (("loss", round(one.loss, 4)), ("heard", one.heard))
            yield Finding("label", one.split, one.utterance.id, what, one.loss, details)


@torch.inference_mode()
def _losses(
    model: TrainedModel, utterances: Sequence[Utterance]
) -> Iterator[tuple[list[int], list[float]]]:
    """Batches of numbers of utterances, and the loss per token of each; NaN if unreadable."""
    network, device = model.network, model.network.ctc.weight.device
    for batch in plan_batches([u.duration for u in utterances], BATCH_SECONDS, None):
        losses = dict.fromkeys(batch, float("nan"))
        waveforms = {}
        for i in batch:
            try:
                waveforms[i] = _samples(utterances[i], model.features.sample_rate)
            except AudioError:  # a finding already
                continue
        if waveforms:
            padded, lengths = pad_waveforms(list(waveforms.values()))
            memory, steps = network.encode(padded.to(device), lengths.to(device))
            texts = [normalize(utterances[i].text, model.normalizer) for i in waveforms]
            tokens = [model.tokenizer.encode(text) for text in texts]
            readings = read_texts(network, memory, steps, tokens)
            losses |= {i: -float(r.log_probs.mean()) for i, r in zip(waveforms, readings)}
        yield batch, list(losses.values())


def _samples(utterance: Utterance, rate: int) -> NDArray[np.float32]:
    part = Part(utterance.audio, utterance.offset, utterance.duration)
    duration = heard_duration(part, audio_duration(part.audio) - part.offset)
    return read_audio(part.audio, rate, part.offset, duration)


def _transcribed(model: TrainedModel, ranked: Sequence[Judged]) -> Iterator[Judged]:
    heard: dict[int, str] = {}
    recognizer = Recognizer(model)
    for batch in plan_batches([one.utterance.duration for one in ranked], BATCH_SECONDS, None):
        waveforms = [_samples(ranked[i].utterance, recognizer.sample_rate) for i in batch]
        for i, transcript in zip(batch, recognizer.transcribe_samples(waveforms)):
            heard[i] = transcript.text
    for i, one in enumerate(ranked):
        yield replace(one, heard=heard[i])
