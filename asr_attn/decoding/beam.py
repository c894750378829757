"""Beam search over utterances × hypotheses, all in one batch.

Every slot of the beam is a row of the decoder's batch. When hypotheses are reordered, the whole
state of every scorer is reordered with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from asr_attn.decoding.hypothesis import Hypothesis, SearchConfig
from asr_attn.decoding.scorers import Scorer
from asr_attn.models.decoders import DecoderState
from asr_attn.text.tokenizer import BLANK, EOS


@dataclass
class _History:
    """Tokens and parents of all slots, step by step; ends are followed back through it."""

    tokens: list[list[int]] = field(default_factory=list)
    parents: list[list[int]] = field(default_factory=list)

    def trace(self, slot: int) -> tuple[int, ...]:
        """Tokens that led to ``slot`` of the last step."""
        out = []
        for tokens, parents in zip(reversed(self.tokens), reversed(self.parents)):
            out.append(tokens[slot])
            slot = parents[slot]
        return tuple(reversed(out))


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
    finished hypotheses that no open one can overtake: log-probabilities only fall, so an open
    hypothesis of log-probability ``p`` can at best reach ``p / longest ** length_exponent``.

    Args:
        scorers: scorers with weights that are not negative; those of weight 0 are not asked.
        memory: (B, S, D).
        lengths: (B,).
        config: settings.
        nbest: hypotheses to return per utterance.

    Returns:
        Up to ``nbest`` hypotheses per utterance, best first; at least one.
    """
    scorers = [(scorer, weight) for scorer, weight in scorers if weight != 0]
    batch, beam = memory.size(0), config.beam
    limits = config.max_tokens(lengths).tolist()
    device = memory.device
    states = [scorer.start(memory, lengths) for scorer, _ in scorers]
    spread = torch.arange(batch, device=device).repeat_interleave(beam)
    states = [state.select(spread) for state in states]
    rows = list(range(batch))
    totals = torch.full((batch, beam), -torch.inf, device=device)
    totals[:, 0] = 0.0  # all slots are the same at first: only one may be continued
    last = torch.full((batch * beam,), EOS, device=device)
    histories = [_History() for _ in rows]
    finished: list[list[Hypothesis]] = [[] for _ in rows]
    step = 0
    while rows:
        step += 1
        combined, states = _score(scorers, last, states)
        candidates = totals[:, :, None] + combined.view(len(rows), beam, -1)
        vocabulary = candidates.size(2)
        flat = candidates.view(len(rows), -1)
        values, picks = flat.topk(beam, dim=1)
        parents, tokens = picks // vocabulary, picks % vocabulary
        totals = values.masked_fill(tokens == EOS, -torch.inf)
        keep = []
        for i, row in enumerate(rows):
            _collect(
                finished[row],
                histories[row],
                parents[i].tolist(),
                tokens[i].tolist(),
                values[i].tolist(),
                config,
                last_step=step >= limits[row],
            )
            if step < limits[row] and not _closed(
                finished[row], float(totals[i].max()), limits[row], config, nbest
            ):
                keep.append(i)
        kept = torch.tensor(keep, device=device, dtype=torch.long)
        parents, totals, tokens = parents[kept], totals[kept], tokens[kept]
        index = (kept[:, None] * beam + parents).flatten()
        states = [state.select(index) for state in states]
        last = tokens.flatten()
        rows = [rows[i] for i in keep]
    return [_ranked(hypotheses)[:nbest] for hypotheses in finished]


def _score(
    scorers: Sequence[tuple[Scorer, float]], last: Tensor, states: list[DecoderState]
) -> tuple[Tensor, list[DecoderState]]:
    """Weighted sum (rows, V) of what the scorers say, and their new states."""
    combined: Tensor | None = None
    new_states: list[DecoderState] = []
    for (scorer, weight), state in zip(scorers, states):
        log_probs, new = scorer.score(last, state)
        combined = weight * log_probs if combined is None else combined + weight * log_probs
        new_states.append(new)
    if combined is None:
        raise ValueError("beam search needs at least one scorer")
    combined[:, BLANK] = -torch.inf
    return combined, new_states


def _collect(
    finished: list[Hypothesis],
    history: _History,
    parents: list[int],
    tokens: list[int],
    values: list[float],
    config: SearchConfig,
    last_step: bool,
) -> None:
    """Add one step of an utterance to its history, and what ended to its finished hypotheses.

    At the last permitted step open hypotheses are taken in as they are, marked as truncated.
    """
    history.parents.append(parents)
    history.tokens.append(tokens)
    for slot, (token, value) in enumerate(zip(tokens, values)):
        if value == -float("inf") or not (token == EOS or last_step):
            continue
        text = history.trace(slot)
        score = config.rank(value, len(text))
        truncated = token != EOS
        finished.append(Hypothesis(text if truncated else text[:-1], value, score, truncated))


def _closed(
    finished: list[Hypothesis], best_open: float, limit: int, config: SearchConfig, nbest: int
) -> bool:
    """Whether no open hypothesis can come among the ``nbest`` best finished ones."""
    if best_open == -float("inf"):
        return True
    if len(finished) < nbest:
        return False
    return _ranked(finished)[nbest - 1].score >= config.rank(best_open, limit)


def _ranked(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    """Best first; complete ones before truncated ones."""
    return sorted(hypotheses, key=lambda h: (h.truncated, -h.score))
