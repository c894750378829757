"""Every combination of scorers: a beam that holds everything equals enumeration."""

import itertools
import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from asr_attn.audio.features import FeaturesConfig
from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.bonuses import LengthBonus
from asr_attn.decoding.hotwords import Hotword, HotwordScorer
from asr_attn.decoding.hypothesis import Hypothesis, SearchConfig
from asr_attn.decoding.search import Weighted, model_scorers
from asr_attn.lm.ngram import NgramModel
from asr_attn.lm.scorer import NgramScorer
from asr_attn.lm.word_scorer import WordScorer
from asr_attn.models.asr import AsrModel, ModelConfig
from asr_attn.models.decoders import LstmDecoderConfig
from asr_attn.models.encoders import ListenerConfig
from asr_attn.nn.attention import SoftAttentionConfig
from tests.decoding.enumeration import (
    BOOSTS,
    LETTERS,
    WORDS,
    Table,
    Text,
    arpa_of,
    every_text,
    random_table,
)
from tests.lm.test_word_scorer import PENALTY

SIZE = len(LETTERS)
STEPS = (3, 2)
ALL = (SIZE - 2) ** STEPS[0] * (SIZE - 1)
"""Slots for every text of the last step: one of all tokens but the blank comes after others."""
COVERAGE, LENGTH, NGRAM, WORD, INTERNAL = 0.4, 0.3, 0.6, 0.35, 0.25


@dataclass(frozen=True)
class Choice:
    """Which scorers are asked; with ``ctc`` None, none of the model's."""

    ctc: float | None
    coverage: bool
    length: bool
    ngram: bool
    words: bool
    hotwords: bool
    internal: bool = False

    @property
    def config(self) -> SearchConfig:
        added = self.coverage or self.length or self.hotwords
        return SearchConfig(
            ALL,
            length_exponent=0.0 if added else 0.7,
            ctc_weight=self.ctc or 0.0,
            coverage=COVERAGE * self.coverage,
            length_bonus=LENGTH * self.length,
            lm="toy.arpa" if self.internal else None,
            internal_lm_weight=INTERNAL * self.internal,
        )

    @property
    def weights(self) -> dict[str, float]:
        """Of the scorers that are asked, by their names."""
        share = 0.0 if self.ctc is None else 1.0 - self.ctc
        every = {
            "attention": share,
            "ctc": self.ctc or 0.0,
            "length": float(self.length),
            "language model": NGRAM * self.ngram,
            "words": WORD * self.words,
            "hotwords": float(self.hotwords),
            "internal_lm": -INTERNAL * self.internal,
        }
        return {name: weight for name, weight in every.items() if weight}

    def judged(self, text: Text) -> Hypothesis:
        """A text as the search should return it."""
        weights = self.weights
        parts = {name: text.parts[name] for name in weights}
        if self.coverage:
            parts["attention"] += COVERAGE / weights["attention"] * text.covered
        total = sum(weights[name] * part for name, part in parts.items())
        tokens = len(text.tokens) + (not text.truncated)
        score = total / tokens**self.config.length_exponent
        return Hypothesis(text.tokens, total, score, text.truncated, parts)


CHOICES = [
    Choice(*values)
    for values in itertools.product((None, 0.0, 0.3, 1.0), *[(False, True)] * 6)
    if any(values[1:]) or values[0] is not None
    if not (values[1] or values[6]) or values[0] in (0.0, 0.3)  # these are of attention
    if not values[6] or values[3]  # for the sake of a language model
]
EVERYTHING = Choice(0.3, True, True, True, True, True, True)


