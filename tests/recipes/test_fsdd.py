import importlib.util
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_attn.data.corpus import DATA_VARIABLE
from asr_attn.data.manifest import read_manifest

RECIPE = Path(__file__).parents[2] / "recipes" / "fsdd" / "prepare.py"
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("fsdd_prepare", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_corpus(folder: Path) -> Path:
    """3000 files of a few milliseconds; each has its own level, by which to know it again."""
    recordings = folder / "recordings"
    recordings.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for speaker in SPEAKERS:
        for digit in range(10):
            for take in range(50):
                samples = rng.uniform(-0.5, 0.5, 160 + take).astype(np.float32)
                name = f"{digit}_{speaker}_{take}.wav"
                soundfile.write(recordings / name, samples, 8000, subtype="PCM_16")
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpora") / "free-spoken-digit-dataset")


@pytest.fixture(scope="module")
def prepared(recipe, source, tmp_path_factory):
    output = tmp_path_factory.mktemp("data") / "fsdd"
    assert recipe.main(["--source", str(source), "--output", str(output)]) == 0
    return output


def take_of(utterance) -> int:
    return int(utterance.audio.stem.split("_")[2])


def check_singles(prepared: Path) -> None:
    parts = {p: read_manifest(prepared / "single" / f"{p}.jsonl") for p in ("train", "dev", "test")}
    assert {part: len(listed) for part, listed in parts.items()} == {
        "train": 2520,
        "dev": 180,
        "test": 300,
    }
    takes = {"train": set(range(8, 50)), "dev": {5, 6, 7}, "test": set(range(5))}
    for part, listed in parts.items():
        assert {take_of(u) for u in listed} == takes[part]
        assert set(Counter((u.speaker, u.text) for u in listed).values()) == {len(takes[part])}
        for utterance in listed:
            digit, speaker, _ = utterance.audio.stem.split("_")
            assert (DIGITS[int(digit)], speaker) == (utterance.text, utterance.speaker)


def check_new_speakers(prepared: Path) -> None:
    for speaker in SPEAKERS:
        train, dev, test = (
            read_manifest(prepared / "speakers" / speaker / f"{part}.jsonl")
            for part in ("train", "dev", "test")
        )
        assert (len(train), len(dev), len(test)) == (2250, 250, 500)
        assert {u.speaker for u in test} == {speaker}
        assert speaker not in {u.speaker for u in train + dev}
        assert {take_of(u) for u in dev} == set(range(5))
        assert {take_of(u) for u in train} == set(range(5, 50))


def test_single_digits_keep_the_sets_own_split(prepared):
    check_singles(prepared)


def test_a_new_speaker_is_unheard_in_training(prepared):
    check_new_speakers(prepared)


@pytest.mark.parametrize(
    ("part", "count", "fewest", "takes"),
    [("train", 1500, 1, range(8, 50)), ("dev", 100, 3, range(5, 8)), ("test", 300, 3, range(5))],
)
def test_strings_hold_the_recordings_they_name(prepared, source, part, count, fewest, takes):
    """Finds each word's recording in the part it may come from, by its samples."""
    recordings: dict[tuple[str, str], list[np.ndarray]] = {}
    for utterance in read_manifest(prepared / "single" / f"{part}.jsonl"):
        samples, _ = soundfile.read(utterance.audio)
        key = (utterance.speaker, utterance.text)
        recordings.setdefault(key, []).append(samples - samples.mean())
    listed = read_manifest(prepared / "strings" / f"{part}.jsonl")
    assert len(listed) == count
    assert {len(u.text.split()) for u in listed} == set(range(fewest, 8))
    assert {u.speaker for u in listed} == set(SPEAKERS)
    used: Counter[tuple[str, str, int]] = Counter()
    for utterance in listed:
        samples, rate = soundfile.read(utterance.audio)
        assert (rate, len(samples) / rate) == (8000, utterance.duration)
        assert [word for word, _, _ in utterance.extra["words"]] == utterance.text.split()
        before = 0.0
        for word, start, end in utterance.extra["words"]:
            assert 0 <= start - before <= 0.3
            before = end
            piece = samples[round(start * rate) : round(end * rate)]
            inner = slice(40, -40)  # within the fades
            matches = [
                index
                for index, own in enumerate(recordings[utterance.speaker, word])
                if len(own) == len(piece) and np.abs(own - piece)[inner].max() < 1e-4
            ]
            assert len(matches) == 1
            used[utterance.speaker, word, matches[0]] += 1
        assert 0 <= utterance.duration - before <= 0.3
    assert len(used) == 60 * len(takes), "every recording is used"
    for speaker in SPEAKERS:
        times = [count for (who, _, _), count in used.items() if who == speaker]
        assert max(times) - min(times) <= 1, "and all alike, but for the last round"


def test_gaps_hold_noise_like_that_behind_the_recordings(recipe):
    """Vowels over noise of 0.003 whose upper half is 30 dB weaker: so is that of the gaps."""
    rng = np.random.default_rng(0)
    words = []
    for _ in range(3):
        spectrum = np.fft.rfft(rng.standard_normal(4000))
        spectrum[1000:] *= 10 ** (-30 / 20)
        noise = np.fft.irfft(spectrum)
        word = noise * 0.003 / noise.std() + 0.05  # with an offset
        word[600:3000] += np.sin(np.arange(2400) / 3) * np.hanning(2400) * 0.4
        words.append(word.astype(np.float32))
    gaps, background = [], recipe.MAX_GAP * recipe.SAMPLE_RATE
    for seed in range(20):
        joined, bounds = recipe.join(np.random.default_rng(seed), words)
        edges = [0, *(edge for bound in bounds for edge in bound), len(joined)]
        gaps += [joined[start:end] for start, end in zip(edges[::2], edges[1::2])]
        assert all(np.diff(edges) >= 0)
        assert np.abs(np.diff(joined)).max() < 0.2, "no step at a joint"
    assert max(map(len, gaps)) <= background
    assert np.mean(list(map(len, gaps))) == pytest.approx(background / 2, rel=0.15)
    power = np.mean([np.abs(np.fft.rfft(gap, 2400)) ** 2 for gap in gaps if len(gap)], axis=0)
    assert 10 * np.log10(power[50:550].mean() / power[650:].mean()) == pytest.approx(30, abs=4)
    level = np.concatenate(gaps).std()
    assert 0.0012 < level < 0.0036
    assert abs(np.concatenate(gaps).mean()) < 5e-4


def test_made_again_it_is_the_same(recipe, source, prepared, tmp_path):
    assert recipe.main(["--source", str(source), "--output", str(tmp_path / "again")]) == 0
    names = sorted(p.relative_to(prepared).as_posix() for p in prepared.rglob("*.wav"))
    assert len(names) == 1900
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (prepared / name).read_bytes()


@pytest.mark.parametrize("fault", ["missing", "unknown", "unreadable", "no folder", "foreign"])
def test_faults_are_one_sentence_and_leave_nothing(
    recipe, source, tmp_path, capsys, monkeypatch, fault
):
    broken = tmp_path / "corpus"
    recordings = broken / "recordings"
    recordings.mkdir(parents=True)
    for path in (source / "recordings").iterdir():
        os.link(path, recordings / path.name)
    output = tmp_path / "out"
    victim = recordings / "3_theo_17.wav"
    said = "3_theo_17.wav"
    if fault == "missing":
        victim.unlink()
        (recordings / "4_lucas_0.wav").unlink()
        said = "lacks 2 of the corpus's 3000 recordings (3_theo_17.wav, 4_lucas_0.wav)"
    elif fault == "unknown":
        victim.rename(recordings / "3_maria_17.wav")
        os.link(source / "recordings" / victim.name, victim)
        said = "3_maria_17.wav"
    elif fault == "unreadable":
        victim.unlink()
        victim.write_bytes(b"no sound")
    elif fault == "no folder":
        broken = tmp_path / "nowhere"
        said = "nowhere is not a folder"
    elif fault == "foreign":
        output.mkdir()
        (output / "thesis.txt").write_text("mine", encoding="utf-8")
        said = "thesis.txt"
    assert recipe.main(["--source", str(broken), "--output", str(output)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert said in message
    left = [path.name for path in output.rglob("*")] if output.exists() else []
    assert left == (["thesis.txt"] if fault == "foreign" else [])
    assert not list(tmp_path.glob(".*"))


@pytest.mark.corpus
def test_the_real_corpus(recipe, tmp_path):
    root = Path(os.environ.get(DATA_VARIABLE, "missing")).expanduser()
    if not (root / "free-spoken-digit-dataset").is_dir():
        pytest.skip("needs free-spoken-digit-dataset under $ASR_ATTN_DATA")
    output = tmp_path / "fsdd"
    assert recipe.main(["--output", str(output)]) == 0
    check_singles(output)
    check_new_speakers(output)
    singles = [
        utterance
        for part in ("train", "dev", "test")
        for utterance in read_manifest(output / "single" / f"{part}.jsonl")
    ]
    assert sum(utterance.duration for utterance in singles) == pytest.approx(1312.303, abs=0.01)
    for utterance in read_manifest(output / "strings" / "test.jsonl"):
        samples, _ = soundfile.read(utterance.audio)
        assert np.abs(samples).max() > 0.005
