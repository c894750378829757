"""Members of tar files, which Python's tarfile wrote, read as if they were files."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_attn.audio.reading import audio_duration, duration_and_rate, read_audio
from asr_attn.audio.shards import Member, file_bytes, member_of
from asr_attn.errors import AudioError

RATE = 16000
CODINGS = [
    ("a.wav", "WAV", "PCM_16", {}),
    ("a.wav", "WAV", "FLOAT", {}),
    ("a.flac", "FLAC", "PCM_16", {}),
    ("a.aiff", "AIFF", "PCM_16", {}),
    ("a.ogg", "OGG", "VORBIS", {}),
    ("a.opus", "OGG", "OPUS", {}),
    ("a.mp3", "MP3", "MPEG_LAYER_III", {}),
    ("a.mp3", "MP3", "MPEG_LAYER_III", {"bitrate_mode": "VARIABLE", "compression_level": 0.5}),
]


def pack(shard: Path, files: dict[str, bytes], **options: object) -> dict[str, Path]:
    """Writes a tar file; the paths of its members, by their names, as tarfile finds them."""
    with tarfile.open(shard, "w", **options) as tar:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    with tarfile.open(shard) as tar:
        return {m.name: Member(shard, m.offset_data, m.size, m.name).path for m in tar}


def sound(seconds: float, seed: int = 0, **coding: object) -> bytes:
    noise = 0.1 * np.random.default_rng(seed).standard_normal(round(RATE * seconds))
    data = io.BytesIO()
    soundfile.write(data, noise, RATE, **{"format": "WAV", **coding})
    return data.getvalue()


def fault(path: Path) -> str:
    """What reading says, which must be the same for the duration: one sentence."""
    with pytest.raises(AudioError) as found:
        read_audio(path, RATE)
    with pytest.raises(AudioError) as again:
        audio_duration(path)
    message = str(found.value)
    assert str(again.value) == message
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.parametrize(("name", "kind", "subtype", "options"), CODINGS)
def test_a_member_is_read_as_the_file_is(tmp_path, name, kind, subtype, options):
    data = sound(2.0, format=kind, subtype=subtype, **options)
    file = tmp_path / name
    file.write_bytes(data)
    others = {"b.wav": sound(0.3, 1), "c.txt": b"text", "d.wav": sound(0.3, 2)}
    member = pack(tmp_path / "x.tar", {**others, name: data, "z.wav": sound(0.1, 3)})[name]
    assert file_bytes(member) == data
    assert duration_and_rate(member) == duration_and_rate(file)
    for rate in (RATE, 11025):
        for offset, duration in ((0.0, None), (0.7, 0.5), (1.4, None)):
            np.testing.assert_array_equal(
                read_audio(member, rate, offset, duration), read_audio(file, rate, offset, duration)
            )


def test_a_member_is_read_by_one_read(tmp_path, monkeypatch):
    member = pack(tmp_path / "x.tar", {"a.wav": sound(1.0), "b.wav": sound(4.0, 1)})["b.wav"]
    reads = []

    class Counting(io.FileIO):
        def readinto(self, buffer):
            count = super().readinto(buffer)
            reads.append(count)
            return count

    monkeypatch.setattr(
        Path, "open", lambda path, mode, buffering: io.BufferedReader(Counting(path), buffering)
    )
    assert len(read_audio(member, RATE)) == 4 * RATE
    assert reads == [512 + member_of(member).size]
    reads.clear()
    assert audio_duration(member) == 4.0
    assert sum(reads) < 20000


def test_names_of_members(tmp_path):
    member = Member(tmp_path / "a.tar" / "0.tar", 512, 20, "x y/ü+1/2.wav")
    assert member_of(member.path) == member
    assert member.path.as_posix().endswith("a.tar/0.tar/512+20/x y/ü+1/2.wav")
    for other in ("a.wav", "a.tar", "a.tar/b.wav", "a.tar/1+2", "a.tar/1-2/b.wav", "1+2/b.wav"):
        assert member_of(other) is None


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_other_forms_and_long_names(tmp_path, form):
    data = sound(0.5)
    names = ["./k.wav", "é/ü.wav", f"{'d' * 70}/{'n' * 80}.wav"]
    names += [] if form == tarfile.USTAR_FORMAT else [f"{'e' * 200}.wav"]
    for name, path in pack(tmp_path / "x.tar", dict.fromkeys(names, data), format=form).items():
        assert file_bytes(path) == data, name


def test_faults_name_the_shard_and_the_member(tmp_path):
    shard = tmp_path / "x.tar"
    files = {"a.wav": sound(1.0), "b.wav": sound(1.0, 1), "c.txt": b"a text", "d.wav": b""}
    paths = pack(shard, {**files, "cut.wav": files["a.wav"][:9000]})
    assert fault(paths["c.txt"]).startswith(f"c.txt in {shard} holds text, not audio")
    assert fault(paths["d.wav"]).startswith(f"d.wav in {shard} is empty (0 bytes)")
    assert fault(paths["cut.wav"]).startswith(f"cut.wav in {shard} lacks ")
    with pytest.raises(AudioError, match=r"a\.wav in .*x\.tar lasts 1\.000 s"):
        read_audio(paths["a.wav"], RATE, 0.5, 0.7)

    data = shard.read_bytes()
    member = member_of(paths["b.wav"])
    shard.write_bytes(data[: member.start + 1000])
    assert fault(paths["b.wav"]) == (
        f"b.wav in {shard} is not all there: the shard is cut short; copy it again."
    )
    assert len(read_audio(paths["a.wav"], RATE)) == RATE

    # another shard of that name, in which the place is that of another recording as long
    pack(shard, {"b.wav": files["b.wav"], "a.wav": files["a.wav"]})
    assert fault(paths["b.wav"]).startswith(
        f"b.wav in {shard} is not at byte {member.start}: the shard is another than its manifest"
    )
    shard.write_bytes(bytes(len(data)))
    assert "is not at byte" in fault(paths["b.wav"])
    shard.unlink()
    assert fault(paths["b.wav"]) == (
        f"b.wav in {shard} cannot be read: there is no such shard; check the path."
    )
    shard.mkdir()
    assert f"b.wav in {shard} cannot be read: the shard cannot be opened (" in fault(paths["b.wav"])


def test_a_mount_that_goes_away_is_told(tmp_path, monkeypatch, capfd):
    member = pack(tmp_path / "x.tar", {"a.wav": sound(4.0)})["a.wav"]

    class Failing(io.FileIO):
        def readinto(self, buffer):
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().readinto(buffer)

    monkeypatch.setattr(
        Path, "open", lambda path, mode, buffering: io.BufferedReader(Failing(path), 600)
    )
    with pytest.raises(AudioError) as found:
        read_audio(member, RATE)
    shard = tmp_path / "x.tar"
    assert str(found.value) == f"a.wav in {shard} cannot be read (Input/output error)."
    assert capfd.readouterr().err == ""