@dataclass(frozen=True)
class Toy:
    """Scorers, and the tables that their language models were made from."""

    network: AsrModel
    ngram: NgramScorer
    words: WordScorer
    hotwords: HotwordScorer
    ngram_table: Table
    word_table: Table

    def scorers(self, choice: Choice) -> list[Weighted]:
        if choice.ctc is None:
            found: list[Weighted] = [(LengthBonus(SIZE, LENGTH), 1.0)] if choice.length else []
        else:
            found = model_scorers(self.network, choice.config)
        further = [(self.ngram, NGRAM), (self.words, WORD), (self.hotwords, 1.0)]
        return found + list(
            itertools.compress(further, (choice.ngram, choice.words, choice.hotwords))
        )

    def every_text(self, memory: Tensor) -> list[Text]:
        return every_text(self.network, self.ngram_table, self.word_table, LENGTH, memory)


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Toy:
    config = ModelConfig(
        ListenerConfig(hidden_size=8, heads=1, feedforward_size=4),
        SoftAttentionConfig(score="scaled_dot", size=6, dynamics="forward"),
        LstmDecoderConfig(hidden_size=6, embedding_size=4),
    )
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = AsrModel(FeaturesConfig(sample_rate=8000, n_mels=16), config, SIZE).eval()
        for parameter in (*network.decoder.parameters(), *network.ctc.parameters()):
            parameter.normal_()
    path = tmp_path_factory.mktemp("models") / "toy.arpa"
    tables = random_table(0, ("<space>", "a", "b", "c")), random_table(1, WORDS)
    models = []
    for table in tables:
        path.write_text(arpa_of(table), encoding="utf-8")
        models.append(NgramModel.load(path))
    words = WordScorer(models[1], LETTERS, PENALTY)
    words.name = "words"  # both language models are asked at once
    hotwords = HotwordScorer([Hotword(*pair) for pair in BOOSTS.items()], LETTERS)
    return Toy(network, NgramScorer(models[0], LETTERS), words, hotwords, *tables)


def memories(network: AsrModel, seed: int, lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Random memory, also in the padding."""
    generator = torch.Generator().manual_seed(seed)
    size = network.ctc.in_features
    memory = torch.randn(len(lengths), max(lengths), size, generator=generator)
    return memory, torch.tensor(lengths)


@pytest.fixture(scope="module")
def reference(toy) -> list[list[Text]]:
    memory, _ = memories(toy.network, 1, STEPS)
    return [toy.every_text(memory[row, :length]) for row, length in enumerate(STEPS)]


def same(found: Hypothesis, expected: Hypothesis) -> None:
    assert (found.tokens, found.truncated) == (expected.tokens, expected.truncated)
    assert found.parts.keys() == expected.parts.keys()
    pairs = [(found.parts[name], expected.parts[name]) for name in expected.parts]
    pairs += [(found.log_prob, expected.log_prob), (found.score, expected.score)]
    for one, other in pairs:
        assert math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-4)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_a_beam_that_holds_everything_equals_enumeration(toy, reference, choice):
    place, scorers = memories(toy.network, 1, STEPS), toy.scorers(choice)
    found = beam_search(scorers, *place, choice.config, nbest=2 * ALL)
    closed_early = beam_search(scorers, *place, choice.config)
    for row, texts in enumerate(reference):
        judged = [choice.judged(text) for text in texts]
        possible = {h.tokens: h for h in judged if h.log_prob > -math.inf}
        assert sorted(h.tokens for h in found[row]) == sorted(possible)
        for h in found[row]:
            same(h, possible[h.tokens])
        order = [(h.truncated, -h.score) for h in found[row]]
        assert order == sorted(order)
        assert closed_early[row][0].score == pytest.approx(found[row][0].score, abs=1e-4)


@pytest.mark.parametrize("beam", [1, 4])
def test_batched_and_padded_equals_alone_with_all_scorers(toy, beam):
    lengths = (5, 2, 9, 1, 6)
    memory, sizes = memories(toy.network, 2, lengths)
    config = replace(EVERYTHING.config, beam=beam)
    scorers = toy.scorers(EVERYTHING)
    together = beam_search(scorers, memory, sizes, config, nbest=3)
    for row, length in enumerate(lengths):
        own = memory[row : row + 1, :length], sizes[row : row + 1]
        alone = beam_search(scorers, *own, config, nbest=3)[0]
        for one, other in zip(together[row], alone, strict=True):
            same(one, other)


def test_wider_beams_come_nearer_to_the_best_text(toy):
    """A single search may do worse with a wider beam, but not many of them together."""
    memory, sizes = memories(toy.network, 3, (3,) * 12)
    scorers = toy.scorers(EVERYTHING)
    best = []
    for row in memory:
        judged = [EVERYTHING.judged(text) for text in toy.every_text(row)]
        best.append(max(h.score for h in judged if not h.truncated))
    gaps = []
    for beam in (1, 4, 16, ALL):
        config = replace(EVERYTHING.config, beam=beam)
        found = beam_search(scorers, memory, sizes, config)
        missing = [value - each[0].score for value, each in zip(best, found, strict=True)]
        assert min(missing) > -1e-4
        gaps.append(sum(missing))
    assert gaps[0] > gaps[1] > gaps[2] + 1.0
    assert gaps[2] >= gaps[3] - 1e-4
    assert gaps[3] == pytest.approx(0.0, abs=1e-3)
