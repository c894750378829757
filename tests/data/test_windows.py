import numpy as np
import pytest

from asr_attn.data.windows import WINDOW, plan_in_order

SPEECH = np.random.default_rng(0).lognormal(2.0, 0.6, 1000).tolist()
"""Durations like those of LibriSpeech: 7 s, from 2 to 30."""


@pytest.mark.parametrize("durations", [SPEECH, [0.4] * 500, [90.0, 1.0, 200.0, 2.0], [3.0], []])
@pytest.mark.parametrize("batch_seconds", [1.0, 60.0, 1e6])
def test_every_recording_is_in_one_batch_that_is_not_too_large(durations, batch_seconds):
    batches = list(plan_in_order(durations, batch_seconds))
    assert sorted(i for batch in batches for i in batch) == list(range(len(durations)))
    for batch in batches:
        assert len(batch) == 1 or max(durations[i] for i in batch) * len(batch) <= batch_seconds


def test_the_first_comes_with_the_first_batch_and_none_waits_longer_than_a_window():
    done: set[int] = set()
    for number, batch in enumerate(plan_in_order(SPEECH, 60.0)):
        done.update(batch)
        assert number or 0 in batch
        first_missing = next((i for i in range(len(SPEECH)) if i not in done), len(SPEECH))
        waiting = sum(SPEECH[i] for i in done if i > first_missing)
        assert waiting <= WINDOW * 60.0 + max(SPEECH)


def test_little_is_padding():
    batches = list(plan_in_order(SPEECH, 60.0))
    padded = sum(max(SPEECH[i] for i in batch) * len(batch) for batch in batches)
    assert padded < 1.15 * sum(SPEECH)
    in_order = [SPEECH[k : k + 7] for k in range(0, len(SPEECH), 7)]
    assert sum(max(batch) * len(batch) for batch in in_order) > 1.5 * sum(SPEECH), "too easy"
