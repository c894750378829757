import itertools

import numpy as np
import pytest
import torch

from asr_attn.decoding.alignment import (
    TokenSpan,
    align,
    can_align,
    likely_spans,
    word_boundaries,
    word_tokens,
)
from asr_attn.text.tokenizer import (
    BLANK,
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    UnigramTokenizer,
    WordTokenizer,
)

VOCABULARY = 4


def collapse(path: tuple[int, ...]) -> list[int]:
    return [label for label, _ in itertools.groupby(path) if label != BLANK]


def texts(longest: int) -> list[list[int]]:
    return [
        list(text)
        for count in range(longest + 1)
        for text in itertools.product(range(1, VOCABULARY), repeat=count)
    ]


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_can_align_what_some_path_spells(steps):
    spelt = {tuple(collapse(path)) for path in itertools.product(range(4), repeat=steps)}
    for text in texts(4):
        assert can_align(text, steps) == (tuple(text) in spelt and text != [])


def spans_of(path: tuple[int, ...]) -> list[TokenSpan]:
    spans, start = [], 0
    for label, group in itertools.groupby(path):
        end = start + len(list(group))
        if label != BLANK:
            spans.append(TokenSpan(label, start, end))
        start = end
    return spans


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steps", [2, 4, 5])
def test_equals_the_likeliest_of_all_paths_of_the_text(steps, seed):
    torch.manual_seed(seed)
    log_probs = (2 * torch.randn(steps, VOCABULARY)).log_softmax(dim=-1)
    best: dict[tuple[int, ...], tuple[float, tuple[int, ...]]] = {}
    for path in itertools.product(range(VOCABULARY), repeat=steps):
        value = sum(log_probs[s, v].item() for s, v in enumerate(path))
        key = tuple(collapse(path))
        best[key] = max(best.get(key, (-float("inf"), ())), (value, path))
    for text in texts(3):
        if can_align(text, steps):
            assert align(log_probs, text) == spans_of(best[tuple(text)][1])


@pytest.mark.parametrize(("tokens", "steps"), [([], 5), ([1, 2, 3], 2), ([2, 2], 2)])
def test_refuses_a_text_without_a_path(tokens, steps):
    log_probs = torch.zeros(steps, VOCABULARY).log_softmax(dim=-1)
    with pytest.raises(ValueError, match="no CTC path"):
        align(log_probs, tokens)


def test_words_are_cut_halfway_through_the_gap_between_them():
    tokenizer = CharTokenizer.train(["ab "])
    space, a, b = tokenizer.encode(" ab")
    spans = [
        TokenSpan(a, 2, 4),
        TokenSpan(b, 5, 6),
        TokenSpan(space, 7, 8),
        TokenSpan(a, 11, 12),
        TokenSpan(space, 12, 13),
        TokenSpan(b, 13, 15),
    ]
    words = word_tokens([span.token for span in spans], tokenizer)
    assert words == [(0, 2), (3, 4), (5, 6)]
    assert word_boundaries(spans, words, 20) == [0.0, 8.5, 12.5, 20.0]


def test_one_word_is_the_whole_utterance():
    assert word_boundaries([TokenSpan(4, 1, 2), TokenSpan(4, 3, 4)], [(0, 2)], 6) == [0.0, 6.0]


def test_boundaries_of_an_alignment_keep_every_word_in_its_own_part():
    torch.manual_seed(0)
    text = [1, 2, 3, 2, 2, 3, 1]  # 3 is the space
    for _ in range(20):
        log_probs = torch.randn(14, VOCABULARY).log_softmax(dim=-1)
        spans = align(log_probs, text)
        edges = word_boundaries(spans, [(0, 2), (3, 5), (6, 7)], 14)
        assert len(edges) == 4
        assert edges == sorted(set(edges))
        words = [spans[0:2], spans[3:5], spans[6:7]]
        for word, begin, end in zip(words, edges, edges[1:], strict=False):
            assert begin <= word[0].start
            assert word[-1].end <= end


def test_ctc_tells_only_what_it_has_learnt():
    random = np.random.default_rng(0)
    tokens, vocabulary = [5, 7, 5], 12
    places = {2: 5, 6: 7, 9: 5}  # step: token
    logits = 0.3 * random.standard_normal((12, vocabulary))
    untrained = torch.from_numpy(logits).log_softmax(-1)
    assert likely_spans(untrained, tokens) == ()
    for step in range(12):
        logits[step, places.get(step, 0)] += 8.0
    trained = torch.from_numpy(logits).log_softmax(-1)
    spans = likely_spans(trained, tokens)
    assert [(s.token, s.start, s.end) for s in spans] == [(5, 2, 3), (7, 6, 7), (5, 9, 10)]
    assert likely_spans(trained, [4, 8, 4, 8]) == ()  # not what was heard
    assert likely_spans(trained, [5] * 12) == ()  # too long
    assert likely_spans(trained, []) == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_log_probabilities_that_are_not_finite_have_no_alignment(value):
    log_probs = torch.full((6, VOCABULARY), -1.5)
    log_probs[2, 1] = value
    with pytest.raises(ValueError, match="no CTC path"):
        align(log_probs, [1, 2])
    assert likely_spans(log_probs, [1, 2]) == ()


TOKENIZERS = {
    "bpe": BpeTokenizer((" ab", " ", "é的", "a", "b", "c", "é", "的", "ab")),
    "unigram": UnigramTokenizer((" a", "b", " ", "a", "c", "é", "的"), (-1.0,) * 7),
    "bytes": ByteTokenizer(),
    "words": WordTokenizer(("ab", "é的", "c")),
}


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("text", ["ab c", "", "é的", "c é的 ab xé", "xx xx", "a é"])
def test_words_of_tokens_of_every_kind(text, kind):
    tokenizer = TOKENIZERS[kind]
    tokens = tokenizer.encode(text)
    words = word_tokens(tokens, tokenizer)
    decoded = [tokenizer.decode(tokens[first:last]).strip() for first, last in words]
    assert decoded == tokenizer.decode(tokens).split()
    assert len(words) == len(text.split())


def test_words_of_sampled_pieces():
    tokenizer = TOKENIZERS["unigram"]
    random = np.random.default_rng(0)
    for _ in range(30):
        tokens = tokenizer.sample("ab cab é的", 0.1, random)
        words = word_tokens(tokens, tokenizer)
        decoded = [tokenizer.decode(tokens[first:last]).strip() for first, last in words]
        assert decoded == ["ab", "cab", "é的"]


@pytest.mark.parametrize("text", ["ab c", " ab  c ", "", "  ", "a", "a b c", "abc "])
def test_words_of_tokens_are_those_of_the_text(text):
    tokenizer = CharTokenizer.train(["abc "])
    tokens = tokenizer.encode(text)
    words = word_tokens(tokens, tokenizer)
    assert [tokenizer.decode(tokens[first:last]) for first, last in words] == text.split()
