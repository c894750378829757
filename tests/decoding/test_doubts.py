"""Doubts about hypotheses whose attention is made up, so that it is known what is wrong with it."""

import numpy as np
import pytest

from asr_attn.decoding.alignment import TokenSpan
from asr_attn.decoding.doubts import Doubt, DoubtConfig, find_doubts

SECONDS = 0.04
STEPS = 200
EVERYWHERE = np.ones(STEPS, dtype=bool)
PANGRAM = "the quick brown fox jumps over the lazy dog by the river"


def ids(text: str) -> list[int]:
    return [3 + ord(character) for character in text]


def attention(
    centres: np.ndarray, smear: float = 1.5, floor: float = 0.0, steps: int = STEPS
) -> np.ndarray:
    """Weights (U, 1, S): bell curves of width ``smear``, 0 for one step; ``floor`` lies evenly."""
    places = np.arange(steps) + 0.5
    if smear == 0:
        curves = (np.floor(centres)[:, None] == np.floor(places)).astype(np.float32)
    else:
        curves = np.exp(-0.5 * ((places - np.asarray(centres)[:, None]) / smear) ** 2)
    curves /= curves.sum(axis=1, keepdims=True)
    return ((1 - floor) * curves + floor / steps).astype(np.float32)[:, None]


def evenly(text: str, start: float = 2.0, end: float = STEPS - 2.0) -> np.ndarray:
    return np.linspace(start, end, len(text))


def doubts_of(text: str, weights: np.ndarray, speech=EVERYWHERE, **kwargs) -> list[Doubt]:
    return list(find_doubts(ids(text), weights, speech, SECONDS, **kwargs))


def kinds(doubts: list[Doubt]) -> list[str]:
    return [doubt.kind for doubt in doubts]


SMEARS = [0.0, 0.7, 2.0, 6.0]


@pytest.mark.parametrize("smear", SMEARS)
@pytest.mark.parametrize(
    "text",
    [
        PANGRAM,
        "three three",
        "no no no no no",
        "one two one two one two",
        "aaaaaaaaaaaa",
        "hahahahahaha hahahahaha",
        "a",
    ],
)
def test_attention_along_the_diagonal_is_no_doubt_even_if_the_text_repeats(text, smear):
    weights = attention(evenly(text), smear)
    speech = EVERYWHERE if len(text) > 1 else weights.sum(axis=(0, 1)) > 0.1
    assert doubts_of(text, weights, speech) == []


def test_no_false_alarm_on_random_diagonals():
    random = np.random.default_rng(0)
    words = ["no", "yes", "three", "new york", "a"]
    for _ in range(200):
        text = " ".join(random.choice(words, random.integers(1, 12)))
        steps = int(len(text) * random.uniform(1.5, 6.0)) + 10
        moves = random.uniform(0.5, 1.5, len(text) + 1)
        centres = moves.cumsum()[:-1] / moves.sum() * steps
        smear = float(random.choice([0.0, 0.5, 1.0, 2.0, 4.0, 8.0, steps / 10, steps / 4]))
        weights = attention(centres, smear, random.choice([0.0, 0.0, 0.1, 0.5, 0.9]), steps)
        other = attention(random.permutation(centres), steps / 4, 0.5, steps)
        if random.random() < 0.5:
            weights = np.concatenate([other, weights], axis=1)
        found = find_doubts(ids(text), weights, np.ones(steps, dtype=bool), SECONDS)
        assert found == (), (text, steps, smear)


def looping(times: int) -> tuple[str, np.ndarray]:
    """A text with four words said ``times`` times too often, and its centres."""
    centres = evenly(PANGRAM)
    first, last = PANGRAM.index("quick"), PANGRAM.index("jumps")
    text = PANGRAM[:last] + PANGRAM[first:last] * times + PANGRAM[last:]
    again = np.tile(centres[first:last], times)
    return text, np.concatenate([centres[:last], again, centres[last:]])


@pytest.mark.parametrize("times", [1, 2, 7])
@pytest.mark.parametrize("smear", SMEARS)
def test_words_said_again_over_the_same_speech_are_a_loop(smear, times):
    text, centres = looping(times)
    (doubt,) = doubts_of(text, attention(centres, smear))
    first, last = PANGRAM.index("quick"), PANGRAM.index("jumps")
    assert doubt.kind == "loop"
    assert doubt.tokens[0] in (first - 1, first)  # the space before may belong to it
    assert last + (last - first) * times - doubt.tokens[1] in (-1, 0, 1)
    places = centres[first:last] * SECONDS
    assert doubt.start == pytest.approx(places[0], abs=0.5)
    assert doubt.end == pytest.approx(places[-1], abs=0.3)


