"""Files damaged at random: all that an independent decoder hears of them is read, or none of it."""

import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from asr_attn.audio.reading import audio_duration, duration_and_rate, read_audio
from asr_attn.errors import AudioError

RATE = 16000
# Seconds that decoders differ by: what encoders add at the ends, the block at a place of damage
TOLERANCE = 0.2
ID3 = b"ID3\x04\0\0\0\0\0\x20" + bytes(32)


def sound(seconds: float, seed: int) -> np.ndarray:
    """Noise whose loudness wanders, so that packets are of different sizes."""
    time = np.arange(round(RATE * seconds)) / RATE
    noise = np.random.default_rng(seed).standard_normal(time.size)
    return (0.1 * noise * (1 + np.sin(5 * time)) + 0.2 * np.sin(3000 * time)).astype(np.float32)


def by_libsndfile(samples: np.ndarray, kind: str, subtype: str, **options: object) -> bytes:
    data = io.BytesIO()
    soundfile.write(data, samples, RATE, format=kind, subtype=subtype, **options)
    return data.getvalue()


def by_ffmpeg(
    samples: np.ndarray,
    kind: str,
    codec: str,
    form: str = "s16",
    rate: int = RATE,
    bit_rate: int | None = None,
) -> bytes:
    data = io.BytesIO()
    with av.open(data, "w", format=kind) as container:
        track = container.add_stream(codec, rate=rate, layout="mono")
        if bit_rate is not None:
            track.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(
            np.round(samples * 32767).astype(np.int16)[None], "s16", "mono"
        )
        frame.sample_rate = RATE
        resampler = av.AudioResampler(form, "mono", rate, track.codec_context.frame_size or 1024)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux([packet for packet in track.encode(part) if packet.size])
    return data.getvalue()


MAKERS: dict[str, Callable[[np.ndarray], bytes]] = {
    "a.wav": lambda s: by_libsndfile(s, "WAV", "PCM_16"),
    "b.wav": lambda s: by_libsndfile(s, "WAVEX", "PCM_24"),
    "c.wav": lambda s: by_libsndfile(s, "WAV", "ULAW"),
    "d.wav": lambda s: by_ffmpeg(s, "wav", "adpcm_ima_wav", "s16p"),
    "e.wav": lambda s: by_ffmpeg(s, "wav", "libmp3lame", "fltp"),
    "f.rf64": lambda s: by_libsndfile(s, "RF64", "PCM_16"),
    "a.flac": lambda s: by_libsndfile(s, "FLAC", "PCM_16"),
    "a.ogg": lambda s: by_libsndfile(s, "OGG", "VORBIS"),
    "b.ogg": lambda s: by_ffmpeg(s, "ogg", "flac"),
    "a.opus": lambda s: by_libsndfile(s, "OGG", "OPUS"),
    "a.mp3": lambda s: by_libsndfile(s, "MP3", "MPEG_LAYER_III"),
    "b.mp3": lambda s: by_ffmpeg(s, "mp3", "libmp3lame", "fltp"),
    "c.mp3": lambda s: without_first_frame(by_libsndfile(s, "MP3", "MPEG_LAYER_III")),
    "a.m4a": lambda s: by_ffmpeg(s, "ipod", "aac", "fltp"),
    "b.m4a": lambda s: by_ffmpeg(s, "ipod", "alac", "s16p"),
    "a.aac": lambda s: by_ffmpeg(s, "adts", "aac", "fltp"),
    "a.webm": lambda s: by_ffmpeg(s, "webm", "libopus", "flt", 48000),
    "a.aiff": lambda s: by_libsndfile(s, "AIFF", "PCM_16"),
    "a.au": lambda s: by_libsndfile(s, "AU", "PCM_16"),
    "a.w64": lambda s: by_libsndfile(s, "W64", "PCM_16"),
    "a.caf": lambda s: by_libsndfile(s, "CAF", "PCM_16"),
    "b.caf": lambda s: by_libsndfile(s, "CAF", "ALAC_16"),
    "a.sph": lambda s: by_libsndfile(s, "NIST", "PCM_16"),
    "a.voc": lambda s: by_libsndfile(s, "VOC", "PCM_16"),
}


