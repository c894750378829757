from collections import Counter
from operator import ne

import jiwer
import numpy as np
import pytest

from asr_attn.data.manifest import Utterance
from asr_attn.errors import InputError
from asr_attn.evaluation import scoring
from asr_attn.evaluation.error_rates import count_errors
from asr_attn.evaluation.grouping import labels_of, signal_to_noise
from asr_attn.evaluation.intervals import Interval, rate_interval
from asr_attn.evaluation.scoring import (
    Labels,
    count_unknown,
    grouped,
    quantile_labels,
    score_words,
)


def random_texts(count: int, seed: int, least: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    lengths = random.integers(least, 8, count)
    return [" ".join(random.choice(list("abcd"), length)) for length in lengths]


def test_parts_of_the_error_rate_are_those_of_jiwer():
    references, hypotheses = random_texts(3000, 0, least=1), random_texts(3000, 1)
    scores = score_words(references, hypotheses)
    counts = count_errors(references, hypotheses)
    output = jiwer.process_words(references, hypotheses)
    assert scores.errors.sum() == counts.errors
    assert scores.words.sum() == counts.total
    assert scores.substitutions.total() == output.substitutions
    assert scores.deletions.total() == output.deletions
    assert scores.insertions.total() == scores.inserted.sum() == output.insertions
    assert counts.hits == output.hits
    assert counts.match_error_rate == pytest.approx(jiwer.mer(references, hypotheses))
    assert counts.information_lost == pytest.approx(jiwer.wil(references, hypotheses))
    for i in range(0, 3000, 97):
        own = count_errors([references[i]], [hypotheses[i]])
        assert (scores.errors[i], scores.inserted[i]) == (own.errors, own.insertions)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_texts_are_aligned_a_few_at_a_time(monkeypatch, size):
    monkeypatch.setattr(scoring, "_BATCH", size)
    references, hypotheses = random_texts(50, 4), random_texts(50, 5)
    scores = score_words(references, hypotheses)
    assert scores.counts() == count_errors(references, hypotheses)
    assert scores.counts().wrong_sentences == sum(map(ne, references, hypotheses))
    with pytest.raises(ValueError, match="shorter"):
        score_words(references, hypotheses[1:])


def test_rates_of_texts_without_words_are_defined():
    nothing = count_errors(["", ""], ["", "a b"])
    assert (nothing.match_error_rate, nothing.information_lost) == (1.0, 1.0)
    empty = count_errors([""], [""])
    assert (empty.match_error_rate, empty.information_lost) == (0.0, 0.0)


def test_confusions_are_named():
    scores = score_words(["a b c", "d  e", "f"], ["a x c y", "e", "f"])
    assert scores.substitutions == Counter({("b", "x"): 1})
    assert scores.deletions == Counter({"d": 1})
    assert scores.insertions == Counter({"y": 1})
    assert scores.errors.tolist() == [2, 1, 0]


def test_unknown_words_are_counted_by_occurrence():
    references = ["a new word", "a new one", "old"]
    scores = score_words(references, ["a new ward", "a knew one", "old"])
    found = count_unknown(references, scores, {"a", "one", "old"})
    assert (found.count, found.different, found.recognised, found.words) == (3, 2, 1, 7)


def test_groups_add_up():
    scores = score_words(random_texts(60, 2, least=1), random_texts(60, 3, least=1))
    labels = ["x", "y", "z"] * 20
    groups = grouped(scores, Labels(labels, ("x", "y", "z")))
    assert [g.name for g in groups] == ["x", "y", "z"]
    assert sum(g.errors for g in groups) == scores.errors.sum()
    assert sum(g.words for g in groups) == scores.words.sum()
    for k, group in enumerate(groups):
        assert group.rate == scores.errors[k::3].sum() / scores.words[k::3].sum()
        assert group.interval is not None
        assert group.interval.low <= group.rate <= group.interval.high
    rates = [g.rate for g in grouped(scores, Labels(labels))]
    assert rates == sorted(rates, reverse=True)
    (silent,) = grouped(score_words(["", ""], ["a", ""]), Labels(["s", "s"]))
    assert (silent.rate, silent.interval) == (None, None)


def test_numbers_are_cut_into_quarters():
    labels = quantile_labels(np.arange(100.0)[::-1], "s")
    assert [labels.each.count(name) for name in labels.ranges] == [25] * 4
    lows = [float(name.split()[0]) for name in labels.ranges]
    assert lows == sorted(lows)
    assert quantile_labels(np.ones(5), "s") == Labels(["1 s"] * 5, ("1 s",))


def test_fields_of_the_manifest_are_groups(tmp_path):
    import soundfile

    random = np.random.default_rng(0)
    utterances = []
    for i, quiet in enumerate((0.1, 0.01, 0.001, 0.0001)):
        sound = random.standard_normal(16000) * np.repeat([0.1, quiet], 8000)
        soundfile.write(tmp_path / f"{i}.wav", sound, 16000, subtype="FLOAT")
        extra = {"room": "big" if i % 2 else "small", "age": 20 + i}
        utterances.append(
            Utterance(str(i), tmp_path / f"{i}.wav", "a", 1.0, speaker=f"s{i}", extra=extra)
        )
    words = [1, 2, 3, 4]
    assert labels_of("room", utterances, words, 16000) == Labels(["small", "big"] * 2)
    assert labels_of("speaker", utterances, words, 16000).each == ["s0", "s1", "s2", "s3"]
    assert len(labels_of("age", utterances, words, 16000).ranges) == 4
    assert len(labels_of("rate", utterances, words, 16000).ranges) == 4
    assert len(labels_of("snr", utterances, words, 16000).ranges) == 4
    # a tenth of the level is 20 dB; percentiles of 10 ms of noise lie within 3 dB of the level
    ratios = [signal_to_noise(utterance, 16000) for utterance in utterances]
    assert ratios == pytest.approx([0, 20, 40, 60], abs=3)
    with pytest.raises(InputError, match=r"'0' has no such field; known: .*speaker.*room"):
        labels_of("mood", utterances, words, 16000)


def test_no_errors_do_not_mean_no_doubt():
    zeros, words = np.zeros(50, int), np.full(50, 4)
    interval = rate_interval(zeros, words)
    assert interval == Interval(0.0, pytest.approx(1 - 0.025 ** (1 / 200)))
    units = np.arange(50) // 10
    errors = np.arange(50) % 2
    by_speaker = rate_interval(errors, words, units)
    sums = rate_interval(np.full(5, 5), np.full(5, 40))
    assert (by_speaker.low, by_speaker.high) == (sums.low, sums.high)