def test_a_loop_among_true_repetitions_is_told_from_them():
    centres = evenly("three three three")
    text = "three three three three"
    stuck = np.concatenate([centres, centres[-6:]])
    (doubt,) = doubts_of(text, attention(stuck, 1.0))
    assert doubt.kind == "loop"
    assert doubt.tokens[1] == len(text)
    assert 9 <= doubt.tokens[0] <= 12


@pytest.mark.parametrize("text", ["the end" + "e" * 30, "the end" + " the end" * 5])
def test_attention_that_stays_where_it_is_is_a_loop(text):
    centres = np.full(len(text), 190.0)
    centres[:7] = np.linspace(150, 190, 7)
    speech = np.arange(STEPS) > 145
    (doubt,) = doubts_of(text, attention(centres), speech)
    assert doubt.kind == "loop"
    assert doubt.tokens[1] == len(text)
    assert doubt.end == pytest.approx(190.5 * SECONDS, abs=0.1)


def test_tokens_past_the_end_of_attention_are_a_loop():
    text = "the end" + " end" * 8
    weights = attention(np.linspace(160, 195, len(text)))
    weights[7:] = 0.0
    (doubt,) = doubts_of(text, weights, abs(np.arange(STEPS) - 163) < 8)
    assert doubt.kind == "loop"


def test_subwords_need_fewer_tokens():
    weights = attention(np.array([20.0, 60.0, 100.0, 60.0, 100.0, 140.0, 180.0]), 12.0)
    tokens = [9, 5, 6, 5, 6, 7, 8]
    assert find_doubts(tokens, weights, EVERYWHERE, SECONDS) == ()
    found = find_doubts(tokens, weights, EVERYWHERE, SECONDS, config=DoubtConfig(loop_tokens=2))
    assert [(doubt.kind, doubt.tokens) for doubt in found] == [("loop", (1, 5))]


def test_attention_that_is_spread_over_all_shows_no_loop():
    text = "no no no no no no"
    random = np.random.default_rng(0)
    weights = random.uniform(0.9, 1.1, (len(text), 2, STEPS)).astype(np.float32) / STEPS
    assert doubts_of(text, weights) == []


def with_other_heads(weights: np.ndarray) -> np.ndarray:
    """Heads that do not read: one that sees everything, one that stays at the first step."""
    everything = np.full_like(weights, 1 / STEPS)
    first = np.zeros_like(weights)
    first[:, :, 0] = 1.0
    return np.concatenate([everything, first, weights, everything], axis=1)


