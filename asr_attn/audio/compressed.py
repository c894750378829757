"""Compressed sound, counted and decoded by PyAV (FFmpeg).

FFmpeg reads on where others stop: behind the first of several files that were joined, behind the
count of a header that is wrong. It also skips what it cannot read, without a word: sound that is
lost so is an error here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from asr_attn.audio.containers import Mp3Statement, holds, mp3_statement
from asr_attn.audio.refusals import CONVERT, DAMAGED, NO_SAMPLES, RefusedError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# FFmpeg would also take pictures, lists of addresses, and raw samples of any kind.
_FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,eac3,flac,flv,g722,gsm,loas,matroska,mov,"
    "mp3,mpeg,mpegts,nistsphere,ogg,tta,voc,w64,wav,wv"
)
HEADERLESS = {".g722": "g722", ".gsm": "gsm"}
"""Formats that are known by the endings of names alone."""
# FFmpeg's own decoders of these know no pauses (DTX).
_DECODERS = {"amrnb": "libopencore_amrnb", "amrwb": "libopencore_amrwb"}
# Formats whose packets tell the samples exactly, and those whose header tells the length
_COUNTED = ("mp3", "ogg", "flac")
_STATED = ("mov,mp4,m4a,3gp,3g2,mj2", "asf", "flac", "tta", "wv", "ape")
# How a second file begins, in formats of which FFmpeg reads the first alone
_SECOND = {
    "mov,mp4,m4a,3gp,3g2,mj2": b"ftyp",
    "asf": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    "tta": b"TTA1",
}
# Seconds that packets may lie apart, and a file may end before its stated length: Vorbis packets
# are timed by less than the longest block, and encoders round.
_GAP = 0.1
_ROUNDING = 0.001
# Samples that an encoder adds at the ends, at most
_ADDED_TO_MP3 = 4 * 1152
# Formats of which joined files have tags and zeros between them
_TAGGED = ("mp3", "aac")
_PADDING = 64
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
_BIAS = {"u8": np.float32(128)}
_FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}


@dataclass(frozen=True)
class Count:
    """What a file holds.

    Attributes:
        frames: samples per channel.
        rate: samples per second.
        coding: FFmpeg's name of it.
        as_stated: whether the packets are one even row, of the length that the header states.
    """

    frames: int
    rate: int
    coding: str
    as_stated: bool


def count(stream: BinaryIO, suffix: str) -> Count:
    """Counts the samples of a file: by its packets where they tell, otherwise by decoding it.

    Args:
        stream: the file, from its first byte.
        suffix: of its name, in lower case.

    Raises:
        RefusedError: it cannot be decoded, lacks sound that it promises, or holds none.
        OSError: reading the stream fails.
    """
    with _opened(stream, suffix) as (container, track):
        name, rate, coding = container.format.name, track.rate, track.codec_context.name
        frames, as_stated = None, False
        if (row := _packet_row(container, track) if name in _COUNTED else None) is not None:
            frames, added = row
            # an MP3's header counts what the encoder added, too
            seconds = (frames + (added if name == "mp3" else 0)) / rate
            _check_promise(stream, container, track, seconds, _ROUNDING)
            as_stated = name != "mp3" or _fits(mp3_statement(stream), frames + added, rate)
    if frames is None:
        frames = 0
        for frame in _decoded(stream, suffix):
            frames, rate = frames + frame.samples, frame.sample_rate
    if frames <= 0:
        raise RefusedError(NO_SAMPLES)
    return Count(frames, rate, coding, as_stated)


def decode(stream: BinaryIO, suffix: str, first: int, last: int) -> NDArray[np.float32]:
    """Decodes the frames (samples per channel) from `first` to before `last`.

    Decoding starts at the first packet, since few codings give the same samples from anywhere else.

    Args:
        stream: the file, from its first byte.
        suffix: of its name, in lower case.
        first: the first frame.
        last: the frame after the last; fewer come if the file ends before.

    Returns:
        Shape (frames, channels); full scale is ±1.

    Raises:
        RefusedError, OSError: as `count`.
    """
    parts: list[NDArray[np.float32]] = []
    at = 0
    for frame in _decoded(stream, suffix):
        if at + frame.samples > first:
            parts.append(_samples(frame)[max(0, first - at) : last - at])
        at += frame.samples
        if at >= last:
            break
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


@contextmanager
def _opened(stream: BinaryIO, suffix: str) -> Iterator[tuple["InputContainer", "AudioStream"]]:
    """Opens a file and chooses its sound track: the one marked as default, or the first."""
    import av  # a twentieth of a second, which plain wav files should not cost

    known = False
    stream.seek(0)
    try:
        with av.open(
            stream,
            "r",
            format=HEADERLESS.get(suffix),
            options={"format_whitelist": _FORMATS},
            metadata_errors="replace",  # tags in any coding
        ) as container:
            track: Any = container.streams.best("audio")
            if track is None and container.streams.video:
                raise RefusedError("holds no sound track; export it with its sound")
            if track is None:
                raise NotRecognizedError
            if track.codec_context is None or not track.rate:
                raise RefusedError(f"is coded in a way that is not supported; {CONVERT}")
            known = True
            yield container, track
    except (av.error.PatchWelcomeError, av.error.DecoderNotFoundError):
        raise RefusedError(
            "is coded in a way that is not supported, or changes its sample rate, number of "
            "channels or coding on the way; convert it to wav or flac, part by part"
        ) from None
    except (av.FFmpegError, EOFError):
        if not known:
            raise NotRecognizedError from None
        raise RefusedError(f"cannot be decoded: it {DAMAGED}") from None


class NotRecognizedError(RefusedError):
    """FFmpeg does not know the format, or cannot make sense of the header."""


def _packet_row(container: "InputContainer", track: "AudioStream") -> tuple[int, int] | None:
    """Counts by the times of all packets.

    Returns:
        Samples per channel, and those that the encoder of an MP3 added, which are not among them;
        None if the packets are not one even row.
    """
    assert track.time_base is not None
    limit = round(_GAP / track.time_base)
    is_mp3 = container.format.name == "mp3"
    start: int | None = None
    end = added = 0
    for packet in container.demux(track):
        if not packet.size:
            continue
        if packet.pts is None or packet.duration is None or (is_mp3 and not _is_mp3_frame(packet)):
            return None
        if start is None:
            start = end = packet.pts
        if abs(packet.pts - end) > limit:
            return None
        end = _end(packet)
        if is_mp3 and packet.has_sidedata("skip_samples"):
            added += _skipped(packet)
    if start is None:
        return None
    if container.format.name == "ogg":  # what is before time 0 is dropped
        start = max(0, start)
    frames = (end - start) * track.time_base * track.rate - added
    return (int(frames), added) if frames.denominator == 1 else None


def _is_mp3_frame(packet: Any) -> bool:
    return memoryview(packet)[0] == 0xFF


def _skipped(packet: Any) -> int:
    """Samples of the encoder's delay and padding, which the decoder takes away."""
    data = bytes(packet.get_sidedata("skip_samples"))
    return int.from_bytes(data[:4], "little") + int.from_bytes(data[4:8], "little")


