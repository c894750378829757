"""Beam search against enumeration and a search over lists, with a decoder made for that.

Every history has a distribution of its own, and the history goes through the decoder's state, so a
search that does not reorder the state is found out.
"""

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.greedy import greedy_search
from asr_attn.decoding.hypothesis import Hypothesis, SearchConfig

BLANK, EOS = 0, 1
EXPONENTS = [0.0, 0.7, 1.0]


@cache
def log_probs(seed: int, utterance: int, history: tuple[int, ...], vocabulary: int) -> np.ndarray:
    """Log-probabilities (V,) of the next token after ``history`` in an utterance."""
    random = np.random.default_rng([seed, utterance, *history])
    logits = 2.0 * random.standard_normal(vocabulary)
    return logits - np.log(np.exp(logits).sum())


@dataclass(frozen=True)
class ToyState:
    utterance: Tensor
    history: Tensor

    def select(self, index: Tensor) -> "ToyState":
        return ToyState(self.utterance[index], self.history[index])


class ToyDecoder:
    """Both a decoder and a scorer; ``memory[:, 0, 0]`` is the number of the utterance."""

    name = "toy"
    gain = 0.0

    def __init__(self, seed: int, vocabulary: int, forbidden: tuple[int, ...] = ()) -> None:
        self.seed = seed
        self.vocabulary = vocabulary
        self.forbidden = forbidden

    def next(self, utterance: int, history: tuple[int, ...]) -> np.ndarray:
        out = log_probs(self.seed, utterance, history, self.vocabulary).copy()
        out[list(self.forbidden)] = -np.inf
        return out

    def init_state(self, memory: Tensor, lengths: Tensor) -> ToyState:
        return ToyState(memory[:, 0, 0].long(), torch.zeros(len(memory), 0, dtype=torch.long))

    def step(self, tokens: Tensor, state: ToyState) -> tuple[Tensor, Tensor, ToyState]:
        history = torch.cat([state.history, tokens[:, None]], dim=1)
        rows = zip(state.utterance.tolist(), history.tolist(), strict=True)
        table = np.stack([self.next(utterance, tuple(row)) for utterance, row in rows])
        weights = torch.zeros(len(tokens), 1)
        return torch.tensor(table).float(), weights, ToyState(state.utterance, history)

    start = init_state

    def score(self, tokens: Tensor, state: ToyState) -> tuple[Tensor, ToyState]:
        out, _, state = self.step(tokens, state)
        return out, state


def memory_of(utterances: list[int], lengths: list[int]) -> tuple[Tensor, Tensor]:
    memory = torch.zeros(len(utterances), max(lengths), 2)
    memory[:, 0, 0] = torch.tensor(utterances, dtype=torch.float)
    return memory, torch.tensor(lengths)


def score_of(scorers: list[tuple[ToyDecoder, float]], utterance: int, tokens: list[int]) -> float:
    """Weighted log-probability of ``tokens`` after the start."""
    total, history = 0.0, (EOS,)
    for token in tokens:
        total += sum(w * float(s.next(utterance, history)[token]) for s, w in scorers if w)
        history = (*history, token)
    return total


def ranked(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda h: (h.truncated, -h.score))


def everything(
    scorers: list[tuple[ToyDecoder, float]], utterance: int, length: int, config: SearchConfig
) -> list[Hypothesis]:
    """Every output that is permitted, best first."""
    limit = math.ceil(length * config.max_tokens_per_step) + 1
    vocabulary = scorers[0][0].vocabulary
    out = []

    def extend(tokens: list[int]) -> None:
        for token in range(vocabulary):
            text = [*tokens, token]
            if token == BLANK:
                continue
            if token == EOS or len(text) == limit:
                value = score_of(scorers, utterance, text)
                if value > -math.inf:
                    score = value / len(text) ** config.length_exponent
                    words = tuple(tokens if token == EOS else text)
                    out.append(Hypothesis(words, value, score, truncated=token != EOS))
            else:
                extend(text)

    extend([])
    return ranked(out)


def patient_beam(
    scorers: list[tuple[ToyDecoder, float]], utterance: int, length: int, config: SearchConfig
) -> list[Hypothesis]:
    """Beam search over lists, one utterance, always up to the longest permitted output."""
    limit = math.ceil(length * config.max_tokens_per_step) + 1
    vocabulary = scorers[0][0].vocabulary
    beam: list[tuple[list[int], float]] = [([], 0.0)]
    finished = []
    for step in range(1, limit + 1):
        grown = [
            ([*tokens, token], score_of(scorers, utterance, [*tokens, token]))
            for tokens, _ in beam
            for token in range(vocabulary)
            if token != BLANK
        ]
        grown = [pair for pair in grown if pair[1] > -math.inf]
        best = sorted(grown, key=lambda pair: -pair[1])[: config.beam]
        beam = [pair for pair in best if pair[0][-1] != EOS]
        for tokens, value in best:
            if tokens[-1] == EOS or step == limit:
                score = value / len(tokens) ** config.length_exponent
                ended = tokens[-1] == EOS
                text = tuple(tokens[:-1] if ended else tokens)
                finished.append(Hypothesis(text, value, score, truncated=not ended))
    return ranked(finished)