def skipping(start: float = 60.0, end: float = 100.0) -> np.ndarray:
    """Centres that leap from ``start`` to ``end``."""
    half = len(PANGRAM) // 2
    return np.concatenate(
        [np.linspace(2, start, half), np.linspace(end, STEPS - 2, len(PANGRAM) - half)]
    )


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("smear", [0.0, 0.7, 2.0])
def test_speech_that_no_token_attends_to_is_a_skip(smear, heads):
    weights = attention(skipping(), smear)
    (doubt,) = doubts_of(PANGRAM, weights if heads == 1 else with_other_heads(weights))
    assert doubt.kind == "skip"
    assert doubt.start == pytest.approx(60 * SECONDS, abs=0.25)
    assert doubt.end == pytest.approx(100 * SECONDS, abs=0.25)
    assert doubt.tokens == (len(PANGRAM) // 2,) * 2


def test_a_silence_is_no_skip():
    speech = EVERYWHERE.copy()
    speech[64:97] = False
    assert doubts_of(PANGRAM, attention(skipping()), speech) == []
    speech[70:90] = True
    found = doubts_of(PANGRAM, attention(skipping()), speech)
    assert [(d.kind, d.start, d.end) for d in found] == [("skip", 70 * SECONDS, 90 * SECONDS)]


def test_a_short_stretch_is_no_skip():
    weights = attention(skipping(60.0, 76.0), 1.0)
    assert doubts_of(PANGRAM, weights) == []
    sharper = DoubtConfig(skip_seconds=0.2, pace=1.0)
    assert kinds(doubts_of(PANGRAM, weights, config=sharper)) == ["skip"]


def test_speech_before_the_first_token_is_a_skip():
    (doubt,) = doubts_of(PANGRAM, attention(evenly(PANGRAM, start=60.0)))
    assert (doubt.kind, doubt.tokens, doubt.start) == ("skip", (0, 0), 0.0)


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("smear", [0.0, 0.7, 4.0])
def test_speech_after_the_last_token_is_an_early_stop(smear, heads):
    weights = attention(evenly(PANGRAM, end=120.0), smear)
    end = attention(np.array([190.0]))  # of the sentence: reads what no token has read
    weights = np.concatenate([weights, end])
    (doubt,) = doubts_of(PANGRAM, weights if heads == 1 else with_other_heads(weights))
    assert doubt.kind == "early_stop"
    assert doubt.start == pytest.approx(120 * SECONDS, abs=0.5)
    assert doubt.end == pytest.approx(STEPS * SECONDS)
    assert doubt.tokens == (len(PANGRAM),) * 2


def test_silence_after_the_last_token_is_no_early_stop():
    weights = attention(evenly(PANGRAM, end=120.0))
    assert doubts_of(PANGRAM, weights, np.arange(STEPS) < 130) == []


def test_pieces_of_speech_at_the_end_add_up():
    speech = np.arange(STEPS) < 127
    speech[140:147] = speech[180:188] = True
    (doubt,) = doubts_of(PANGRAM, attention(evenly(PANGRAM, end=126.0)), speech)
    assert (doubt.kind, doubt.end) == ("early_stop", pytest.approx(188 * SECONDS))
    assert doubt.start == pytest.approx(140 * SECONDS)


def spans_at(starts: np.ndarray) -> list[TokenSpan]:
    steps = starts.astype(int).tolist()
    return [
        TokenSpan(token, step, step + 1) for token, step in zip(ids(PANGRAM), steps, strict=True)
    ]


def test_nothing_is_left_out_where_ctc_hears_tokens():
    spans = spans_at(evenly(PANGRAM))
    for centres in (skipping(), evenly(PANGRAM, end=120.0)):
        weights = attention(centres)
        assert len(doubts_of(PANGRAM, weights)) == 1
        assert doubts_of(PANGRAM, weights, ctc_spans=spans) == []


@pytest.mark.parametrize("stretch", [1, 30])
def test_what_ctc_does_not_hear_is_left_out_even_if_attention_reads_it(stretch):
    weights = attention(evenly(PANGRAM))
    spans = spans_at(skipping())
    half = len(PANGRAM) // 2
    spans[half - 1] = TokenSpan(3, spans[half - 1].start, spans[half - 1].start + stretch)
    (doubt,) = doubts_of(PANGRAM, weights, ctc_spans=spans)
    assert (doubt.kind, doubt.tokens) == ("skip", (half, half))
    assert (doubt.start, doubt.end) == pytest.approx((61 * SECONDS, 100 * SECONDS))
    (doubt,) = doubts_of(PANGRAM, weights, ctc_spans=spans_at(evenly(PANGRAM, end=120.0)))
    assert (doubt.kind, doubt.start) == ("early_stop", pytest.approx(121 * SECONDS))


def test_several_doubts_come_in_order():
    text, centres = looping(2)
    found = doubts_of(text, attention(20 + centres * 0.6, 1.0))
    assert kinds(found) == ["skip", "loop", "early_stop"]


def test_an_empty_hypothesis():
    nothing = np.zeros((0, 2, STEPS), dtype=np.float32)
    expected = Doubt("early_stop", 0.0, pytest.approx(STEPS * SECONDS), (0, 0))
    assert doubts_of("", nothing) == [expected]
    assert doubts_of("", attention(np.array([5.0]))) == [expected]
    assert doubts_of("", nothing, ~EVERYWHERE) == []


def test_a_hypothesis_that_attends_to_nothing_in_particular():
    nothing = np.zeros((5, 1, STEPS), dtype=np.float32)
    assert kinds(doubts_of("hello", nothing)) == ["early_stop"]
    even = np.full((5, 3, STEPS), 1 / STEPS, dtype=np.float32)
    assert kinds(doubts_of("hello", even)) == ["early_stop"]


def test_refuses_tokens_without_weights():
    with pytest.raises(ValueError, match="56 tokens have only 55"):
        doubts_of(PANGRAM, attention(evenly(PANGRAM))[:-1])
    with pytest.raises(ValueError, match="56 tokens have 3 spans"):
        doubts_of(PANGRAM, attention(evenly(PANGRAM)), ctc_spans=[TokenSpan(3, 0, 1)] * 3)


@pytest.mark.parametrize(
    "wrong", [{"loop_tokens": 0}, {"skip_seconds": -1.0}, {"level": 0.0}, {"loop_width": 1.5}]
)
def test_refuses_settings_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DoubtConfig(**wrong)


# words in silence: "one two", said in the first 80 steps, and "three four" invented behind them
SAID = np.arange(STEPS) < 80
TEXT = "one two three four"
WORDS = [(0, 3), (4, 7), (8, 13), (14, 18)]
PLACES = np.r_[np.linspace(5.0, 75.0, 8), np.linspace(110.0, 190.0, 10)]


@pytest.mark.parametrize("smear", SMEARS)
def test_words_where_nothing_is_said_are_one_doubt(smear):
    (doubt,) = doubts_of(TEXT, attention(PLACES, smear), SAID, words=WORDS)
    assert (doubt.kind, doubt.tokens) == ("silence", (8, 18))
    assert doubt.start == pytest.approx(110 * SECONDS, abs=0.5)
    assert doubt.end == pytest.approx(190 * SECONDS, abs=0.5)
    assert doubts_of(TEXT, attention(PLACES, smear), SAID) == []  # words that are not named


def silent(doubts: list[Doubt]) -> list[tuple[int, int]]:
    return [doubt.tokens for doubt in doubts if doubt.kind == "silence"]


def test_words_apart_in_silence_are_doubts_apart():
    speech = SAID.copy()
    speech[100:150] = True  # "three" is said
    assert silent(doubts_of(TEXT, attention(PLACES), speech, words=WORDS)) == [(14, 18)]
    speech = np.zeros(STEPS, dtype=bool)
    speech[35:75] = speech[155:195] = True  # "two" and "four" are
    found = silent(doubts_of(TEXT, attention(PLACES), speech, words=WORDS))
    assert found == [(0, 3), (8, 13)]


def test_a_word_at_the_edge_of_speech_or_spread_over_it_is_not_in_silence():
    behind = PLACES.copy()
    behind[8:] = 82.0  # by 0.1 s
    assert silent(doubts_of(TEXT, attention(behind, 0.7), SAID, words=WORDS)) == []
    behind[8:] = 92.0
    assert silent(doubts_of(TEXT, attention(behind, 0.7), SAID, words=WORDS)) == [(8, 18)]
    spread = attention(np.where(np.arange(18) < 8, PLACES, 90.0), smear=60.0)
    assert silent(doubts_of(TEXT, spread, SAID, words=WORDS)) == []


def by_ctc(places: np.ndarray, probability: float) -> dict:
    steps = places.astype(int).tolist()
    spans = [TokenSpan(token, step, step + 1) for token, step in zip(ids(TEXT), steps)]
    log_probs = np.log(np.full(len(TEXT), probability))
    return {"words": WORDS, "ctc_spans": spans, "ctc_log_probs": log_probs}


def test_what_ctc_hears_is_said_however_quietly():
    weights = attention(PLACES)
    assert silent(doubts_of(TEXT, weights, SAID, **by_ctc(PLACES, 0.9))) == []
    assert silent(doubts_of(TEXT, weights, SAID, **by_ctc(PLACES, 0.01))) == [(8, 18)]


def test_a_word_that_ctc_alone_finds_in_silence_is_doubted():
    weights = attention(np.linspace(5.0, 75.0, len(TEXT)))
    found = doubts_of(TEXT, weights, SAID, **by_ctc(PLACES, 0.01))
    assert silent(found) == [(8, 18)]
    assert found[-1].start == pytest.approx(110 * SECONDS, abs=0.1)


def test_words_that_attend_to_nothing_are_in_silence():
    weights = attention(PLACES)
    weights[8:] = 0.0  # monotonic attention has walked past the end
    (doubt,) = doubts_of(TEXT, weights, SAID, words=WORDS)
    assert (doubt.kind, doubt.tokens) == ("silence", (8, 18))
