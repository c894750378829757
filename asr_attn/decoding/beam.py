"""Beam search over utterances × hypotheses, all in one batch.

Every slot of the beam is a row of the scorers' batch. When hypotheses are reordered, the whole
state of every scorer is reordered with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asr_attn.decoding.hypothesis import Hypothesis, SearchConfig
from asr_attn.decoding.scorers import Scorer
from asr_attn.models.decoders import DecoderState
from asr_attn.text.tokenizer import BLANK, EOS


@dataclass(frozen=True)
class _Slots:
    """Open hypotheses of R utterances, N = beam for each, best first.

    Attributes:
        totals: (R, N) weighted score; -inf where a slot is empty.
        parts: (R, N, M) score by each of M scorers, without its weight.
        tokens: (R, N, U) read so far.
    """

    totals: Tensor
    parts: Tensor
    tokens: Tensor

    def continued(self, values: Tensor, picks: Tensor, scores: Sequence[Tensor]) -> "_Slots":
        """Each slot's place taken by a hypothesis with one more token.

        Args:
            values: (R, N) weighted scores.
            picks: (R, N) where they come from: slot times V plus token.
            scores: M times (R N, V), what each scorer gave to each token.
        """
        rows = len(values)
        size = scores[0].size(-1)
        parents = picks // size
        added = [s.reshape(rows, -1).gather(1, picks) for s in scores]
        parts = self.parts.gather(1, parents[..., None].expand(-1, -1, len(scores)))
        old = self.tokens.gather(1, parents[..., None].expand(-1, -1, self.tokens.size(2)))
        return _Slots(
            values,
            parts + torch.stack(added, dim=-1),
            torch.cat([old, (picks % size)[..., None]], dim=-1),
        )

    def open(self) -> "_Slots":
        """The same, with the slots empty that hold what has ended."""
        ended = self.tokens[..., -1] == EOS
        return _Slots(self.totals.masked_fill(ended, -torch.inf), self.parts, self.tokens)

    def select(self, index: Tensor) -> "_Slots":
        """Take the utterances named by ``index``."""
        return _Slots(self.totals[index], self.parts[index], self.tokens[index])


@torch.inference_mode()
def beam_search(
    scorers: Sequence[tuple[Scorer, float]],
    memory: Tensor,
    lengths: Tensor,
    config: SearchConfig,
    nbest: int = 1,
) -> list[list[Hypothesis]]:
    """Find the best hypotheses of each utterance.

    At each step the ``beam`` best continuations of an utterance are kept; those that end the
    sentence are finished, the others stay open. An utterance is closed when it has ``nbest``
    finished hypotheses that no open one can overtake: a scorer states how much one token can add
    at most (``gain``; 0 for log-probabilities), so what an open hypothesis can reach is known
    for each length that it may yet have. Where a scorer cannot say (an infinite ``gain``), an
    utterance is closed when for ``config.patience`` steps on end all open hypotheses, as they
    are, have ranked below the ``nbest`` finished ones.

    Args:
        scorers: scorers with weights; those of weight 0 are not asked, and one whose weight is
            negative must have an infinite gain.
        memory: (B, S, D).
        lengths: (B,).
        config: settings.
        nbest: hypotheses to return per utterance.

    Returns:
        Up to ``nbest`` hypotheses per utterance, best first; at least one.
    """
    asked = [(scorer, weight) for scorer, weight in scorers if weight != 0]
    if not asked:
        raise ValueError("beam search needs at least one scorer whose weight is not 0")
    gain = sum(abs(weight) * scorer.gain for scorer, weight in asked)
    batch, beam = memory.size(0), config.beam
    device = memory.device
    limits = config.max_tokens(lengths).tolist()
    spread = torch.arange(batch, device=device).repeat_interleave(beam)
    states = [scorer.start(memory, lengths).select(spread) for scorer, _ in asked]
    totals = torch.full((batch, beam), -torch.inf, device=device)
    totals[:, 0] = 0.0  # all slots are the same at first: only one may be continued
    slots = _Slots(
        totals,
        totals.new_zeros(batch, beam, len(asked)),
        torch.zeros(batch, beam, 0, dtype=torch.long, device=device),
    )
    last = torch.full((batch * beam,), EOS, device=device)
    names = [scorer.name for scorer, _ in asked]
    finished = [_Finished(names, limit, gain, config, nbest) for limit in limits]
    rows = list(range(batch))
    step = 0
    while rows:
        step += 1
        scores, states = _ask(asked, last, states)
        combined = sum(weight * score for (_, weight), score in zip(asked, scores))
        assert isinstance(combined, Tensor)
        combined[:, BLANK] = -torch.inf
        candidates = (slots.totals[..., None] + combined.view(len(rows), beam, -1)).flatten(1)
        values, picks = candidates.topk(beam, dim=1)
        slots = slots.continued(values, picks, scores)
        at_limit = torch.tensor([step >= limits[row] for row in rows], device=device)
        ended = (slots.tokens[..., -1] == EOS) | at_limit[:, None]
        for i, slot in (ended & (values > -torch.inf)).nonzero().tolist():
            finished[rows[i]].add(slots, i, slot)
        slots = slots.open()
        best_open = slots.totals.amax(dim=1).tolist()
        keep = [i for i, row in enumerate(rows) if not finished[row].closed(step, best_open[i])]
        index = torch.tensor(keep, device=device, dtype=torch.long)
        parents = (picks // combined.size(1))[index]
        slots = slots.select(index)
        moved = (index[:, None] * beam + parents).flatten()
        states = [state.select(moved) for state in states]
        last = slots.tokens[..., -1].flatten()
        rows = [rows[i] for i in keep]
    return [_ranked(each.hypotheses)[:nbest] for each in finished]


def _ask(
    scorers: Sequence[tuple[Scorer, float]], last: Tensor, states: Sequence[DecoderState]
) -> tuple[list[Tensor], list[DecoderState]]:
    """What each scorer gives to the next tokens (rows, V), and the scorers' new states."""
    answers = [scorer.score(last, state) for (scorer, _), state in zip(scorers, states)]
    return [scores for scores, _ in answers], [state for _, state in answers]


