"""Opening of audio files, or members of shards: which library reads one, and does it read all?

libsndfile reads what it reads whole, which is checked by the sizes that headers state or by a count
of the packets; all else is FFmpeg's. Both give the same samples for a part as for the whole.
"""

import math
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from asr_attn.audio.compressed import HEADERLESS, Count, NotRecognizedError, count, decode
from asr_attn.audio.containers import Extent, ogg_tail, sound_extent
from asr_attn.audio.refusals import DAMAGED, NO_SAMPLES, RefusedError, holds_text, why_not_opened
from asr_attn.audio.shards import file_on_disk, member_of, open_member
from asr_attn.errors import AudioError

WHOLE = 1 << 22
"""Bytes of a member of a shard that are read ahead to read it: all of an utterance."""
HEADER = 1 << 13
"""Bytes of a member of a shard that are read ahead to measure it: the header of most formats."""

# After a seek MP3 misses the bits kept back in earlier frames, and Vorbis a block's first half:
# decoding starts this many seconds earlier and drops them.
_PRE_ROLL = 1.0
# What a header states outside of these would take more memory than there is.
_LOWEST_RATE, _HIGHEST_RATE = 1000, 1_000_000
# Formats whose headers `sound_extent` checks, and those that are counted
_UNCOMPRESSED = frozenset(
    {"WAV", "WAVEX", "RF64", "AIFF", "AU", "W64", "CAF", "NIST", "VOC", "AVR"}
)
_COUNTED_MAGIC = rb"fLaC|OggS|ID3|\xff[\xe0-\xff]"
_MP3_FRAME = 1152
_SAMPLE_BYTES = {
    "PCM_S8": 1,
    "PCM_U8": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
    "ULAW": 1,
    "ALAW": 1,
}
# libsndfile's word for a length that is not known
_UNKNOWN_FRAMES = 2**62
# Counts of files that have been read, and the age in nanoseconds from which a file's date tells
_counts: dict[tuple[str, int, int], Count] = {}
_KNOWN_FILES = 1 << 14
_SETTLED = 2_000_000_000


@dataclass(frozen=True)
class Sound:
    """An open file.

    Attributes:
        path: of the file.
        frames: samples per channel.
        rate: samples per second.
        coding: the library's name for the coding of the samples.
        read: decodes the frames from the first given to before the second, (frames, channels);
            fewer come if the file ends before.
    """

    path: Path
    frames: int
    rate: int
    coding: str
    read: Callable[[int, int], NDArray[np.float32]]


@contextmanager
def open_sound(path: Path, ahead: int) -> Iterator[Sound]:
    """Opens a file and makes sure that it holds what it promises.

    Args:
        path: the file.
        ahead: bytes of a member that are read at a time.

    Raises:
        AudioError: it cannot be read, or not all of it; or such an error
            (`RefusedError`, OSError) in the block.
    """
    member = member_of(path)
    with nullcontext() if member is None else open_member(member, ahead) as inner:
        try:
            with ExitStack() as stack:
                source = _by_libsndfile(path, inner, stack) or _by_ffmpeg(path, inner)
                if source.frames <= 0:
                    raise RefusedError(NO_SAMPLES)
                if not _LOWEST_RATE <= source.rate <= _HIGHEST_RATE:
                    raise RefusedError(
                        f"states {source.rate} samples/s, which no recording has; mend it"
                    )
                yield source
        except RefusedError as refused:
            raise AudioError(f"{member or path} {refused}.") from None
        except OSError as error:
            raise AudioError(f"{path} {_why_no_bytes(path, inner, error)}.") from None


def stated_seconds(path: Path) -> float | None:
    """Returns the length that the header of a file states, in seconds.

    Nothing is counted or checked, so this is fast on files of any size. None where libsndfile does
    not open the file or its header states no length.
    """
    member = member_of(path)
    try:
        with (
            nullcontext() if member is None else open_member(member, HEADER) as inner,
            soundfile.SoundFile(_place(path) if inner is None else inner) as sound,
        ):
            frames, rate = int(sound.frames), int(sound.samplerate)
    except (soundfile.SoundFileError, TypeError, OSError, AudioError):
        return None
    return frames / rate if 0 < frames < _UNKNOWN_FRAMES else None


def _place(path: Path) -> str | bytes:
    """A path as libsndfile opens it."""
    return str(path) if os.name == "nt" else os.fsencode(path)


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


