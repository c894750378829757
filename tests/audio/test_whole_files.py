"""Files that hold more, or less, than one simple recording: read whole, or refused in a sentence.

Expected durations are those of what was put in.
"""

import io
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from asr_attn.audio.reading import audio_duration, duration_and_rate, read_audio
from asr_attn.audio.shards import Member
from asr_attn.errors import AudioError
from tests.audio.test_damaged_files import (
    ID3,
    MAKERS,
    RATE,
    by_ffmpeg,
    by_libsndfile,
    sound,
    without_first_frame,
)

A, B = sound(3.0, 0), sound(2.0, 1)


def seconds_of(path: Path, data: bytes) -> float:
    """Writes and reads a file; its duration, which must be that of what is read."""
    path.write_bytes(data)
    seconds, rate = duration_and_rate(path)
    samples = read_audio(path, rate)
    assert len(samples) / rate == pytest.approx(seconds, abs=1e-9)
    return seconds


def refused(path: Path, data: bytes, *words: str) -> None:
    path.write_bytes(data)
    with pytest.raises(AudioError) as caught:
        read_audio(path, RATE)
    with pytest.raises(AudioError) as again:
        audio_duration(path)
    message = str(caught.value)
    assert str(again.value) == message
    assert message.startswith(f"{path} ")
    assert message.endswith(".")
    assert "\n" not in message
    for word in words:
        assert word in message


def mp3(samples: np.ndarray, **options: object) -> bytes:
    return by_libsndfile(samples, "MP3", "MPEG_LAYER_III", **options)


VARIABLE = {"bitrate_mode": "VARIABLE", "compression_level": 0.5}
MP3S = {
    "constant": mp3,
    "variable": lambda s: mp3(s, **VARIABLE),
    "without a length": lambda s: without_first_frame(mp3(s)),
    "variable, without a length": lambda s: without_first_frame(mp3(s, **VARIABLE)),
}


@pytest.mark.parametrize("between", [b"", ID3, bytes(3000), b"TAG" + bytes(125) + ID3])
@pytest.mark.parametrize("kind", list(MP3S))
def test_joined_mp3(tmp_path, kind, between):
    make = MP3S[kind]
    for first, second in ((A, B), (B, A)):
        data = make(first) + between + make(second)
        assert seconds_of(tmp_path / "a.mp3", data) == pytest.approx(5.0, abs=0.25)


def test_joined_mp3_is_the_sound_of_both(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3(A) + mp3(B))
    samples = read_audio(path, RATE)
    for wave, begin in ((A, 0), (B, 3 * RATE)):
        found = samples[begin : begin + len(wave) + 4000]
        match = np.correlate(found, wave[8000:24000], "valid")
        assert np.argmax(match) < 8000 + 4000
        assert match.max() > 0.9 * np.square(wave[8000:24000]).sum()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_mp3_with_a_wrong_count(tmp_path, share):
    data = mp3(A)
    at = max(data.find(b"Xing"), data.find(b"Info")) + 8
    count = struct.unpack_from(">I", data, at)[0]
    wrong = data[:at] + struct.pack(">I", int(count * share)) + data[at + 4 :]
    assert seconds_of(tmp_path / "a.mp3", wrong) == pytest.approx(3.0, abs=0.1)


def test_mp3_between_other_bytes(tmp_path):
    junk = np.random.default_rng(0).bytes(777)
    path = tmp_path / "a.mp3"
    assert seconds_of(path, junk + mp3(A)) == pytest.approx(3.0, abs=0.15)
    apetag = b"APETAGEX" + struct.pack("<IIII", 2000, 20, 1, 0) + bytes(8 + 20)
    for tail in (b"TAG" + bytes(125), apetag, bytes(5000)):
        assert seconds_of(path, ID3 + mp3(A) + tail) == pytest.approx(3.0, abs=0.1)
    latin = b"ID3\x03\0\0\0\0\0\x11TIT2\0\0\0\x07\0\0\0caf\xe9\xff\xfe"
    assert seconds_of(path, latin + mp3(A)) == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "b.ogg", "a.opus", "a.aac", "a.webm"])
def test_joined_and_chained_files_are_read_whole(tmp_path, name):
    make = MAKERS[name]
    assert seconds_of(tmp_path / name, make(A) + make(B)) == pytest.approx(5.0, abs=0.25)


