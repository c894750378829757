"""What a word rests on: gradients, occlusion and attention as masses over feature frames."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr_attn.models.asr import AsrModel
from asr_attn.nn.attention.interface import at_least_float32
from asr_attn.text.tokenizer import EOS

GRADIENTS = ("smooth", "integrated", "plain")
"""Where the gradient is taken: see ``ExplanationConfig.gradients``."""
BATCH_SECONDS = 60.0
"""Audio that goes through the network at once."""


@dataclass(frozen=True)
class ExplanationConfig:
    """Settings of explanations."""

    gradients: str = "smooth"
    """Gradient times input (Shrikumar et al. 2016), the gradient being that at the features
    (plain, Simonyan et al. 2014), the mean of noisy copies (smooth, Smilkov et al. 2017), or the
    mean of the way from the mean features to these (integrated, Sundararajan et al. 2017)."""
    points: int = 8
    """Noisy copies, or points of the way, by Gauss and Legendre."""
    noise: float = 1.0
    """Deviation of the noise, in deviations of the features in training."""
    stretch: float = 0.1
    """Seconds that are occluded at once; one stretch begins in the middle of the one before."""

    def __post_init__(self) -> None:
        if self.gradients not in GRADIENTS:
            raise ValueError(f"gradients={self.gradients!r} is not one of {', '.join(GRADIENTS)}")
        if self.points < 1 or not (math.isfinite(self.noise) and self.noise >= 0):
            raise ValueError("explanations need points >= 1 and a finite noise >= 0")
        if not (math.isfinite(self.stretch) and self.stretch > 0):
            raise ValueError(f"the stretch must be finite and above 0 s, not {self.stretch}")


@dataclass(frozen=True)
class GivenText:
    """A network with the text that its decoder is to read.

    Attributes:
        network: in evaluation mode, so that nothing is drawn at random.
        tokens: U ids, without start and end.
        groups: first token of each of W words, and that after its last.
    """

    network: AsrModel
    tokens: tuple[int, ...]
    groups: Sequence[tuple[int, int]]

    def log_probs(self, features: Tensor) -> Tensor:
        """Log-probability (B, W) of each word's tokens, given the tokens before them.

        Args:
            features: (B, T, D), none of which is padding.
        """
        count, frames, _ = features.shape
        lengths = torch.full((count,), frames, device=features.device)
        memory, steps = self.network.encoder(features, lengths)
        ids = torch.tensor([EOS, *self.tokens], device=features.device).expand(count, -1)
        logits = self.network.speller(
            memory.to(at_least_float32(memory.dtype)), steps, ids[:, :-1]
        ).logits
        chosen = logits.log_softmax(dim=-1).gather(2, ids[:, 1:, None]).squeeze(2)
        return torch.stack([chosen[:, a:b].sum(dim=1) for a, b in self.groups], dim=1)


def gradient_times_input(
    given: GivenText, features: Tensor, frame_seconds: float, config: ExplanationConfig
) -> Tensor:
    """What each feature adds to a word's log-probability, to first order.

    The mean of the features in training is zero, so that a feature is its distance from the mean.
    With hard attention the gradient is that of what was read, not of where it was looked.

    Args:
        given: the text.
        features: (T, D) normalised features.
        frame_seconds: seconds from one frame to the next.
        config: settings.

    Returns:
        (W, T, D). Integrated gradients sum, as ``config.points`` grow, to what the log-probability
        of a word has gained since all features were zero.
    """
    points, shares = _points(features, config)
    total = features.new_zeros(len(given.groups), *features.shape)
    rows = rows_at_once(len(features), frame_seconds)
    # cuDNN has no gradient of an LSTM in evaluation mode
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        for part, share in zip(torch.split(points, rows), torch.split(shares, rows)):
            leaf = part.detach().requires_grad_()
            words = (given.log_probs(leaf) * share[:, None]).sum(dim=0)
            for mean, word in zip(total, words):
                (gradient,) = torch.autograd.grad(word, leaf, retain_graph=True)
                mean += gradient.sum(dim=0)
    return total * features


def _points(features: Tensor, config: ExplanationConfig) -> tuple[Tensor, Tensor]:
    """Features (N, T, D) at which gradients are taken, and the share (N,) of each in their mean."""
    if config.gradients == "plain":
        return features[None], features.new_ones(1)
    if config.gradients == "smooth":
        random = torch.Generator().manual_seed(0)
        noise = torch.randn((config.points, *features.shape), generator=random)
        shares = features.new_full((config.points,), 1 / config.points)
        return features + config.noise * noise.to(features), shares
    nodes, weights = np.polynomial.legendre.leggauss(config.points)  # over -1 to 1
    places = torch.from_numpy((nodes + 1) / 2).to(features)
    return places[:, None, None] * features, torch.from_numpy(weights / 2).to(features)


@torch.no_grad()
def occlusion(
    given: GivenText, features: Tensor, frame_seconds: float, stretch: float
) -> tuple[Tensor, Tensor]:
    """How far a word's log-probability falls when a stretch of the features is made their mean.

    After Zeiler and Fergus 2014, section 4.2. Neighbouring stretches overlap by half.

    Args:
        given: the text.
        features: (T, D) normalised features; their mean in training is zero.
        frame_seconds: seconds from one frame to the next.
        stretch: seconds of a stretch.

    Returns:
        the mean fall (W, T) over the stretches that hold a frame; and the greatest fall (W,).
    """
    frames = len(features)
    size = min(max(1, round(stretch / frame_seconds)), frames)
    shift = (size + 1) // 2
    starts = torch.arange(shift - size, frames, shift)
    places = torch.arange(frames)
    hidden = (places >= starts[:, None]) & (places < starts[:, None] + size)  # (N, T)
    hidden = hidden.to(features.device)
    whole = given.log_probs(features[None])
    falls = torch.cat(
        [
            whole - given.log_probs(features.masked_fill(part[..., None], 0.0))
            for part in torch.split(hidden, rows_at_once(frames, frame_seconds))
        ]
    )
    counts = hidden.to(falls.dtype)
    return falls.T @ counts / counts.sum(dim=0), falls.max(dim=0).values


def rows_at_once(frames: int, frame_seconds: float) -> int:
    """Copies of an utterance of so many frames that go through the network together."""
    return max(1, int(BATCH_SECONDS / (frames * frame_seconds)))


def word_attention(
    weights: NDArray[np.float32], groups: Sequence[tuple[int, int]], reduction: int, frames: int
) -> NDArray[np.float64]:
    """Attention (W, T) of words: the mean of their tokens and heads, spread from steps to frames.

    Args:
        weights: (U, H, S) attention weights.
        groups: first token of each word, and that after its last.
        reduction: frames per memory step; the last step may have fewer.
        frames: T.
    """
    steps = weights.shape[-1]
    step_of = np.minimum(np.arange(frames) // reduction, steps - 1)
    by_step = np.zeros((len(groups), steps))
    for row, (first, last) in zip(by_step, groups):
        row[:] = weights[first:last].mean(axis=(0, 1), dtype=np.float64)
    spread: NDArray[np.float64] = by_step[:, step_of] / np.bincount(step_of)[step_of]
    return spread


def as_shares(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale what is above zero in each row (W, T) to the sum 1; nothing above zero stays zeros."""
    above = np.maximum(rows, 0.0)
    sums = above.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = above / np.where(sums > 0, sums, 1.0)
    return shares
