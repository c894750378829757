"""Where a decoder looks while it reads given texts: its attention weights over recordings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from asr_attn.audio.pauses import speech_steps
from asr_attn.checkpoint import TrainedModel
from asr_attn.data.batches import pad_waveforms
from asr_attn.decoding.alignment import TokenSpan
from asr_attn.decoding.reading import read_texts

END = "end"
"""What the end of the sentence is called in pictures."""


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
    rate = model.features.sample_rate
    return [
        UtteranceAttention(
            reading.weights,
            [*(t.replace(" ", "␣") for t in model.tokenizer.texts(reading.tokens)), END],
            network.seconds_per_step,
            speech_steps(waveform, rate, reading.weights.shape[-1], network.seconds_per_step),
            reading.ctc,
        )
        for waveform, reading in zip(waveforms, read_texts(network, memory, lengths, tokens))
    ]
