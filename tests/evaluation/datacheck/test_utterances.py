from pathlib import Path

import numpy as np
import pytest

from asr_attn.data.manifest import Utterance
from asr_attn.evaluation.datacheck.levels import clipped_share, measure_levels
from asr_attn.evaluation.datacheck.listening import Sound
from asr_attn.evaluation.datacheck.statistics import histogram
from asr_attn.evaluation.datacheck.utterances import (
    Limits,
    pace_findings,
    script_findings,
    scripts,
    sound_findings,
)

from .conftest import RATE, voice


def tone(amplitude: float, frequency: float = 110.0, rate: int = RATE):
    samples = amplitude * np.sin(2 * np.pi * frequency * np.arange(rate) / rate)
    return (np.round(np.clip(samples, -1, 32767 / 32768) * 32768) / 32768).astype(np.float32)


def said(text: str, duration: float = 1.0, name: str = "u", language: str | None = None):
    return Utterance(name, Path("a.wav"), text, duration, language=language)


def heard(samples, **keys) -> Sound:
    keys = {"rate": RATE, "available": len(samples) / RATE} | keys
    return Sound(levels=measure_levels(samples, RATE), **keys)


def kinds(utterance, sound, whole=True):
    return [f.kind for f in sound_findings("s", utterance, sound, whole, Limits())]


@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_clipping_is_the_share_of_samples_cut_off(gain):
    clipped = gain * tone(1.5)
    # |1.5 sin| is above 1 for the share 1 - 2 asin(1 / 1.5) / pi
    assert clipped_share(clipped) == pytest.approx(1 - 2 * np.arcsin(1 / 1.5) / np.pi, abs=0.02)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("amplitude", [1.0, 0.5])
def test_loud_sound_is_not_clipped(amplitude, rate):
    assert clipped_share(tone(amplitude, rate=rate)) == 0


def test_levels_of_known_sound():
    random = np.random.default_rng(0)
    noise = 0.001 * random.standard_normal(RATE)
    samples = (noise + np.where(np.arange(RATE) < RATE // 2, tone(0.5), 0)).astype(np.float32)
    levels = measure_levels(samples, RATE)
    assert levels.level == pytest.approx(10 * np.log10(0.125 / 2), abs=0.1)
    assert levels.snr == pytest.approx(10 * np.log10(0.125 / 1e-6), abs=1.5)
    assert levels.loudest == pytest.approx(10 * np.log10(0.125), abs=0.6)
    assert not levels.silent
    assert measure_levels(np.zeros(100, np.float32), RATE).silent


def test_right_utterances_have_no_findings():
    sound = heard(voice(0))
    assert kinds(said("one two three", sound.available), sound) == []
    assert kinds(said("", 1.0), heard(np.zeros(RATE, np.float32))) == []


def test_findings_of_single_utterances():
    samples = voice(0)
    sound = heard(samples)
    right = sound.available
    assert kinds(said("one"), Sound(fault="x is damaged.")) == ["unreadable"]
    assert kinds(said("one"), heard(np.zeros(RATE, np.float32))) == ["silent"]
    assert kinds(said("", right), sound) == ["untranscribed"]
    assert kinds(said("one", right), heard(np.clip(12 * samples, -1, 1))) == ["clipped"]
    assert kinds(said("one", right + 0.2), sound) == ["duration"]
    assert kinds(said("one", right - 0.2), sound) == ["duration"]
    assert kinds(said("one", right + 0.09), sound) == []
    assert kinds(said("one", right - 0.2), sound, whole=False) == []
    assert kinds(said("one", right + 0.2), sound, whole=False) == ["beyond-end"]
    assert kinds(said("one"), Sound(rate=RATE, available=-1.0), whole=False) == ["beyond-end"]
    assert kinds(said("one", 0.08), heard(samples[1600:2240])) == ["short"]
    assert kinds(said("one", 31.0), heard(samples, available=31.0)) == ["long"]


def test_pace_far_from_the_others():
    random = np.random.default_rng(0)
    sound = heard(voice(0), available=100.0)
    usual = [said("x" * 14, 14 / rate) for rate in random.normal(14, 1.5, 200)]
    long, short = said("x" * 14, 14 / 45, "long"), said("x", 1.4, "short")
    found = list(pace_findings([("s", u, sound) for u in [*usual, long, short]]))
    assert {f.id for f in found} == {"long", "short"}
    # few utterances have no usual pace, but there are limits
    few = [said("x" * 60, 1.0, "impossible"), said("x" * 40, 1.0)]
    assert [f.id for f in pace_findings([("s", u, sound) for u in few])] == ["impossible"]


def test_pace_is_that_of_the_language():
    sound = heard(voice(0), available=100.0)
    groups = [said("x" * 14, language="en")] * 50 + [said("x" * 4, language="zh")] * 50
    assert list(pace_findings([("s", u, sound) for u in groups])) == []


def test_scripts_of_letters():
    assert scripts("naïve 3 тест, 中") == {"LATIN": "naïve", "CYRILLIC": "тест", "CJK": "中"}
    assert scripts("\uff12 \uff21\uff42") == {"LATIN": "Ab"}


def test_texts_in_a_script_or_language_that_few_have():
    texts = [said("plain text", language="en")] * 99
    odd = said("pl\u0430in text", name="odd", language="ru")  # with a Cyrillic a
    found = list(script_findings([("s", u) for u in [*texts, odd]]))
    assert [(f.kind, f.id) for f in found] == [("script", "odd"), ("language", "odd")]
    mixed = [said("日本")] * 50 + [said("ひら")] * 50
    assert list(script_findings([("s", u) for u in mixed])) == []


def test_histogram_counts_everything_once():
    values = np.random.default_rng(1).gamma(4.0, 1.0, 1000)
    found = histogram(values.tolist())
    expected, _ = np.histogram(values, found.edges)
    assert sum(found.counts) + found.below + found.above == 1000
    assert np.abs(np.array(found.counts) - expected).sum() <= 1  # numpy's last bin is closed
    assert found.below == (values < found.edges[0]).sum()
    assert found.below + found.above <= 30
    assert histogram([2.0]).counts == (1,)
    assert histogram([]).counts == ()
