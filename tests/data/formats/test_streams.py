"""Lists that are longer than memory, and faults that come last."""

import json
import os
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asr_attn.data.formats.options import Options
from asr_attn.data.formats.table import FORMATS
from asr_attn.data.manifest import Manifest, Utterance, read_manifest, write_manifest
from asr_attn.data.progress import no_bars
from asr_attn.errors import ManifestError
from tests.data.formats.lists import read, save, write

TARGETS = {
    "kaldi": "kaldi",
    "lhotse": "cuts.jsonl",
    "nemo": "nemo.json",
    "commonvoice": "train.tsv",
    "csv": "list.csv",
    "huggingface": "hf",
    "webdataset": "shards",
}


def many(audio: Path, count: int) -> list[Utterance]:
    """Whole files, so that all formats take them."""
    return [
        Utterance(f"utterance-{i:06}", audio / "a.wav", f"text {i}", 1.0, speaker="ann")
        for i in range(count)
    ]


@contextmanager
def peak(found: list[int]) -> Iterator[None]:
    """Notes the most bytes that the block takes at a time."""
    tracemalloc.start()
    yield
    found.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()


@pytest.mark.parametrize(
    "name", ["lhotse", "nemo", "commonvoice", "csv", "huggingface", "webdataset"]
)
def test_memory_does_not_grow_with_the_list(audio, tmp_path, name):
    imported, exported = [], []
    for count in (50, 450):
        folder = tmp_path / str(count)
        write_manifest(folder / "m.jsonl", many(audio, count))
        target = folder / TARGETS[name]
        with peak(exported):
            write(name, target, Manifest(folder / "m.jsonl"))
        back = folder / "back.jsonl"
        with peak(imported):
            write_manifest(back, FORMATS[name].read(target, Options()))
        assert [u.text for u in read_manifest(back)] == [f"text {i}" for i in range(count)]
    # an utterance takes hundreds of bytes, what is kept of its id 8
    assert (imported[1] - imported[0]) / 400 < 100
    assert (exported[1] - exported[0]) / 400 < 100


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_written_if_the_last_line_of_a_manifest_has_a_fault(audio, tmp_path, name):
    write_manifest(tmp_path / "m.jsonl", many(audio, 3))
    with (tmp_path / "m.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"id": "x"}\n')
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ManifestError, match=r'm\.jsonl:4: missing key "audio"'):
        FORMATS[name].write(tmp_path / TARGETS[name], Manifest(tmp_path / "m.jsonl"), no_bars)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_old_manifest_stays_if_the_last_line_of_a_list_has_a_fault(audio, tmp_path):
    line = {"audio_filepath": str(audio / "a.wav"), "duration": 1.0, "text": "a"}
    path = save(tmp_path / "x.json", line, line, {**line, "duration": -1})
    (tmp_path / "m.jsonl").write_bytes(b"old")
    with pytest.raises(ManifestError, match=r'x\.json:3: "duration" must be above 0'):
        write_manifest(tmp_path / "m.jsonl", FORMATS["nemo"].read(path, Options()))
    assert (tmp_path / "m.jsonl").read_bytes() == b"old"
    assert not list(tmp_path.glob(".*"))


def test_ids_that_are_made_of_names_may_meet_ids_that_are_given(audio, tmp_path):
    line = {"audio_filepath": str(audio / "a.wav"), "duration": 0.5, "text": "a"}
    path = save(tmp_path / "x.json", line, {**line, "id": "a-2"}, line)
    with pytest.raises(ManifestError, match=rf"x\.json:3: id 'a-2' is already at {path}:2"):
        read("nemo", path)


def test_an_id_may_be_twice_in_one_line(audio, tmp_path):
    source = {"type": "file", "channels": [0], "source": str(audio / "a.wav")}
    recording = {"id": "r", "sources": [source], "sampling_rate": 8000, "num_samples": 8000}
    one = {"id": "s", "recording_id": "r", "start": 0.0, "duration": 0.5, "text": "a"}
    cut = {"id": "c", "start": 0.0, "duration": 1.0, "supervisions": [one, one]}
    path = save(tmp_path / "cuts.jsonl", {**cut, "recording": recording, "type": "MonoCut"})
    with pytest.raises(ManifestError, match=r"cuts\.jsonl:1: id 's' is already at"):
        read("lhotse", path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_read_once(audio, tmp_path):
    path = tmp_path / "pipe.json"
    os.mkfifo(path)
    line = {"audio_filepath": str(audio / "a.wav"), "text": "a"}
    data = f"{json.dumps(line)}\n{json.dumps({**line, 'offset': 0.25})}\n"
    threading.Thread(target=path.write_text, args=(data,)).start()
    found = [(u.id, u.duration) for u in read("nemo", path)]
    assert found == [("a-1", 1.0), ("a-2", 0.75)]