def _decoded(stream: BinaryIO, suffix: str) -> Iterator["AudioFrame"]:
    """All frames of a file, in one rate and number of channels."""
    import av

    with _opened(stream, suffix) as (container, track):
        decoder: Any = track.codec_context
        if decoder.name in _DECODERS:
            decoder = av.CodecContext.create(_DECODERS[decoder.name], "r")
            decoder.sample_rate, decoder.layout = track.rate, track.layout
        name = container.format.name
        rate = channels = samples = longest = end = last_byte = 0
        for packet in container.demux(track):
            if name == "ogg":
                end = _check_gap(packet, end)
            last_byte = max(last_byte, (packet.pos or 0) + packet.size)
            for frame in _frames(decoder, packet, name in _TAGGED):
                new = (frame.sample_rate, frame.layout.nb_channels)
                if samples and new != (rate, channels):
                    raise RefusedError(
                        "changes its sample rate or number of channels on the way; take it apart"
                    )
                rate, channels = new
                samples += frame.samples
                longest = max(longest, frame.samples)
                yield frame
        slack = _GAP + (_ADDED_TO_MP3 if name == "mp3" else longest) / track.rate
        _check_promise(stream, container, track, samples / (rate or track.rate), slack)
        if name in _SECOND and holds(stream, _SECOND[name], last_byte):
            raise RefusedError("holds another recording behind the first; take them apart")


