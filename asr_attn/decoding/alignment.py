"""Forced alignment: when each token of a known text was spoken, by CTC."""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torchaudio
from torch import Tensor

from asr_attn.text.tokenizer import BLANK


@dataclass(frozen=True)
class TokenSpan:
    """Memory steps of one token: from ``start`` up to but not including ``end``."""

    token: int
    start: int
    end: int


def can_align(tokens: list[int], steps: int) -> bool:
    """Whether CTC has a path for ``tokens`` over ``steps``: repeats need a blank between them."""
    repeats = sum(a == b for a, b in pairwise(tokens))
    return len(tokens) > 0 and len(tokens) + repeats <= steps


def align(log_probs: Tensor, tokens: list[int]) -> list[TokenSpan]:
    """Find the likeliest CTC path of a text (Viterbi, by torchaudio).

    Args:
        log_probs: (S, V) CTC log-probabilities of one utterance.
        tokens: its text.

    Returns:
        One span per token, in order, without the blanks between them.

    Raises:
        ValueError: the text is empty or too long for the steps (see ``can_align``).
    """
    if not can_align(tokens, log_probs.size(0)):
        raise ValueError(f"no CTC path of {len(tokens)} tokens over {log_probs.size(0)} steps")
    targets = torch.tensor([tokens], dtype=torch.int32, device=log_probs.device)
    path, _ = torchaudio.functional.forced_align(log_probs[None], targets, blank=BLANK)
    spans: list[TokenSpan] = []
    previous = BLANK
    for step, label in enumerate(path[0].tolist()):
        if label != BLANK and label == previous:
            spans[-1] = TokenSpan(label, spans[-1].start, step + 1)
        elif label != BLANK:
            spans.append(TokenSpan(label, step, step + 1))
        previous = label
    return spans


def word_boundaries(spans: list[TokenSpan], space: int, steps: int) -> list[float]:
    """Cut an aligned text into words, half-way through the gaps between them.

    Args:
        spans: alignment of the whole text.
        space: id of the token between words.
        steps: memory steps of the utterance.

    Returns:
        Memory steps (fractional): 0, one cut between each two words, ``steps``.
    """
    cuts = [0.0]
    for i, span in enumerate(spans):
        if span.token == space and 0 < i < len(spans) - 1:
            cuts.append((spans[i - 1].end + spans[i + 1].start) / 2)
    return [*cuts, float(steps)]
