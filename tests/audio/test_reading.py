import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io.wavfile
import soundfile

from asr_attn.audio.reading import audio_duration, read_audio
from asr_attn.errors import AudioError

LOSSLESS = [
    ("a.wav", "WAV", "PCM_16", 1 / 32768),
    ("a.wav", "WAV", "PCM_24", 1e-6),
    ("a.wav", "WAV", "FLOAT", 1e-7),
    ("a.wav", "WAV", "DOUBLE", 1e-7),
    ("a.wav", "WAVEX", "PCM_16", 1 / 32768),
    ("a.wav", "RF64", "PCM_16", 1 / 32768),
    ("a.flac", "FLAC", "PCM_16", 1 / 32768),
    ("a.flac", "FLAC", "PCM_24", 1e-6),
    ("a.aiff", "AIFF", "PCM_16", 1 / 32768),
    ("a.au", "AU", "PCM_16", 1 / 32768),
    ("a.caf", "CAF", "PCM_16", 1 / 32768),
    ("a.w64", "W64", "PCM_16", 1 / 32768),
]
LOSSY = [
    ("a.ogg", "OGG", "VORBIS", {}),
    ("a.opus", "OGG", "OPUS", {}),
    ("a.mp3", "MP3", "MPEG_LAYER_III", {}),
    ("a.mp3", "MP3", "MPEG_LAYER_III", {"bitrate_mode": "VARIABLE", "compression_level": 0.5}),
]


def sine(rate: int, seconds: float, hertz: float = 440.0) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return (0.4 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def speechlike(rate: int, seconds: float) -> np.ndarray:
    """Never the same twice, so that a part read from the wrong place shows."""
    time = np.arange(round(rate * seconds)) / rate
    sweep = np.sin(2 * np.pi * (100 * time + 120 * time**2)) * (1 + np.sin(7 * time)) / 2
    noise = np.random.default_rng(0).standard_normal(time.size) * (np.sin(3 * time) > 0)
    return (0.3 * sweep + 0.02 * noise).astype(np.float32)


def fault(path: Path, *words: str, **part: float) -> str:
    """Reads the file, which must fail with one sentence that names it and says the words."""
    with pytest.raises(AudioError) as caught:
        read_audio(path, 16000, **part)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.endswith(".")
    assert "\n" not in message
    assert "Error opening" not in message
    for word in words:
        assert word in message
    return message


@pytest.mark.parametrize(("name", "kind", "subtype", "tolerance"), LOSSLESS)
def test_reads_lossless_formats_exactly(tmp_path, name, kind, subtype, tolerance):
    wave = speechlike(16000, 0.5)
    soundfile.write(tmp_path / name, wave, 16000, format=kind, subtype=subtype)
    read = read_audio(tmp_path / name, 16000)
    assert read.dtype == np.float32
    assert read.flags.c_contiguous
    assert read.shape == wave.shape
    np.testing.assert_allclose(read, wave, atol=tolerance)
    assert audio_duration(tmp_path / name) == 0.5


@pytest.mark.parametrize(("name", "kind", "subtype", "options"), LOSSY)
def test_reads_lossy_formats_closely(tmp_path, name, kind, subtype, options):
    wave = sine(16000, 1.0)
    soundfile.write(tmp_path / name, wave, 16000, format=kind, subtype=subtype, **options)
    read = read_audio(tmp_path / name, 16000)
    assert read.shape == wave.shape
    np.testing.assert_allclose(read[1600:-1600], wave[1600:-1600], atol=0.03)
    assert audio_duration(tmp_path / name) == pytest.approx(1.0)


def test_reads_what_scipy_writes(tmp_path):
    integers = np.array([0, 16384, -32768, 32767], dtype=np.int16)
    scipy.io.wavfile.write(tmp_path / "a.wav", 8000, integers)
    np.testing.assert_array_equal(
        read_audio(tmp_path / "a.wav", 8000), (integers / 32768).astype(np.float32)
    )


def test_channels_are_averaged(tmp_path):
    left, right, third = sine(16000, 0.2), sine(16000, 0.2, 1000), np.zeros(3200, np.float32)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right, third], 1), 16000, subtype="FLOAT")
    expected = (left + right + third) / 3
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav", 16000), expected, atol=1e-7)
    part = read_audio(tmp_path / "a.wav", 16000, offset=0.05, duration=0.1)
    np.testing.assert_allclose(part, expected[800:2400], atol=1e-7)


