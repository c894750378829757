import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr_attn.data.manifest import Utterance
from asr_attn.data.planning import (
    CurriculumStage,
    Example,
    LoadingConfig,
    MixingConfig,
    Segment,
    curriculum_limit,
    mixing_at,
    plan_batches,
    plan_examples,
)


@st.composite
def corpora(draw) -> tuple[list[Utterance], dict[str, list[float]]]:
    """Utterances with 0 to 6 words by up to three speakers; some of them are aligned."""
    utterances, cuts = [], {}
    for i in range(draw(st.integers(1, 12))):
        count = draw(st.integers(0, 6))
        speaker = draw(st.sampled_from(["anna", "ben", None]))
        duration = draw(st.floats(0.5, 20.0))
        text = " ".join(f"w{i}.{k}" for k in range(count))
        name = f"u{i}"
        utterances.append(Utterance(name, Path(f"{name}.wav"), text, duration, speaker=speaker))
        if count and draw(st.booleans()):
            parts = draw(st.lists(st.floats(0.1, 1.0), min_size=count, max_size=count))
            edges = np.cumsum([0.0, *parts]) / sum(parts) * duration
            cuts[name] = [*edges[:-1].tolist(), duration]
    return utterances, cuts


MIXING = st.builds(
    MixingConfig,
    share=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    max_words=st.integers(1, 5),
    piece_words=st.integers(0, 3),
)


def pieces_of(examples: list[Example]) -> dict[int, list[Segment]]:
    """Segments of each utterance, by offset."""
    pieces: dict[int, list[Segment]] = {}
    for segment in sorted(
        (segment for example in examples for segment in example.segments),
        key=lambda segment: (segment.utterance, segment.offset),
    ):
        pieces.setdefault(segment.utterance, []).append(segment)
    return pieces


def check_whole(utterance: Utterance, pieces: list[Segment], cuts: dict[str, list[float]]) -> None:
    """The pieces make up the utterance without gap or overlap, each with its own words."""
    end, words = 0.0, []
    for piece in pieces:
        assert piece.offset == pytest.approx(end, abs=1e-9)
        assert piece.duration > 0
        if len(pieces) > 1:
            assert piece.offset == cuts[utterance.id][len(words)]
        words += piece.text.split()
        end = piece.offset + piece.duration
    assert end == pytest.approx(utterance.duration)
    assert words == utterance.text.split()


@settings(max_examples=200, deadline=None)
@given(corpora(), MIXING, st.integers(0, 5))
def test_every_utterance_exactly_once_whatever_the_mixing(corpus, mixing, seed):
    utterances, cuts = corpus
    examples = plan_examples(utterances, cuts, None, mixing, (seed, 0))
    pieces = pieces_of(examples)
    assert sorted(pieces) == list(range(len(utterances)))
    for i, utterance in enumerate(utterances):
        check_whole(utterance, pieces[i], cuts)


@settings(max_examples=200, deadline=None)
@given(corpora(), MIXING, st.integers(1, 4), st.integers(0, 5))
def test_curriculum_limits_words_and_leaves_out_only_what_cannot_be_cut(
    corpus, mixing, limit, seed
):
    utterances, cuts = corpus
    examples = plan_examples(utterances, cuts, limit, mixing, (seed, 0))
    assert all(len(example.text.split()) <= limit for example in examples)
    pieces = pieces_of(examples)
    for i, utterance in enumerate(utterances):
        if utterance.id in cuts or len(utterance.text.split()) <= limit:
            check_whole(utterance, pieces[i], cuts)
        else:
            assert i not in pieces


@settings(max_examples=200, deadline=None)
@given(corpora(), MIXING, st.sampled_from([None, 1, 3]), st.integers(0, 5))
def test_joined_examples_are_of_one_speaker_and_within_the_limit(corpus, mixing, limit, seed):
    utterances, cuts = corpus
    for example in plan_examples(utterances, cuts, limit, mixing, (seed, 0)):
        if len(example.segments) > 1:
            assert len({utterances[s.utterance].speaker for s in example.segments}) == 1
            assert len(example.text.split()) <= min(mixing.max_words, limit or math.inf)


