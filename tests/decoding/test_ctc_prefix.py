"""CTC prefix scores against the sum over all paths, and against the recursion frame by frame."""

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from torch import Tensor

from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.ctc_prefix import CtcPrefixScorer, CtcPrefixState
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.text.tokenizer import BLANK, EOS

Text = tuple[int, ...]


def random_log_probs(
    seed: int, batch: int, steps: int, vocabulary: int, spread: float = 2.0
) -> Tensor:
    """(B, S, V) float64; EOS is no label of CTC, so it has no part in the sums of the tests."""
    random = np.random.default_rng([seed, batch, steps, vocabulary])
    logits = torch.tensor(spread * random.standard_normal((batch, steps, vocabulary)))
    logits[:, :, EOS] = -torch.inf
    return logits.log_softmax(dim=-1)


def begin(
    log_probs: Tensor, lengths: Tensor | None = None
) -> tuple[CtcPrefixScorer, CtcPrefixState]:
    """Scorer and start; the memory is the log-probabilities themselves."""
    if lengths is None:
        lengths = torch.full((log_probs.size(0),), log_probs.size(1))
    scorer = CtcPrefixScorer(lambda memory: memory)
    return scorer, scorer.start(log_probs, lengths)


def walk(scorer: CtcPrefixScorer, state: CtcPrefixState, texts: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N, U + 1) of the prefixes of texts (N, U), and (N, U + 1, V) of the next.

    The increments are added up in float64.
    """
    totals = torch.zeros(texts.size(0), dtype=torch.float64)
    start = torch.full((texts.size(0), 1), EOS)
    prefixes, continued = [], []
    for tokens in torch.cat([start, texts], dim=1).T:
        if prefixes:
            totals = continued[-1].gather(1, tokens[:, None])[:, 0]
        increments, state = scorer.score(tokens, state)
        assert not increments.isnan().any()
        prefixes.append(totals)
        continued.append(totals[:, None] + increments)
    return torch.stack(prefixes, dim=1), torch.stack(continued, dim=1)


def collapse(path: Text) -> Text:
    return tuple(label for label, _ in itertools.groupby(path) if label != BLANK)


def by_enumeration(log_probs: Tensor) -> tuple[dict[Text, float], dict[Text, float]]:
    """Probabilities of all prefixes and of all whole texts of one utterance (S, V)."""
    table = log_probs.double().exp().tolist()
    prefixes: dict[Text, float] = defaultdict(float)
    whole: dict[Text, float] = defaultdict(float)
    for path in itertools.product(range(log_probs.size(1)), repeat=log_probs.size(0)):
        probability = math.prod(row[label] for row, label in zip(table, path, strict=True))
        text = collapse(path)
        whole[text] += probability
        for count in range(len(text) + 1):
            prefixes[text[:count]] += probability
    return prefixes, whole


def by_recursion(log_probs: Tensor, text: Text) -> Tensor:
    """Log-probabilities (U + 1, V) of each prefix of ``text`` continued by each label.

    At EOS that of the prefix as a whole. One utterance (S, V), frame by frame, as in the paper.
    """
    frames = log_probs.double().numpy()
    steps, vocabulary = frames.shape
    n = np.full(steps + 1, -np.inf)
    b = np.concatenate([[0.0], np.cumsum(frames[:, BLANK])])
    out = np.full((len(text) + 1, vocabulary), -np.inf)
    for count in range(len(text) + 1):
        last = text[count - 1] if count else None
        phi = [b if label == last else np.logaddexp(n, b) for label in range(vocabulary)]
        for label in range(2, vocabulary):
            out[count, label] = np.logaddexp.reduce(phi[label][:-1] + frames[:, label])
        out[count, EOS] = np.logaddexp(n[-1], b[-1])
        if count < len(text):
            label = text[count]
            n, b = np.full(steps + 1, -np.inf), np.full(steps + 1, -np.inf)
            for t in range(steps):
                n[t + 1] = np.logaddexp(n[t], phi[label][t]) + frames[t, label]
                b[t + 1] = np.logaddexp(n[t], b[t]) + frames[t, BLANK]
    return torch.tensor(out)


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    """Equal, -inf included; relative to the size, for the increments are float32."""
    torch.testing.assert_close(found.double(), expected.double(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("steps", "vocabulary", "longest"), [(5, 4, 6), (4, 5, 5), (1, 4, 2)])
def test_every_prefix_has_the_probability_of_all_its_paths(steps, vocabulary, longest):
    labels = [label for label in range(vocabulary) if label not in (BLANK, EOS)]
    for seed in range(3):
        log_probs = random_log_probs(seed, 1, steps, vocabulary)
        prefixes, whole = by_enumeration(log_probs[0])
        for count in range(longest + 1):
            texts = list(itertools.product(labels, repeat=count))
            scorer, state = begin(log_probs)
            state = state.select(torch.zeros(len(texts), dtype=torch.long))
            table = torch.tensor(texts, dtype=torch.long).reshape(len(texts), count)
            found, continued = walk(scorer, state, table)
            for row, text in enumerate(texts):
                close(found[row, -1], torch.tensor(prefixes[text]).log())
                close(continued[row, -1, EOS], torch.tensor(whole[text]).log())
                assert continued[row, -1, BLANK] == -torch.inf
                for label in labels:
                    expected = torch.tensor(prefixes[(*text, label)]).log()
                    close(continued[row, -1, label], expected)


def test_what_continues_a_prefix_and_what_ends_it_adds_up_to_the_prefix():
    log_probs = random_log_probs(0, 1, 40, 6)
    prefixes, continued = walk(*begin(log_probs), torch.tensor([[2, 2, 5, 3, 3, 3, 4]]))
    close(continued.logsumexp(dim=-1), prefixes)


def test_a_repeat_needs_a_blank_between():
    path = torch.tensor([[2, 2, BLANK, 2, 3]])
    log_probs = torch.nn.functional.one_hot(path, 4).double().log()
    found, continued = walk(*begin(log_probs), torch.tensor([[2, 2, 3]]))
    assert torch.equal(found, torch.zeros(1, 4).double())
    expected = torch.full((4, 4), -torch.inf)
    for row, token in enumerate([2, 2, 3, EOS]):
        expected[row, token] = 0.0
    close(continued[0], expected)


@pytest.mark.parametrize("text", [(2, 2, 2, 2), (2, 3, 2, 3, 2, 3), (3,) * 9])
def test_a_prefix_longer_than_the_frames_has_no_path(text):
    log_probs = random_log_probs(1, 1, 5, 4)
    needed = len(text) + sum(a == b for a, b in itertools.pairwise(text))
    assert needed > 5
    found, continued = walk(*begin(log_probs), torch.tensor([text]))
    assert found[0, -1] == -torch.inf
    assert (continued[0, -1] == -torch.inf).all()


def test_an_utterance_without_frames_is_empty_text():
    scorer, state = begin(random_log_probs(0, 2, 5, 4), torch.tensor([0, 5]))
    increments, _ = scorer.score(torch.tensor([EOS, EOS]), state)
    assert increments[0].tolist() == [-math.inf, 0.0, -math.inf, -math.inf]


def test_padding_changes_nothing():
    lengths = [37, 20, 16, 1]
    log_probs = random_log_probs(2, 4, 37, 6)
    texts = torch.tensor(np.random.default_rng(0).integers(2, 6, (4, 9)))
    alone = [
        walk(*begin(log_probs[row : row + 1, :length]), texts[row : row + 1])[1][0]
        for row, length in enumerate(lengths)
    ]
    for filling in (0.0, -50.0, -math.inf, math.nan):
        for row, length in enumerate(lengths):
            log_probs[row, length:] = filling
        _, together = walk(*begin(log_probs, torch.tensor(lengths)), texts)
        for one, other in zip(alone, together, strict=True):
            close(other, one)


def test_the_tables_hold_no_probability_in_the_padding():
    """The lengths protect the sums as well; a table that is used without them must be right."""
    lengths = torch.tensor([7, 3, 1])
    log_probs = random_log_probs(4, 3, 7, 6)
    _, state = begin(log_probs, lengths)
    for row, length in enumerate(lengths.tolist()):
        assert not state.probabilities[row, :, length:].any()
        torch.testing.assert_close(
            state.probabilities[row, :, :length], log_probs[row, :length].exp().T
        )
        # a step of padding has every label for certain: sums stay those of the last real step
        ends = state.cumulative[row, :, length:]
        assert torch.equal(ends, ends[:, :1].expand_as(ends))


def test_the_whole_state_moves_with_a_hypothesis():
    lengths = [30, 22, 11]
    log_probs = random_log_probs(3, 3, 30, 6)
    scorer, state = begin(log_probs, torch.tensor(lengths))
    random = np.random.default_rng(0)
    rows: list[tuple[int, Text]] = [(utterance, ()) for utterance in range(3)]
    tokens = [EOS] * 3
    # Repeats, drops and mixes utterances, in unequal numbers of rows.
    for step in range(8):
        increments, state = scorer.score(torch.tensor(tokens), state)
        for (utterance, text), found in zip(rows, increments, strict=True):
            expected = by_recursion(log_probs[utterance, : lengths[utterance]], text)
            before = expected[-2, text[-1]] if text else torch.tensor(0.0)
            if before == -torch.inf:
                assert (found == -torch.inf).all()
            else:
                close(found, expected[-1] - before, 1e-5)
        index = random.integers(0, len(rows), 4 + step)
        state = state.select(torch.tensor(index))
        tokens = random.integers(2, 6, len(index)).tolist()
        rows = [(rows[i][0], (*rows[i][1], t)) for i, t in zip(index, tokens, strict=True)]


def test_slots_of_a_beam_that_hold_nothing_are_no_trouble():
    scorer, state = begin(random_log_probs(0, 1, 6, 5))
    state = state.select(torch.zeros(4, dtype=torch.long))
    tokens = torch.full((4,), EOS)
    for _ in range(8):
        increments, state = scorer.score(tokens, state)
        assert not increments.isnan().any()
        assert (increments < torch.inf).all()
        tokens = torch.tensor([BLANK, EOS, 3, 3])
    assert (increments[[0, 2, 3]] == -torch.inf).all()


def test_select_leaves_the_tables_of_utterances_alone():
    _, state = begin(random_log_probs(0, 3, 20, 5))
    moved = state.select(torch.tensor([2, 2, 0, 1]))
    for name in ("lengths", "cumulative", "probabilities"):
        assert getattr(moved, name) is getattr(state, name)


@pytest.mark.parametrize("spread", [0.0, 1.0, 12.0, 400.0])
def test_long_utterances(spread):
    log_probs = random_log_probs(4, 1, 2000, 7, spread)
    heard = collapse(tuple(log_probs[0].argmax(dim=-1).tolist()))[:15]
    for text in (heard, (5, 3, 3, 3, 6, 2, 5, 2, 2, 4)):
        _, continued = walk(*begin(log_probs), torch.tensor([text], dtype=torch.long))
        close(continued[0], by_recursion(log_probs[0], text))


def test_a_confident_long_utterance():
    """As a trained CTC is: single labels among blanks. Texts are what it heard, or are not."""
    random = np.random.default_rng(0)
    path = np.where(np.arange(2000) % 5 == 0, random.integers(2, 7, 2000), BLANK)
    logits = random.standard_normal((1, 2000, 7))
    logits[0, np.arange(2000), path] += 25.0
    log_probs = torch.tensor(logits).log_softmax(dim=-1)
    heard = collapse(tuple(path.tolist()))
    for text in (heard[:10] + heard[30:50], tuple(random.integers(2, 7, 20).tolist())):
        _, continued = walk(*begin(log_probs), torch.tensor([text]))
        close(continued[0], by_recursion(log_probs[0], text))


@pytest.mark.parametrize("nats", [300.0, 700.0, 740.0, 3000.0])
def test_tiny_probabilities(nats):
    log_probs = random_log_probs(5, 1, 40, 6)
    log_probs[:, :, 3] -= nats  # one label everywhere
    log_probs[:, 10:14] -= nats  # all labels of some frames
    log_probs[:, 20:25, BLANK] -= nats
    for text in [(3, 3, 4), (2, 4, 3, 5), (2, 2, 2, 2, 2, 5), (4,) * 20]:
        _, continued = walk(*begin(log_probs), torch.tensor([text]))
        close(continued[0], by_recursion(log_probs[0], text))


def test_labels_without_any_probability():
    random = np.random.default_rng(6)
    for seed in range(20):
        log_probs = random_log_probs(seed, 1, 25, 5)
        log_probs[torch.tensor(random.random((1, 25, 5)) < 0.4)] = -torch.inf
        text = tuple(random.integers(2, 5, 5).tolist())
        found, continued = walk(*begin(log_probs), torch.tensor([text]))
        assert (continued[found == -torch.inf] == -torch.inf).all()
        close(continued[0], by_recursion(log_probs[0], text))


def test_many_sums_in_the_log_domain():
    """More pairs of hypothesis and token than are summed at once."""
    log_probs = random_log_probs(7, 1, 20, 50)
    log_probs[:, :, 2:] -= 1000.0
    texts = torch.arange(2, 42).repeat(3)[:, None]
    scorer, state = begin(log_probs)
    _, continued = walk(scorer, state.select(torch.zeros(120, dtype=torch.long)), texts)
    for row in (0, 39, 119):
        close(continued[row], by_recursion(log_probs[0], tuple(texts[row].tolist())))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_reads_any_precision(dtype):
    log_probs = random_log_probs(8, 2, 30, 6).to(dtype)
    texts = torch.tensor([[2, 3, 3], [5, 5, 4]])
    _, continued = walk(*begin(log_probs), texts)
    _, expected = walk(*begin(log_probs.double()), texts)
    assert torch.equal(continued, expected)
    scorer, state = begin(log_probs)
    increments, _ = scorer.score(torch.tensor([EOS, EOS]), state)
    assert increments.dtype == torch.float32


def test_beam_search_finds_the_likeliest_text():
    for seed in range(5):
        lengths = torch.tensor([5, 3, 4])
        log_probs = random_log_probs(seed, 3, 5, 4).float()
        scorer = CtcPrefixScorer(lambda memory: memory)
        config = SearchConfig(beam=30, length_exponent=0.0)
        found = beam_search([(scorer, 1.0)], log_probs, lengths, config)
        for row, length in enumerate(lengths.tolist()):
            _, whole = by_enumeration(log_probs[row, :length])
            best = max(whole, key=lambda text: whole[text])
            assert found[row][0].tokens == best
            assert found[row][0].log_prob == pytest.approx(math.log(whole[best]), abs=1e-5)
