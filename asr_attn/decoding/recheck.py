"""Looking at what a search found, and searching again where it may be wrong."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr_attn.decoding.checked import NO_FAULTS, Checked, Searcher, faults, look, search_again
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.decoding.repairs import search_stretches, without_words_in_silence
from asr_attn.decoding.search import Weighted, search
from asr_attn.models.asr import AsrModel
from asr_attn.text.tokenizer import Tokenizer

LONG = 30.0
"""Seconds of a recording from which on only what is around a doubt is searched again."""


@torch.inference_mode()
def checked_search(
    network: AsrModel,
    tokenizer: Tokenizer,
    memory: Tensor,
    lengths: Tensor,
    speech: Sequence[NDArray[np.bool_]],
    config: SearchConfig,
    further: Sequence[Weighted] = (),
    nbest: int = 1,
    waveforms: Sequence[NDArray[np.float32]] = (),
) -> list[Checked]:
    """Search, and look for loops, skips, ends that came too soon and words in silence.

    Where there are some, hypotheses lose ``config.doubt_penalty`` for each: the best of a beam is
    chosen anew. If doubts are left, or there is no beam, the utterance is searched again with safer
    settings: a beam of at least 10 and half of the score from CTC (or, where CTC has not been
    learnt, a reward for coverage). So is one whose hypothesis is cut off at the longest permitted
    output. What a further search finds is taken only if it is not cut off, or there are fewer
    doubts of it. Of a recording longer than ``LONG`` only the stretches around its doubts are
    searched again, if there are ``waveforms``. Words that are left in silence are taken out.

    Args:
        network: the model, in evaluation mode.
        tokenizer: what its ids mean.
        memory: (B, S, D).
        lengths: (B,) memory steps.
        speech: B times (S,) True where a step carries speech.
        config: settings; with a penalty of 0 nothing is searched again, nor taken out.
        further: scorers beside those of the model.
        nbest: hypotheses to return per utterance.
        waveforms: B times (samples,) that the memory was made of.
    """
    searcher = Searcher(network, tokenizer, config, further, nbest)
    found = search(network, memory, lengths, config, further, nbest)
    best = look(searcher, memory, lengths, speech, found)
    if config.doubt_penalty == 0:
        return best
    most = LONG / network.seconds_per_step if waveforms else math.inf
    search_again(searcher, memory, lengths, speech, best, lengths.cpu().numpy() <= most)
    for i, each in enumerate(best):
        own = memory[i : i + 1, : lengths[i]]
        if faults(each) != NO_FAULTS and lengths[i] > most:
            part = partial(_encoded_part, network, waveforms[i])
            each = search_stretches(searcher, own, speech[i], each, part)
        best[i] = without_words_in_silence(searcher, own, speech[i], each)
    return best


def _encoded_part(network: AsrModel, waveform: NDArray[np.float32], begin: int, end: int) -> Tensor:
    """Memory (1, S, D) of the part of a waveform that two memory steps stand for."""
    per_step = network.reduction * network.features.config.hop_length
    samples = torch.from_numpy(waveform[begin * per_step : end * per_step])
    device = network.ctc.weight.device
    memory, _ = network.encode(
        samples[None].to(device), torch.tensor([len(samples)], device=device)
    )
    return memory