def _frames(decoder: Any, packet: Any, has_tags: bool) -> list["AudioFrame"]:
    """Decodes a packet; the last, which is empty, fetches what the decoder still holds."""
    import av

    try:
        return list(decoder.decode(packet if packet.size else None))
    except av.error.EOFError:
        return []
    except av.FFmpegError:
        data = bytes(packet).lstrip(b"\0")
        if has_tags and (not data or data.startswith(_TAGS)):
            return []
        if not data and packet.size <= _PADDING:
            return []
        raise


def _check_gap(packet: Any, end: int) -> int:
    """Makes sure that no pages of an Ogg file are missing; where the packet ends."""
    if packet.pts is None or packet.duration is None:
        return end
    if end and (packet.pts - end) * packet.time_base > _GAP:
        lost = float((packet.pts - end) * packet.time_base)
        raise RefusedError(f"lacks {lost:.2f} s of sound inside: it {DAMAGED}")
    return _end(packet)


def _end(packet: Any) -> int:
    """Where a packet ends; the last one of Vorbis may end before it begins."""
    duration = packet.duration - (1 << 32) if packet.duration >= 1 << 31 else packet.duration
    return int(packet.pts + duration)


def _check_promise(
    stream: BinaryIO,
    container: "InputContainer",
    track: "AudioStream",
    seconds: float,
    slack: float,
) -> None:
    """Raises RefusedError if a file ends so long before the length that its header states."""
    promised = _promised(stream, container, track)
    if promised - seconds > slack:
        raise RefusedError(
            f"ends after {seconds:.2f} of the {promised:.2f} s of sound that its header promises: "
            f"it {DAMAGED}"
        )


def _promised(stream: BinaryIO, container: "InputContainer", track: "AudioStream") -> float:
    """Seconds of sound that a header states; 0 where FFmpeg's figure is a guess."""
    name = container.format.name
    if name in _STATED and track.duration and track.time_base:
        return float(track.duration * track.time_base)
    if name == "matroska,webm" and container.duration and len(container.streams.get()) == 1:
        return container.duration / 1e6
    if name == "mp3":
        stated = mp3_statement(stream)
        # Some encoders count one frame too many, but not its bytes.
        frames = stated.frames - (stated.missing_bytes <= 0)
        return frames * _mp3_frame_samples(track.rate) / track.rate
    return 0.0


def _fits(stated: Mp3Statement, samples: int, rate: int) -> bool:
    """Whether an MP3 has what it states: libsndfile reads no more, and warns of other sizes."""
    if not stated.frames:
        return True
    size_differs = abs(stated.missing_bytes) > stated.length / 100
    return not size_differs and samples <= stated.frames * _mp3_frame_samples(rate)


def _mp3_frame_samples(rate: int) -> int:
    return 1152 if rate >= 32000 else 576


def _samples(frame: "AudioFrame") -> NDArray[np.float32]:
    """Shape (samples, channels); full scale is ±1."""
    values = frame.to_ndarray()
    channels = frame.layout.nb_channels
    values = values.T if frame.format.is_planar else values.reshape(-1, channels)
    floats = values.astype(np.float32)
    name = frame.format.packed.name
    return (floats - _BIAS.get(name, 0.0)) / np.float32(_FULL_SCALE.get(name, 1.0))
