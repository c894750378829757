"""Changing a part of a text: searching again around doubts, taking out words in silence."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr_attn.decoding.checked import Checked, Searcher, look, search_alone
from asr_attn.decoding.doubts import Doubt
from asr_attn.decoding.reading import Reading
from asr_attn.decoding.search import score_text
from asr_attn.decoding.stretches import (
    doubted_stretches,
    joined,
    tokens_before,
    word_gaps,
    words_in,
)

Part = Callable[[int, int], Tensor]
"""Memory (1, S, D) of an utterance from one step of its memory to another, encoded alone."""


def search_stretches(
    searcher: Searcher, memory: Tensor, speech: NDArray[np.bool_], first: Checked, part: Part
) -> Checked:
    """Search around the doubts of a long utterance (1, S, D), and put what is found there in place.

    Each stretch is encoded and searched alone, so memory and time depend on the stretches, not on
    the utterance. A piece of the memory of the whole would not do: the decoder knows the end of a
    sentence by what the encoder makes of the end of the recording. What is found in a stretch is
    taken if less of it is doubted; the new text, if less of it is doubted in all.
    """
    seconds = searcher.network.seconds_per_step
    doubts = list(first.doubts)
    places = _places(first.reading)
    if first.hypotheses[0].truncated:  # what comes after the last token has not been written
        start = float(places[-1]) * seconds if len(places) else 0.0
        count = len(places)
        doubts.append(Doubt("early_stop", start, memory.size(1) * seconds, (count, count)))
    tokens = first.reading.tokens
    parts: list[Sequence[int]] = []
    done, truncated, changed = 0, first.hypotheses[0].truncated, False
    words = words_in(tokens, searcher.tokenizer)
    for begin, end in doubted_stretches(doubts, speech, word_gaps(words, places), seconds):
        alone = search_alone(searcher, part(begin, end), speech[begin:end])
        before = _doubted(doubts, begin * seconds, end * seconds)
        if alone.hypotheses[0].truncated or _doubted(alone.doubts) >= before:
            continue
        from_token, to_token = tokens_before((begin, end), words, places)
        if end == memory.size(1):
            to_token, truncated = len(tokens), False
        parts += [tokens[done:from_token], alone.hypotheses[0].tokens]
        done, changed = to_token, True
    if not changed:
        return first
    text = joined([*parts, tokens[done:]], searcher.tokenizer)
    other = _read_again(searcher, memory, speech, text, truncated)
    if (truncated, _doubted(other.doubts)) >= (
        first.hypotheses[0].truncated,
        _doubted(first.doubts),
    ):
        return first
    return replace(other, hypotheses=(*other.hypotheses, *first.hypotheses[1:]), again=True)


def without_words_in_silence(
    searcher: Searcher, memory: Tensor, speech: NDArray[np.bool_], checked: Checked
) -> Checked:
    """Take the words out of an utterance (1, S, D) that are written where nothing is said.

    The doubts of them stay, and say what was taken out.
    """
    removed: list[Doubt] = []
    hypotheses = checked.hypotheses
    while silent := [doubt for doubt in checked.doubts if doubt.kind == "silence"]:
        tokens, parts, done = checked.reading.tokens, [], 0
        for doubt in sorted(silent, key=lambda doubt: doubt.tokens):
            words = searcher.tokenizer.decode(tokens[slice(*doubt.tokens)]).split()
            removed.append(replace(doubt, removed=" ".join(words)))
            parts.append(tokens[done : doubt.tokens[0]])
            done = doubt.tokens[1]
        truncated = checked.hypotheses[0].truncated and done < len(tokens)
        text = joined([*parts, tokens[done:]], searcher.tokenizer)
        again = checked.again
        checked = replace(_read_again(searcher, memory, speech, text, truncated), again=again)
    if not removed:
        return checked
    places = _places(checked.reading) * searcher.network.seconds_per_step
    for i, doubt in enumerate(removed):
        before = int((places < doubt.start).sum())
        removed[i] = replace(doubt, tokens=(before, before))
    doubts = sorted((*checked.doubts, *removed), key=lambda doubt: doubt.start)
    return replace(checked, hypotheses=(*checked.hypotheses, *hypotheses[1:]), doubts=tuple(doubts))


def _read_again(
    searcher: Searcher,
    memory: Tensor,
    speech: NDArray[np.bool_],
    tokens: Sequence[int],
    truncated: bool,
) -> Checked:
    """Look at a text that was put together, in an utterance (1, S, D)."""
    hypothesis = score_text(
        searcher.network, memory, tokens, truncated, searcher.config, searcher.further
    )
    lengths = torch.tensor([memory.size(1)], device=memory.device)
    return look(searcher, memory, lengths, [speech], [[hypothesis]])[0]


def _places(reading: Reading) -> NDArray[np.float64]:
    """Memory steps (U,) where the tokens are said: by CTC, or else the middle of attention."""
    if reading.ctc:
        return np.array([(span.start + span.end) / 2 for span in reading.ctc])
    steps = np.arange(reading.weights.shape[2]) + 0.5
    weights = reading.weights[:-1].mean(axis=1)
    mass = weights.sum(axis=1)
    found: NDArray[np.float64] = np.zeros(len(mass))
    np.divide(weights @ steps, mass, out=found, where=mass > 0)
    return found


def _doubted(doubts: Sequence[Doubt], start: float = 0.0, end: float = math.inf) -> float:
    """Seconds between ``start`` and ``end`` that are doubted."""
    return sum(max(0.0, min(doubt.end, end) - max(doubt.start, start)) for doubt in doubts)
