"""Data sets that the library `datasets` reads: with a stand-in, and the library where it is."""

import importlib
import sys
import types

import pytest

from asr_attn.data.manifest import Utterance
from asr_attn.errors import InputError, ManifestError
from tests.data.formats.lists import read, write


class Audio:
    def __init__(self, decode=True):
        self.decode = decode


class ClassLabel:
    def int2str(self, value):
        return ["f", "m"][value]


class Dataset(list):
    """Rows and features, as much of them as is used."""

    def __init__(self, rows, features):
        super().__init__(rows)
        self.features = features

    def cast_column(self, key, feature):
        return Dataset(self, {**self.features, key: feature})


@pytest.fixture
def library(monkeypatch, audio):
    """A library that knows one data set, of the split train."""
    wav, flac = ((audio / name).read_bytes() for name in ("a.wav", "b.flac"))
    rows = [
        {"audio": {"path": "x.mp3", "bytes": wav}, "text": "Grüße", "sex": 0, "speaker_id": 12},
        {"audio": {"path": None, "bytes": flac}, "text": "", "sex": -1, "speaker_id": 3},
        {"audio": {"path": str(audio / "b.flac"), "bytes": None}, "text": "z", "sex": 1},
    ]
    features = {"audio": Audio(), "text": object(), "sex": ClassLabel(), "speaker_id": object()}

    def load(name, config, split):
        assert (name, config) in (("org/set", "cy"), ("org/set", None))
        if split != "train":
            raise ValueError(f'Unknown split "{split}".\nShould be train.')
        return Dataset([dict(row) for row in rows], features)

    fake = types.SimpleNamespace(load_dataset=load, Audio=Audio, Dataset=Dataset, rows=rows)
    monkeypatch.setitem(sys.modules, "datasets", fake)
    return fake


@pytest.mark.parametrize("name", ["hf:org/set:cy:train", "hf:org/set:train"])
def test_audio_is_written_as_it_was_encoded(name, library, audio, tmp_path):
    store = tmp_path / "x-audio"
    again = read("huggingface", type(tmp_path)(name), store=store)
    assert again == [
        Utterance("000000", store / "000000.wav", "Grüße", 1.0, speaker="12", extra={"sex": "f"}),
        Utterance("000001", store / "000001.flac", "", 0.5, speaker="3", extra={"sex": -1}),
        Utterance("000002", store / "000002.flac", "z", 0.5, extra={"sex": "m"}),
    ]
    assert again[0].audio.read_bytes() == (audio / "a.wav").read_bytes()
    assert again[2].audio.read_bytes() == (audio / "b.flac").read_bytes()


def test_what_cannot_be_used_leaves_nothing(library, monkeypatch, tmp_path):
    place, store = type(tmp_path), tmp_path / "x-audio"
    with pytest.raises(InputError, match=r'^hf:org/set:dev cannot be loaded: Unknown split "dev"'):
        read("huggingface", place("hf:org/set:dev"), store=store)
    library.rows[1]["audio"] = {"path": "x.xyz", "bytes": b"noise"}
    with pytest.raises(ManifestError, match="row 1: has no audio in a format that can be read"):
        read("huggingface", place("hf:org/set:train"), store=store)
    monkeypatch.setitem(sys.modules, "datasets", None)  # as if it were not installed
    with pytest.raises(InputError, match="install it with: pip install datasets"):
        read("huggingface", place("hf:org/set:train"), store=store)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audio"]


@pytest.fixture
def datasets():
    pytest.importorskip("datasets")
    return importlib.import_module("datasets")


def test_saved_data_set_is_read(datasets, whole, tmp_path):
    columns = {
        "audio": [str(u.audio) for u in whole],
        "text": [u.text for u in whole],
        "sex": [0, 1, 0],
    }
    features = datasets.Features(
        audio=datasets.Audio(),
        text=datasets.Value("string"),
        sex=datasets.ClassLabel(names=["f", "m"]),
    )
    rows = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict(train=rows).save_to_disk(tmp_path / "saved")
    place, store = type(tmp_path), tmp_path / "x-audio"
    again = read("huggingface", place(f"hf:{tmp_path}/saved:train"), store=store)
    assert [(u.text, u.duration, u.extra["sex"]) for u in again] == [
        (u.text, u.duration, sex) for u, sex in zip(whole, "fmf", strict=True)
    ]
    assert [u.audio.read_bytes() for u in again] == [u.audio.read_bytes() for u in whole]
    with pytest.raises(InputError, match=r"has splits; add one: hf:.*/saved:train"):
        read("huggingface", place(f"hf:{tmp_path}/saved"), store=store)
    with pytest.raises(InputError, match="written by save_to_disk; name it hf:"):
        read("huggingface", tmp_path / "saved")


def test_library_reads_the_folder(datasets, whole, tmp_path):
    folder = write("huggingface", tmp_path / "folder", whole)
    rows = datasets.load_dataset(
        "audiofolder", data_dir=str(folder), split="train", cache_dir=str(tmp_path / "cache")
    ).cast_column("audio", datasets.Audio(decode=False))
    found = {
        row["id"]: (row["transcription"], row["duration"], row["speaker"], row["audio"]["path"])
        for row in rows
    }
    assert found == {
        u.id: (u.text, u.duration, u.speaker, str(folder / u.audio.name)) for u in whole
    }
