import os
from pathlib import Path

import pytest
import soundfile

from asr_attn.audio.folders import AUDIO_SUFFIXES, find_audio
from asr_attn.audio.noise import noise_files
from asr_attn.errors import AudioError


def found(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_audio(folder)]


def test_recordings_are_found_by_their_endings_in_folders_below(tmp_path):
    for name in ("b.WAV", "a.flac", "sub/c.mp3", "sub/deep/d.opus", "e.txt", "._b.wav", "é.ogg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    assert found(tmp_path) == ["a.flac", "b.WAV", "sub/c.mp3", "sub/deep/d.opus", "é.ogg"]
    assert find_audio(tmp_path / "folder.wav") == []
    for path in (tmp_path / "e.txt", tmp_path / "none"):
        with pytest.raises(AudioError, match="not a folder"):
            find_audio(path)


def test_every_format_that_libsndfile_names_by_an_ending_is_found():
    """But for data of other programs and files without a header, which bear no usual ending."""
    other = {"HTK", "MAT4", "MAT5", "MPC2K", "RAW", "SDS", "WVE", "XI"}
    usual = {"NIST": "sph", "SVX": "8svx", "WAVEX": "wav", "MP3": "mp3", "IRCAM": "sf"}
    for name in set(soundfile.available_formats()) - other:
        assert f".{usual.get(name, name.lower())}" in AUDIO_SUFFIXES, name


ENDINGS = """
m4a mp4 mov mkv webm aac amr wma 3gp mka ac3 g722 sph aifc voc snd avr wave nist rf64 gsm spx
"""


@pytest.mark.parametrize("ending", ENDINGS.split())
def test_what_phones_and_meetings_record_is_found(tmp_path, ending):
    (tmp_path / f"a.{ending}").touch()
    assert found(tmp_path) == [f"a.{ending}"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_are_followed_once_and_circles_end(tmp_path):
    top, far = tmp_path / "top", tmp_path / "far"
    (top / "z").mkdir(parents=True)
    (far / "deep").mkdir(parents=True)
    for path in (top / "z" / "a.wav", far / "b.wav", far / "deep" / "c.wav"):
        path.touch()
    (top / "far").symlink_to(far)
    (far / "deep" / "up").symlink_to(top)  # a circle
    (top / "here").symlink_to(top)
    (top / "a").symlink_to(top / "z")  # reached twice: its own name counts
    (top / "again").symlink_to(far)
    (top / "file.wav").symlink_to(far / "b.wav")
    (top / "gone.wav").symlink_to(tmp_path / "nothing")
    (top / "self.wav").symlink_to(top / "self.wav")
    names = found(top)
    assert set(names) - {"again/b.wav", "again/deep/c.wav", "far/b.wav", "far/deep/c.wav"} == {
        "file.wav",
        "gone.wav",
        "self.wav",
        "z/a.wav",
    }
    assert [name for name in names if name.endswith("/b.wav")] == ["again/b.wav"]
    assert [name for name in names if name.endswith("/c.wav")] == ["again/deep/c.wav"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_noise_is_found_through_links(tmp_path):
    (tmp_path / "noise").mkdir()
    (tmp_path / "disk").mkdir()
    soundfile.write(tmp_path / "disk" / "hum.wav", [0.1] * 800, 8000)
    (tmp_path / "noise" / "more").symlink_to(tmp_path / "disk")
    assert noise_files(str(tmp_path / "noise")) == ((tmp_path / "noise/more/hum.wav", 0.1),)


def test_a_folder_that_cannot_be_looked_into_is_told(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def denied(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(AudioError, match=r"closed cannot be looked into \(Permission denied\)"):
        find_audio(tmp_path)
