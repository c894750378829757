"""Stretches around doubts, cut at pauses that are made so that it is known where they are."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from asr_attn.decoding.doubts import Doubt
from asr_attn.decoding.stretches import (
    CONTEXT,
    LONGEST,
    REACH,
    doubted_stretches,
    joined,
    tokens_before,
    word_gaps,
    words_in,
)

SECONDS = 0.05
NONE = np.zeros(0)
CHARACTERS = SimpleNamespace(spellings=("", "", "?", "a", "b", "c", " "))
PIECES = SimpleNamespace(spellings=("", "", "?", " a", "b", " c", " "))
SYLLABLES = SimpleNamespace(spellings=("", "", "?", "a", "b", "c"))


def doubt(start: float, end: float) -> Doubt:
    return Doubt("skip", start, end, (0, 0))


def spoken(seconds: float, *pauses: tuple[float, float]) -> np.ndarray:
    speech = np.ones(round(seconds / SECONDS), dtype=bool)
    for start, end in pauses:
        speech[round(start / SECONDS) : round(end / SECONDS)] = False
    return speech


def test_a_stretch_has_context_up_to_the_longest_pause_in_reach():
    speech = spoken(100.0, (44.0, 44.2), (45.5, 46.5), (60.0, 60.4), (70.0, 72.0))
    ((start, end),) = doubted_stretches([doubt(50.0, 55.0)], speech, NONE, SECONDS)
    assert (start * SECONDS, end * SECONDS) == pytest.approx((46.0, 60.2))


def test_without_pauses_a_stretch_is_the_context():
    ((start, end),) = doubted_stretches([doubt(50.0, 55.0)], spoken(100.0), NONE, SECONDS)
    assert (start * SECONDS, end * SECONDS) == pytest.approx((50 - CONTEXT, 55 + CONTEXT))


def test_stretches_end_where_the_recording_does():
    doubts = [doubt(1.0, 2.0), doubt(99.0, 100.0)]
    first, last = doubted_stretches(doubts, spoken(100.0), NONE, SECONDS)
    assert first == (0, round((2.0 + CONTEXT) / SECONDS))
    assert last == (round((99.0 - CONTEXT) / SECONDS), round(100.0 / SECONDS))


def test_doubts_near_each_other_share_a_stretch():
    stretches = doubted_stretches(
        [doubt(20.0, 21.0), doubt(25.0, 26.0)], spoken(100.0), NONE, SECONDS
    )
    assert stretches == [(340, 580)]


def test_long_stretches_are_cut_at_their_longest_pauses():
    pauses = [(t, t + 0.2 + 0.1 * (t % 3)) for t in range(5, 400, 5)]
    speech = spoken(400.0, *pauses)
    stretches = doubted_stretches([doubt(60.0, 330.0)], speech, NONE, SECONDS)
    assert all(end - start <= LONGEST / SECONDS for start, end in stretches)
    assert all(a[1] == b[0] for a, b in pairwise(stretches))
    assert stretches[0][0] * SECONDS == pytest.approx(60 - CONTEXT - REACH / 2, abs=REACH / 2)
    assert stretches[-1][1] * SECONDS == pytest.approx(330 + CONTEXT + REACH / 2, abs=REACH / 2)
    assert not speech[[end for _, end in stretches]].any()
    # where there is no pause it is cut all the same
    stretches = doubted_stretches([doubt(60.0, 330.0)], spoken(400.0), NONE, SECONDS)
    assert max(end - start for start, end in stretches) * SECONDS == LONGEST


def test_no_doubts_no_stretches():
    assert doubted_stretches([], spoken(100.0), NONE, SECONDS) == []


@pytest.mark.parametrize(
    ("tokenizer", "text", "expected"),
    [
        # two words of two tokens, cut in the middle of either: a word goes where its middle is
        (CHARACTERS, (3, 4, 6, 5, 3), [0, 0, 3, 5]),
        (PIECES, (3, 4, 5, 4), [0, 0, 2, 4]),
        (SYLLABLES, (3, 4, 5, 4), [0, 1, 2, 4]),
        (CHARACTERS, (), [0, 0, 0, 0]),
    ],
)
def test_words_are_not_torn_apart(tokenizer, text, expected):
    places = np.linspace(10.0, 40.0, len(text))
    words = words_in(text, tokenizer)
    assert tokens_before((0, 13, 25, 60), words, places) == expected


def test_without_pauses_it_is_cut_between_words():
    words = words_in((3, 4, 6, 5, 3, 6, 3), CHARACTERS)
    gaps = word_gaps(words, np.array([900.0, 910.0, 915.0, 930.0, 1180.0, 1190.0, 1200.0]))
    assert gaps.tolist() == [920.0, 1190.0]
    stretches = doubted_stretches([doubt(50.0, 55.0)], spoken(100.0), gaps, SECONDS)
    assert stretches == [(920, 1190)]


def test_without_words_there_is_nothing_between_them():
    assert word_gaps([], NONE).tolist() == word_gaps([(0, 2)], np.ones(2)).tolist() == []


def test_joined_texts_have_one_space_between_them():
    assert joined([(3, 4), (5,)], CHARACTERS) == (3, 4, 6, 5)
    assert joined([(3, 4, 6), (), (6, 5), (6,)], CHARACTERS) == (3, 4, 6, 5)
    assert joined([(3, 4), (5,)], PIECES) == (3, 4, 5)
    assert joined([(3, 4), (4,)], PIECES) == (3, 4, 6, 4)
    assert joined([(3,), (4,)], SYLLABLES) == (3, 4)
    assert joined([(), ()], CHARACTERS) == ()
