"""How well a model predicts a text."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from asr_attn.lm.ngram import NgramModel

_SENTENCES_AT_ONCE = 4096


def perplexity_of(cross_entropy: float) -> float:
    """Perplexity of a cross entropy in nats; infinite where it leaves the range of a float."""
    try:
        return math.exp(cross_entropy)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class Perplexity:
    """Figures of a text; ends of sentences are predicted like tokens.

    Attributes:
        sentences: of the text.
        tokens: of the text, ends of sentences not counted.
        unknown: tokens that the model does not know.
        log_prob: natural logarithm of the probability of all.
        known_log_prob: the part of it that known tokens have.
    """

    sentences: int
    tokens: int
    unknown: int
    log_prob: float
    known_log_prob: float

    @property
    def perplexity(self) -> float:
        """Of all tokens, the unknown ones by the probability of ``<unk>``."""
        return perplexity_of(-self.log_prob / (self.tokens + self.sentences))

    @property
    def known_perplexity(self) -> float:
        """Of the known tokens; unknown ones still count as context."""
        known = self.tokens + self.sentences - self.unknown
        return perplexity_of(-self.known_log_prob / known)

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON values; null for what is not finite."""
        return {
            "perplexity": _finite(self.perplexity),
            "perplexity_without_unknown": _finite(self.known_perplexity),
            "log10_prob": _finite(self.log_prob / math.log(10)),
            "sentences": self.sentences,
            "tokens": self.tokens,
            "unknown": self.unknown,
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def measure(model: NgramModel, sentences: Iterable[Sequence[str]]) -> Perplexity:
    """Score a text of at least one sentence, each given as its symbols."""
    count = tokens = unknown = 0
    total = known_total = 0.0
    for batch in _batches(model, sentences):
        log_probs, read = _score(model, batch)
        lacking = read == model.unknown
        count += len(batch)
        tokens += len(read) - len(batch)
        unknown += int(lacking.sum())
        total += float(log_probs.sum())
        known_total += float(log_probs[~lacking].sum())
    return Perplexity(count, tokens, unknown, total, known_total)


def _batches(model: NgramModel, sentences: Iterable[Sequence[str]]) -> Iterator[list[list[int]]]:
    waiting = iter(sentences)
    while batch := [
        [*model.encode(sentence), model.end] for sentence in islice(waiting, _SENTENCES_AT_ONCE)
    ]:
        yield batch


@torch.inference_mode()
def _score(model: NgramModel, batch: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logarithms of the probabilities of all tokens, ends included, and the tokens: (tokens,)."""
    device = model.keys.device
    batch = sorted(batch, key=len, reverse=True)  # those that have ended are the last rows
    lengths = torch.tensor([len(sentence) for sentence in batch])
    flat = torch.tensor([token for sentence in batch for token in sentence], device=device)
    begins = (lengths.cumsum(0) - lengths).to(device)
    open_rows = torch.bincount(lengths).flip(0).cumsum(0).flip(0).tolist()
    state = model.start(len(batch))
    scores = torch.zeros(len(flat), dtype=torch.float64, device=device)
    for step in range(int(lengths[0])):
        rows = open_rows[step + 1]
        place = begins[:rows] + step
        log_probs, state = model.step(state[:rows], flat[place])
        scores[place] = log_probs.double()
    return scores, flat