EVERY_FORMAT = [(name, kind, subtype, {}) for name, kind, subtype, _ in LOSSLESS] + LOSSY


@pytest.mark.parametrize(("name", "kind", "subtype", "options"), EVERY_FORMAT)
@pytest.mark.parametrize("rate", [16000, 48000])
def test_part_equals_slice_of_the_whole(tmp_path, rate, name, kind, subtype, options):
    wave = np.stack([speechlike(rate, 8.0), sine(rate, 8.0)], 1)
    soundfile.write(tmp_path / name, wave, rate, format=kind, subtype=subtype, **options)
    whole = read_audio(tmp_path / name, 16000)
    places = [0.0, 0.0137, 0.5, 1.23456, 3.1, 5.777, 6.5, 7.3, 7.9, 7.99]
    for offset in places:
        rest = read_audio(tmp_path / name, 16000, offset=offset)
        begin = round(offset * 16000)
        assert rest.shape == whole[begin:].shape
        np.testing.assert_allclose(rest, whole[begin:], atol=2e-6)
        for duration in (0.01, 0.4567):
            if offset + duration <= 8.0:
                part = read_audio(tmp_path / name, 16000, offset=offset, duration=duration)
                expected = whole[begin : begin + round(duration * 16000)]
                assert part.shape == expected.shape
                np.testing.assert_allclose(part, expected, atol=2e-6)


def test_part_in_the_last_page_of_vorbis(tmp_path):
    # libsndfile seeks to a wrong place there, and a page of quiet speech lasts seconds
    path = tmp_path / "a.ogg"
    soundfile.write(path, speechlike(16000, 12.0), 16000, format="OGG", subtype="VORBIS")
    whole = read_audio(path, 16000)
    for offset in np.arange(9.0, 12.0, 0.0789):
        part = read_audio(path, 16000, offset=offset)
        np.testing.assert_allclose(part, whole[round(offset * 16000) :], atol=2e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 44101, 96000])
