"""Where a decoder looks while it reads given texts: its attention weights over recordings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from asr_attn.audio.pauses import FRAMES_PER_SECOND, loudness, sounding_stretches
from asr_attn.checkpoint import TrainedModel
from asr_attn.data.batches import pad_waveforms
from asr_attn.decoding.alignment import TokenSpan, align, can_align
from asr_attn.text.tokenizer import EOS

END = "end"
"""What the end of the sentence is called in pictures."""
SPEECH_LEVEL = 0.4
"""Loudness from which on there is speech: 0 is the background, 1 the loudest frames."""
SHORTEST_PAUSE = 8
"""Frames of 10 ms; shorter gaps are closures of consonants and belong to the speech."""
SPAN_SHARE = 0.8
"""Share of a token's weight that lies in its span."""


@dataclass(frozen=True)
class UtteranceAttention:
    """Attention over one utterance, without padding.

    Attributes:
        weights: (U, H, S) attention weights; the last token is the end of the sentence.
        labels: U names of the tokens.
        seconds_per_step: seconds of audio that one memory step stands for.
        speech: (S,) True where a memory step carries speech.
        ctc: spans of the U - 1 tokens in memory steps by CTC; empty where CTC cannot tell.
    """

    weights: NDArray[np.float32]
    labels: list[str]
    seconds_per_step: float
    speech: NDArray[np.bool_]
    ctc: tuple[TokenSpan, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration of the S memory steps."""
        return float(self.weights.shape[-1] * self.seconds_per_step)


@torch.inference_mode()
def teacher_forced_attention(
    model: TrainedModel,
    waveforms: Sequence[NDArray[np.float32]],
    tokens: Sequence[Sequence[int]],
) -> list[UtteranceAttention]:
    """Let the decoder read given texts, all in one batch, and keep where it looked.

    Args:
        model: a model in evaluation mode.
        waveforms: B mono waveforms (samples,) at the model's rate.
        tokens: B texts as ids, without start and end.

    Returns:
        The attention over each, as it is for the utterance alone.
    """
    network = model.network
    device = network.ctc.weight.device
    padded, samples = pad_waveforms(waveforms)
    memory, lengths = network.encode(padded.to(device), samples.to(device))
    inputs = torch.full((len(tokens), max(map(len, tokens)) + 1), EOS)
    for row, ids in zip(inputs, tokens):
        row[1 : len(ids) + 1] = torch.tensor(ids, dtype=torch.long)
    weights = network.speller(memory, lengths, inputs.to(device)).weights.float().cpu().numpy()
    log_probs = network.ctc_log_probs(memory).cpu()
    found = []
    for i, (ids, steps) in enumerate(zip(tokens, lengths.tolist())):
        found.append(
            UtteranceAttention(
                weights[i, : len(ids) + 1, :, :steps],
                [_label(model, token) for token in ids] + [END],
                network.seconds_per_step,
                speech_steps(
                    waveforms[i], model.features.sample_rate, steps, network.seconds_per_step
                ),
                ctc_spans(log_probs[i, :steps], list(ids)),
            )
        )
    return found


def _label(model: TrainedModel, token: int) -> str:
    return model.tokenizer.decode([token]).replace(" ", "␣")


def ctc_spans(log_probs: torch.Tensor, tokens: list[int]) -> tuple[TokenSpan, ...]:
    """Align by CTC, where CTC has been learnt.

    An untrained CTC head gives every label about the same probability. So a path counts only if
    its labels are likelier, by their geometric mean, than the square root of that.

    Args:
        log_probs: (S, V) CTC log-probabilities of one utterance.
        tokens: its text.

    Returns:
        One span per token; none where there is no path, or no likely one.
    """
    if not can_align(tokens, log_probs.size(0)):
        return ()
    spans = align(log_probs, tokens)
    labels = torch.zeros(log_probs.size(0), dtype=torch.long)  # blanks
    for span in spans:
        labels[span.start : span.end] = span.token
    likelihood = float(log_probs.gather(1, labels[:, None]).mean())
    return tuple(spans) if likelihood > -0.5 * np.log(log_probs.size(1)) else ()


def speech_steps(
    samples: NDArray[np.float32], sample_rate: int, steps: int, seconds_per_step: float
) -> NDArray[np.bool_]:
    """Mark the memory steps that carry speech, by loudness.

    Args:
        samples: (samples,) of one utterance.
        sample_rate: in Hz.
        steps: S.
        seconds_per_step: seconds of audio that one step stands for.

    Returns:
        (S,) bool; all True where the loudness tells nothing.
    """
    everything = np.ones(steps, dtype=bool)
    if len(samples) < 3 * (sample_rate // FRAMES_PER_SECOND):
        return everything
    found = sounding_stretches(loudness(samples, sample_rate), SPEECH_LEVEL, SHORTEST_PAUSE)
    speech = np.zeros(steps, dtype=bool)
    for start, end in found:
        edges = np.array([start, end]) / FRAMES_PER_SECOND / seconds_per_step
        speech[int(edges[0]) : int(np.ceil(edges[1]))] = True
    return speech if speech.any() else everything


def token_spans(weights: NDArray[np.float32], seconds_per_step: float) -> list[tuple[float, float]]:
    """When each token was heard: the middle of its attention weight, ``SPAN_SHARE`` of it.

    Args:
        weights: (U, H, S) attention weights.
        seconds_per_step: seconds of audio that one step stands for.

    Returns:
        Seconds (start, end) of each token; (0, 0) for one that attends to nothing.
    """
    tail = (1.0 - SPAN_SHARE) / 2
    spans = []
    for row in weights.mean(axis=1, dtype=np.float64):
        if row.sum() <= 0:
            spans.append((0.0, 0.0))
            continue
        share = row.cumsum() / row.sum()
        # from within the first step that passes a tail to the end of the one that ends the middle
        start, end = np.searchsorted(share, [tail, 1.0 - tail])
        spans.append((float(start) * seconds_per_step, float(end + 1) * seconds_per_step))
    return spans
