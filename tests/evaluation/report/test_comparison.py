"""Two recognisers of a report are compared as ``asr-attn compare`` compares them."""

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np

from asr_attn.evaluation.comparison import compare
from asr_attn.evaluation.report.report import _comparison
from asr_attn.evaluation.report.subjects import word_pairs
from asr_attn.evaluation.segments import matched_pairs_test, segment_differences


def test_speakers_are_resampled_as_a_whole():
    random = np.random.default_rng(1)
    said = [" ".join(random.choice(list("abcdefgh"), 8)) for _ in range(90)]
    speakers = np.arange(90) % 30
    lapses = random.uniform(0, 0.6, 30)  # what is hard is hard for a speaker
    heard = [
        [
            " ".join("x" if random.random() < share * lapses[s] else w for w in text.split())
            for text, s in zip(said, speakers)
        ]
        for share in (1.0, 0.7)
    ]
    subjects = []
    for name, texts in zip("AB", heard):
        pairs = word_pairs(said, texts)
        errors = np.array([sum(kind != "=" for kind, _, _ in row) for row in pairs])
        scores = SimpleNamespace(errors=errors, words=np.full(90, 8))
        found = SimpleNamespace(scores=scores, speakers=speakers, interval_unit="speakers")
        subjects.append(
            SimpleNamespace(name=name, evaluation=found, pairs=pairs, utterances=[None] * 90)
        )
    columns = [s.evaluation.scores.errors[:, None] for s in subjects]
    segments = [d for row in zip(said, *heard) for d in segment_differences(*row)]
    expected = compare(*columns, np.full(90, 8), matched_pairs_test(segments), speakers)
    shown = dict(_comparison(*subjects))
    assert "B is better than A" in shown.pop("conclusion")
    assert shown == asdict(expected)
    apart = compare(*columns, np.full(90, 8), matched_pairs_test(segments))
    assert apart.interval != expected.interval
