"""The joint attention and CTC loss (Kim, Hori and Watanabe 2017)."""

import torch
from torch import Tensor

from asr_attn.nn.masking import padding_mask
from asr_attn.text.tokenizer import BLANK, EOS

IGNORE = -100
"""Target of padded steps."""


def targets_of(tokens: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Decoder inputs and targets of token sequences.

    Args:
        tokens: B sequences of ids.
        device: where to put the tensors.

    Returns:
        inputs (B, U + 1): start of sentence, then the tokens; targets (B, U + 1): the tokens, then
        end of sentence, ``IGNORE`` where padded.
    """
    width = max(map(len, tokens)) + 1
    inputs = torch.full((len(tokens), width), EOS)
    targets = torch.full((len(tokens), width), IGNORE)
    for i, row in enumerate(tokens):
        ids = torch.tensor(row, dtype=torch.long)
        inputs[i, 1 : len(row) + 1] = ids
        targets[i, : len(row)] = ids
        targets[i, len(row)] = EOS
    return inputs.to(device), targets.to(device)


def attention_loss(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """Cross entropy per token, ends of sentence included.

    Args:
        logits: (B, U, V).
        targets: (B, U), ``IGNORE`` where padded.
        label_smoothing: share of the target probability spread over all tokens.
    """
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1),
        targets.flatten(),
        ignore_index=IGNORE,
        label_smoothing=label_smoothing,
    )


def ctc_loss(log_probs: Tensor, lengths: Tensor, tokens: list[list[int]]) -> Tensor:
    """CTC loss per token (Graves et al. 2006).

    Args:
        log_probs: (B, S, V).
        lengths: (B,) memory steps.
        tokens: B sequences of ids. One that is too long for its steps adds nothing; how many
            there are is said before training.
    """
    counts = torch.tensor([len(row) for row in tokens])
    flat = torch.tensor([token for row in tokens for token in row], dtype=torch.long)
    total: Tensor = torch.nn.functional.ctc_loss(
        log_probs.transpose(0, 1),
        flat.to(log_probs.device),
        lengths.to(log_probs.device),
        counts.to(log_probs.device),
        blank=BLANK,
        reduction="sum",
        zero_infinity=True,
    )
    return total / max(int(counts.sum()), 1)


def guided_attention_loss(
    weights: Tensor, tokens: Tensor, steps: Tensor, width: float = 0.2
) -> Tensor:
    """Attention far from the diagonal (Tachibana, Uenoyama and Aihara 2018, section 4).

    Args:
        weights: (B, U, H, S) attention weights.
        tokens: (B,) tokens of each, end of sentence included.
        steps: (B,) memory steps of each.
        width: of the diagonal, as a share of the utterance.

    Returns:
        Mean over all tokens and heads of the weight times its distance from the diagonal, where distance
        is ``1 - exp(-((u / U - s / S) ** 2) / (2 width ** 2))``.
    """
    u = (torch.arange(weights.size(1), device=weights.device) + 0.5)[None, :] / tokens[:, None]
    s = (torch.arange(weights.size(2), device=weights.device) + 0.5)[None, :] / steps[:, None]
    far = 1.0 - torch.exp(-((u[:, :, None] - s[:, None, :]) ** 2) / (2.0 * width**2))
    per_token = (weights.mean(dim=2) * far).sum(dim=-1)
    real = padding_mask(tokens, weights.size(1))
    return per_token[real].mean()