class _Finished:
    """The hypotheses of one utterance that have ended.

    Args:
        names: of the scorers.
        limit: most tokens, end of sentence included.
        gain: what one more token can add to the score at most.
        config: settings.
        nbest: hypotheses that are wanted.
    """

    def __init__(
        self, names: Sequence[str], limit: int, gain: float, config: SearchConfig, nbest: int
    ) -> None:
        self.names = names
        self.gain = gain
        self.config = config
        self.nbest = nbest
        self.limit = limit
        self.hypotheses: list[Hypothesis] = []
        self.behind = 0
        lengths = np.arange(limit + 1, dtype=np.float64)
        self.divisors = np.maximum(lengths, 1.0) ** config.length_exponent

    def add(self, slots: _Slots, row: int, slot: int) -> None:
        """Take in a slot that has ended, or that is as long as it may get."""
        tokens = tuple(slots.tokens[row, slot].tolist())
        value = float(slots.totals[row, slot])
        truncated = tokens[-1] != EOS
        score = self.config.rank(value, len(tokens))
        parts = dict(zip(self.names, slots.parts[row, slot].tolist()))
        text = tokens if truncated else tokens[:-1]
        self.hypotheses.append(Hypothesis(text, value, score, truncated, parts))

    def closed(self, step: int, best_open: float) -> bool:
        """Whether no open hypothesis of ``step`` tokens can come among the best ``nbest``."""
        if best_open == -float("inf") or step >= self.limit:
            return True
        if len(self.hypotheses) < self.nbest:
            return False
        if not np.isfinite(self.gain):
            ahead = self.config.rank(best_open, step) > self._worst_wanted()
            self.behind = 0 if ahead else self.behind + 1
            return self.behind >= self.config.patience
        more = np.arange(1, self.limit - step + 1)
        reachable = (best_open + self.gain * more) / self.divisors[step + 1 :]
        return self._worst_wanted() >= float(reachable.max())

    def _worst_wanted(self) -> float:
        return _ranked(self.hypotheses)[self.nbest - 1].score


def _ranked(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    """Best first; complete ones before truncated ones."""
    return sorted(hypotheses, key=lambda h: (h.truncated, -h.score))