def same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [h.tokens for h in found] == [h.tokens for h in expected]
    assert [h.truncated for h in found] == [h.truncated for h in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
        assert one.score == pytest.approx(other.score, abs=1e-4)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_beam_of_one_equals_greedy(exponent):
    config = SearchConfig(beam=1, length_exponent=exponent)
    truncated = 0
    for seed in range(40):
        decoder = ToyDecoder(seed, 6)
        memory, lengths = memory_of([0, 1, 2, 3], [5, 3, 1, 8])
        lists = beam_search([(decoder, 1.0)], memory, lengths, config)
        greedy = greedy_search(decoder, memory, lengths, config)
        same([hypotheses[0] for hypotheses in lists], greedy)
        truncated += sum(h.truncated for h in greedy)
    assert truncated > 5


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("vocabulary", [4, 5])
def test_a_beam_that_holds_everything_equals_enumeration(exponent, vocabulary):
    length = 3
    config = SearchConfig(beam=vocabulary ** (length + 1), length_exponent=exponent)
    for seed in range(6):
        scorers = [(ToyDecoder(seed, vocabulary), 1.0)]
        memory, lengths = memory_of([0], [length])
        expected = everything(scorers, 0, length, config)
        for nbest in (1, 4):
            found = beam_search(scorers, memory, lengths, config, nbest)
            same(found[0], expected[:nbest])


def test_everything_can_be_asked_for():
    config = SearchConfig(beam=256)
    scorers = [(ToyDecoder(0, 4), 1.0)]
    found = beam_search(scorers, *memory_of([0], [3]), config, nbest=1000)
    same(found[0], everything(scorers, 0, 3, config))


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("beam", [1, 2, 3, 7])
def test_closing_early_gives_what_the_longest_search_gives(exponent, beam):
    """Also: batched equals single, for the reference searches one utterance at a time."""
    config = SearchConfig(beam=beam, length_exponent=exponent)
    sizes = [4, 6, 2, 1]
    for seed in range(10):
        scorers = [(ToyDecoder(seed, 5), 1.0)]
        memory, lengths = memory_of([3, 1, 0, 2], sizes)
        for nbest in (1, 3):
            found = beam_search(scorers, memory, lengths, config, nbest)
            for row, (utterance, size) in enumerate(zip([3, 1, 0, 2], sizes, strict=True)):
                expected = patient_beam(scorers, utterance, size, config)
                same(found[row], expected[:nbest])


def test_batched_equals_single():
    config = SearchConfig(beam=3)
    scorers = [(ToyDecoder(7, 5), 1.0)]
    utterances, sizes = [4, 2, 0, 1, 3], [2, 6, 4, 1, 5]
    together = beam_search(scorers, *memory_of(utterances, sizes), config, 2)
    for row, (utterance, size) in enumerate(zip(utterances, sizes, strict=True)):
        memory, lengths = memory_of([utterance], [size])
        same(together[row], beam_search(scorers, memory, lengths, config, 2)[0])


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_what_is_found_is_real_and_never_better_than_the_best(exponent):
    for beam in (1, 2, 4, 16):
        config = SearchConfig(beam=beam, length_exponent=exponent)
        for seed in range(8):
            scorers = [(ToyDecoder(seed, 5), 1.0)]
            found = beam_search(scorers, *memory_of([0], [4]), config, 3)[0]
            best = everything(scorers, 0, 4, config)
            known = {(h.tokens, h.truncated): h.score for h in best}
            assert 1 <= len(found) <= 3
            assert found == ranked(found)
            assert len({h.tokens for h in found}) == len(found)
            for hypothesis in found:
                key = (hypothesis.tokens, hypothesis.truncated)
                assert hypothesis.score == pytest.approx(known[key], abs=1e-4)


def test_output_that_reaches_the_limit_is_marked():
    decoder = ToyDecoder(0, 5, forbidden=(1,))  # never ends
    config = SearchConfig(beam=2, max_tokens_per_step=0.5)
    memory, lengths = memory_of([0, 1], [6, 3])
    lists = beam_search([(decoder, 1.0)], memory, lengths, config)
    for hypotheses, size, greedy in zip(
        lists, (4, 3), greedy_search(decoder, memory, lengths, config), strict=True
    ):
        assert hypotheses[0].truncated
        assert greedy.truncated
        assert len(hypotheses[0].tokens) == len(greedy.tokens) == size


def test_complete_hypotheses_come_before_truncated_ones():
    config = SearchConfig(beam=300)
    found = beam_search([(ToyDecoder(3, 4), 1.0)], *memory_of([0], [3]), config, 1000)[0]
    marks = [h.truncated for h in found]
    assert marks == sorted(marks)
    assert 0 < sum(marks) < len(marks)
    for kind in (False, True):
        scores = [h.score for h in found if h.truncated == kind]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("weights", [(0.7, 0.3), (1.0, 0.5), (0.2, 2.0)])
def test_scorers_are_added_with_their_weights(weights):
    config = SearchConfig(beam=256)
    for seed in range(5):
        first, second = ToyDecoder(seed, 4), ToyDecoder(100 + seed, 4, forbidden=(2,))
        scorers = list(zip((first, second), weights, strict=True))
        found = beam_search(scorers, *memory_of([0], [3]), config, 3)[0]
        same(found, everything(scorers, 0, 3, config)[:3])
        narrow = SearchConfig(beam=2)
        found = beam_search(scorers, *memory_of([0], [3]), narrow, 1)[0]
        same(found, patient_beam(scorers, 0, 3, narrow)[:1])


def test_a_scorer_of_weight_zero_says_nothing():
    first, second = ToyDecoder(0, 5), ToyDecoder(1, 5, forbidden=(2, 3))
    place = memory_of([0], [4])
    config = SearchConfig(beam=3)
    found = beam_search([(first, 1.0), (second, 0.0)], *place, config, 2)
    same(found[0], beam_search([(first, 1.0)], *place, config, 2)[0])


class Praise(ToyDecoder):
    """Scores that may be above 0, at most ``gain``."""

    def __init__(self, seed: int, vocabulary: int, gain: float = 1.5) -> None:
        super().__init__(seed, vocabulary)
        self.gain = gain
        self.most = 1.5

    def next(self, utterance: int, history: tuple[int, ...]) -> np.ndarray:
        return self.most + 0.3 * super().next(utterance, history)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("beam", [2, 5, 256])
def test_scores_above_zero_are_searched_to_their_bound(exponent, beam):
    """A long hypothesis may overtake a finished one, so the search must not stop at it."""
    config = SearchConfig(beam=beam, length_exponent=exponent)
    longer = 0
    for seed in range(12):
        scorers = [(ToyDecoder(seed, 4), 0.5), (Praise(seed, 4), 1.0)]
        found = beam_search(scorers, *memory_of([0, 1], [3, 2]), config, 2)
        for row, size in enumerate((3, 2)):
            expected = patient_beam(scorers, row, size, config)
            same(found[row], expected[:2])
        longer += len(found[0][0].tokens) > 1
    assert longer > 3


def test_scores_without_a_bound_end_by_patience():
    long, patient = memory_of([0], [30]), SearchConfig(beam=3, patience=100)
    steps = []
    for patience in (1, 3, 100):
        toy = ToyDecoder(1, 4)
        unbounded = Praise(1, 4, gain=math.inf)
        count = 0

        def counted(tokens: Tensor, state: ToyState, toy: ToyDecoder = toy):
            nonlocal count
            count += 1
            return ToyDecoder.score(toy, tokens, state)

        toy.score = counted  # type: ignore[method-assign]
        config = replace(patient, patience=patience, length_exponent=0.0)
        found = beam_search([(toy, 1.0), (unbounded, 0.1)], *long, config)
        assert found[0]
        steps.append(count)
    assert steps[0] < steps[1] < steps[2] == 31


class Long(ToyDecoder):
    """Nearly sure of one token twenty times and then of the end; anything else is unlikely."""

    gain = math.inf

    def next(self, utterance: int, history: tuple[int, ...]) -> np.ndarray:
        out = np.full(4, -9.0)
        out[EOS if len(history) > 20 else 2] = -0.01
        return out


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_patience_waits_for_hypotheses_that_are_ahead(exponent):
    """The empty text ends at once, far behind; the one that is ahead ends twenty steps later."""
    config = SearchConfig(beam=3, patience=1, length_exponent=exponent)
    found = beam_search([(Long(0, 4), 1.0)], *memory_of([0], [30]), config)
    assert found[0][0].tokens == (2,) * 20


def test_parts_are_what_each_scorer_gave():
    first, second = ToyDecoder(0, 5), ToyDecoder(1, 5)
    first.name, second.name = "first", "second"
    config = SearchConfig(beam=4)
    lists = beam_search([(first, 0.7), (second, 0.3)], *memory_of([0, 1], [4, 6]), config, 3)
    for utterance, hypotheses in enumerate(lists):
        for h in hypotheses:
            tokens = [*h.tokens] + [EOS] * (not h.truncated)
            for scorer in (first, second):
                expected = score_of([(scorer, 1.0)], utterance, tokens)
                assert h.parts[scorer.name] == pytest.approx(expected, abs=1e-4)
            total = 0.7 * h.parts["first"] + 0.3 * h.parts["second"]
            assert h.log_prob == pytest.approx(total, abs=1e-4)


def test_refuses_to_search_without_scorers():
    with pytest.raises(ValueError, match="at least one scorer"):
        beam_search([], *memory_of([0], [4]), SearchConfig(beam=2))
