"""What a recogniser makes of a text that is given: where attention looks, and how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr_attn.decoding.alignment import TokenSpan, likely_spans
from asr_attn.models.asr import AsrModel
from asr_attn.text.tokenizer import EOS


@dataclass(frozen=True)
class Reading:
    """One text, read by the decoder and aligned by CTC; nothing of it is padding.

    Attributes:
        tokens: U ids, without start and end.
        weights: (U + 1, H, S) attention weights; the last token is the end of the sentence.
        log_probs: (U + 1,) log-probability of each token by the decoder.
        ctc: spans of the U tokens in memory steps by CTC; empty where CTC cannot tell.
        ctc_log_probs: (U,) mean log-probability of each token over its span; as ``ctc``.
    """

    tokens: tuple[int, ...]
    weights: NDArray[np.float32]
    log_probs: NDArray[np.float32]
    ctc: tuple[TokenSpan, ...]
    ctc_log_probs: NDArray[np.float32]


@torch.inference_mode()
def read_texts(
    network: AsrModel, memory: Tensor, lengths: Tensor, texts: Sequence[Sequence[int]]
) -> list[Reading]:
    """Let the decoder read given texts, all in one batch, and align them by CTC.

    Args:
        network: the model, in evaluation mode.
        memory: (B, S, D).
        lengths: (B,) memory steps.
        texts: B texts as ids, without start and end.

    Returns:
        One reading per text, as it is for the utterance alone.
    """
    inputs = torch.full((len(texts), max(map(len, texts)) + 1), EOS)
    for row, ids in zip(inputs, texts):
        row[1 : len(ids) + 1] = torch.tensor(ids, dtype=torch.long)
    targets = torch.cat([inputs[:, 1:], torch.full((len(texts), 1), EOS)], dim=1)
    output = network.speller(memory, lengths, inputs.to(memory.device))
    chosen = output.logits.log_softmax(dim=-1).gather(2, targets[..., None].to(memory.device))
    log_probs = chosen[..., 0].float().cpu().numpy()
    weights = output.weights.float().cpu().numpy()
    ctc = network.ctc_log_probs(memory).cpu()
    found = []
    for i, (ids, steps) in enumerate(zip(texts, lengths.tolist())):
        spans = likely_spans(ctc[i, :steps], list(ids))
        means = [float(ctc[i, span.start : span.end, span.token].mean()) for span in spans]
        found.append(
            Reading(
                tuple(ids),
                weights[i, : len(ids) + 1, :, :steps],
                log_probs[i, : len(ids) + 1],
                spans,
                np.array(means, dtype=np.float32),
            )
        )
    return found
