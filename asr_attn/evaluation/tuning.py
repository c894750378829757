"""Weights of the search, chosen on a validation set.

Searching anew for every setting would take hours. So the hypotheses of a few different searches are
put into one pool for each utterance, each with what every scorer gave to it. Any weights rank a
pool at once, and thousands are tried. The best ones are then searched with in earnest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from asr_attn.audio.reading import read_audio
from asr_attn.data.batches import pad_waveforms
from asr_attn.data.manifest import Utterance
from asr_attn.data.planning import plan_batches
from asr_attn.decoding.hypothesis import Hypothesis, SearchConfig
from asr_attn.decoding.scorers import Scorer
from asr_attn.decoding.search import search
from asr_attn.evaluation.error_rates import count_errors
from asr_attn.recognizer import BATCH_SECONDS, Recognizer

CTC_OF_POOL = (0.1, 0.5)
LM_OF_POOL = (0.1, 0.6)
"""Weights of the searches whose hypotheses are pooled: all scorers are asked in each."""
MOST_LM = 1.5
MOST_BONUS = 2.0
"""Greatest weights that are tried."""


@dataclass(frozen=True)
class Weights:
    """What is tuned; see ``SearchConfig``."""

    ctc_weight: float = 0.0
    lm_weight: float = 0.0
    length_bonus: float = 0.0
    length_exponent: float = 0.7

    def applied(self, config: SearchConfig) -> SearchConfig:
        """The settings with these weights."""
        return replace(
            config,
            ctc_weight=self.ctc_weight,
            lm_weight=self.lm_weight,
            length_bonus=self.length_bonus,
            length_exponent=self.length_exponent,
        )


@dataclass(frozen=True)
class Pool:
    """The hypotheses of B utterances, N at most for each.

    Attributes:
        attention: (B, N) log-probability by the decoder; -inf where there is no hypothesis.
        ctc: (B, N) by CTC.
        lm: (B, N) by the language model; zeros without one.
        tokens: (B, N) tokens without the end of the sentence.
        ends: (B, N) 1 where the sentence was ended, 0 where it was cut off.
        errors: (B, N) wrong words.
        words: (B,) words of the references.
    """

    attention: NDArray[np.float64]
    ctc: NDArray[np.float64]
    lm: NDArray[np.float64]
    tokens: NDArray[np.float64]
    ends: NDArray[np.float64]
    errors: NDArray[np.int64]
    words: NDArray[np.int64]

    def select(self, index: NDArray[np.int64]) -> "Pool":
        """The utterances named by ``index``."""
        return Pool(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def chosen(self, weights: Weights) -> NDArray[np.int64]:
        """Wrong words (B,) of the hypotheses that rank first; complete ones before cut-off ones."""
        total = (
            (1.0 - weights.ctc_weight) * self.attention
            + weights.ctc_weight * self.ctc
            + weights.lm_weight * self.lm
            + weights.length_bonus * self.tokens
        )
        ranked = total / np.maximum(self.tokens + self.ends, 1.0) ** weights.length_exponent
        ranked = np.where(np.isfinite(ranked), ranked - 1e9 * (1.0 - self.ends), -np.inf)
        best: NDArray[np.int64] = np.take_along_axis(
            self.errors, ranked.argmax(axis=1)[:, None], axis=1
        )[:, 0]
        return best


def pool_settings(config: SearchConfig, with_lm: bool) -> list[SearchConfig]:
    """The searches whose hypotheses are pooled."""
    return [
        replace(config, ctc_weight=ctc, lm_weight=lm, length_bonus=0.0, length_exponent=exponent)
        for ctc in CTC_OF_POOL
        for lm in (LM_OF_POOL if with_lm else (0.0,))
        for exponent in (0.0, 1.0)
    ]


def collect(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    references: Sequence[str],
    lm: Scorer | None,
    on_done: Callable[[int], None] = lambda count: None,
) -> Pool:
    """Search each utterance with different settings and pool what is found.

    Args:
        recognizer: with the beam that is wanted.
        utterances: validation set.
        references: what was said, normalised.
        lm: language model.
        on_done: is told how many utterances more are done.

    Raises:
        AudioError: a recording cannot be read.
    """
    found: list[list[Hypothesis]] = [[] for _ in utterances]
    settings = pool_settings(recognizer.search, lm is not None)
    for indices, lists in _searched(recognizer, utterances, settings, lm):
        for i, hypotheses in zip(indices, lists):
            known = {h.tokens for h in found[i]}
            found[i] += [h for h in hypotheses if h.tokens not in known]
        on_done(len(indices))
    return _pooled(recognizer, found, references, lm)


@torch.inference_mode()
def _searched(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    settings: Sequence[SearchConfig],
    lm: Scorer | None,
) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
    """For each batch, its utterances and all that is found in each."""
    network = recognizer.model.network
    device = network.ctc.weight.device
    for batch in plan_batches([u.duration for u in utterances], BATCH_SECONDS, None):
        own = [utterances[i] for i in batch]
        padded, lengths = pad_waveforms(
            [read_audio(u.audio, recognizer.sample_rate, u.offset, u.duration) for u in own]
        )
        memory, steps = network.encode(padded.to(device), lengths.to(device))
        merged: list[list[Hypothesis]] = [[] for _ in batch]
        for config in settings:
            further = [(lm, config.lm_weight)] if lm is not None else []
            lists = search(network, memory, steps, config, further, nbest=config.beam)
            for all_of, hypotheses in zip(merged, lists):
                known = {h.tokens for h in all_of}
                all_of += [h for h in hypotheses if h.tokens not in known]
        yield list(batch), merged


def _pooled(
    recognizer: Recognizer,
    found: Sequence[Sequence[Hypothesis]],
    references: Sequence[str],
    lm: Scorer | None,
) -> Pool:
    """Arrays of what was found."""
    size = (len(found), max(map(len, found)))
    parts = {name: np.zeros(size) for name in ("ctc", "lm", "tokens", "ends")}
    attention, errors = np.full(size, -np.inf), np.zeros(size, dtype=np.int64)
    decode = recognizer.model.tokenizer.decode
    for i, (hypotheses, reference) in enumerate(zip(found, references, strict=True)):
        for j, hypothesis in enumerate(hypotheses):
            attention[i, j] = hypothesis.parts["attention"]
            parts["ctc"][i, j] = hypothesis.parts["ctc"]
            parts["lm"][i, j] = hypothesis.parts[lm.name] if lm is not None else 0.0
            parts["tokens"][i, j] = len(hypothesis.tokens)
            parts["ends"][i, j] = not hypothesis.truncated
            text = " ".join(decode(hypothesis.tokens).split())
            errors[i, j] = count_errors([reference], [text]).errors
    words = np.array([len(reference.split()) for reference in references])
    return Pool(attention, parts["ctc"], parts["lm"], parts["tokens"], parts["ends"], errors, words)


def best_weights(
    pool: Pool, with_lm: bool, trials: int, seed: int, start: Weights, count: int = 1
) -> list[Weights]:
    """Try weights at random, two thirds of them anywhere and the others near the best so far.

    Args:
        pool: hypotheses.
        with_lm: whether there is a language model.
        trials: weights to try.
        seed: of the draws.
        start: is tried first; among equals, what was found first is kept.
        count: how many to return.

    Returns:
        The weights with the fewest errors, best first.
    """
    random = np.random.default_rng(seed)
    tried = [(int(pool.chosen(start).sum()), 0, start)]
    for k in range(1, trials):
        near = min(tried, key=lambda t: t[:2])[2] if 3 * k > 2 * trials else None
        weights = _drawn(random, with_lm, near)
        tried.append((int(pool.chosen(weights).sum()), k, weights))
        if len(tried) > 4 * count:
            tried = sorted(tried, key=lambda t: t[:2])[:count]
    return [weights for _, _, weights in sorted(tried, key=lambda t: t[:2])[:count]]


def _drawn(random: np.random.Generator, with_lm: bool, near: Weights | None) -> Weights:
    """Weights from anywhere, or near others."""
    divided = random.random() < 0.5 if near is None else near.length_exponent > 0

    def number(most: float, before: float) -> float:
        if near is None:
            return float(random.uniform(0.0, most))
        return float(np.clip(before + 0.1 * most * random.standard_normal(), 0.0, most))

    known = near or Weights()
    return Weights(
        round(number(0.9, known.ctc_weight), 3),
        round(number(MOST_LM, known.lm_weight), 3) if with_lm else 0.0,
        0.0 if divided else round(number(MOST_BONUS, known.length_bonus), 3),
        max(round(number(1.0, known.length_exponent), 3), 0.001) if divided else 0.0,
    )


def halves(pool: Pool, with_lm: bool, trials: int, seed: int, start: Weights) -> NDArray[np.int64]:
    """Wrong words (B,) in each utterance, by weights that were tuned on the other half."""
    order = np.random.default_rng(seed).permutation(len(pool.words))
    errors = np.zeros(len(order), dtype=np.int64)
    parts = np.array_split(order, 2)
    for own, other in (parts, parts[::-1]):
        weights = best_weights(pool.select(other), with_lm, trials, seed, start)[0]
        errors[own] = pool.select(own).chosen(weights)
    return errors
