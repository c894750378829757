"""Decoding of audio files, or members of shards, to mono samples at one rate.

What a file lacks is never made up: a file that is missing, damaged, cut short or holds no usable
samples is an `AudioError` that names it. Silence is sound, and no fault.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from asr_attn.audio.opening import HEADER, WHOLE, Sound, open_sound
from asr_attn.audio.refusals import DAMAGED, RefusedError

# A duration in a manifest is often rounded, or counts an MP3's padding: this many seconds past the
# end of the file lose no sound and are no fault.
END_TOLERANCE = 0.1
CANCELLED = 0.6
"""Level of a mix, as a share of what its loudest channel gives it, below which it has lost sound.
Two channels of opposite phase have 0 to 0.001 (wav, MP3, Opus) and 0.32 to 0.51 (Vorbis, which
keeps phase badly); the same sound in both has 2, different sounds 1.4, and one beside silence 1."""
CANCELLING = "has channels that cancel each other (opposite phase); the loudest is taken alone"
FAR_TOO_LOUD = 1e9
"""Amplitude (full scale is 1) that no recording has: features of it would spoil all others."""

# Source samples on either side of a part that soxr's HQ filter reaches, at most
_FILTER_REACH = 256


def read_audio(
    path: Path,
    sample_rate: int,
    offset: float = 0.0,
    duration: float | None = None,
    tell: Callable[[str], None] | None = None,
) -> NDArray[np.float32]:
    """Reads a file, or a part of it, as mono samples; channels are averaged.

    Where channels of opposite phase cancel each other, the loudest is taken alone. That is decided
    by the sound that is read: a part in which nothing cancels is averaged whatever the whole does.

    A part is what the same samples cut out of the whole would be: only what is needed is decoded,
    and the resampling filter sees the sound on both sides of the cut.

    Args:
        path: the file, or a member of a shard (see `audio.shards`); any sample rate and number
            of channels, in any format that libsndfile or FFmpeg reads. Of several sound tracks the
            default or first one is read.
        sample_rate: samples per second of the result.
        offset: seconds to leave out at the start.
        duration: seconds to read; None reads to the end. It may reach past the end of the file by
            `END_TOLERANCE` seconds, and ends there.
        tell: is told what was done to the sound that nobody asked for, to be put after a name.

    Returns:
        Shape (samples,); full scale is ±1.

    Raises:
        AudioError: the file cannot be read, is cut short, holds no samples or samples that are no
            numbers, or the part is not inside it.
    """
    if sample_rate <= 0:
        raise ValueError(f"sample_rate must be above 0, got {sample_rate}")
    path = Path(path)
    with open_sound(path, WHOLE) as source:
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
        samples, cancelling = mixed(frames)
        if cancelling and tell is not None:
            tell(CANCELLING)
        if up != down and samples.size:
            samples = soxr.resample(samples, source.rate, sample_rate, quality="HQ")
        begin -= first // down * up
        samples = samples[begin : None if count is None else begin + count]
        if not samples.size:
            raise RefusedError(f"holds no samples from {offset:g} s on at {sample_rate} samples/s")
        return np.ascontiguousarray(samples, dtype=np.float32)


def mixed(frames: NDArray[np.float32]) -> tuple[NDArray[np.float32], bool]:
    """The mean over channels; where they cancel each other, the loudest of them.

    They do if the mean is far quieter than the loudest channel beside silent ones would make it.
    Levels are without the constant part, which need not be sound.

    Args:
        frames: shape (frames, channels).

    Returns:
        Shape (frames,), and whether the channels cancel each other.
    """
    if frames.shape[1] == 1 or not len(frames):
        return frames[:, 0], False
    mean: NDArray[np.float32] = frames.mean(axis=1)
    levels = [_level(channel) for channel in frames.T]
    loudest = int(np.argmax(levels))
    if _level(mean) < CANCELLED * levels[loudest] / len(levels):
        return frames[:, loudest], True
    return mean, False


def _level(samples: NDArray[np.float32]) -> float:
    """Standard deviation of (samples,); ten times as fast as NumPy's."""
    centred = samples - samples.mean()
    return math.sqrt(np.dot(centred, centred) / len(samples))


def read_frames(path: Path, offset: float, duration: float) -> tuple[NDArray[np.float32], int, str]:
    """Reads a part of a file as it is: the samples that `read_audio` has at the file's own rate.

    Args:
        path: as in `read_audio`.
        offset: seconds to leave out at the start.
        duration: seconds to read, as in `read_audio`.

    Returns:
        All channels, shape (frames, channels), exact where samples have 24 bits or fewer; frames
        per second; and the library's name for the coding of the samples.

    Raises:
        AudioError: as `read_audio`.
    """
    with open_sound(path, WHOLE) as source:
        _check_part(source, offset, duration)
        first = round(offset * source.rate)
        last = min(source.frames, first + round(duration * source.rate))
        if last <= first:
            raise RefusedError(f"holds no samples from {offset:g} s on for {duration:g} s")
        return _decode(source, first, last), source.rate, source.coding


def audio_duration(path: Path) -> float:
    """Returns a file's length in seconds, which is that of what `read_audio` reads.

    Packets of compressed files are counted, and decoded only where they do not tell their length.

    Raises:
        AudioError: the file cannot be read, is cut short as far as it tells, or is empty.
    """
    return duration_and_rate(path)[0]


def duration_and_rate(path: Path) -> tuple[float, int]:
    """As `audio_duration`, and the file's samples per second."""
    with open_sound(Path(path), HEADER) as source:
        return source.frames / source.rate, source.rate


def _decode(source: Sound, first: int, last: int) -> NDArray[np.float32]:
    """Returns the frames from `first` to before `last`: (last - first, channels)."""
    frames = source.read(first, last)
    if len(frames) < last - first:
        raise RefusedError(
            f"ends after {first + len(frames)} of the {source.frames} samples that its header "
            f"promises: it {DAMAGED}"
        )
    if not np.isfinite(frames).all():
        raise RefusedError("holds samples that are no numbers (NaN or infinite); mend it")
    if np.abs(frames).max(initial=0.0) > FAR_TOO_LOUD:
        raise RefusedError("holds samples far beyond full scale; export it again")
    return frames


def _check_part(source: Sound, offset: float, duration: float | None) -> None:
    """Raises RefusedError if the part is not inside the file."""
    total = source.frames / source.rate
    if not (math.isfinite(offset) and offset >= 0):
        raise RefusedError(f"cannot be read from offset {offset} s; give 0 or more")
    if offset >= total:
        raise RefusedError(f"lasts {total:.3f} s, so offset {offset:g} s is past its end")
    if duration is None:
        return
    if not (math.isfinite(duration) and duration > 0):
        raise RefusedError(f"cannot be read for {duration} s; give a duration above 0")
    if offset + duration > total + END_TOLERANCE:
        raise RefusedError(
            f"lasts {total:.3f} s, so offset {offset:g} s with duration {duration:g} s runs "
            "past its end",
        )
