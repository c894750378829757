import operator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from asr_attn.data.manifest import Utterance
from asr_attn.evaluation.datacheck.duplicates import duplicate_findings, find_duplicates
from asr_attn.evaluation.datacheck.fingerprint import SPEEDS, bit_errors, fingerprint
from asr_attn.evaluation.datacheck.listening import in_processes, listen

from .conftest import RATE, voice

CLEAN = 24


def faster(samples, speed):
    return soxr.resample(samples, RATE * speed, RATE).astype(np.float32)


def write(path: Path, samples, **how):
    soundfile.write(path, samples, RATE, **how)
    return path


def utterance(path: Path, text: str = "one") -> Utterance:
    return Utterance(path.stem, path, text, soundfile.info(path).duration)


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> list[Utterance]:
    folder = tmp_path_factory.mktemp("clean")
    return [utterance(write(folder / f"c{i}.wav", voice(i))) for i in range(CLEAN)]


def groups_of(utterances):
    sounds = list(listen(utterances, 1, fingerprints=True))
    found = find_duplicates([("train", u) for u in utterances], sounds, 1)
    return {frozenset(utterances[i].id for i in group) for group in found}


def test_clean_recordings_are_no_duplicates(clean):
    assert groups_of(clean) == set()


def test_planted_duplicates_are_found_and_no_others(clean, tmp_path):
    planted = [
        write(tmp_path / "p0.ogg", voice(0), compression_level=1.0),
        write(tmp_path / "p1.mp3", voice(1), compression_level=0.99),
        write(tmp_path / "p2.wav", voice(2)[1000:-900]),
        write(tmp_path / "p3.wav", faster(voice(3), 1.03)),
        write(tmp_path / "p4.wav", faster(voice(4), 1 / 1.1)),
        write(tmp_path / "p5.wav", faster(voice(5), 0.94)),
        write(tmp_path / "p6.wav", 0.05 * voice(6)),
        write(tmp_path / "p7.ogg", 0.5 * faster(voice(7), 1.067)[600:], compression_level=1.0),
        write(tmp_path / "p8.wav", voice(8)),
    ]
    expected = {frozenset({f"c{i}", f"p{i}"}) for i in range(len(planted))}
    assert groups_of([*clean, *map(utterance, planted)]) == expected


def test_what_shares_a_part_only_is_no_duplicate(tmp_path):
    parts = [voice(i) for i in range(50, 54)]
    paths = [
        write(tmp_path / "ab.wav", np.concatenate([parts[0], parts[1]])),
        write(tmp_path / "ac.wav", np.concatenate([parts[0], parts[2]])),
        write(tmp_path / "abd.wav", np.concatenate([parts[0], parts[1], parts[3]])),
    ]
    assert groups_of(list(map(utterance, paths))) == set()


def test_silence_is_no_duplicate_of_silence(tmp_path):
    paths = [write(tmp_path / f"{i}.wav", np.zeros(4000)) for i in range(2)]
    assert groups_of(list(map(utterance, paths))) == set()


def test_the_last_split_keeps_its_utterance(clean):
    places = [("train", clean[0]), ("train", clean[1]), ("test", clean[2])]
    found = list(duplicate_findings(places, [[0, 1, 2]], str))
    assert [(f.kind, f.split, f.id) for f in found] == [
        ("leak", "train", "c0"),
        ("leak", "train", "c1"),
    ]


def test_copies_in_one_split_with_other_texts_are_in_conflict(clean):
    other = Utterance("x", clean[1].audio, "two", 1.0)
    found = list(duplicate_findings([("a", clean[0]), ("a", other)], [[0, 1]], str))
    assert {(f.kind, f.id) for f in found} == {
        ("conflict", "c0"),
        ("conflict", "x"),
        ("duplicate", "x"),
    }


def test_bit_errors_are_those_of_single_bits():
    random = np.random.default_rng(0)
    a, b = (random.integers(0, 2**32, 40, dtype=np.uint64).astype(np.uint32) for _ in "ab")
    a[5], b[7] = 0, 0
    for lag in (-6, 0, 11):
        pairs = [(int(a[i]), int(b[i - lag])) for i in range(40) if 0 <= i - lag < 40]
        pairs = [(x, y) for x, y in pairs if x and y]
        wrong = sum(bin(x ^ y).count("1") for x, y in pairs)
        assert bit_errors(a, b, lag) == (pytest.approx(wrong / 32 / len(pairs)), len(pairs))
    assert bit_errors(a, b, 40) == (1.0, 0)


@pytest.mark.parametrize("speed", SPEEDS)
def test_fingerprint_at_a_speed_is_that_of_what_was_played_faster(speed):
    slow = fingerprint(voice(3), speed)
    fast = fingerprint(faster(voice(3), speed))
    error, count = min(bit_errors(slow, fast, lag) for lag in (-1, 0, 1))
    assert error < 0.05
    assert count > 0.9 * np.count_nonzero(fast)
    assert bit_errors(slow, fingerprint(voice(4)), 0)[0] > 0.3


def test_fingerprint_does_not_depend_on_loudness():
    error, _ = bit_errors(fingerprint(voice(1)), fingerprint(np.float32(0.01) * voice(1)), 0)
    assert error < 0.001


def test_processes_keep_the_order():
    assert list(in_processes(operator.neg, range(500), 2)) == [-i for i in range(500)]
