"""From planned examples to padded batches of tensors."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.reading import read_audio
from asr_attn.data.manifest import Utterance
from asr_attn.data.planning import Example, MixingConfig
from asr_attn.errors import AudioError


class Batch(NamedTuple):
    """Padded waveforms and their texts.

    Attributes:
        waveforms: (B, samples) zero where padded.
        lengths: (B,) samples.
        texts: B normalised texts.
        ids: B utterance ids, joined by ``+`` for examples made of several.
        faults: what belonged to the batch but could not be read, so that B may be 0: the id of an
            utterance (empty for what is mixed in) and why.
    """

    waveforms: Tensor
    lengths: Tensor
    texts: list[str]
    ids: list[str]
    faults: tuple[tuple[str, str], ...] = ()


def pad_waveforms(waveforms: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Stack waveforms of different length: (B, samples) and lengths (B,)."""
    lengths = torch.tensor([len(waveform) for waveform in waveforms], dtype=torch.long)
    padded = torch.zeros(len(waveforms), max(map(len, waveforms), default=0))
    for row, waveform in zip(padded, waveforms):
        row[: len(waveform)] = torch.from_numpy(waveform)
    return padded, lengths


def read_utterance(utterance: Utterance, sample_rate: int) -> NDArray[np.float32]:
    """Samples of one utterance of a manifest."""
    return read_audio(utterance.audio, sample_rate, utterance.offset, utterance.duration)


def _background_level(segments: Sequence[NDArray[np.float32]], frame: int) -> float:
    """Root mean square of the quietest frame of all segments."""
    levels = []
    for samples in segments:
        whole = samples[: len(samples) // frame * frame].reshape(-1, frame)
        if len(whole):
            levels.append(float(np.sqrt(np.square(whole).mean(axis=1)).min()))
    return min(levels, default=0.0)


def render_example(
    example: Example,
    utterances: Sequence[Utterance],
    sample_rate: int,
    mixing: MixingConfig,
    augmentation: AugmentationConfig | None,
) -> NDArray[np.float32]:
    """Samples of one training example: its segments joined, then varied."""
    random = np.random.default_rng(example.seed)
    parts = []
    for segment in example.segments:
        utterance = utterances[segment.utterance]
        parts.append(
            read_audio(
                utterance.audio, sample_rate, utterance.offset + segment.offset, segment.duration
            )
        )
    if len(parts) > 1:
        level = np.float32(_background_level(parts, sample_rate // 100))
        joined = [parts[0]]
        for part in parts[1:]:
            pause = int(random.uniform(*mixing.gap_seconds) * sample_rate)
            joined.append(level * random.standard_normal(pause, dtype=np.float32))
            joined.append(part)
        samples = np.concatenate(joined)
    else:
        samples = parts[0]
    if augmentation is None:
        return samples
    # only here: transcribing needs this module too, but nothing of these
    from asr_attn.audio.waveform_augmentation import perturb_waveform
    from asr_attn.data.babble import babble_from

    speaking = example.segments[0].utterance
    babble = babble_from(utterances, speaking, augmentation.babble_voices, sample_rate)
    return perturb_waveform(samples, augmentation, random, sample_rate, babble)


class TrainingBatches(torch.utils.data.Dataset[Batch]):
    """The batches of one epoch for one process; item ``i`` is its whole ``i``-th batch."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        examples: Sequence[Example],
        batches: Sequence[Sequence[int]],
        sample_rate: int,
        mixing: MixingConfig,
        augmentation: AugmentationConfig | None,
    ) -> None:
        self.utterances = utterances
        self.examples = examples
        self.batches = batches
        self.sample_rate = sample_rate
        self.mixing = mixing
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        """Read, join, vary and pad the examples of one batch."""
        waveforms: list[NDArray[np.float32]] = []
        chosen: list[Example] = []
        faults: list[tuple[str, str]] = []
        for i in self.batches[index]:
            example = self.examples[i]
            try:
                waveforms.append(self._render(example, self.augmentation))
            except AudioError as error:
                example, found = self._readable(example)
                faults += found or [("", str(error))]
                if not example.segments:
                    continue
                # without what is mixed in: if all segments can be read, that could not
                waveforms.append(self._render(example, None))
            chosen.append(example)
        ids = [
            "+".join(self.utterances[segment.utterance].id for segment in example.segments)
            for example in chosen
        ]
        texts = [example.text for example in chosen]
        return Batch(*pad_waveforms(waveforms), texts, ids, tuple(faults))

    def _render(
        self, example: Example, augmentation: AugmentationConfig | None
    ) -> NDArray[np.float32]:
        return render_example(example, self.utterances, self.sample_rate, self.mixing, augmentation)

    def _readable(self, example: Example) -> tuple[Example, list[tuple[str, str]]]:
        """An example without the segments that cannot be read, and why they cannot."""
        segments, faults = [], []
        for segment in example.segments:
            alone = replace(example, segments=(segment,))
            try:
                self._render(alone, None)
            except AudioError as error:
                faults.append((self.utterances[segment.utterance].id, str(error)))
            else:
                segments.append(segment)
        return replace(example, segments=tuple(segments)), faults


class UtteranceBatches(torch.utils.data.Dataset[Batch]):
    """Whole utterances as they are, in given batches: for validation and alignment."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        batches: Sequence[Sequence[int]],
        sample_rate: int,
    ) -> None:
        self.utterances = utterances
        self.batches = batches
        self.sample_rate = sample_rate

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        """Read and pad the utterances of one batch."""
        waveforms, chosen, faults = [], [], []
        for i in self.batches[index]:
            utterance = self.utterances[i]
            try:
                waveforms.append(read_utterance(utterance, self.sample_rate))
            except AudioError as error:
                faults.append((utterance.id, str(error)))
            else:
                chosen.append(utterance)
        texts, ids = [u.text for u in chosen], [u.id for u in chosen]
        return Batch(*pad_waveforms(waveforms), texts, ids, tuple(faults))
