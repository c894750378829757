"""Shards: written, and read again here, by tarfile and in training; and those of other tools."""

import dataclasses
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.reading import read_audio
from asr_attn.audio.shards import member_of
from asr_attn.data.batches import read_utterance
from asr_attn.data.datamodule import SpeechData
from asr_attn.data.formats import webdataset_writer
from asr_attn.data.manifest import Manifest, Utterance, read_manifest, write_manifest
from asr_attn.data.planning import LoadingConfig, MixingConfig
from asr_attn.data.progress import no_bars
from asr_attn.errors import InputError, ManifestError
from tests.data.formats.conftest import RATE
from tests.data.formats.lists import read, write


def packed(path: Path, *members: tuple[str, object], **options: object) -> Path:
    """A tar file made by hand; what is no bytes is written as JSON."""
    with tarfile.open(path, "w", **options) as tar:
        for name, content in members:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def alike(one: Utterance, other: Utterance) -> bool:
    """Whether all but the place of the audio is the same."""
    place = {"audio": Path(), "offset": 0.0}
    return dataclasses.replace(one, **place) == dataclasses.replace(other, **place)


@pytest.fixture
def clip(audio: Path) -> bytes:
    """Half a second of FLAC."""
    return (audio / "b.flac").read_bytes()


def test_utterances_come_back_with_the_same_sound(parts, tmp_path):
    extra = {"age": 31, "words": [["l'été", 0.1, 0.2]]}
    utterances = [dataclasses.replace(u, extra=extra, id=f"é.{u.id}/~") for u in parts]
    path = write("webdataset", tmp_path / "shards", utterances)
    assert sorted(p.name for p in path.iterdir()) == ["000000.tar", "manifest.jsonl"]
    listed = read_manifest(path / "manifest.jsonl")
    assert read("webdataset", path) == listed  # from the tar files alone
    for before, after in zip(utterances, listed, strict=True):
        assert alike(before, after)
        np.testing.assert_array_equal(read_utterance(after, RATE), read_utterance(before, RATE))
    # a moved folder, and shards of shards
    moved = path.rename(tmp_path / "moved")
    again = write("webdataset", tmp_path / "again", list(Manifest(moved / "manifest.jsonl")))
    assert (again / "000000.tar").read_bytes() == (moved / "000000.tar").read_bytes()


def test_tarfile_finds_the_same_bytes(parts, tmp_path):
    path = tmp_path / "shards"
    webdataset_writer.write(path, parts, no_bars, megabytes=0.02)
    listed = {u.id: u for u in read_manifest(path / "manifest.jsonl")}
    shards = sorted(path.glob("*.tar"))
    assert [shard.name for shard in shards] == [f"{i:06}.tar" for i in range(len(shards))]
    assert len(shards) > 1
    found = []
    for shard in shards:
        with tarfile.open(shard) as tar:
            members = tar.getmembers()
            assert shard.stat().st_size <= 20_000 or len(members) == 2
            for sound, described in zip(members[::2], members[1::2], strict=True):
                key, _, suffix = sound.name.partition(".")
                assert described.name == f"{key}.json"
                record = json.load(tar.extractfile(described))
                found.append(record["id"])
                utterance = parts[int(key[-1])]
                assert record["text"] == utterance.text
                assert record["duration"] == utterance.duration
                assert record.get("speaker") == utterance.speaker
                place = member_of(listed[key].audio)
                assert (place.start, place.size) == (sound.offset_data, sound.size)
                data = tar.extractfile(sound).read()
                if utterance.audio.name != "stereo.wav":
                    assert data == utterance.audio.read_bytes()
                    continue
                assert suffix == "flac"
                # both channels of the stretch, to the bit
                samples, _ = soundfile.read(io.BytesIO(data), dtype="int16")
                source, _ = soundfile.read(utterance.audio, dtype="int16")
                first = round(utterance.offset * RATE)
                assert len(samples) == round(utterance.duration * RATE)
                np.testing.assert_array_equal(samples, source[first : first + len(samples)])
    assert found == [u.id for u in parts]


@pytest.mark.parametrize(
    ("kind", "subtype", "ending"),
    [
        ("WAV", "PCM_U8", "flac"),
        ("WAV", "PCM_24", "flac"),
        ("WAV", "ULAW", "flac"),
        ("WAV", "ALAW", "flac"),
        ("WAV", "PCM_32", "wav"),
        ("WAV", "FLOAT", "wav"),
        ("MP3", None, "wav"),
        ("OGG", None, "wav"),
    ],
)
def test_parts_of_every_coding_lose_nothing(tmp_path, kind, subtype, ending):
    file = tmp_path / f"a.{kind.lower()}"
    noise = np.random.default_rng(0).standard_normal(3 * RATE)
    noise[: RATE * 2 : 7] = -1.0
    soundfile.write(file, np.clip(noise, -1.0, 0.9999), RATE, format=kind, subtype=subtype)
    part = Utterance("a", file, "text", 1.23456, 0.34567)
    (found,) = read("webdataset", write("webdataset", tmp_path / "s", [part]))
    assert found.audio.suffix == f".{ending}"
    np.testing.assert_array_equal(read_utterance(found, RATE), read_utterance(part, RATE))


