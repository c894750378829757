"""Greedy search: the most probable token at every step."""

import torch
from torch import Tensor

from asr_attn.decoding.hypothesis import Hypothesis, SearchConfig
from asr_attn.models.decoders import Decoder
from asr_attn.nn.masking import padding_mask
from asr_attn.text.tokenizer import BLANK, EOS


@torch.inference_mode()
def greedy_search(
    decoder: Decoder, memory: Tensor, lengths: Tensor, config: SearchConfig
) -> list[Hypothesis]:
    """Decode a batch, all utterances at once; those that have ended leave the batch.

    Args:
        decoder: any decoder.
        memory: (B, S, D).
        lengths: (B,).
        config: settings; ``beam`` is not used.

    Returns:
        One hypothesis per utterance.
    """
    batch = memory.size(0)
    limits = config.max_tokens(lengths).tolist()
    state = decoder.init_state(memory, lengths)
    rows = list(range(batch))
    last = torch.full((batch,), EOS, device=memory.device)
    tokens: list[list[int]] = [[] for _ in rows]
    totals = [0.0] * batch
    truncated = [False] * batch
    while rows:
        log_probs, _, state = decoder.step(last, state)
        log_probs[:, BLANK] = -torch.inf
        best, last = log_probs.max(dim=-1)
        keep = []
        for i, (row, value, token) in enumerate(zip(rows, best.tolist(), last.tolist())):
            totals[row] += value
            if token == EOS:
                continue
            tokens[row].append(token)
            truncated[row] = len(tokens[row]) >= limits[row]
            if not truncated[row]:
                keep.append(i)
        if len(keep) < len(rows):
            index = torch.tensor(keep, device=memory.device, dtype=torch.long)
            state, last = state.select(index), last[index]
            rows = [rows[i] for i in keep]
    return [
        Hypothesis(
            tuple(tokens[i]),
            totals[i],
            config.rank(totals[i], len(tokens[i]) + (not truncated[i])),
            truncated[i],
        )
        for i in range(batch)
    ]


def ctc_greedy_search(log_probs: Tensor, lengths: Tensor) -> list[list[int]]:
    """Best path of CTC: the likeliest label per step, repeats joined, blanks dropped.

    Args:
        log_probs: (B, S, V).
        lengths: (B,).

    Returns:
        Token ids of each utterance.
    """
    path = log_probs.argmax(dim=-1)
    new = torch.ones_like(path, dtype=torch.bool)
    new[:, 1:] = path[:, 1:] != path[:, :-1]
    keep = new & (path != BLANK) & padding_mask(lengths, path.size(1))
    return [row[kept].tolist() for row, kept in zip(path, keep)]
