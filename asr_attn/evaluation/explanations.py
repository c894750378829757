"""Which frames a recognised word rests on, by other means than attention, and whether they agree.

Attention weights say where a decoder looked, which need not be what its words depend on (Jain and
Wallace 2019, Wiegreffe and Pinter 2019). Gradients and occlusion ask the network itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr_attn.checkpoint import TrainedModel
from asr_attn.data.batches import pad_waveforms
from asr_attn.decoding.reading import Reading, read_texts
from asr_attn.decoding.words import Word, word_confidence, words_of
from asr_attn.errors import AudioError, InputError
from asr_attn.evaluation.explanation_agreement import (
    Agreement,
    mean_agreement,
    word_agreement,
)
from asr_attn.evaluation.explanation_methods import (
    ExplanationConfig,
    GivenText,
    as_shares,
    gradient_times_input,
    occlusion,
    word_attention,
)
from asr_attn.models.asr import AsrModel
from asr_attn.recognizer import Recognizer
from asr_attn.text.normalizer import normalize

METHODS = ("attention", "gradients", "occlusion")
"""Ways to tell what a word rests on."""


@dataclass(frozen=True)
class Explanation:
    """What each word of an utterance rests on, frame by frame.

    Each row of a method sums to 1: the shares of what speaks for the word. It is all zero where
    nothing does. Frame t stands for the time from ``t * frame_seconds`` to the next frame.

    Attributes:
        text: that was explained.
        words: W words, when each was said and how sure that is.
        frame_seconds: seconds from one frame to the next.
        attention: (W, T) the decoder's attention, mean of a word's tokens and of all heads.
        gradients: (W, T) gradient times input of a word's log-probability.
        occlusion: (W, T) fall of a word's log-probability when frames are made the mean.
        greatest_fall: (W,) natural logarithm: how far the worst stretch brings a word down. A word
            that hardly falls rests on no single stretch.
        agreement: of the methods about each word.
        overall: mean of the words.
    """

    text: str
    words: tuple[Word, ...]
    frame_seconds: float
    attention: NDArray[np.float64]
    gradients: NDArray[np.float64]
    occlusion: NDArray[np.float64]
    greatest_fall: NDArray[np.float64]
    agreement: tuple[Agreement, ...]
    overall: Agreement


def explain(
    recognizer: Recognizer | TrainedModel,
    samples: NDArray[np.float32],
    text: str | None = None,
    config: ExplanationConfig | None = None,
) -> Explanation:
    """Tell which frames each word of a text rests on.

    A word's log-probability is that of its tokens after the tokens before them, by the decoder
    alone. The time it takes grows with the square of the duration: cut long recordings first.

    Args:
        recognizer: whose model is asked; of a model alone, the search is greedy.
        samples: one mono waveform (samples,) of the model's rate, full scale ±1.
        text: to explain; what the recogniser's search finds when not given.
        config: settings of the methods.

    Returns:
        The explanation; one of no words where nothing was recognised.

    Raises:
        AudioError: the samples cannot be used.
        InputError: the text has no words, or characters that the model does not know.
    """
    if isinstance(recognizer, TrainedModel):
        recognizer = Recognizer(recognizer)
    model = recognizer.model
    samples = _usable(samples)
    found = _known(text, model) if text is not None else _recognised(recognizer, samples)
    with torch.inference_mode(False), torch.no_grad():
        return _explain(model, samples, found, config or ExplanationConfig())


def _explain(
    model: TrainedModel, samples: NDArray[np.float32], text: str, config: ExplanationConfig
) -> Explanation:
    network, tokenizer = model.network, model.tokenizer
    device, rate = network.ctc.weight.device, model.features.sample_rate
    padded, lengths = pad_waveforms([samples])
    features, frames = network.features(padded.to(device), lengths.to(device))
    memory, steps = network.encoder(features, frames)
    (reading,) = read_texts(network, memory.float(), steps, [tokenizer.encode(text)])
    words = words_of(reading, tokenizer, network.seconds_per_step, len(samples) / rate)
    sure = word_confidence(words, model.calibration)
    hop = model.features.hop_length / rate
    rows, greatest = _rows(network, reading, words, features[0], hop, config)
    agreement = [
        word_agreement(
            {method: rows[method][i] for method in METHODS},
            network.reduction,
            (word.start, word.end) if word.source == "ctc" else None,
            hop,
        )
        for i, word in enumerate(words)
    ]
    return Explanation(
        text,
        tuple(replace(word, confidence=c) for word, c in zip(words, sure)),
        hop,
        **rows,
        greatest_fall=greatest,
        agreement=tuple(agreement),
        overall=mean_agreement(agreement),
    )


def _rows(
    network: AsrModel,
    reading: Reading,
    words: Sequence[Word],
    features: Tensor,
    hop: float,
    config: ExplanationConfig,
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    """Shares (W, T) of the frames by each method, and the greatest fall (W,) by occlusion."""
    if not words:
        return dict.fromkeys(METHODS, np.zeros((0, len(features)))), np.zeros(0)
    groups = [word.tokens for word in words]
    given = GivenText(network, reading.tokens, groups)
    gradients = gradient_times_input(given, features, hop, config).sum(dim=-1)
    falls, greatest = occlusion(given, features, hop, config.stretch)
    attention = word_attention(reading.weights, groups, network.reduction, len(features))
    rows = {"attention": attention, "gradients": _array(gradients), "occlusion": _array(falls)}
    return {method: as_shares(row) for method, row in rows.items()}, _array(greatest)


def _array(values: Tensor) -> NDArray[np.float64]:
    return values.cpu().double().numpy()


def _usable(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    samples = np.asarray(samples)
    if samples.ndim != 1 or not samples.size or not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(
            f"samples to explain have the shape {samples.shape} and the type {samples.dtype}; give "
            "one channel, (samples,), of floating point with full scale ±1"
        )
    if not np.isfinite(samples).all():
        raise AudioError("samples to explain hold NaN or infinity; mend what made them")
    return samples.astype(np.float32)


def _recognised(recognizer: Recognizer, samples: NDArray[np.float32]) -> str:
    return recognizer.transcribe_samples([samples])[0].text


def _known(text: str, model: TrainedModel) -> str:
    """The text as the model writes it."""
    normalized = normalize(text, model.normalizer)
    if not normalized:
        raise InputError(
            f"the text to explain, {text!r}, holds no words after normalisation; give what is said"
        )
    if unknown := model.tokenizer.unknown([normalized]):
        raise InputError(
            f"the text to explain, {text!r}, holds characters that the model does not know "
            f"({', '.join(map(repr, unknown))}); spell it with those of its training"
        )
    return normalized
