"""Decoding of audio files, or members of shards, to mono samples at one rate.

What a file lacks is never made up: a file that is missing, damaged, cut short or holds no usable
samples is an `AudioError` that names it. Silence is sound, and no fault.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from asr_attn.audio.containers import missing_chunk_bytes, mp3_frames_counted, ogg_end
from asr_attn.audio.refusals import CONVERT, DAMAGED, why_not_opened
from asr_attn.audio.shards import member_of, open_member
from asr_attn.errors import AudioError

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64"}
)
"""Endings of the files that `find_audio` takes for audio, in lower case."""

# A duration in a manifest is often rounded, or counts an MP3's padding: this many seconds past the
# end of the file lose no sound and are no fault.
END_TOLERANCE = 0.1
FAR_TOO_LOUD = 1e9
"""Amplitude (full scale is 1) that no recording has: features of it would spoil all others."""

# After a seek MP3 misses the bits kept back in earlier frames, and Vorbis a block's first half:
# decoding starts this many seconds earlier and drops them.
_PRE_ROLL = 1.0
# Source samples on either side of a part that soxr's HQ filter reaches, at most
_FILTER_REACH = 256
# Bytes that are read ahead of a member of a shard: all of an utterance, or a header
_WHOLE = 1 << 22
_HEADER = 1 << 13


def read_audio(
    path: Path, sample_rate: int, offset: float = 0.0, duration: float | None = None
) -> NDArray[np.float32]:
    """Reads a file, or a part of it, as mono samples; channels are averaged.

    A part is what the same samples cut out of the whole would be: only what is needed is decoded,
    and the resampling filter sees the sound on both sides of the cut.

    Args:
        path: the file, or a member of a shard (see `audio.shards`); any format, sample rate and
            number of channels that libsndfile reads.
        sample_rate: samples per second of the result.
        offset: seconds to leave out at the start.
        duration: seconds to read; None reads to the end. It may reach past the end of the file by
            `END_TOLERANCE` seconds, and ends there.

    Returns:
        Shape (samples,); full scale is ±1.

    Raises:
        AudioError: the file cannot be read, is cut short, holds no samples or samples that are no
            numbers, or the part is not inside it.
    """
    if sample_rate <= 0:
        raise ValueError(f"sample_rate must be above 0, got {sample_rate}")
    path = Path(path)
    with _open(path, _WHOLE) as source:
        _check_part(source, offset, duration)
        divisor = math.gcd(source.rate, sample_rate)
        up, down = sample_rate // divisor, source.rate // divisor
        reach = 0 if up == down else math.ceil(_FILTER_REACH * max(1.0, down / up))
        begin = round(offset * sample_rate)
        count = None if duration is None else round(duration * sample_rate)
        # Decoding starts on a sample that both rates share, so that both count from it.
        first = max(0, begin * down // up - reach) // down * down
        last = source.frames
        if count is not None:
            last = min(last, -(-(begin + count) * down // up) + reach)
        frames = _decode(source, first, max(first, last))
    samples = frames[:, 0] if frames.shape[1] == 1 else frames.mean(axis=1)
    if up != down and samples.size:
        samples = soxr.resample(samples, source.rate, sample_rate, quality="HQ")
    begin -= first // down * up
    samples = samples[begin : None if count is None else begin + count]
    if not samples.size:
        raise _fault(path, f"holds no samples from {offset:g} s on at {sample_rate} samples/s")
    return np.ascontiguousarray(samples, dtype=np.float32)


def read_frames(path: Path, offset: float, duration: float) -> tuple[NDArray[np.float32], int, str]:
    """Reads a part of a file as it is: the samples that `read_audio` has at the file's own rate.

    Args:
        path: as in `read_audio`.
        offset: seconds to leave out at the start.
        duration: seconds to read, as in `read_audio`.

    Returns:
        All channels, shape (frames, channels), exact where samples have 24 bits or fewer; frames
        per second; and libsndfile's name for the coding of the samples.

    Raises:
        AudioError: as `read_audio`.
    """
    with _open(path, _WHOLE) as source:
        _check_part(source, offset, duration)
        first = round(offset * source.rate)
        last = min(source.frames, first + round(duration * source.rate))
        if last <= first:
            raise _fault(path, f"holds no samples from {offset:g} s on for {duration:g} s")
        return _decode(source, first, last), source.rate, source.sound.subtype


def audio_duration(path: Path) -> float:
    """Returns a file's length in seconds as its header states it; little is decoded.

    Raises:
        AudioError: the file cannot be read, is cut short as far as the header tells, or is empty.
    """
    return duration_and_rate(path)[0]


def duration_and_rate(path: Path) -> tuple[float, int]:
    """As `audio_duration`, and the file's samples per second."""
    with _open(Path(path), _HEADER) as source:
        return source.frames / source.rate, source.rate