@pytest.mark.parametrize("name", ["a.wav", "a.m4a", "a.aiff", "a.au", "a.w64", "a.caf", "a.sph"])
def test_joined_files_of_which_one_would_be_heard(tmp_path, name):
    make = MAKERS[name]
    refused(tmp_path / name, make(A) + make(B), "behind")


def test_chains_of_different_kinds(tmp_path):
    one = by_libsndfile(A, "OGG", "VORBIS")
    stereo, other = io.BytesIO(), io.BytesIO()
    soundfile.write(stereo, np.stack([B, B], 1), RATE, format="OGG", subtype="VORBIS")
    soundfile.write(other, B, 44100, format="OGG", subtype="VORBIS")
    for second in (stereo.getvalue(), other.getvalue(), by_libsndfile(B, "OGG", "OPUS")):
        refused(tmp_path / "a.ogg", one + second)
    soundfile.write(other := io.BytesIO(), B, 44100, format="MP3")
    refused(tmp_path / "a.mp3", mp3(A) + other.getvalue(), "changes its sample rate")


def test_parts_of_files_that_ffmpeg_reads(tmp_path):
    wave = sound(8.0, 3)
    files = {name: MAKERS[name](wave) for name in ("a.m4a", "b.m4a", "a.webm", "d.wav", "e.wav")}
    files["joined.mp3"] = mp3(wave) + mp3(A)
    for name, data in files.items():
        (path := tmp_path / name).write_bytes(data)
        whole = read_audio(path, RATE)
        for offset, duration in ((0.0, 0.5), (1.2345, 0.5), (7.0, 0.4), (5.5, None)):
            part = read_audio(path, RATE, offset, duration)
            begin = round(offset * RATE)
            expected = whole[begin : None if duration is None else begin + round(duration * RATE)]
            assert part.shape == expected.shape
            np.testing.assert_allclose(part, expected, atol=2e-6)


@pytest.mark.parametrize("count", [100, 8000, 47999])
def test_flac_that_states_less_than_it_holds(tmp_path, count):
    data = bytearray(by_libsndfile(A, "FLAC", "PCM_16"))
    data[22:26] = struct.pack(">I", count)
    path = tmp_path / "a.flac"
    assert seconds_of(path, bytes(data)) == pytest.approx(3.0)
    np.testing.assert_allclose(read_audio(path, RATE), A, atol=1e-4)
    data[22:26] = struct.pack(">I", 50000)
    refused(path, bytes(data), "header promises", "damaged or cut short")


def wav_stating(length: int, tail: bytes = b"") -> bytes:
    data = bytearray(by_libsndfile(A, "WAV", "PCM_16")) + tail
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", length)
    return bytes(data)


def test_wav_sizes(tmp_path):
    path = tmp_path / "a.wav"
    refused(path, wav_stating(32000), "holds 64000 bytes behind the 32000 bytes of sound")
    refused(path, wav_stating(2 * len(A) + 1000), "lacks 1000 bytes")
    for unknown in (0, 0xFFFF_FFFF, 0x7FFF_F000):
        assert seconds_of(path, wav_stating(unknown)) == 3.0
        np.testing.assert_allclose(read_audio(path, RATE), A, atol=1e-4)
    chunk = b"LIST" + struct.pack("<I", 300) + bytes(300)
    for tail in (chunk, chunk[:200], bytes(1000), ID3, b"TAG" + b"x" * 125):
        assert seconds_of(path, wav_stating(2 * len(A), tail)) == 3.0
    empty = by_libsndfile(A[:0], "WAV", "PCM_16")
    for tail in (b"", chunk):
        refused(path, empty + tail, "holds no samples")