def many(count: int = 200, words: int = 4) -> tuple[list[Utterance], dict[str, list[float]]]:
    utterances = [
        Utterance(f"u{i}", Path("a.wav"), " ".join(f"w{i}.{k}" for k in range(words)), 4.0)
        for i in range(count)
    ]
    return utterances, {u.id: [4.0 * k / words for k in range(words + 1)] for u in utterances}


def test_share_of_the_mix():
    utterances, cuts = many(1000)
    examples = plan_examples(utterances, cuts, None, MixingConfig(0.3, 3), (0, 0))
    whole = sum(len(example.text.split()) == 4 for example in examples)
    assert abs(whole - 700) < 5 * math.sqrt(1000 * 0.3 * 0.7)
    assert plan_examples(utterances, cuts, None, MixingConfig(), (0, 0)) == [
        Example((Segment(i, 0.0, 4.0, u.text),), (0, 0, i)) for i, u in enumerate(utterances)
    ]


def test_mixing_joins_pieces_of_different_utterances_to_all_sizes():
    examples = plan_examples(*many(), None, MixingConfig(1.0, 5), (0, 0))
    assert {len(example.text.split()) for example in examples} == {1, 2, 3, 4, 5}
    several = [example for example in examples if len(example.segments) > 1]
    assert len(several) > 50
    assert any(len({s.utterance for s in example.segments}) > 1 for example in several)
    first = several[0]
    assert first.text == " ".join(segment.text for segment in first.segments)
    assert first.duration == pytest.approx(sum(segment.duration for segment in first.segments))


def test_examples_can_be_joined_of_pieces_that_are_much_shorter():
    examples = plan_examples(*many(words=12), None, MixingConfig(1.0, 9, piece_words=2), (0, 0))
    assert {len(s.text.split()) for e in examples for s in e.segments} == {1, 2}
    assert {len(example.text.split()) for example in examples} == set(range(1, 10))
    longest = max(examples, key=lambda example: len(example.segments))
    assert len({segment.utterance for segment in longest.segments}) > 3
    # shorter examples are cut no longer than they may be
    examples = plan_examples(*many(words=12), 1, MixingConfig(1.0, 9, piece_words=2), (0, 0))
    assert all(len(example.text.split()) == 1 for example in examples)


def test_mixing_ends_with_its_share_of_the_training():
    mixing = MixingConfig(0.5, 3, until=0.6)
    shares = [mixing_at(mixing, progress).share for progress in (0.0, 0.59, 0.6, 0.9)]
    assert shares == [0.5, 0.5, 0.0, 0.0]
    assert mixing_at(MixingConfig(0.5, 3), 0.99).share == 0.5


def test_curriculum_cuts_to_all_sizes():
    examples = plan_examples(*many(), 3, MixingConfig(), (0, 0))
    assert {len(example.text.split()) for example in examples} == {1, 2, 3}
    assert all(len(example.segments) == 1 for example in examples)


def test_plan_is_a_function_of_seed_and_epoch():
    arguments = (*many(), 3, MixingConfig(0.5, 3))
    plan = plan_examples(*arguments, (4, 1))
    assert plan == plan_examples(*arguments, (4, 1))
    for other in ((4, 2), (5, 1)):
        assert [e.segments for e in plan] != [e.segments for e in plan_examples(*arguments, other)]
    seeds = [example.seed for epoch in (1, 2) for example in plan_examples(*arguments, (4, epoch))]
    assert len(set(seeds)) == len(seeds)


def test_boundaries_that_do_not_fit_the_words_are_not_used():
    utterances = [Utterance("u", Path("a.wav"), "a b c", 3.0)]
    for boundaries in ([0.0, 3.0], [0.0, 1.0, 2.0, 2.5, 3.0]):
        arguments = (utterances, {"u": boundaries})
        assert plan_examples(*arguments, 2, MixingConfig(), (0, 0)) == []
        whole = plan_examples(*arguments, None, MixingConfig(1.0, 3), (0, 0))
        assert [(s.offset, s.duration) for s in whole[0].segments] == [(0.0, 3.0)]