def find_audio(folder: Path) -> list[Path]:
    """Returns the audio files in a folder and the folders below, by `AUDIO_SUFFIXES`, sorted.

    Names that begin with "._" are left out: macOS writes them beside files on foreign disks, with
    the same ending and no sound in them.

    Raises:
        AudioError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AudioError(f"{folder} is not a folder; give the folder that holds the recordings.")
    found = (
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES
        and not path.name.startswith("._")
        and path.is_file()
    )
    return sorted(found, key=Path.as_posix)


@dataclass(frozen=True)
class _Source:
    """An open file: its frames (samples per channel), rate, and the last frame to seek to."""

    path: Path
    sound: Any
    frames: int
    rate: int
    seekable_to: int


@contextmanager
def _open(path: Path, ahead: int) -> Iterator[_Source]:
    """Opens a file and makes sure that it holds what it promises.

    Args:
        path: the file.
        ahead: bytes of a member that are read at a time.
    """
    member = member_of(path)
    with nullcontext() if member is None else open_member(member, ahead) as inner:
        place = str(path) if os.name == "nt" else os.fsencode(path)
        try:
            sound = soundfile.SoundFile(place if inner is None else inner)
        except (soundfile.SoundFileError, TypeError, OSError):
            raise _fault(path, _why_not_opened(path, inner)) from None
        with sound:
            try:
                frames, seekable_to = _measure(path, sound, inner)
            except OSError as error:  # a failing disk, or a network mount that went away
                raise _fault(path, f"cannot be read ({error.strerror or error})") from None
            yield _Source(path, sound, frames, sound.samplerate, seekable_to)


@contextmanager
def _bytes(path: Path, inner: BinaryIO | None) -> Iterator[BinaryIO]:
    """The bytes of a file, beside what decodes it; of a member if `inner` is one."""
    if inner is None:
        with path.open("rb") as stream:
            yield stream
        return
    place = inner.tell()
    inner.seek(0)
    yield inner
    inner.seek(place)


def _measure(path: Path, sound: Any, inner: BinaryIO | None) -> tuple[int, int]:
    """Returns the frames of the file and the last one that seeking finds exactly."""
    frames = seekable_to = int(sound.frames)
    if frames >= 2**62:  # libsndfile's word for "unknown", as in a flac written to a pipe
        raise _fault(path, f"does not state its length; {CONVERT}")
    if sound.format in ("WAV", "WAVEX", "RF64", "AIFF"):
        with _bytes(path, inner) as stream:
            missing = missing_chunk_bytes(stream)
        if missing:
            raise _fault(
                path, f"lacks {missing} bytes of sound that its header promises: it {DAMAGED}"
            )
    if sound.format == "OGG":
        with _bytes(path, inner) as stream:
            end = ogg_end(stream)
        if not end.complete:
            raise _fault(path, f"has no end-of-stream mark: it {DAMAGED}")
        if sound.subtype == "VORBIS":
            seekable_to = max(0, frames - end.tail)
    if sound.format == "MP3":
        with _bytes(path, inner) as stream:
            counted = mp3_frames_counted(stream)
        if counted is not None and counted > frames + 2 * _mp3_frame_samples(sound.samplerate):
            raise _fault(path, f"does not state its length, and its bit rate varies; {CONVERT}")
        frames = frames if counted is None else min(frames, counted)
    if frames <= 0:
        raise _fault(path, "holds no samples; record or export it again")
    return frames, seekable_to


def _mp3_frame_samples(rate: int) -> int:
    """Returns the samples of an MP3 frame: some encoders count one frame too many or too few."""
    return 1152 if rate >= 32000 else 576


def _decode(source: _Source, first: int, last: int) -> NDArray[np.float32]:
    """Returns the frames from `first` to before `last`: (last - first, channels)."""
    start = first
    if first and source.sound.format in ("MP3", "OGG"):
        start = max(0, min(first, source.seekable_to) - math.ceil(_PRE_ROLL * source.rate))
    try:
        source.sound.seek(start)
        samples = source.sound.read(last - start, dtype="float32", always_2d=True)
    except soundfile.SoundFileError:
        raise _fault(source.path, f"cannot be decoded: it {DAMAGED}") from None
    slack = _mp3_frame_samples(source.rate) if source.sound.format == "MP3" else 0
    if len(samples) < last - start - slack:
        raise _fault(
            source.path,
            f"ends after {start + len(samples)} of the {source.frames} samples that its header "
            f"promises: it {DAMAGED}",
        )
    frames: NDArray[np.float32] = samples[first - start :]
    if not np.isfinite(frames).all():
        raise _fault(source.path, "holds samples that are no numbers (NaN or infinite); mend it")
    if np.abs(frames).max(initial=0.0) > FAR_TOO_LOUD:
        raise _fault(source.path, "holds samples far beyond full scale; export it again")
    return frames


def _check_part(source: _Source, offset: float, duration: float | None) -> None:
    """Raises AudioError if the part is not inside the file."""
    total = source.frames / source.rate
    if not (math.isfinite(offset) and offset >= 0):
        raise _fault(source.path, f"cannot be read from offset {offset} s; give 0 or more")
    if offset >= total:
        raise _fault(source.path, f"lasts {total:.3f} s, so offset {offset:g} s is past its end")
    if duration is None:
        return
    if not (math.isfinite(duration) and duration > 0):
        raise _fault(source.path, f"cannot be read for {duration} s; give a duration above 0")
    if offset + duration > total + END_TOLERANCE:
        raise _fault(
            source.path,
            f"lasts {total:.3f} s, so offset {offset:g} s with duration {duration:g} s runs "
            "past its end",
        )


def _fault(path: Path, what: str) -> AudioError:
    return AudioError(f"{member_of(path) or path} {what}.")


def _why_not_opened(path: Path, inner: BinaryIO | None) -> str:
    """Says in words why libsndfile does not open a file."""
    if inner is None and path.is_dir():
        return "is a folder, not an audio file"
    if inner is None and not path.exists():
        return "does not exist; check the path"
    try:
        with _bytes(path, inner) as stream:
            head = stream.read(512)
    except OSError as error:
        return f"cannot be opened ({error.strerror or type(error).__name__}); check its permissions"
    return why_not_opened(path.suffix.lower(), head)
