"""Manifests of Lhotse, as Lhotse writes them, and with the library where it is installed."""

import gzip
import json

import numpy as np
import pytest

from asr_attn.audio.reading import read_audio
from asr_attn.data.manifest import Utterance
from asr_attn.errors import InputError, ManifestError
from tests.data.formats.lists import read, save, write


def recording(path, name="rec", channels=(0,), **more):
    source = {"type": "file", "channels": list(channels), "source": str(path)}
    return {
        "id": name,
        "sources": [source],
        "sampling_rate": 8000,
        "num_samples": 8000,
        "duration": 1.0,
        "channel_ids": list(channels),
        **more,
    }


def supervision(name="sup", **more):
    times = {"start": 0.25, "duration": 0.5, "channel": 0}
    return {"id": name, "recording_id": "rec", **times, "text": "EXAMPLE OF TEXT", **more}


def cut(inside, *supervisions, **more):
    times = {"id": "cut-1", "start": 0.1, "duration": 0.8, "channel": 0}
    return {**times, "supervisions": supervisions, "recording": inside, "type": "MonoCut", **more}


def packed(path, *records):
    path.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in records).encode()))
    return path


def test_recordings_and_supervisions(audio, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "manifests"
    folder.mkdir()
    packed(folder / "yesno_recordings_train.jsonl.gz", recording("audio/a.wav"))
    one = packed(
        folder / "yesno_supervisions_train.jsonl.gz",
        supervision(language="English", speaker="spk1", gender="F", custom={"noise": 3}),
        supervision("sup-2", start=0, text="", alignment={"word": [["A", 0.1, 0.2]]}),
    )
    expected = [
        Utterance(
            "sup", audio / "a.wav", "EXAMPLE OF TEXT", 0.5, 0.25, "spk1", "English",
            {"gender": "F", "noise": 3},
        ),
        Utterance(
            "sup-2", audio / "a.wav", "", 0.5, extra={"alignment": {"word": [["A", 0.1, 0.2]]}}
        ),
    ]  # fmt: skip
    for path in (one, folder, folder / "yesno_recordings_train.jsonl.gz"):
        assert read("lhotse", path) == expected


def test_cuts(audio, tmp_path):
    features = {"type": "fbank", "num_frames": 80, "sampling_rate": 8000, "storage_path": "x"}
    words = {"word": [["A", 0.1, 0.2]]}
    path = save(
        tmp_path / "cuts.jsonl",
        cut(
            recording(audio / "a.wav"),
            supervision("one", start=0.0, alignment=words),
            supervision("two", start=0.2, duration=0.6),
            features=features,
            custom={"origin": "x"},
        ),
    )
    assert read("lhotse", path) == [
        Utterance(
            "one", audio / "a.wav", "EXAMPLE OF TEXT", 0.5, 0.1,
            extra={"alignment": {"word": [["A", 0.2, 0.2]]}, "origin": "x"},
        ),
        Utterance("two", audio / "a.wav", "EXAMPLE OF TEXT", 0.6, 0.3, extra={"origin": "x"}),
    ]  # fmt: skip


def test_all_faults_are_told(audio, tmp_path):
    mono, stereo = recording(audio / "a.wav"), recording(audio / "stereo.wav", channels=[0, 1])
    command = {"type": "command", "channels": [0], "source": "cat a.wav"}
    path = save(
        tmp_path / "cuts.jsonl",
        cut(mono, supervision("u1")),
        {"id": "m", "tracks": [], "type": "MixedCut"},
        cut(None, supervision("u3"), features={}),
        cut(mono),
        cut(mono, supervision("u5", text=None)),
        cut(stereo, supervision("u6")),
        cut(stereo, supervision("u7", channel=[0, 1]), channel=[0, 1], type="MultiCut"),
        cut({**mono, "sources": [command]}, supervision("u8")),
        cut({**mono, "transforms": [{"name": "Speed"}]}, supervision("u9")),
        cut(mono, supervision("u1")),
        supervision("u11"),
        cut(mono, supervision("u12", duration=-1)),
        cut(mono, supervision("u13"), start=None),
        "[1]",
    )
    with pytest.raises(ManifestError) as refusal:
        read("lhotse", path)
    faults = str(refusal.value).split("\n")
    assert faults[0] == f"{path} has 12 faults:"
    told = {line.strip().removeprefix(f"{path}:").split(": ")[0]: line for line in faults[1:]}
    expected = {
        "2": "a MixedCut is no part of one recording",
        "3": "features alone cannot be used",
        "4": "no supervisions, so no text",
        "5": "supervision 'u5' has no text",
        "6": "only channel 0 of recording 'rec' is meant",
        "8": "of the type 'command', not a file",
        "9": "has transforms; save it as audio first",
        "10": f"id 'u1' is already at {path}:1",
        "11": 'no cut but one of supervisions; call the file "supervisions"',
        "12": '"duration" must be above 0, got -1',
        "13": '"start" must be a number of seconds',
        "14": "not a JSON object but a list",
    }
    assert told.keys() == expected.keys()
    assert [told[line] for line in expected if expected[line] not in told[line]] == []


def test_files_that_do_not_belong_together_are_refused(audio, whole, tmp_path):
    save(tmp_path / "recordings.jsonl", recording(audio / "a.wav", "other"))
    path = save(tmp_path / "supervisions.jsonl", supervision())
    with pytest.raises(ManifestError, match=r"recordings\.jsonl has no recording 'rec'"):
        read("lhotse", path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="holds 0 pairs"):
        read("lhotse", tmp_path / "empty")
    with pytest.raises(ManifestError, match=r"must end in \.jsonl or \.jsonl\.gz"):
        read("lhotse", tmp_path / "cuts.yaml")
    with pytest.raises(InputError, match="give a folder, or a file of cuts"):
        write("lhotse", tmp_path / "x.json", whole)


def test_lhotse_reads_what_is_written(parts, tmp_path):
    lhotse = pytest.importorskip("lhotse")
    cuts = lhotse.CutSet.from_file(write("lhotse", tmp_path / "cuts.jsonl.gz", parts))
    folder = write("lhotse", tmp_path / "manifests", parts)
    recordings = lhotse.RecordingSet.from_file(folder / "recordings.jsonl.gz")
    supervisions = lhotse.SupervisionSet.from_file(folder / "supervisions.jsonl.gz")
    lhotse.validate_recordings_and_supervisions(recordings, supervisions)
    joined = lhotse.CutSet.from_manifests(recordings, supervisions).trim_to_supervisions()
    by_id = {cut.supervisions[0].id: cut for cut in joined}
    for one, utterance in zip(cuts, parts, strict=True):
        part = (utterance.offset, utterance.duration)
        for other in (one, by_id[utterance.id]):
            segment = other.supervisions[0]
            given = (segment.text, segment.speaker, segment.language)
            assert given == (utterance.text, utterance.speaker, utterance.language)
            sound = other.load_audio().mean(axis=0)
            np.testing.assert_allclose(sound, read_audio(utterance.audio, 8000, *part), atol=1e-6)


def test_what_lhotse_writes_is_read(audio, parts, tmp_path):
    lhotse = pytest.importorskip("lhotse")
    recordings = lhotse.RecordingSet.from_recordings(
        lhotse.Recording.from_file(path) for path in sorted(audio.iterdir())
    )
    supervisions = lhotse.SupervisionSet.from_segments(
        lhotse.SupervisionSegment(
            id=u.id,
            recording_id=u.audio.stem,
            start=u.offset,
            duration=u.duration,
            channel=[0, 1] if u.audio.stem == "stereo" else 0,
            text=u.text,
            speaker=u.speaker,
            language=u.language,
        )
        for u in parts
    )
    recordings.to_file(tmp_path / "recordings.jsonl.gz")
    supervisions.to_file(tmp_path / "supervisions.jsonl.gz")
    assert read("lhotse", tmp_path) == parts
    mono = [u for u in parts if u.audio.stem != "stereo"]
    cuts = lhotse.CutSet.from_manifests(recordings, supervisions)
    cuts = cuts.filter(lambda cut: cut.recording_id in {u.audio.stem for u in mono})
    cuts.to_file(tmp_path / "cuts.jsonl")
    assert read("lhotse", tmp_path / "cuts.jsonl") == mono


def test_lhotse_reads_the_kaldi_folder(parts, tmp_path):
    load = pytest.importorskip("lhotse.kaldi").load_kaldi_data_dir
    wav = [u for u in parts if u.audio.suffix == ".wav"]  # for others, kaldi_native_io is wanted
    wav = [u for u in wav if " " not in u.audio.name and u.language]
    _, supervisions, _ = load(write("kaldi", tmp_path / "data", wav), sampling_rate=8000)
    found = [(s.id, s.text, s.start, s.duration, s.speaker, s.language) for s in supervisions]
    assert found == [
        (u.id, u.text, u.offset, pytest.approx(u.duration, abs=1 / 8000), u.speaker, u.language)
        for u in wav
    ]
