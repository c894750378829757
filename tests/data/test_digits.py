import builtins
import dataclasses
import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_attn.data import digits
from asr_attn.data.degradation import (
    add_noise,
    band_limit,
    coloured_noise,
    reverberate,
    root_mean_square,
)
from asr_attn.data.digits import ACCENTS, VARIANTS, WORDS, DigitsConfig, make_digits, make_utterance
from asr_attn.data.espeak import Speech, Synthesiser
from asr_attn.data.manifest import read_manifest
from asr_attn.errors import ConfigError, InputError

SMALL = DigitsConfig(train=12, dev=4, test=6, seed=3)


@pytest.fixture
def loader():
    return pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed")


@pytest.fixture
def made(loader, tmp_path):
    folder = tmp_path / "digits"
    make_digits(folder, SMALL)
    return folder


def fingerprints(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_makes_what_was_asked_for(loader, tmp_path):
    seen = []
    manifests = make_digits(tmp_path / "d", SMALL, lambda done, total: seen.append((done, total)))
    assert seen == [(done, 22) for done in range(1, 23)]
    assert {split: len(read_manifest(path)) for split, path in manifests.items()} == {
        "train": 12,
        "dev": 4,
        "test": 6,
    }
    for path in manifests.values():
        for utterance in read_manifest(path):
            samples, rate = soundfile.read(utterance.audio, dtype="int16")
            assert rate == 16000
            assert utterance.duration == len(samples) / rate
            assert set(utterance.text.split()) <= set(WORDS)
            peak = np.abs(samples.astype(int)).max()
            assert 1500 < peak < 32767, "neither silent nor clipped"
    assert [path.name for path in tmp_path.iterdir()] == ["d"], "nothing is left beside it"


def test_every_length_comes_and_train_favours_short_strings(loader):
    def lengths(split):
        return [
            len(digits._draw_words(np.random.default_rng(seed), split, 7)) for seed in range(2000)
        ]

    train, test = (np.bincount(lengths(split), minlength=8)[1:] for split in ("train", "test"))
    assert train.min() > 100
    assert train[0] > 2 * train[6]
    assert test.min() > 200
    assert test.max() < 400


def test_same_seed_gives_the_same_bytes_and_another_seed_others(made, tmp_path):
    make_digits(tmp_path / "again", SMALL)
    assert fingerprints(tmp_path / "again") == fingerprints(made)
    make_digits(tmp_path / "other", dataclasses.replace(SMALL, seed=4))
    first = "audio/train-00000.wav"
    assert fingerprints(tmp_path / "other")[first] != fingerprints(made)[first]


def test_utterances_do_not_depend_on_the_order_or_number_of_others(made):
    """The library's counters run on from one utterance to the next; it must not be heard."""
    more = dataclasses.replace(SMALL, train=500, test=90)
    with Synthesiser() as synthesiser:
        for split, count in (("test", 6), ("train", 12)):
            for index in reversed(range(count)):
                samples, text, voice = make_utterance(synthesiser, split, index, more)
                path = made / "audio" / f"{split}-{index:05d}.wav"
                assert np.array_equal(samples, soundfile.read(path, dtype="int16")[0])
                listed = read_manifest(made / f"{split}.jsonl")[index]
                assert (listed.text, listed.speaker) == (text, voice)


def test_every_voice_repeats_itself_exactly(loader):
    rng = np.random.default_rng(0)
    voices = [variant for variants in VARIANTS.values() for variant in variants]
    speeches = [
        Speech(
            " ".join(rng.choice(WORDS, rng.integers(3, 9))),
            f"{accent}+{voice}",
            rate=int(rng.integers(120, 221)),
            pitch=int(rng.integers(30, 71)),
        )
        for voice in voices
        for accent in ACCENTS
    ]
    with Synthesiser() as synthesiser:
        before = [synthesiser.speak(speech) for speech in speeches]
        order = rng.permutation(len(speeches))
        after = {index: synthesiser.speak(speeches[index]) for index in order}
    assert [
        s.voice for i, s in enumerate(speeches) if not np.array_equal(before[i], after[i])
    ] == []
    assert max(np.abs(samples).max() for samples in before) < 0.97
    assert len({samples.tobytes() for samples in before}) == len(speeches)


def test_voices_of_the_splits_are_disjoint(made):
    names = [variant for variants in VARIANTS.values() for variant in variants]
    assert len(names) == len(set(names))
    for split, variants in VARIANTS.items():
        for utterance in read_manifest(made / f"{split}.jsonl"):
            accent, variant = utterance.speaker.split("+")
            assert accent in ACCENTS
            assert variant in variants


def test_a_complete_set_is_not_made_again(made, monkeypatch):
    monkeypatch.setattr(digits, "Synthesiser", None)
    assert make_digits(made, SMALL) == {
        split: made / f"{split}.jsonl" for split in ("train", "dev", "test")
    }


@pytest.mark.parametrize(
    "lost", ["digits.json", "test.jsonl", "audio/train-00005.wav", "audio", None]
)
def test_a_half_made_set_is_made_anew(made, lost):
    whole = fingerprints(made)
    if lost is None:
        (made / "digits.json").write_text("{", encoding="utf-8")
    elif (made / lost).is_dir():
        for path in (made / lost).iterdir():
            path.unlink()
    else:
        (made / lost).unlink()
    make_digits(made, SMALL)
    assert fingerprints(made) == whole


def test_another_configuration_or_generator_makes_it_anew(made, monkeypatch):
    make_digits(made, dataclasses.replace(SMALL, dev=2))
    assert len(read_manifest(made / "dev.jsonl")) == 2
    assert not (made / "audio" / "dev-00003.wav").exists()
    monkeypatch.setattr(digits, "GENERATOR_VERSION", 99)
    make_digits(made, dataclasses.replace(SMALL, dev=2))
    assert json.loads((made / "digits.json").read_text(encoding="utf-8"))["generator"] == 99


def test_an_interrupted_run_leaves_nothing_behind(loader, tmp_path):
    def interrupt(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_digits(tmp_path / "d", SMALL, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(loader, tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    folder = tmp_path / "file" / "d"
    with pytest.raises(InputError, match="part of the path is a file") as caught:
        make_digits(folder, SMALL)
    assert str(caught.value).startswith(f"{folder}: cannot be written")


def test_a_full_disk_is_told_and_nothing_is_left(loader, tmp_path):
    resource = pytest.importorskip("resource", reason="limits as on Unix")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def shrink(done, total):
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))

    try:
        with pytest.raises(InputError, match=os.strerror(errno.EFBIG)) as caught:
            make_digits(tmp_path / "d", SMALL, shrink)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value).startswith(f"{tmp_path / 'd'}: cannot be written")
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_are_never_replaced(loader, tmp_path):
    mine = tmp_path / "d" / "audio" / "interview.wav"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"audio/interview\.wav"):
        make_digits(tmp_path / "d", SMALL)
    assert mine.read_bytes() == b"mine"