def test_part_equals_slice_at_odd_rates(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", speechlike(rate, 3.0), rate, subtype="FLOAT")
    whole = read_audio(tmp_path / "a.wav", 16000)
    for offset, duration in [(0.001, 0.5), (1.23457, 0.333), (2.5, 0.5)]:
        part = read_audio(tmp_path / "a.wav", 16000, offset, duration)
        begin = round(offset * 16000)
        np.testing.assert_allclose(part, whole[begin : begin + round(duration * 16000)], atol=2e-6)


def test_only_the_needed_part_is_decoded(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.flac", speechlike(16000, 20.0), 16000)
    decoded = []
    read = soundfile.SoundFile.read

    def counting(self, frames=-1, **options):
        samples = read(self, frames, **options)
        decoded.append(len(samples))
        return samples

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    assert len(read_audio(tmp_path / "a.flac", 16000, offset=10.0, duration=1.0)) == 16000
    assert sum(decoded) == 16000


def test_duration_may_be_rounded_up_but_not_by_much(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(16000, 1.0), 16000)
    assert len(read_audio(tmp_path / "a.wav", 16000, duration=1.005)) == 16000
    assert len(read_audio(tmp_path / "a.wav", 16000, offset=0.5, duration=0.51)) == 8000
    fault(tmp_path / "a.wav", "1.000 s", "past its end", duration=1.2)
    fault(tmp_path / "a.wav", "past its end", offset=0.5, duration=0.7)
    fault(tmp_path / "a.wav", "past its end", offset=1.0)
    fault(tmp_path / "a.wav", "past its end", offset=5.0, duration=1.0)


@pytest.mark.parametrize(
    "part",
    [
        {"offset": -0.1},
        {"offset": float("nan")},
        {"offset": float("inf")},
        {"duration": 0.0},
        {"duration": -1.0},
        {"duration": float("nan")},
        {"duration": 1e-9},
    ],
)
def test_parts_that_make_no_sense(tmp_path, part):
    soundfile.write(tmp_path / "a.wav", sine(16000, 1.0), 16000)
    fault(tmp_path / "a.wav", **part)


def test_silence_is_no_fault(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16000)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", 16000), np.zeros(1600))


def test_names_in_any_script(tmp_path):
    path = tmp_path / "été 語 ü.flac"
    soundfile.write(path, sine(16000, 0.1), 16000)
    assert len(read_audio(path, 16000)) == 1600
    assert audio_duration(path) == 0.1


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg", ".raw"])
def test_missing_empty_and_text_files(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    fault(path, "does not exist")
    with pytest.raises(AudioError, match="does not exist"):
        audio_duration(path)
    path.write_bytes(b"")
    fault(path, "empty (0 bytes)")
    path.write_text("<html>404 Not Found</html>\n" * 50, encoding="utf-8")
    fault(path, "holds text")
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\n", encoding="utf-8")
    fault(path, "Git LFS")
    path.write_bytes(bytes(range(256)) * 8)
    fault(path, "no audio that can be read")


def test_folder(tmp_path):
    (tmp_path / "a.wav").mkdir()
    fault(tmp_path / "a.wav", "is a folder")


def test_what_is_not_read_says_what_to_do(tmp_path):
    ftyp = b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(500)
    for name, data in [("a.m4a", ftyp), ("a.wav", ftyp), ("a.aac", b"\xff\xf1" + bytes(500))]:
        (tmp_path / name).write_bytes(data)
        fault(tmp_path / name, "damaged or cut short")
    soundfile.write(tmp_path / "a.pvf", sine(16000, 0.5), 16000, format="PVF", subtype="PCM_16")
    fault(tmp_path / "a.pvf", "a format that is not supported (.pvf)", "convert it to wav or flac")


@pytest.mark.parametrize(("name", "kind", "subtype", "options"), EVERY_FORMAT)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95])
def test_files_cut_short(tmp_path, kept, name, kind, subtype, options):
    path = tmp_path / name
    soundfile.write(path, speechlike(16000, 4.0), 16000, format=kind, subtype=subtype, **options)
    data = path.read_bytes()
    assert len(read_audio(path, 16000)) == 64000
    path.write_bytes(data[: int(len(data) * kept)])
    assert any(word in fault(path) for word in ("damaged or cut short", "no audio"))


@pytest.mark.parametrize(("name", "kind", "subtype", "options"), LOSSY)
def test_hole_in_the_middle(tmp_path, name, kind, subtype, options):
    path = tmp_path / name
    soundfile.write(path, speechlike(16000, 8.0), 16000, format=kind, subtype=subtype, **options)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 6000] = bytes(6000)
    path.write_bytes(data)
    fault(path, "damaged or cut short")


def test_part_after_the_cut_of_a_file(tmp_path):
    for name in ("a.mp3", "a.flac"):
        path = tmp_path / name
        soundfile.write(path, speechlike(16000, 8.0), 16000)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        fault(path, "damaged or cut short", offset=7.0, duration=0.5)


