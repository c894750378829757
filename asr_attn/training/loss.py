"""The joint attention and CTC loss (Kim, Hori and Watanabe 2017)."""

import torch
from torch import Tensor

from asr_attn.decoding.alignment import likely_spans
from asr_attn.errors import ConfigError
from asr_attn.nn.masking import padding_mask, zero_padding
from asr_attn.settings import TrainingConfig
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


def ctc_consistency_loss(log_probs: Tensor, lengths: Tensor, tokens: list[list[int]]) -> Tensor:
    """How much what CTC hears depends on the masks (CR-CTC, Yao et al. 2025, equation 4).

    Args:
        log_probs: (2 B, S, V): one view of each utterance, then another of each.
        lengths: (2 B,) memory steps.
        tokens: 2 B sequences of ids.

    Returns:
        Divergence of each view's distributions from those of the other, which count as given, mean
        of both directions, summed over the steps, per token.
    """
    # before the divergence: a mask over it would not stop infinity times zero
    log_probs = zero_padding(log_probs, lengths)
    given = log_probs.detach().roll(len(log_probs) // 2, dims=0)
    divergence = torch.nn.functional.kl_div(log_probs, given, reduction="none", log_target=True)
    total: Tensor = divergence.sum()
    return total / max(sum(map(len, tokens)), 1)


def intermediate_layers(config: TrainingConfig, depth: int) -> tuple[int, ...]:
    """Numbers of the layers of an encoder of ``depth`` layers that have a CTC loss of their own.

    Raises:
        ConfigError: the encoder has no such layer below its last.
    """
    if not config.intermediate_ctc:
        return ()
    layer = config.intermediate_layer or depth // 2
    if not 1 <= layer < depth:
        raise ConfigError(
            f"training.intermediate_layer={config.intermediate_layer}: the encoder has {depth} "
            "layers, and the one in question must be below the last; choose another, or set "
            "training.intermediate_ctc=0"
        )
    return (layer,)


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
        Mean over all tokens and heads of the weight times its distance from the diagonal, where
        distance is ``1 - exp(-((u / U - s / S) ** 2) / (2 width ** 2))``.
    """
    u = (torch.arange(weights.size(1), device=weights.device) + 0.5)[None, :] / tokens[:, None]
    s = (torch.arange(weights.size(3), device=weights.device) + 0.5)[None, :] / steps[:, None]
    far = 1.0 - torch.exp(-((u[:, :, None] - s[:, None, :]) ** 2) / (2.0 * width**2))
    per_token = (weights.mean(dim=2) * far).sum(dim=-1)
    real = padding_mask(tokens, weights.size(1))
    return per_token[real].mean()


GUIDED_SECONDS = 0.07
"""How far from where CTC hears a token attention may be: CTC hears it in one memory step or two."""


def heard_steps(log_probs: Tensor, lengths: Tensor, tokens: list[list[int]]) -> Tensor:
    """Where CTC hears the tokens of known texts.

    Args:
        log_probs: (B, S, V) CTC log-probabilities.
        lengths: (B,) memory steps.
        tokens: B sequences of ids, U at most.

    Returns:
        (B, U + 1): the middle of each token in memory steps, and for the end of the sentence that
        of its last step; NaN where padded, and everywhere in an utterance that CTC has not learnt.
    """
    found = torch.full((len(tokens), max(map(len, tokens)) + 1), torch.nan)
    rows = zip(log_probs.detach().float().cpu(), lengths.tolist(), tokens)
    for i, (row, steps, ids) in enumerate(rows):
        if spans := likely_spans(row[:steps], ids):
            middles = [(span.start + span.end) / 2 for span in spans]
            found[i, : len(ids) + 1] = torch.tensor([*middles, steps - 0.5])
    return found.to(log_probs.device)


def attention_elsewhere_loss(
    weights: Tensor, places: Tensor, tokens: Tensor, width: float
) -> Tensor:
    """Attention that is elsewhere than where its token is known to be.

    Args:
        weights: (B, U, H, S) attention weights.
        places: (B, U) memory steps of the tokens; NaN where none is known, which adds nothing.
        tokens: (B,) tokens of each, end of sentence included.
        width: memory steps that attention may be away from its token.

    Returns:
        Mean over all tokens of ``-log`` of how much of the attention, averaged over
        the heads, is there, where weight at a distance counts ``exp(-distance ** 2 / (2 width **
        2))``. Supervised attention (Mi, Wang and Ittycheriah 2016), by places instead of words.
    """
    index = torch.arange(weights.size(3), device=weights.device) + 0.5
    known = places.isfinite()
    distance = index - torch.where(known, places, 0.0)[:, :, None]
    near = torch.exp(-(distance**2) / (2.0 * width**2))
    there = (weights.mean(dim=2) * near).sum(dim=-1)
    # what attention has left altogether still has a gradient that is not huge
    missed = -(there + 1e-6).log() * known
    return missed.sum() / tokens.sum()


def monotonicity_loss(weights: Tensor, tokens: Tensor, steps: Tensor) -> Tensor:
    """How far attention moves back from one token to the next.

    Args:
        weights: (B, U, H, S) attention weights.
        tokens: (B,) tokens of each, end of sentence included.
        steps: (B,) memory steps of each.

    Returns:
        Mean over tokens and heads of the distance that the expected position moves back, as a share
        of the utterance; 0 when it never does.
    """
    index = torch.arange(weights.size(3), device=weights.device, dtype=weights.dtype)
    positions = (weights * index).sum(dim=-1) / steps[:, None, None]
    back = (positions[:, :-1] - positions[:, 1:]).clamp(min=0.0).mean(dim=2)
    real = padding_mask(tokens - 1, back.size(1))
    return (back * real).sum() / real.sum().clamp(min=1)


def score_function_loss(
    choices: Tensor, logits: Tensor, targets: Tensor, discount: float = 0.7
) -> Tensor:
    """What makes hard attention learn which steps to draw (Williams 1992; Xu et al. 2015).

    The reward of a choice is the log-probability of the tokens from its own on, later ones
    discounted, less a baseline: the mean log-probability of the other utterances' tokens. Its
    gradient is the policy gradient; the value itself says nothing.

    Args:
        choices: (B, U, H) log-probabilities of the steps that were drawn.
        logits: (B, U, V).
        targets: (B, U), ``IGNORE`` where padded.
        discount: weight of a token's reward for each token before it.
    """
    real = targets != IGNORE
    with torch.no_grad():
        picked = targets.clamp(min=0)[..., None]
        rewards = logits.log_softmax(dim=-1).gather(-1, picked).squeeze(-1) * real
        sums, counts = rewards.sum(dim=1), real.sum(dim=1)
        others = (counts.sum() - counts).clamp(min=1)
        rewards = (rewards - ((sums.sum() - sums) / others)[:, None]) * real
        distance = torch.arange(rewards.size(1), device=rewards.device)
        distance = distance[:, None] - distance[None, :]  # later token, earlier choice
        decay = torch.where(distance >= 0, discount ** distance.clamp(min=0).to(rewards.dtype), 0.0)
        advantage = rewards @ decay
    return -(choices.sum(dim=2) * advantage * real).sum() / real.sum()
