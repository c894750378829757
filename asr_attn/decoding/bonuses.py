"""What a search may add to log-probabilities so that it does not end too soon or leave speech out.

Log-probabilities fall with every token, so a search prefers short sentences, the more so with a
language model. A bonus for each token, or for memory that has been attended to, makes up for that.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from asr_attn.models.decoders import DecoderState
from asr_attn.nn.masking import padding_mask
from asr_attn.text.tokenizer import BLANK, EOS


@dataclass(frozen=True)
class NoState:
    """State of a scorer that remembers nothing."""

    def select(self, index: Tensor) -> "NoState":
        """There is nothing to reorder."""
        return self


class LengthBonus:
    """A scorer that gives the same to every token.

    The end of the sentence gets nothing, for it makes the sentence no longer: in all, a sentence
    gets the bonus times its tokens, whether it is finished or cut off.

    Args:
        vocabulary_size: V.
        bonus: for each token.
    """

    name = "length"

    def __init__(self, vocabulary_size: int, bonus: float = 1.0) -> None:
        self.vocabulary_size = vocabulary_size
        self.bonus = bonus
        self.gain = max(bonus, 0.0)

    def start(self, memory: Tensor, lengths: Tensor) -> NoState:
        """Nothing to remember."""
        return NoState()

    def score(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, NoState]:
        """What each token that may come after ``tokens`` (N,) adds: (N, V)."""
        size = (len(tokens), self.vocabulary_size)
        scores = torch.full(size, self.bonus, device=tokens.device)
        scores[:, [BLANK, EOS]] = 0.0
        return scores, NoState()


def coverage_score(
    total: Tensor, lengths: Tensor, threshold: float = 0.5, softness: float = 0.0
) -> Tensor:
    """Count the memory steps that have been attended to.

    Chorowski and Jaitly 2017, "Towards better decoding and language model integration in sequence
    to sequence models": the steps whose attention, summed over the tokens so far, is above a
    threshold. Unlike tokens, a step counts once, so that a loop over the same speech gains nothing.
    A search adds a weight times what the next token raises the score by.

    With ``softness`` the count rises in a straight line, from 0 for a sum of ``threshold -
    softness`` to 1 for ``threshold + softness``; that rewards a token at once where it takes
    several of them to pass the threshold.

    Args:
        total: (N, H, S) attention weights summed over the tokens of each hypothesis; the mean of
            the heads counts.
        lengths: (N,) memory steps; what lies beyond does not count.
        threshold: of the sum of a step.
        softness: half the width of the rise; 0 counts whole steps.

    Returns:
        (N,) number of steps, which never falls as tokens are added.
    """
    attended = total.float().mean(dim=1)
    if softness > 0:
        count = ((attended - threshold) / (2 * softness) + 0.5).clamp(0.0, 1.0)
    else:
        count = (attended > threshold).float()
    return (count * padding_mask(lengths, total.size(2))).sum(dim=1)
