"""How well a model predicts a text."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from asr_attn.lm.ngram import NgramModel

_SENTENCES_AT_ONCE = 4096


@dataclass(frozen=True)
class Perplexity:
    """Figures of a text; ends of sentences are predicted like tokens.

    Attributes:
        sentences: of the text.
        tokens: of the text, ends of sentences not counted.
        unknown: tokens that the model does not know.
        log_prob: natural logarithm of the probability of all.
        unknown_log_prob: the part of it that unknown tokens have.
    """

    sentences: int
    tokens: int
    unknown: int
    log_prob: float
    unknown_log_prob: float

    @property
    def perplexity(self) -> float:
        """Of all tokens, the unknown ones by the probability of ``<unk>``."""
        return math.exp(-self.log_prob / (self.tokens + self.sentences))

    @property
    def known_perplexity(self) -> float:
        """Of the known tokens; unknown ones still count as context."""
        known = self.tokens + self.sentences - self.unknown
        return math.exp(-(self.log_prob - self.unknown_log_prob) / known)

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON values."""
        return {
            "perplexity": self.perplexity,
            "perplexity_without_unknown": self.known_perplexity,
            "log10_prob": self.log_prob / math.log(10),
            "sentences": self.sentences,
            "tokens": self.tokens,
            "unknown": self.unknown,
        }


def measure(model: NgramModel, sentences: Iterable[Sequence[str]]) -> Perplexity:
    """Score a text of at least one sentence, each given as its symbols."""
    count = tokens = unknown = 0
    total = unknown_total = 0.0
    for batch in _batches(model, sentences):
        log_probs, read = _score(model, batch)
        lacking = read == model.unknown
        count += len(batch)
        tokens += len(read) - len(batch)
        unknown += int(lacking.sum())
        total += float(log_probs.sum())
        unknown_total += float(log_probs[lacking].sum())
    return Perplexity(count, tokens, unknown, total, unknown_total)


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