def test_training_gets_the_same_batches(audio, tmp_path):
    random = np.random.default_rng(2)
    utterances = []
    for i in range(24):
        file = audio / f"{i}.wav"
        seconds = round(random.uniform(0.3, 1.5), 3)
        soundfile.write(file, 0.1 * random.standard_normal(round(RATE * seconds)), RATE)
        utterances.append(Utterance(f"u{i}", file, f"w{i}", seconds, speaker=f"s{i % 2}"))
    write_manifest(tmp_path / "files.jsonl", utterances)
    webdataset_writer.write(tmp_path / "s", utterances, no_bars, megabytes=0.1)
    assert len(list((tmp_path / "s").glob("*.tar"))) > 2
    loading = LoadingConfig(4.0, mixing=MixingConfig(0.5, 3, (0.1, 0.2)))
    varied = AugmentationConfig(speed=(0.9, 1.1), noise_probability=0.5, noise_kinds=("babble",))

    def batches(manifest: Path):
        data = SpeechData(read_manifest(manifest), [], RATE, loading, varied, 0, 2)
        planned = data.plan(1, 2)
        return [planned[i] for i in range(len(planned))]

    of_files, of_shards = batches(tmp_path / "files.jsonl"), batches(tmp_path / "s/manifest.jsonl")
    for one, other in zip(of_files, of_shards, strict=True):
        assert (one.ids, one.texts, one.faults) == (other.ids, other.texts, ())
        np.testing.assert_array_equal(one.waveforms, other.waveforms)
        np.testing.assert_array_equal(one.lengths, other.lengths)


def test_shards_of_other_tools(clip, audio, tmp_path):
    wave = (audio / "a.wav").read_bytes()
    facts = {"transcription": "zwei", "speaker_id": 7, "lang": "de", "offset": 3.5, "mos": 4.2}
    packed(
        tmp_path / "b-000000.tar",
        ("./one.flac", clip),
        ("./one.txt", "\ufeff eins\n".encode()),
        ("./one.cls", b"3"),
        ("sub/two.json", facts),
        ("sub/two.wav", wave),
        ("README.md", b"about"),
        format=tarfile.GNU_FORMAT,
    )
    packed(tmp_path / "b-000001.tar", ("3.WAV", wave), ("3.json", {"id": "tri", "text": ""}))
    told: list[str] = []
    one, two, three = read("webdataset", tmp_path / "b-*.tar", say=told.append)
    assert (one.id, one.text, one.duration, one.speaker) == ("one", "eins", 0.5, None)
    assert (two.id, two.text, two.duration, two.offset) == ("sub/two", "zwei", 1.0, 0.0)
    assert (two.speaker, two.language, two.extra) == ("7", "de", {"mos": 4.2})
    assert (three.id, three.text) == ("tri", "")
    assert told == ["left out what is no audio or text: .cls (1), .md (1), offset in .json (1)"]
    np.testing.assert_array_equal(read_audio(two.audio, RATE), read_audio(audio / "a.wav", RATE))
    assert read("webdataset", tmp_path) == [one, two, three]
    assert read("webdataset", tmp_path / "b-000001.tar") == [three]
    # keys that begin anew in each shard
    packed(tmp_path / "b-000002.tar", ("one.flac", clip), ("one.txt", b"x"))
    ids = [u.id for u in read("webdataset", tmp_path)]
    assert ids == ["b-000000-one", "b-000000-sub/two", "tri", "b-000002-one"]