def test_wav_written_to_a_pipe_is_read_to_its_end(tmp_path):
    path = tmp_path / "a.wav"
    wave = sine(16000, 0.5)
    soundfile.write(path, wave, 16000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    for length in (0xFFFF_FFFF, 0x7FFF_F000):
        data[4:8] = data[at : at + 4] = struct.pack("<I", length)
        path.write_bytes(data)
        np.testing.assert_allclose(read_audio(path, 16000), wave, atol=1e-4)


def test_wav_with_other_chunks_around_the_sound(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, sine(16000, 0.5), 16000, subtype="PCM_16")
    data = path.read_bytes()
    at = data.index(b"data")
    odd = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"
    path.write_bytes(data[:at] + odd + data[at:] + odd)
    assert len(read_audio(path, 16000)) == 8000
    path.write_bytes(data[:at] + odd + data[at:-1000])
    fault(path, "lacks 1000 bytes")


@pytest.mark.parametrize("name", ["a.wav", "a.ogg", "a.flac", "a.mp3"])
def test_no_samples(tmp_path, name):
    soundfile.write(tmp_path / name, np.zeros((0, 1)), 16000)
    fault(tmp_path / name)
    if name == "a.wav":
        fault(tmp_path / name, "holds no samples")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path, bad):
    wave = np.stack([sine(16000, 1.0), sine(16000, 1.0)], 1)
    wave[8000] = bad, -bad
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    fault(tmp_path / "a.wav", "NaN")
    assert len(read_audio(tmp_path / "a.wav", 16000, duration=0.4)) == 6400


def test_samples_that_are_absurd(tmp_path):
    wave = sine(16000, 1.0)
    wave[8000] = -1e30
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    fault(tmp_path / "a.wav", "far beyond full scale")
    wave[8000] = -300.0  # loud, but a scale that a mistake can give
    soundfile.write(tmp_path / "b.wav", wave, 16000, subtype="FLOAT")
    assert len(read_audio(tmp_path / "b.wav", 16000)) == 16000


def test_flac_of_unknown_length(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, sine(16000, 0.5), 16000)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the 36 bits of the total, in the STREAMINFO block
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert audio_duration(path) == 0.5
    np.testing.assert_allclose(read_audio(path, 16000), sine(16000, 0.5), atol=1e-4)


def without_length_header(path: Path) -> bytes:
    """An MP3 without the first frame, which holds the length and no sound."""
    data = path.read_bytes()
    return data[data.index(data[:2], max(data.find(b"Xing"), data.find(b"Info"))) :]


@pytest.mark.parametrize("rate", [16000, 44100])
def test_mp3_without_a_length_header(tmp_path, rate):
    wave, path = speechlike(rate, 6.0), tmp_path / "a.mp3"
    soundfile.write(path, wave, rate, bitrate_mode="CONSTANT", compression_level=0.5)
    path.write_bytes(without_length_header(path) + b"TAG" + bytes(125))
    assert len(read_audio(path, rate)) == pytest.approx(len(wave), abs=4000)
    assert audio_duration(path) == pytest.approx(6.0, abs=0.15)
    # libmpg123 takes the first frame's bit rate for that of all and drops most of the file
    soundfile.write(path, wave, rate, bitrate_mode="VARIABLE", compression_level=0.5)
    path.write_bytes(without_length_header(path))
    assert soundfile.info(path).frames < len(wave) / 2
    assert len(read_audio(path, rate)) == pytest.approx(len(wave), abs=4000)


def test_bad_rate_is_the_callers_mistake(tmp_path):
    with pytest.raises(ValueError, match="sample_rate"):
        read_audio(tmp_path / "a.wav", 0)


@pytest.mark.parametrize(("name", "kind"), [("a.mp3", "MP3"), ("a.ogg", "OGG"), ("a.wav", "WAV")])
def test_a_disk_that_fails_while_a_file_is_read(tmp_path, monkeypatch, name, kind):
    path = tmp_path / name
    soundfile.write(path, sine(16000, 0.5), 16000, format=kind)

    def fail(self, *arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", fail)
    assert "cannot be read (Input/output error)" in fault(path, name)
