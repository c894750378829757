"""A toy recogniser that writes words twice, and what looking at its attention makes of it."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.decoding.reading import read_texts
from asr_attn.decoding.recheck import checked_search
from asr_attn.decoding.search import search
from asr_attn.models.decoders.interface import DecoderOutput
from asr_attn.text.tokenizer import BLANK, EOS

A, B, C, SPACE, V = 3, 4, 5, 6, 7
ONCE = (A, B, C, A, SPACE, B, A)
TWICE = (*ONCE, SPACE, *ONCE)
SPELLINGS = ("", "", "", "a", "b", "c", " ")
TOKENIZER = SimpleNamespace(
    spellings=SPELLINGS, decode=lambda ids: "".join(SPELLINGS[token] for token in ids)
)
STEPS = 40
CENTRES = (4, 8, 12, 16, 20, 24, 28, 32)
"""Where attention is at each token of what is said; when it is written again, it is there again."""


@dataclass(frozen=True)
class History:
    tokens: Tensor

    def select(self, index: Tensor) -> "History":
        return History(self.tokens[index])


class Speller:
    """Writes one of a few texts, each with its probability, whatever the memory is."""

    def __init__(
        self, texts: dict[tuple[int, ...], float], places: tuple[int, ...] = CENTRES
    ) -> None:
        self.texts = texts
        self.places = places

    def init_state(self, memory: Tensor, lengths: Tensor) -> History:
        return History(torch.zeros(len(memory), 0, dtype=torch.long))

    def next(self, history: list[int]) -> tuple[Tensor, Tensor]:
        probabilities = torch.full((V,), 1e-6)
        for text, probability in self.texts.items():
            complete = (*text, EOS)
            if complete[: len(history)] == tuple(history) and len(history) < len(complete):
                probabilities[complete[len(history)]] += probability
        weights = torch.zeros(1, STEPS)
        weights[0, self.places[len(history) % len(self.places)]] = 1.0
        return (probabilities / probabilities.sum()).log(), weights

    def step(self, tokens: Tensor, state: History) -> tuple[Tensor, Tensor, History]:
        state = History(torch.cat([state.tokens, tokens[:, None]], dim=1))
        answers = [self.next(row[1:]) for row in state.tokens.tolist()]
        return torch.stack([a for a, _ in answers]), torch.stack([w for _, w in answers]), state

    def __call__(self, memory: Tensor, lengths: Tensor, inputs: Tensor) -> DecoderOutput:
        state = self.init_state(memory, lengths)
        logits, weights = [], []
        for tokens in inputs.T:
            log_probs, looked, state = self.step(tokens, state)
            logits.append(log_probs)
            weights.append(looked)
        stacked = torch.stack(weights, dim=1)
        return DecoderOutput(torch.stack(logits, dim=1), stacked, torch.zeros(0))


class Network:
    """What the search needs of a model; the memory holds the logits of CTC."""

    seconds_per_step = 0.05
    ctc = torch.nn.Linear(1, V)

    def __init__(
        self, texts: dict[tuple[int, ...], float], places: tuple[int, ...] = CENTRES
    ) -> None:
        self.speller = Speller(texts, places)

    def ctc_log_probs(self, memory: Tensor) -> Tensor:
        return memory.log_softmax(dim=-1)


def heard(tokens: tuple[int, ...], places: tuple[int, ...]) -> Tensor:
    logits = torch.zeros(STEPS, V)
    logits[:, BLANK] = 6.0
    for place, token in zip(places, tokens):
        logits[place, token] = 12.0
    return logits


SPEECH = np.zeros(STEPS, dtype=bool)
SPEECH[4:30] = True
LOOPING = Network({TWICE: 0.6, ONCE: 0.4})
SAID_ONCE = heard(ONCE, CENTRES)
UNTRAINED = torch.zeros(STEPS, V)


def check(network, logits, config):
    lengths = torch.tensor([STEPS] * len(logits))
    return checked_search(
        network, TOKENIZER, torch.stack(logits), lengths, [SPEECH] * len(logits), config
    )


def test_a_loop_is_searched_again_with_ctc():
    (found,) = check(LOOPING, [SAID_ONCE], SearchConfig())
    assert found.hypotheses[0].tokens == found.reading.tokens == ONCE
    assert found.again
    assert found.doubts == ()


def test_with_a_penalty_of_zero_a_doubt_is_only_told():
    (found,) = check(LOOPING, [SAID_ONCE], SearchConfig(doubt_penalty=0.0))
    assert found.hypotheses[0].tokens == TWICE
    assert not found.again
    assert [doubt.kind for doubt in found.doubts] == ["loop"]


@pytest.mark.parametrize(("penalty", "expected"), [(5.0, ONCE), (0.3, TWICE)])
def test_a_doubt_costs_a_hypothesis_of_the_same_beam_its_penalty(penalty, expected):
    # without CTC; log(0.6) - log(0.4) is 0.41, and the shorter text is not favoured
    config = SearchConfig(beam=4, length_exponent=0.0, doubt_penalty=penalty)
    (found,) = check(LOOPING, [UNTRAINED], config)
    assert found.hypotheses[0].tokens == expected


def test_what_is_not_doubted_is_what_the_search_finds():
    network = Network({ONCE: 0.7, ONCE[:5]: 0.3})
    config = SearchConfig(beam=3)
    memory, lengths = SAID_ONCE[None], torch.tensor([STEPS])
    (found,) = check(network, [SAID_ONCE], config)
    assert list(found.hypotheses) == search(network, memory, lengths, config)[0]
    assert not found.again


def test_words_that_are_said_twice_are_no_loop():
    places = tuple(2 + 2 * i for i in range(len(TWICE)))
    (found,) = check(LOOPING, [heard(TWICE, places)], SearchConfig())
    assert found.hypotheses[0].tokens == TWICE
    assert found.doubts == ()


def test_an_end_that_comes_too_soon_is_searched_again():
    network = Network({ONCE[:2]: 0.7, ONCE: 0.3})
    (found,) = check(network, [SAID_ONCE], SearchConfig())
    assert found.hypotheses[0].tokens == ONCE
    assert found.again
    (before,) = check(network, [SAID_ONCE], SearchConfig(doubt_penalty=0.0))
    assert [doubt.kind for doubt in before.doubts] == ["early_stop"]


def test_a_batch_gives_what_single_utterances_give():
    places = tuple(2 + 2 * i for i in range(len(TWICE)))
    utterances = [SAID_ONCE, UNTRAINED, heard(TWICE, places)]
    for config in (SearchConfig(), SearchConfig(beam=4), SearchConfig(beam=4, ctc_weight=0.3)):
        together = check(LOOPING, utterances, config)
        for found, logits in zip(together, utterances):
            (alone,) = check(LOOPING, [logits], config)
            assert [h.tokens for h in found.hypotheses] == [h.tokens for h in alone.hypotheses]
            assert (found.doubts, found.again) == (alone.doubts, alone.again)


def test_a_further_search_is_not_taken_where_it_is_doubted_as_much():
    network = Network({TWICE: 1.0 - 1e-9, (*TWICE, SPACE, *ONCE): 1e-9})
    (found,) = check(network, [UNTRAINED], replace(SearchConfig(), beam=2))
    assert found.hypotheses[0].tokens == TWICE
    assert not found.again
    assert len(found.doubts) == 1


def test_what_is_cut_off_is_searched_again():
    endless = tuple(A if i % 2 else B for i in range(40))
    network = Network({endless: 0.9, ONCE: 0.1})
    config = SearchConfig(max_tokens_per_step=0.5)  # 21 tokens at most
    (before,) = check(network, [SAID_ONCE], replace(config, doubt_penalty=0.0))
    assert before.hypotheses[0].truncated
    (found,) = check(network, [SAID_ONCE], config)
    assert found.hypotheses[0].tokens == ONCE
    assert not found.hypotheses[0].truncated
    assert found.again


def test_padding_is_no_place_to_align_to():
    steps = 30
    padded = SAID_ONCE.clone()
    padded[CENTRES[6]] = padded[0]  # the last token is hardly heard, and clearly in the padding
    padded[CENTRES[6], A] = 5.0
    padded[35, A] = 30.0
    (found,) = read_texts(LOOPING, padded[None], torch.tensor([steps]), [ONCE])
    (alone,) = read_texts(LOOPING, padded[None, :steps], torch.tensor([steps]), [ONCE])
    assert found.ctc == alone.ctc
    assert found.ctc[-1].start == CENTRES[6]
    assert found.weights.shape == (len(ONCE) + 1, 1, steps)
    np.testing.assert_array_equal(found.ctc_log_probs, alone.ctc_log_probs)


INVENTED = (*ONCE, SPACE, C, B)
"""With a word that attention looks for behind the speech."""
BEHIND = (*CENTRES, 36, 38, 39)


def test_words_in_silence_are_searched_again_with_ctc():
    network = Network({INVENTED: 0.9, ONCE: 0.1}, BEHIND)
    (found,) = check(network, [SAID_ONCE], SearchConfig())
    assert found.hypotheses[0].tokens == ONCE
    assert found.again
    assert found.doubts == ()


@pytest.mark.parametrize("beam", [1, 4])
def test_words_that_stay_in_silence_are_taken_out_and_told(beam):
    network = Network({INVENTED: 1.0}, BEHIND)
    config = SearchConfig(beam=beam)
    (found,) = check(network, [UNTRAINED], config)
    best = found.hypotheses[0]
    assert best.tokens == found.reading.tokens == ONCE
    assert len(found.reading.weights) == len(ONCE) + 1
    (doubt,) = found.doubts
    assert (doubt.kind, doubt.removed, doubt.tokens) == ("silence", "cb", (len(ONCE),) * 2)
    assert (doubt.start, doubt.end) == pytest.approx((36 * 0.05, 39 * 0.05))
    total, state = 0.0, network.speller.init_state(UNTRAINED[None], torch.tensor([STEPS]))
    for read, written in zip((EOS, *ONCE), (*ONCE, EOS)):
        log_probs, _, state = network.speller.step(torch.tensor([read]), state)
        total += float(log_probs[0, written])
    assert best.log_prob == pytest.approx(total, rel=1e-5)
    assert best.score == pytest.approx(config.rank(total, len(ONCE) + 1), rel=1e-5)


def test_with_a_penalty_of_zero_words_in_silence_are_only_told():
    network = Network({INVENTED: 1.0}, BEHIND)
    (found,) = check(network, [UNTRAINED], SearchConfig(doubt_penalty=0.0))
    assert found.hypotheses[0].tokens == INVENTED
    assert [(d.kind, d.removed) for d in found.doubts] == [("silence", "")]


def test_nothing_is_left_where_all_words_are_in_silence():
    silent = np.zeros(STEPS, dtype=bool)
    lengths = torch.tensor([STEPS])
    network = Network({ONCE: 1.0})
    (found,) = checked_search(
        network, TOKENIZER, UNTRAINED[None], lengths, [silent], SearchConfig()
    )
    assert found.hypotheses[0].tokens == ()
    assert [doubt.removed for doubt in found.doubts] == ["abca ba"]