def without_first_frame(mp3: bytes) -> bytes:
    """An MP3 without the frame that states its length."""
    return mp3[mp3.index(mp3[:2], max(mp3.find(b"Xing"), mp3.find(b"Info"))) :]


@pytest.fixture(scope="module")
def whole() -> dict[str, tuple[bytes, bytes]]:
    """Two recordings of each format."""
    return {name: (make(sound(2.0, 0)), make(sound(1.2, 1))) for name, make in MAKERS.items()}


def damaged(random: np.random.Generator, first: bytes, second: bytes) -> bytes:
    """One or two of the things that happen to files."""
    data = bytearray(first)
    for _ in range(random.integers(1, 3)):
        place = int(random.integers(0, len(data)))
        kind = random.integers(0, 7)
        if kind == 0:
            del data[max(place, 20) :]
        elif kind == 1:
            for _ in range(random.integers(1, 12)):
                data[random.integers(0, len(data))] ^= 1 << random.integers(0, 8)
        elif kind == 2:
            between = (b"", b"", bytes(int(random.integers(1, 4000))), ID3)
            data += between[random.integers(0, 4)] + second
        elif kind == 3:
            length = int(random.integers(1, 8000))
            data[place : place + length] = bytes(len(data[place : place + length]))
        elif kind == 4:  # a number in the header
            place = int(random.integers(0, min(120, len(data))))
            data[place] = random.integers(0, 256)
        elif kind == 5:
            data[:0] = random.bytes(int(random.integers(1, 2000)))
        else:
            data += random.bytes(int(random.integers(1, 3000)))
    return bytes(data)


def heard(path: Path) -> float:
    """Seconds of sound that FFmpeg decodes, whatever it has to skip."""
    seconds = 0.0
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            for packet in container.demux(container.streams.audio[0]):
                try:
                    seconds += sum(f.samples / f.sample_rate for f in packet.decode())
                except av.FFmpegError:
                    continue
    except (av.FFmpegError, IndexError, OSError):
        pass
    return seconds


def check(path: Path) -> bool:
    """Reads a damaged file; whether it was read."""
    try:
        samples = read_audio(path, RATE)
        seconds, rate = duration_and_rate(path)
    except AudioError as error:
        message = str(error)
        assert message.startswith(f"{path} ")
        assert message.endswith(".")
        assert "\n" not in message
        with pytest.raises(AudioError):
            read_audio(path, RATE)
        return False
    assert len(samples) / RATE == pytest.approx(seconds, abs=1 / RATE + 1 / rate)
    assert seconds >= heard(path) - TOLERANCE
    if seconds > 0.3:
        part = read_audio(path, RATE, 0.2, 0.1)
        assert part.shape == (1600,)
        np.testing.assert_allclose(part, samples[3200:4800], atol=2e-6)
    return True


def fuzz(folder: Path, whole: dict[str, tuple[bytes, bytes]], seed: int, files: int) -> None:
    random = np.random.default_rng(seed)
    names = list(whole)
    faults = []
    read = 0
    for i in range(files):
        name = names[random.integers(0, len(names))]
        path = folder / f"{i}_{name}"
        path.write_bytes(damaged(random, *whole[name]))
        try:
            read += check(path)
        except Exception as error:
            faults.append(f"{path.name}: {type(error).__name__}: {str(error)[:200]}")
        else:
            path.unlink()
    assert not faults, f"seed {seed}:\n" + "\n".join(faults)
    assert files / 10 < read < files  # some damage is harmless, some is not


def test_each_format_is_read_whole(tmp_path, whole):
    for name, (data, _) in whole.items():
        (tmp_path / name).write_bytes(data)
        assert check(tmp_path / name), name
        assert audio_duration(tmp_path / name) == pytest.approx(2.0, abs=0.15), name


def test_damage_at_random(tmp_path, whole):
    fuzz(tmp_path, whole, 0, 300)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_much_damage_at_random(tmp_path, whole, seed):
    fuzz(tmp_path, whole, seed, 300)
