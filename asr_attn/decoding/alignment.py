"""Forced alignment: when each token of a known text was spoken, by CTC."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torchaudio
from torch import Tensor

from asr_attn.text.tokenizer import BLANK, Tokenizer


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


def has_path(log_probs: Tensor, tokens: list[int]) -> bool:
    """Whether a text can be aligned: it fits into the steps and all log-probabilities are finite.

    ``torchaudio.functional.forced_align`` reads memory out of bounds where they are not.

    Args:
        log_probs: (S, V) CTC log-probabilities of one utterance.
        tokens: its text.
    """
    return can_align(tokens, log_probs.size(0)) and bool(log_probs.isfinite().all())


def align(log_probs: Tensor, tokens: list[int]) -> list[TokenSpan]:
    """Find the likeliest CTC path of a text (Viterbi, by torchaudio).

    Args:
        log_probs: (S, V) CTC log-probabilities of one utterance.
        tokens: its text.

    Returns:
        One span per token, in order, without the blanks between them.

    Raises:
        ValueError: there is no path (see ``has_path``).
    """
    if not has_path(log_probs, tokens):
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


def likely_spans(log_probs: Tensor, tokens: list[int]) -> tuple[TokenSpan, ...]:
    """Align by CTC, where CTC has been learnt.

    An untrained CTC head gives every label about the same probability. So a path counts only if
    its labels are likelier, by their geometric mean, than the square root of that.

    Args:
        log_probs: (S, V) CTC log-probabilities of one utterance.
        tokens: its text.

    Returns:
        One span per token; none where there is no path, or no likely one.
    """
    if not has_path(log_probs, tokens):
        return ()
    spans = align(log_probs, tokens)
    labels = torch.zeros(log_probs.size(0), dtype=torch.long)  # blanks
    for span in spans:
        labels[span.start : span.end] = span.token
    likelihood = float(log_probs.gather(1, labels[:, None]).mean())
    return tuple(spans) if likelihood > -0.5 * math.log(log_probs.size(1)) else ()


def word_tokens(tokens: Sequence[int], tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """First token of each word and that after its last; spaces belong to no word."""
    found: list[tuple[int, int]] = []
    inside = False
    for i, token in enumerate(tokens):
        text = tokenizer.spellings[token]
        if text == " ":
            inside = False
        elif text:
            if inside and text[0] != " ":
                found[-1] = (found[-1][0], i + 1)
            else:
                found.append((i, i + 1))
            inside = True
    return found


def word_boundaries(
    spans: Sequence[TokenSpan], groups: Sequence[tuple[int, int]], steps: int
) -> list[float]:
    """Cut an aligned text into words, half-way through the gaps between them.

    Args:
        spans: alignment of the U tokens.
        groups: tokens of each word.
        steps: memory steps S of the utterance.

    Returns:
        Memory steps (fractional): 0, one cut between each two words, ``steps``.
    """
    cuts = [
        (spans[left[1] - 1].end + spans[right[0]].start) / 2 for left, right in pairwise(groups)
    ]
    return [0.0, *cuts, float(steps)]
