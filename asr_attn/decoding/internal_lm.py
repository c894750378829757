"""What the decoder expects to be written without hearing anything."""

import math

import torch
from torch import Tensor

from asr_attn.models.decoders import Decoder, DecoderState


class InternalLmScorer:
    """The language model that a decoder has become, as a scorer.

    A decoder learns how the training texts go on, beside how to read what it attends to, and
    counts that in. Where a language model knows more of the language, its own guess is better
    taken away (E. Variani et al., "Hybrid autoregressive transducer (HAT)", ICASSP 2020; Z. Meng
    et al., "Internal language model estimation for domain-adaptive end-to-end speech recognition",
    SLT 2021). It is what the decoder makes of a memory of one step, the mean of the utterance's:
    a sound of its speaker and its room that is no speech in particular. The mean does better than
    zeros, which no decoder has ever seen (M. Zeineldeen et al., "Investigating methods to improve
    language model integration for attention-based encoder-decoder ASR models", Interspeech 2021).

    Args:
        decoder: any decoder.
    """

    name = "internal_lm"
    gain = math.inf  # its weight is negative: what an unlikely token adds has no bound

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    def start(self, memory: Tensor, lengths: Tensor) -> DecoderState:
        """State before the first token, for memory (B, S, D) of lengths (B,)."""
        real = torch.arange(memory.size(1), device=memory.device) < lengths[:, None]
        total = memory.masked_fill(~real[..., None], 0.0).sum(dim=1, keepdim=True)
        mean = total / lengths.to(memory.dtype)[:, None, None]
        return self.decoder.init_state(mean, torch.ones_like(lengths))

    def score(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read the last tokens (N,): log-probabilities (N, V) of the next, and new state."""
        log_probs, _, state = self.decoder.step(tokens, state)
        return log_probs, state