def test_missing_synthesiser_is_told(tmp_path, monkeypatch):
    real_import = builtins.__import__

    def without_loader(name, *args, **kwargs):
        if name == "espeakng_loader":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_loader)
    with pytest.raises(InputError, match=r'pip install "asr-attn\[digits\]"'):
        make_digits(tmp_path / "d", SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("voice", ["en-us+nobody", "klingon+f1", "en-us"])
def test_an_unknown_voice_is_refused(loader, voice):
    with Synthesiser() as synthesiser, pytest.raises(InputError, match="no voice"):
        synthesiser.speak(Speech("one", voice))


@pytest.mark.parametrize(
    "change", [{"train": 0}, {"max_digits": 0}, {"seed": -1}, {"sample_rate": 4000}]
)
def test_senseless_settings_are_refused(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        DigitsConfig(**change)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_coloured_noise_has_its_slope_and_level(exponent):
    noise = coloured_noise(np.random.default_rng(0), 1 << 16, exponent)
    assert root_mean_square(noise) == pytest.approx(1.0, rel=1e-4)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [np.mean(power[1 << k : 2 << k]) for k in range(6, 15)]
    slope = np.polyfit(np.arange(len(octaves)), np.log2(octaves), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.15)


def test_noise_is_added_at_the_wanted_ratio():
    rng = np.random.default_rng(0)
    speech = rng.standard_normal(8000).astype(np.float32) * np.float32(0.3)
    noise = rng.standard_normal(8000).astype(np.float32) * np.float32(7.0)
    added = add_noise(speech, noise, 12.0, root_mean_square(speech)) - speech
    ratio = 20 * np.log10(root_mean_square(speech) / root_mean_square(added))
    assert ratio == pytest.approx(12.0, abs=1e-3)
    assert np.corrcoef(added, noise)[0, 1] == pytest.approx(1.0)
    assert np.array_equal(add_noise(speech, 0 * noise, 12.0, 1.0), speech)


@pytest.mark.parametrize(
    ("frequency", "gain_db"), [(60, -80), (300, -3), (1000, 0), (3400, -3), (7000, -50)]
)
def test_band_limit_keeps_the_band_alone(frequency, gain_db):
    rate = 16000
    tone = np.sin(2 * np.pi * frequency * np.arange(2 * rate) / rate).astype(np.float32)
    limited = band_limit(tone, rate, 300.0, 3400.0)
    assert limited.shape == tone.shape
    middle = slice(rate // 2, 3 * rate // 2)
    gain = 20 * np.log10(root_mean_square(limited[middle]) / root_mean_square(tone[middle]))
    if gain_db >= -3:
        assert gain == pytest.approx(gain_db, abs=0.1)
    else:
        assert gain < gain_db + 30


def test_room_keeps_the_direct_sound_and_decays():
    click = np.zeros(16000, dtype=np.float32)
    click[100] = 1.0
    wet = reverberate(np.random.default_rng(0), click, 16000, decay=0.4, ratio_db=6.0)
    assert wet[100] == pytest.approx(1.0, abs=1e-5)
    assert np.abs(wet[:100]).max() < 1e-5
    tail = wet[101:]
    assert 10 * np.log10(1.0 / np.sum(tail.astype(np.float64) ** 2)) == pytest.approx(6.0, abs=0.1)
    early, late = root_mean_square(tail[1000:2000]), root_mean_square(tail[4000:5000])
    # 3000 samples later, of the 6400 in which it falls by 60 dB
    assert 20 * np.log10(early / late) == pytest.approx(60 * 3000 / 6400, abs=2.0)
