"""Alignments, surprises and the choice of what is shown."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from asr_attn.decoding.words import Word
from asr_attn.evaluation.report.choosing import choose
from asr_attn.evaluation.report.subjects import LEAST, surprise_of, word_pairs
from asr_attn.transcript import Transcript


def transcript(*words: tuple[str, float], confidence: float | None = None) -> Transcript:
    found = tuple(
        Word(text, (0, 1), 0.0, 0.1, "ctc", (0.0, 0.1), -0.1, -0.1, 1.0, sure)
        for text, sure in words
    )
    return Transcript(" ".join(t for t, _ in words), 1.0, words=found, confidence=confidence)


def edit_distance(said: list[str], written: list[str]) -> int:
    row = list(range(len(written) + 1))
    for i, word in enumerate(said, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(written, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return row[-1]


def test_pairs_give_both_texts_and_the_edit_distance():
    random = np.random.default_rng(3)
    texts = [
        [" ".join(random.choice(list("abc"), random.integers(0, 6))) for _ in range(60)]
        for _ in range(2)
    ]
    for said, written, pairs in zip(*texts, word_pairs(*texts), strict=True):
        assert " ".join(a for kind, a, _ in pairs if kind != "i") == said
        assert " ".join(b for kind, _, b in pairs if kind != "d") == written
        assert all((kind == "=") == (a == b) for kind, a, b in pairs)
        assert sum(kind != "=" for kind, _, _ in pairs) == edit_distance(
            said.split(), written.split()
        )


def test_surprise_is_that_of_the_least_likely_outcome():
    bits = surprise_of(
        [
            transcript(("a", 0.9), ("x", 0.75)),  # a wrong word of 3/4
            transcript(("a", 0.5), ("b", 0.125)),  # a right word of 1/8
            transcript(("x", 1.0)),
            transcript(confidence=0.25),  # nothing was written, and nothing was said
            transcript(confidence=0.75),  # ... but something was said
        ],
        ["a b", "a b", "a", "", "a"],
    )
    assert bits == pytest.approx([2.0, 3.0, -math.log2(LEAST), 2.0, 2.0])


def subject(errors, surprise, doubted=()):
    transcripts = [
        SimpleNamespace(doubts=("loop",) if i in doubted else ()) for i in range(len(errors))
    ]
    scores = SimpleNamespace(errors=np.array(errors))
    return SimpleNamespace(
        evaluation=SimpleNamespace(scores=scores),
        surprise=np.array(surprise, dtype=float),
        transcripts=transcripts,
    )


def test_choice_takes_turns():
    one = subject([0, 5, 1, 0, 3, 0], [0.1, 2, 6, 0.2, 0.3, 0.4], doubted=[0])
    chosen = choose([one], 4)
    assert list(chosen) == [1, 2, 0, 5]  # most errors, most surprising, doubted, a right one
    assert chosen[1] == ["errors", "surprising"]
    assert chosen[2] == ["errors", "surprising"]
    assert chosen[0] == ["doubted", "right"]
    assert chosen[5] == ["right"]


def test_choice_of_all_is_all_and_of_none_is_none():
    one = subject([0, 5, 1, 0], [0, 0, 0, 0])
    assert sorted(choose([one], 100)) == [0, 1, 2, 3]
    assert choose([one], 0) == {}


def test_of_two_those_that_differ_are_chosen():
    ours, theirs = subject([4, 4, 0], [0, 0, 0]), subject([4, 0, 0], [0, 0, 0])
    chosen = choose([ours, theirs], 2)
    assert chosen == {0: ["errors"], 1: ["errors", "differing"]}


def test_right_ones_are_spread_over_the_set():
    one = subject([0] * 100, [0] * 100)
    first = sorted(choose([one], 4))
    assert np.diff([0, *first, 100]).max() <= 34