@pytest.mark.parametrize("name", ["a.aiff", "a.au", "a.w64", "a.caf", "a.sph", "a.voc", "f.rf64"])
def test_uncompressed_files_that_end_early(tmp_path, name):
    data = MAKERS[name](A)
    refused(tmp_path / name, data[: len(data) // 2], "lacks", "cut short")
    assert seconds_of(tmp_path / name, data + bytes(500)) == pytest.approx(3.0)


def test_avr(tmp_path):
    data = by_libsndfile(A, "AVR", "PCM_16")
    assert seconds_of(tmp_path / "a.avr", data) == 3.0
    refused(tmp_path / "a.avr", data[:-1000], "lacks 1000 bytes")


def gsm_in_wav(samples: np.ndarray) -> bytes:
    return by_libsndfile(samples, "WAV", "GSM610")


@pytest.mark.parametrize(
    ("name", "data", "rate"),
    [
        ("gsm.wav", gsm_in_wav(A), 16000),
        ("adpcm.wav", by_libsndfile(A, "WAV", "MS_ADPCM"), 16000),
        ("alaw.wav", by_libsndfile(A, "WAV", "ALAW"), 16000),
        ("mp3.wav", by_ffmpeg(A, "wav", "libmp3lame", "fltp"), 16000),
        ("alac.caf", by_libsndfile(A, "CAF", "ALAC_16"), 16000),
        ("flac.ogg", by_ffmpeg(A, "ogg", "flac"), 16000),
        ("a.g722", by_ffmpeg(A, "g722", "g722"), 16000),
        ("a.m4a", MAKERS["a.m4a"](A), 16000),
        ("m4a-named.wav", MAKERS["a.m4a"](A), 16000),
        ("a.webm", MAKERS["a.webm"](A), 48000),
        ("a.mkv", by_ffmpeg(A, "matroska", "aac", "fltp"), 16000),
        ("a.mov", by_ffmpeg(A, "mov", "pcm_s16le"), 16000),
        ("a.wma", by_ffmpeg(A, "asf", "wmav2", "fltp", bit_rate=64000), 16000),
        ("a.aac", by_ffmpeg(A, "adts", "aac", "fltp"), 16000),
        ("a.amr", by_ffmpeg(A, "amr", "libopencore_amrnb", "s16", 8000, 12200), 8000),
        ("a.3gp", by_ffmpeg(A, "3gp", "libopencore_amrnb", "s16", 8000, 12200), 8000),
    ],
)
def test_other_codings(tmp_path, name, data, rate):
    assert seconds_of(tmp_path / name, data) == pytest.approx(3.0, abs=0.15)
    assert duration_and_rate(tmp_path / name)[1] == rate
    samples = read_audio(tmp_path / name, 8000)
    expected = np.sqrt(np.mean(np.square(A)))
    assert np.sqrt(np.mean(np.square(samples))) == pytest.approx(expected, rel=0.4)


def test_members_of_shards_that_ffmpeg_reads(tmp_path):
    file = tmp_path / "a.m4a"
    file.write_bytes(data := MAKERS["a.m4a"](A))
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(file, "b.m4a")
        tar.add(file, "a.m4a")
    with tarfile.open(tmp_path / "x.tar") as tar:
        found = tar.getmember("a.m4a")
    member = Member(tmp_path / "x.tar", found.offset_data, len(data), "a.m4a").path
    assert duration_and_rate(member) == duration_and_rate(file)
    np.testing.assert_array_equal(read_audio(member, RATE, 1, 1), read_audio(file, RATE, 1, 1))


def film(sounds: int) -> bytes:
    data = io.BytesIO()
    with av.open(data, "w", format="matroska") as container:
        picture = container.add_stream("mpeg4", rate=25, width=32, height=32)
        tracks = [
            container.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in range(sounds)
        ]
        for _ in range(50):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        for track, wave in zip(tracks, (B, A)):
            frame = av.AudioFrame.from_ndarray((wave * 32767).astype(np.int16)[None], "s16", "mono")
            frame.sample_rate = RATE
            container.mux(track.encode(frame))
    return data.getvalue()


def test_films(tmp_path):
    path = tmp_path / "a.mkv"
    refused(path, film(0), "holds no sound track")
    assert seconds_of(path, film(1)) == pytest.approx(2.0)
    assert seconds_of(path, film(2)) == pytest.approx(2.0)  # the first track


def test_rates_that_no_recording_has(tmp_path):
    data = bytearray(by_libsndfile(A, "WAV", "PCM_16"))
    for rate in (1, 5_000_000):
        data[24:28] = struct.pack("<I", rate)
        refused(tmp_path / "a.wav", bytes(data), f"states {rate} samples/s")


def test_a_file_that_changes_is_counted_anew(tmp_path):
    path = tmp_path / "a.mp3"
    assert seconds_of(path, mp3(A) + mp3(B)) > 4.9
    assert seconds_of(path, mp3(A)) == 3.0


def test_wav_is_read_without_loading_ffmpeg(tmp_path):
    soundfile.write(tmp_path / "a.wav", A, RATE)
    code = (
        "import sys; from pathlib import Path; from asr_attn.audio.reading import read_audio; "
        f"read_audio(Path({str(tmp_path / 'a.wav')!r}), {RATE}); sys.exit('av' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