def test_all_faults_of_shards_are_told(clip, tmp_path):
    good = (("k.flac", clip), ("k.txt", b"x"))
    packed(
        tmp_path / "0.tar",
        ("a.flac", clip),
        ("b.txt", b"x"),
        ("c.flac", clip),
        ("c.wav", clip),
        ("c.txt", b"x"),
        ("d.flac", clip),
        ("d.txt", b"\xff"),
        ("e.flac", clip),
        ("e.json", b"{"),
        ("f.flac", b"no audio"),
        ("f.txt", b"x"),
        ("g.flac", clip),
        ("g.json", {"text": "x", "duration": -1}),
        ("../h.flac", clip),
        *good,
    )
    whole = packed(tmp_path / "1.tar", *good).read_bytes()
    second = 512 + -(-len(clip) // 512) * 512
    for number, size in enumerate((700, second + 600, second + 100), start=1):
        (tmp_path / f"{number}.tar").write_bytes(whole[:size])
    (tmp_path / "4.tar").write_bytes(b"not a tar file" * 100)
    packed(tmp_path / "5.tar", *good).rename(tmp_path / "x")
    with tarfile.open(tmp_path / "5.tar", "w:gz") as tar:
        tar.add(tmp_path / "x", "x")
    damaged = bytearray(packed(tmp_path / "6.tar", *good, ("l.flac", clip)).read_bytes())
    damaged[second + 20] ^= 1  # in the header
    (tmp_path / "6.tar").write_bytes(damaged)
    with pytest.raises(ManifestError) as refusal:
        read("webdataset", tmp_path)
    message = str(refusal.value)
    for expected in (
        "0.tar: a: there is no text",
        "0.tar: b: there is no audio beside it",
        "0.tar: c: two audio files, c.flac and c.wav",
        "0.tar: d: the text: byte 1 (0xFF) is not UTF-8",
        "0.tar: e: the JSON: not JSON",
        f"0.tar: f: f.flac in {tmp_path / '0.tar'} holds text, not audio",
        '0.tar: g: "duration" must be above 0',
        "0.tar: ../h.flac: is stored in a way",
        "1.tar: is no tar file, or damaged or cut short",
        "2.tar: is no tar file, or damaged or cut short",
        "3.tar: is damaged or cut short at byte",
        "4.tar: is no tar file, or damaged or cut short",
        "5.tar: is compressed",
        "6.tar: is damaged or cut short at byte",
    ):
        assert expected in message, expected


def test_ids_that_come_twice_and_nothing_at_all(clip, tmp_path):
    sample = ("a.flac", clip), ("a.json", {"id": "same", "text": "x"})
    packed(tmp_path / "0.tar", *sample)
    packed(tmp_path / "1.tar", *sample)
    with pytest.raises(ManifestError, match=r"1\.tar: a: id 'same' is already at .*0\.tar: a"):
        read("webdataset", tmp_path)
    with pytest.raises(InputError, match=r"train-\*\.tar names no tar files"):
        read("webdataset", tmp_path / "train-*.tar")
    packed(tmp_path / "2.tar", ("a.b.flac", clip))
    with pytest.raises(ManifestError, match="lists no utterances: its tar files have no members"):
        read("webdataset", tmp_path / "2.tar")
    with pytest.raises(InputError, match="--audio-folder is not for webdataset"):
        read("webdataset", tmp_path, audio_folder=tmp_path)


def test_nothing_is_there_after_an_interruption(parts, audio, tmp_path, monkeypatch):
    place = tmp_path / "out" / "shards"
    write("webdataset", place, parts[:1])
    before = {p.name: p.read_bytes() for p in place.iterdir()}

    def interrupted(utterance: Utterance) -> bytes:
        if utterance.id == "u-2":
            raise KeyboardInterrupt
        return b"{}"

    with monkeypatch.context() as patch:
        patch.setattr(webdataset_writer, "_description", interrupted)
        for target in (place, tmp_path / "out" / "new"):
            with pytest.raises(KeyboardInterrupt):
                write("webdataset", target, parts)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["shards"]
    assert {p.name: p.read_bytes() for p in place.iterdir()} == before
    write("webdataset", place, parts)
    assert len(read_manifest(place / "manifest.jsonl")) == len(parts)

    (audio / "b.flac").write_bytes(b"")
    late = [*parts, dataclasses.replace(parts[0], id="late", duration=2.0)]
    with pytest.raises(ManifestError) as refusal:
        write("webdataset", tmp_path / "out" / "new", late)
    assert "2 faults" in str(refusal.value)
    assert "'u-1': " in str(refusal.value)
    assert "'late': runs 1.000 s past the end of" in str(refusal.value)
    with pytest.raises(InputError, match="which would be replaced; name another folder"):
        write("webdataset", place, read_manifest(place / "manifest.jsonl"))
    (place / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds notes\.txt, which this program did not write"):
        write("webdataset", place, parts[:1])


def test_a_missing_shard_is_a_fault_of_the_manifest(whole, tmp_path):
    path = write("webdataset", tmp_path / "s", whole)
    (path / "000000.tar").unlink()
    with pytest.raises(ManifestError, match=r"jsonl:1: there is no shard 000000\.tar"):
        read_manifest(path / "manifest.jsonl")
