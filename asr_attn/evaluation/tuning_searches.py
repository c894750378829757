"""Searching one set of recordings with many settings: what ``evaluation/tuning.py`` needs.

The encoder runs once. What it gives waits in main memory, about 4 bytes for each feature of each
memory step: a listener with 400 features at 16 steps/s takes 90 MB for each hour of audio.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr_attn.audio.pauses import speech_steps
from asr_attn.audio.silence import SHORTEST, is_without_speech, without_long_silence
from asr_attn.checkpoint import TrainedModel
from asr_attn.data.batches import pad_waveforms, read_utterance
from asr_attn.data.manifest import Utterance
from asr_attn.data.planning import plan_batches
from asr_attn.decoding.hypothesis import Hypothesis, SearchConfig
from asr_attn.decoding.internal_lm import InternalLmScorer
from asr_attn.decoding.recheck import checked_search
from asr_attn.decoding.scorers import Scorer
from asr_attn.decoding.search import Weighted, search
from asr_attn.evaluation.error_rates import count_errors
from asr_attn.evaluation.tuning import Pool, Weights
from asr_attn.recognizer import BATCH_SECONDS

ASKED = 1e-6
"""A weight that changes no order, but has the scorer asked what it gives."""
POOLED = (
    Weights(),
    Weights(lm_weight=0.3),
    Weights(ctc_weight=0.1, lm_weight=0.6, length_exponent=1.0),
    Weights(ctc_weight=0.3, lm_weight=0.2, length_exponent=0.0),
    Weights(0.4, lm_weight=1.0, internal_lm_weight=0.2, length_bonus=0.5, length_exponent=0.0),
    Weights(ctc_weight=0.8, lm_weight=0.3, length_exponent=0.5),
)
"""Searches whose hypotheses are pooled first."""


@dataclass(frozen=True)
class EncodedBatch:
    """Utterances that are searched together.

    Attributes:
        indices: B numbers of them in the set.
        memory: (B, S, D) on the CPU.
        lengths: (B,) memory steps.
        speech: B times (S,) True where a step carries speech.
        silent: B times True where there is no speech at all.
    """

    indices: tuple[int, ...]
    memory: Tensor
    lengths: Tensor
    speech: tuple[NDArray[np.bool_], ...]
    silent: tuple[bool, ...]

    def only(self, wanted: set[int]) -> "EncodedBatch":
        """The utterances whose numbers are wanted."""
        rows = [row for row, i in enumerate(self.indices) if i in wanted]
        return EncodedBatch(
            tuple(self.indices[row] for row in rows),
            self.memory[rows],
            self.lengths[rows],
            tuple(self.speech[row] for row in rows),
            tuple(self.silent[row] for row in rows),
        )


OnDone = Callable[[int], None]
"""Is told how many utterances more are done."""


def _ignore(_: int) -> None:
    """Nobody wants to know."""


@torch.inference_mode()
def encode_set(
    model: TrainedModel, utterances: Sequence[Utterance], on_done: OnDone = _ignore
) -> list[EncodedBatch]:
    """Read and encode recordings, in the batches that a recogniser would make of them.

    Raises:
        AudioError: a recording cannot be read.
    """
    network, rate = model.network, model.features.sample_rate
    device, seconds = network.ctc.weight.device, network.seconds_per_step
    found = []
    for batch in plan_batches([u.duration for u in utterances], BATCH_SECONDS, None):
        whole = [read_utterance(utterances[i], rate) for i in batch]
        silent = tuple(len(w) < SHORTEST * rate or is_without_speech(w, rate) for w in whole)
        waveforms = [without_long_silence(waveform, rate).samples for waveform in whole]
        padded, lengths = pad_waveforms(waveforms)
        memory, steps = network.encode(padded.to(device), lengths.to(device))
        speech = tuple(
            np.zeros(count, bool) if quiet else speech_steps(waveform, rate, count, seconds)
            for waveform, quiet, count in zip(waveforms, silent, steps.tolist())
        )
        found.append(EncodedBatch(tuple(batch), memory.cpu(), steps.cpu(), speech, silent))
        on_done(len(batch))
    return found


def transcribe_set(
    model: TrainedModel,
    batches: Sequence[EncodedBatch],
    config: SearchConfig,
    lm: Scorer | None = None,
    on_done: OnDone = _ignore,
) -> dict[int, str]:
    """What a recogniser with these settings writes, by the number of the utterance."""
    network, decode = model.network, model.tokenizer.decode
    device = network.ctc.weight.device
    texts: dict[int, str] = {}
    for batch in (batch for batch in batches if batch.indices):
        memory, lengths = batch.memory.to(device), batch.lengths.to(device)
        further = _further(lm, config)
        checked = checked_search(
            network, model.tokenizer, memory, lengths, batch.speech, config, further
        )
        for i, quiet, found in zip(batch.indices, batch.silent, checked):
            texts[i] = "" if quiet else " ".join(decode(found.hypotheses[0].tokens).split())
        on_done(len(batch.indices))
    return texts


def _further(lm: Scorer | None, config: SearchConfig) -> list[Weighted]:
    return [(lm, config.lm_weight)] if lm is not None else []


def collect(
    model: TrainedModel,
    batches: Sequence[EncodedBatch],
    settings: Iterable[Weights],
    config: SearchConfig,
    found: Sequence[list[Hypothesis]],
    lm: Scorer | None = None,
    on_done: OnDone = _ignore,
) -> dict[Weights, list[Hypothesis]]:
    """Search each utterance with some weights and add what is found to what was found before.

    Args:
        model: recogniser.
        batches: all utterances.
        settings: weights; each scorer is asked, whatever its weight.
        config: settings but for the weights; as many hypotheses are kept as its beam has.
        found: hypotheses of each utterance, none twice; it is added to.
        lm: language model.
        on_done: is told of utterances.

    Returns:
        For each of the weights, the best hypothesis of each utterance.
    """
    device = model.network.ctc.weight.device
    settings = [w if lm is not None else _without_lm(w) for w in settings]
    silence = Hypothesis((), 0.0, 0.0)
    best = {weights: [silence for _ in found] for weights in settings}
    for batch in batches:
        memory, lengths = batch.memory.to(device), batch.lengths.to(device)
        for weights in best:
            own = _asking(weights, lm is not None).applied(config)
            further = _further(lm, own)
            lists = search(model.network, memory, lengths, own, further, nbest=config.beam)
            for i, quiet, hypotheses in zip(batch.indices, batch.silent, lists):
                best[weights][i] = silence if quiet else hypotheses[0]
                known = {(h.tokens, h.truncated) for h in found[i]}
                found[i].extend(h for h in hypotheses if (h.tokens, h.truncated) not in known)
        for i, quiet in zip(batch.indices, batch.silent):
            if quiet:  # nothing is written there, whatever the search says
                found[i][:] = [replace(found[i][0], tokens=(), truncated=False)]
        on_done(len(batch.indices))
    return best


def _without_lm(weights: Weights) -> Weights:
    return replace(weights, lm_weight=0.0, internal_lm_weight=0.0)


def _asking(weights: Weights, with_lm: bool) -> Weights:
    """Weights that have every scorer asked."""
    lm_weights = (weights.lm_weight, weights.internal_lm_weight)
    return replace(
        weights,
        ctc_weight=max(weights.ctc_weight, ASKED),
        lm_weight=max(lm_weights[0], ASKED) if with_lm else 0.0,
        internal_lm_weight=max(lm_weights[1], ASKED) if with_lm else 0.0,
    )


def pooled(
    model: TrainedModel,
    found: Sequence[Sequence[Hypothesis]],
    references: Sequence[str],
    lm: str | None,
) -> Pool:
    """Arrays of what was found, to try weights on.

    Args:
        model: recogniser.
        found: hypotheses of each utterance.
        references: what was said in them, normalised.
        lm: what the part of the language model is called.
    """
    size = (len(found), max(map(len, found)))
    values = {name: np.zeros(size) for name in ("ctc", "lm", "internal_lm", "tokens", "ends")}
    attention = np.full(size, -np.inf)
    errors, characters = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    for i, (hypotheses, reference) in enumerate(zip(found, references, strict=True)):
        for j, hypothesis in enumerate(hypotheses):
            attention[i, j] = hypothesis.parts["attention"]
            values["ctc"][i, j] = hypothesis.parts["ctc"]
            if lm is not None:
                values["lm"][i, j] = hypothesis.parts[lm]
                values["internal_lm"][i, j] = hypothesis.parts[InternalLmScorer.name]
            values["tokens"][i, j] = len(hypothesis.tokens)
            values["ends"][i, j] = not hypothesis.truncated
            text = " ".join(model.tokenizer.decode(hypothesis.tokens).split())
            errors[i, j], characters[i, j] = wrong(reference, text)
    return Pool(attention, **values, errors=errors, characters=characters)


def wrong(reference: str, text: str) -> tuple[int, int]:
    """Wrong words and wrong characters of a text."""
    words = count_errors([reference], [text])
    return words.errors, count_errors([reference], [text], characters=True).errors
