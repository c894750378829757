"""CTC as a scorer of a beam search: how likely it is that what was said begins with a prefix.

Watanabe et al. 2017, "Hybrid CTC/attention architecture for end-to-end speech recognition",
algorithm 2. With the probability ``n_t`` (``b_t``) of all paths over the first ``t`` frames that
spell the prefix ``g`` and end with its last token (with a blank), the prefix ``g·c`` has

    psi(g·c) = sum_t phi_{t-1} p_t(c)        phi = b, or n + b where c is not the last token of g
    n_t = (n_{t-1} + phi_{t-1}) p_t(c)
    b_t = (b_{t-1} + n_{t-1}) p_t(blank)

The paper runs the recursions for every candidate ``c``. But psi does not need those of ``g·c``: it
is a product of ``phi`` of the prefix with the frames' probabilities, one matrix product for the
whole vocabulary; and the recursions are only solved for the tokens that the search has chosen, as
cumulative sums over frames.

All is float64 and holds to about 1e-9 (absolute, in log-probabilities); where a sum leaves the
range of float64, it is taken in the log domain. Frames where a label has no probability at all
count as ``exp(-1e7)``, which costs up to 1e-6 after them; a prefix that needs one has none either.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, cast

import torch
from torch import Tensor
from torch.nn import functional

from asr_attn.models.decoders import DecoderState
from asr_attn.nn.masking import padding_mask
from asr_attn.text.tokenizer import BLANK, EOS

_ZERO: Final = -1e7
"""Stands for the log-probability -inf, whose cumulative sums could not be subtracted."""
_IMPOSSIBLE: Final = _ZERO / 2
"""What is less likely than this came about through ``_ZERO``."""
_TINY: Final = 1e-280
"""Sums below this may have lost terms that float64 cannot hold, being under 1e-308."""
_PAIRS: Final = 4096
"""Pairs of hypothesis and token that are summed in the log domain at once, to bound memory."""


@dataclass(frozen=True)
class CtcPrefixState:
    """Hypotheses before their last tokens are read, and the utterances they belong to.

    Attributes:
        utterance: (N,) row of each hypothesis in the three tables of utterances.
        last: (N,) last token of the prefix, EOS where it is empty.
        forward: (N, 2, S + 1) log-probabilities that the first 0, 1, ... frames spell the prefix:
            any way, and with a blank at their end.
        prefixes: (N, V) log-probabilities of the prefix continued by each token.
        lengths: (B,) frames of the utterances.
        cumulative: (B, V, S + 1) log-probability of a label at all of the first 0, 1, ... frames.
        probabilities: (B, V, S) of a label at each frame, 0 in the padding.
    """

    utterance: Tensor
    last: Tensor
    forward: Tensor
    prefixes: Tensor
    lengths: Tensor
    cumulative: Tensor
    probabilities: Tensor

    def select(self, index: Tensor) -> "CtcPrefixState":
        """Take the hypotheses named by ``index``; the utterances stay where they are."""
        return replace(
            self,
            utterance=self.utterance[index],
            last=self.last[index],
            forward=self.forward[index],
            prefixes=self.prefixes[index],
        )


class CtcPrefixScorer:
    """The CTC output of an encoder as a scorer.

    Along a hypothesis the increments add up to the log-probability that CTC gives to the prefix
    and, once EOS is added, to the whole sentence.

    Args:
        ctc_log_probs: from memory (B, S, D) to CTC log-probabilities (B, S, V).
    """

    name = "ctc"
    gain = 0.0

    def __init__(self, ctc_log_probs: Callable[[Tensor], Tensor]) -> None:
        self.ctc_log_probs = ctc_log_probs

    def start(self, memory: Tensor, lengths: Tensor) -> CtcPrefixState:
        """State of the empty prefix, for memory (B, S, D) of lengths (B,)."""
        log_probs = self.ctc_log_probs(memory).double().transpose(1, 2).contiguous()
        padding = ~padding_mask(lengths, log_probs.size(2))[:, None, :]
        probabilities = log_probs.exp().masked_fill_(padding, 0.0)
        steps = log_probs.clamp(min=_ZERO).masked_fill_(padding, 0.0)
        cumulative = functional.pad(steps.cumsum(dim=-1), (1, 0))
        return CtcPrefixState(
            utterance=torch.arange(lengths.size(0), device=lengths.device),
            last=torch.full_like(lengths, EOS, dtype=torch.long),
            forward=_possible(cumulative[:, BLANK, None].repeat(1, 2, 1)),
            prefixes=cumulative.new_zeros(cumulative.shape[:2]),
            lengths=lengths.long(),
            cumulative=cumulative,
            probabilities=probabilities,
        )

    def score(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, CtcPrefixState]:
        """Read the last tokens; say what each next one does to the prefix's log-probability.

        Args:
            tokens: (N,), EOS at the start of the sentence. Nothing is asked after another EOS.
            state: of N hypotheses.

        Returns:
            Increments (N, V), float32, -inf for blank and for all that has no path, and new state.
        """
        state = cast(CtcPrefixState, state)
        before = state.prefixes.gather(1, tokens[:, None])
        forward = _read(tokens, state)
        prefixes = _prefixes(forward, tokens, state)
        increments = (prefixes - before).masked_fill_(before == -torch.inf, -torch.inf)
        return increments.float(), replace(state, last=tokens, forward=forward, prefixes=prefixes)


def _possible(log_probs: Tensor) -> Tensor:
    """Set what needs a frame without probability to -inf."""
    return functional.threshold(log_probs, _IMPOSSIBLE, -torch.inf)


def _read(tokens: Tensor, state: CtcPrefixState) -> Tensor:
    """Forward variables (N, 2, S + 1) of the prefixes that ``tokens`` (N,) are added to."""
    rows = torch.arange(tokens.size(0), device=tokens.device)
    repeats = (tokens == state.last).long()
    history = state.forward[rows, repeats]
    ends_with_token = _recur(history, state.cumulative[state.utterance, tokens])
    ends_with_blank = _recur(ends_with_token, state.cumulative[state.utterance, BLANK])
    either = torch.logaddexp(ends_with_token, ends_with_blank)
    forward = _possible(torch.stack([either, ends_with_blank], dim=1))
    empty = tokens == EOS
    forward[empty] = state.forward[empty]
    return forward


def _prefixes(forward: Tensor, last: Tensor, state: CtcPrefixState) -> Tensor:
    """Log-probabilities (N, V) of the prefixes that end with ``last`` (N,), continued by a token.

    At EOS stands that of the prefix as the whole sentence.
    """
    lengths = state.lengths[state.utterance]
    ends = forward[:, 0].gather(1, lengths[:, None])
    real = padding_mask(lengths, forward.size(2) - 1)
    history = forward[:, :, :-1].masked_fill(~real[:, None, :], -torch.inf)
    either, ends_with_blank = history.unbind(dim=1)
    scale = either.amax(dim=1, keepdim=True).clamp_(min=_IMPOSSIBLE)  # -inf minus -inf is NaN
    sums = _per_utterance((either - scale).exp_(), state.probabilities, state.utterance)
    out = sums.log().add_(scale)
    unsure = (sums < _TINY) & (scale > _IMPOSSIBLE)
    unsure[:, [BLANK, EOS]] = False
    if unsure.any():
        for pairs in torch.split(unsure.nonzero(), _PAIRS):
            rows, tokens = pairs.unbind(dim=1)
            out[rows, tokens] = _log_sums(either[rows], state.utterance[rows], tokens, state)
    repeated = _log_sums(ends_with_blank, state.utterance, last, state)
    out.scatter_(1, last[:, None], repeated[:, None])
    out[:, BLANK] = -torch.inf
    out[:, EOS] = ends[:, 0]
    return out


def _per_utterance(weights: Tensor, tables: Tensor, utterance: Tensor) -> Tensor:
    """Product of each row of ``weights`` (N, S) with its utterance's table.

    Args:
        weights: (N, S).
        tables: (B, V, S); they are not copied.
        utterance: (N,) row in ``tables``; fastest where rows of an utterance lie side by side.

    Returns:
        (N, V).
    """
    which, counts = torch.unique_consecutive(utterance, return_counts=True)
    runs = torch.split(weights, counts.tolist())
    return torch.cat([run @ tables[row].T for row, run in zip(which.tolist(), runs)])


def _log_sums(history: Tensor, utterance: Tensor, tokens: Tensor, state: CtcPrefixState) -> Tensor:
    """Sum ``phi_{t-1} p_t(c)`` over frames in the log domain, one token (N,) a row of ``history``.

    Args:
        history: (N, S) logarithm of ``phi``, -inf in the padding.
        utterance: (N,).
        tokens: (N,).
        state: holds the utterances.

    Returns:
        (N,).
    """
    log_probs = state.cumulative[utterance, tokens].diff(dim=-1)
    return _possible(torch.logsumexp(log_probs.add_(history), dim=-1))


def _recur(history: Tensor, cumulative: Tensor) -> Tensor:
    """Solve ``x_t = (x_{t-1} + h_{t-1}) p_t``, ``x_0 = 0``.

    That is ``x_t = P_t sum_{s<t} h_s / P_s`` with the product ``P_t`` of the first ``t`` factors.

    Args:
        history: (N, S + 1) logarithm of ``h``.
        cumulative: (N, S + 1) logarithm of ``P``.

    Returns:
        (N, S + 1) logarithm of ``x``.
    """
    sums = (history[:, :-1] - cumulative[:, :-1]).logcumsumexp(dim=1)
    return functional.pad(sums.add_(cumulative[:, 1:]), (1, 0), value=-torch.inf)