def _by_libsndfile(path: Path, inner: BinaryIO | None, stack: ExitStack) -> Sound | None:
    """The file as libsndfile reads it; None if it does not, or not surely all of it."""
    with _bytes(path, inner) as stream:
        extent = sound_extent(stream)
        tail = ogg_tail(stream)
        stream.seek(0)
        is_counted = re.match(_COUNTED_MAGIC, stream.read(4)) is not None
    counted = _count_if_known(path, inner) if is_counted else None
    if counted is None or not counted.as_stated if is_counted else extent is None:
        return None
    try:
        sound = soundfile.SoundFile(_place(path) if inner is None else inner)
    except (soundfile.SoundFileError, TypeError, OSError):
        return None
    stack.callback(sound.close)
    frames = _frames_of(sound, extent, counted)
    if not frames:
        return None
    pre_roll = math.ceil(_PRE_ROLL * sound.samplerate) if sound.format in ("MP3", "OGG") else 0
    seekable_to = max(0, frames - tail) if sound.subtype == "VORBIS" else frames

    def read(first: int, last: int) -> NDArray[np.float32]:
        start = max(0, min(first, seekable_to) - pre_roll) if pre_roll and first else first
        try:
            sound.seek(start)
            samples = sound.read(last - start, dtype="float32", always_2d=True)
        except soundfile.SoundFileError:
            raise RefusedError(f"cannot be decoded: it {DAMAGED}") from None
        found: NDArray[np.float32] = samples[first - start :]
        return found

    return Sound(path, frames, sound.samplerate, sound.subtype, read)


def _frames_of(sound: Any, extent: Extent | None, counted: Count | None) -> int:
    """Frames that libsndfile surely reads; 0 where there are others, or it cannot tell."""
    frames, rate = int(sound.frames), int(sound.samplerate)
    if counted is not None and sound.format == "MP3":
        # Where the file states no length, libsndfile guesses it from the size of the file.
        return counted.frames if 0 <= frames - counted.frames < _MP3_FRAME else 0
    if counted is not None:
        # Opus is counted at 48 kHz, whatever rate libsndfile decodes it at.
        differing = abs(counted.frames * rate - frames * counted.rate)
        return frames if differing < max(rate, counted.rate) else 0
    width = _SAMPLE_BYTES.get(sound.subtype)
    if sound.format not in _UNCOMPRESSED or width is None:
        return 0
    if extent is None or extent.length is None:
        return frames
    # what follows the sound is taken for sound, too, in some formats
    return min(frames, extent.length // (width * int(sound.channels)))


def _count_if_known(path: Path, inner: BinaryIO | None) -> Count | None:
    try:
        return _count(path, inner)
    except NotRecognizedError:
        return None


def _by_ffmpeg(path: Path, inner: BinaryIO | None) -> Sound:
    """The file as FFmpeg reads it."""
    suffix = path.suffix.lower()
    with _bytes(path, inner) as stream:
        head = stream.read(512)
    if not head or (holds_text(head) and suffix not in HEADERLESS):
        raise RefusedError(why_not_opened(suffix, head))
    counted = _count_if_known(path, inner)
    if counted is None:
        raise RefusedError(why_not_opened(suffix, head))

    def read(first: int, last: int) -> NDArray[np.float32]:
        with _bytes(path, inner) as stream:
            return decode(stream, suffix, first, last)

    return Sound(path, counted.frames, counted.rate, counted.coding, read)


def _count(path: Path, inner: BinaryIO | None) -> Count:
    """`compressed.count`, which goes through all of a file: once for each file and process."""
    status = Path(file_on_disk(str(path))).stat()
    key = (str(path), status.st_size, status.st_mtime_ns)
    known = _counts.get(key)
    if known is not None:
        return known
    with _bytes(path, inner) as stream:
        counted = count(stream, path.suffix.lower())
    # The clock of a disk is coarse: a file may change within the same tick.
    if time.time_ns() - status.st_mtime_ns > _SETTLED and getattr(inner, "failed", None) is None:
        if len(_counts) >= _KNOWN_FILES:
            _counts.clear()
        _counts[key] = counted
    return counted


def _why_no_bytes(path: Path, inner: BinaryIO | None, error: OSError) -> str:
    """Says in words why the bytes of a file cannot be had."""
    if inner is None and path.is_dir():
        return "is a folder, not an audio file"
    if isinstance(error, FileNotFoundError):
        return "does not exist; check the path"
    if isinstance(error, PermissionError):
        return f"cannot be opened ({error.strerror}); check its permissions"
    return f"cannot be read ({error.strerror or error})"  # a failing disk, or a mount that went