@pytest.mark.parametrize(
    ("progress", "limit"),
    [(0.0, 1), (0.099, 1), (0.1, 3), (0.299, 3), (0.3, None), (1.0, None)],
)
def test_stages_of_the_curriculum(progress, limit):
    stages = (CurriculumStage(0.3, 3), CurriculumStage(0.1, 1))
    assert curriculum_limit(stages, progress) == limit
    assert curriculum_limit(stages[::-1], progress) == limit
    assert curriculum_limit((), progress) is None


DURATIONS = st.lists(st.floats(0.1, 30.0), max_size=60)
WORLD = st.integers(1, 5)


@settings(max_examples=300, deadline=None)
@given(DURATIONS, st.floats(5.0, 80.0), st.sampled_from([None, (0, 0), (3, 1)]), WORLD)
def test_batches_are_complete_disjoint_and_small_enough(durations, seconds, seed, world):
    batches = plan_batches(durations, seconds, seed, world)
    for batch in batches:
        assert batch
        longest = max(durations[i] for i in batch)
        assert len(batch) == 1 or longest * len(batch) <= seconds
    parts = [batches[rank::world] for rank in range(world)]
    assert len({len(part) for part in parts}) == 1
    used = sorted(i for batch in batches for i in batch)
    assert used == sorted(set(used))
    fewest = len(plan_batches(durations, seconds, seed))
    if math.ceil(fewest / world) * world <= len(durations):
        assert used == list(range(len(durations)))
    else:  # even batches of one do not divide evenly
        assert len(used) == len(durations) - len(durations) % world


@given(DURATIONS, st.floats(5.0, 80.0))
def test_without_a_seed_durations_ascend(durations, seconds):
    batches = plan_batches(durations, seconds, None)
    order = [durations[i] for batch in batches for i in batch]
    assert order == sorted(durations)


def test_batches_are_full_and_hold_little_padding():
    durations = np.random.default_rng(0).uniform(1.0, 15.0, 2000).tolist()
    for epoch in range(5):
        batches = plan_batches(durations, 60.0, (0, epoch))
        padded = [len(batch) * max(durations[i] for i in batch) for batch in batches]
        assert sum(durations) / sum(padded) > 0.9
        assert np.median(padded) > 45.0
        assert max(padded) <= 60.0


def test_batches_are_shuffled_by_seed():
    durations = np.random.default_rng(0).uniform(1.0, 15.0, 300).tolist()
    plan = plan_batches(durations, 60.0, (0, 1))
    assert plan == plan_batches(durations, 60.0, (0, 1))
    other = plan_batches(durations, 60.0, (0, 2))
    assert plan != other
    assert {frozenset(batch) for batch in plan} != {frozenset(batch) for batch in other}
    lengths = [max(durations[i] for i in batch) for batch in plan]
    falls = sum(a > b for a, b in itertools.pairwise(lengths))
    assert 0.3 < falls / len(lengths) < 0.7


@pytest.mark.parametrize(
    "make",
    [
        lambda: CurriculumStage(0.0, 1),
        lambda: CurriculumStage(1.1, 1),
        lambda: CurriculumStage(0.5, 0),
        lambda: MixingConfig(share=1.5),
        lambda: MixingConfig(max_words=0),
        lambda: MixingConfig(piece_words=-1),
        lambda: MixingConfig(until=1.1),
        lambda: MixingConfig(gap_seconds=(0.3, 0.1)),
        lambda: LoadingConfig(batch_seconds=0.0),
        lambda: LoadingConfig(workers=-1),
    ],
)
def test_refuses_settings_that_make_no_sense(make):
    with pytest.raises(ValueError, match=r"data\.loading"):
        make()
