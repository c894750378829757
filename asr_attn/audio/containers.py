"""Size checks of audio containers: does a file hold the sound that its header states?

Neither libsndfile nor FFmpeg says so of uncompressed sound: both read a file that ends early as if
the rest had never been, and stop where the header says, whatever follows. Compressed sound is
counted by its packets (see `audio.compressed`); the marks that the packets do not show are here.
"""

import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from asr_attn.audio.refusals import CONVERT, DAMAGED, NO_SAMPLES, RefusedError

# Some writers count the header among the data; less than this much more or less is no fault.
_SLACK = 64
# Programs that write to a pipe cannot know the length: they promise 2 GiB or more.
_UNKNOWN_LENGTH = 0x7FFF_F000
_TAIL = 1 << 16
_TAG_HEADER = 16
_XING_REACH = 64
# Chunks that hold no sound, even where they are cut short
_TEXT_CHUNKS = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"_PMX", b"cue ", b"JUNK", b"PAD ", b"FLLR")
_OTHER_FORMS = (b"AVI ", b"8SVX", b"16SV", b"MAUD")
_FORMS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"riff", b"caff")
# The two last Ogg pages are in here, whatever their sizes (a page has at most 65307 bytes).
_OGG_TAIL = 4 * 65536
_OGG_LAST_PAGE = 4


@dataclass(frozen=True)
class Extent:
    """Where the sound of a file is.

    Attributes:
        start: its first byte.
        length: its bytes as the header states them; None if it states that it does not know.
    """

    start: int
    length: int | None


@dataclass(frozen=True)
class _Chunks:
    """How a format writes its chunks.

    Attributes:
        header: of `struct`, for the name and the length.
        sound: the name of the chunk of sound.
        skipped: bytes between the header of that chunk and the sound.
        counted: bytes of the header that the length counts.
        alignment: of the next chunk.
    """

    header: str
    sound: bytes
    skipped: int = 0
    counted: int = 0
    alignment: int = 2


_RIFF = _Chunks("<4sI", b"data")
_CHUNKS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": _Chunks(">4sI", b"data"),
    b"FORM": _Chunks(">4sI", b"SSND", skipped=8),
    b"riff": _Chunks("<16sq", b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a", 0, 24, 8),
    b"caff": _Chunks(">4sq", b"data", skipped=4, alignment=1),
}
_FIRST_CHUNK = {b"riff": 40, b"caff": 8}


def sound_extent(stream: BinaryIO) -> Extent | None:
    """Where the header of an uncompressed file says that its sound is.

    Returns:
        None if the file is of another kind.

    Raises:
        RefusedError: the file ends before its sound does, holds more behind it that may be sound,
            or its header cannot be read.
    """
    stream.seek(0)
    head = stream.read(1024)
    kind = _CHUNKS.get(head[:4])
    if kind is not None and head[8:12] in _OTHER_FORMS:
        return None
    if kind is not None:
        extent = _extent_in_chunks(stream, kind, _FIRST_CHUNK.get(head[:4], 12))
    elif (read := next((_HEADERS[m] for m in _HEADERS if head.startswith(m)), None)) is not None:
        extent = _extent_in_header(head, read)
    else:
        return None
    if extent is None:
        raise RefusedError(f"has a header that states no sound: it {DAMAGED}")
    return _checked(stream, extent, kind)


def _checked(stream: BinaryIO, extent: Extent, kind: _Chunks | None) -> Extent:
    """Holds an extent against the size of the file."""
    size = stream.seek(0, os.SEEK_END)
    held = max(0, size - extent.start)
    if extent.length is None:
        return extent
    missing = extent.length - held
    if missing > _SLACK:
        raise RefusedError(f"lacks {missing} bytes of sound that its header promises: it {DAMAGED}")
    alignment = 1 if kind is None else kind.alignment
    stream.seek(extent.start + -(-extent.length // alignment) * alignment)
    is_all = -missing <= _SLACK or _is_no_sound(stream, size, kind)
    if is_all and not extent.length:
        raise RefusedError(NO_SAMPLES)
    if is_all:
        return extent
    if not extent.length:  # written to a pipe by a program that puts 0 for "unknown"
        return Extent(extent.start, None)
    raise RefusedError(
        f"holds {-missing} bytes behind the {extent.length} bytes of sound that its header "
        f"states: if they are sound, mend the header; {CONVERT}"
    )


def _is_no_sound(stream: BinaryIO, size: int, kind: _Chunks | None) -> bool:
    """Whether what follows in a file are other chunks, tags or zeros."""
    while kind is not None and size - stream.tell() > _SLACK:
        at = stream.tell()
        header = stream.read(struct.calcsize(kind.header))
        name, length = struct.unpack(kind.header, header)
        if name.startswith(_FORMS) or not _is_name(name):
            stream.seek(at)
            break
        length -= kind.counted
        if name[:4] in _TEXT_CHUNKS:
            length = min(length, size - stream.tell())
        if not 0 <= length <= size - stream.tell() + _SLACK:
            stream.seek(at)
            break
        stream.seek(-(-(stream.tell() + length) // kind.alignment) * kind.alignment)
    at = stream.tell()
    while length := _tag_length(stream.read(_TAG_HEADER)):
        at += length
        stream.seek(at)
    stream.seek(at)
    rest = stream.read(_TAIL)
    while rest and not any(rest):
        rest = stream.read(_TAIL)
    return len(rest) <= _SLACK


def _tag_length(head: bytes) -> int:
    """The bytes of a tag of MP3 players, by its first ones; 0 if none is there."""
    if head.startswith(b"TAG"):
        return 128
    if len(head) < _TAG_HEADER or not head.startswith((b"ID3", b"APETAGEX")):
        return 0
    if head.startswith(b"ID3"):  # seven bits a byte
        return 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))
    return 32 + int.from_bytes(head[12:16], "little")


def _is_name(name: bytes) -> bool:
    return re.fullmatch(rb"[ -~]{4}", name[:4]) is not None


def _extent_in_chunks(stream: BinaryIO, kind: _Chunks, first: int) -> Extent | None:
    stream.seek(first)
    long_length = None  # an RF64 file keeps the length in a chunk of its own
    while len(header := stream.read(struct.calcsize(kind.header))) == struct.calcsize(kind.header):
        name, length = struct.unpack(kind.header, header)
        start = stream.tell()
        if name == kind.sound:
            known = long_length if kind is _RIFF and length >= _UNKNOWN_LENGTH else length
            if known is None or known < 0:
                return Extent(start + kind.skipped, None)
            return Extent(start + kind.skipped, max(0, known - kind.skipped - kind.counted))
        if name == b"ds64" and len(body := stream.read(16)) == 16:
            long_length = struct.unpack("<QQ", body)[1]
        if length < kind.counted:
            return None
        stream.seek(-(-(start + length - kind.counted) // kind.alignment) * kind.alignment)
    return None


def _extent_in_header(head: bytes, read: Callable[[bytes], Extent | None]) -> Extent | None:
    try:
        return read(head)
    except (struct.error, TypeError, ValueError, IndexError):  # a field is missing or wrong
        return None


def _au(head: bytes) -> Extent:
    start, length = struct.unpack_from(">II" if head[0] == ord(".") else "<II", head, 4)
    return Extent(start, None if length >= _UNKNOWN_LENGTH else length)


def _sphere(head: bytes) -> Extent | None:
    def field(name: bytes) -> int:
        return int(re.search(rb"\n" + name + rb" -i (\d+)", head)[1])  # type: ignore[index]

    start = int(head[8:16])
    if b"shorten" in head:
        return None
    return Extent(
        start, field(b"sample_count") * field(b"channel_count") * field(b"sample_n_bytes")
    )


def _avr(head: bytes) -> Extent:
    stereo, bits = struct.unpack_from(">HH", head, 12)
    return Extent(128, struct.unpack_from(">I", head, 26)[0] * (bits // 8) * (2 if stereo else 1))


def _voc(head: bytes) -> Extent | None:
    """The first block of sound; libsndfile reads no file that has more."""
    at = struct.unpack_from("<H", head, 20)[0]
    before = {1: 2, 9: 12}
    while head[at] not in before:
        at += 4 + int.from_bytes(head[at + 1 : at + 4], "little")
        if at >= len(head):
            return None
    skipped = before[head[at]]
    length = int.from_bytes(head[at + 1 : at + 4], "little")
    return Extent(at + 4 + skipped, length - skipped)


_HEADERS: dict[bytes, Callable[[bytes], Extent | None]] = {
    b".snd": _au,
    b"dns.": _au,
    b"NIST_1A": _sphere,
    b"2BIT": _avr,
    b"Creative Voice File": _voc,
}


def ogg_tail(stream: BinaryIO) -> int:
    """Granules (for Vorbis: frames) of the pages at the end where libsndfile's seeking goes wrong.

    Returns:
        0 for a file that is not Ogg.

    Raises:
        RefusedError: the last page is not whole, or not marked as the last.
    """
    stream.seek(0)
    if stream.read(4) != b"OggS":
        return 0
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _OGG_TAIL))
    data = stream.read()
    flags, granules = 0, [0]
    position = data.find(b"OggS")
    while position >= 0 and position + 27 <= len(data):
        segments = data[position + 26]
        end = position + 27 + segments + sum(data[position + 27 : position + 27 + segments])
        if data[position + 4] or data[position + 5] > 7:  # the four letters came by chance
            end = position + 4
        else:
            flags = data[position + 5] if end <= len(data) else 0
            granule = struct.unpack_from("<q", data, position + 6)[0]
            if granule > granules[-1]:
                granules.append(granule)
        position = data.find(b"OggS", end)
    if not flags & _OGG_LAST_PAGE:
        raise RefusedError(f"has no end-of-stream mark: it {DAMAGED}")
    return int(granules[-1] - granules[-3]) if len(granules) >= 3 else int(granules[-1])


@dataclass(frozen=True)
class Mp3Statement:
    """What the first frame of an MP3 states of the whole, which FFmpeg does not show.

    Attributes:
        frames: their number; 0 if none is stated.
        length: bytes from this frame on.
        missing_bytes: of these; below 0 where the file has more.
    """

    frames: int = 0
    length: int = 0
    missing_bytes: int = 0


def mp3_statement(stream: BinaryIO) -> Mp3Statement:
    """Reads the "Xing" or "Info" of an MP3."""
    size = stream.seek(0, os.SEEK_END)
    at = 0
    stream.seek(at)
    while length := _tag_length(head := stream.read(_TAG_HEADER)):
        at += length
        stream.seek(at)
    frame = head + stream.read(_XING_REACH)
    found = max(frame.find(b"Xing"), frame.find(b"Info"))
    if found < 0 or len(frame) < found + 16 or frame[found + 7] & 3 != 3:
        return Mp3Statement()
    frames, length = struct.unpack_from(">II", frame, found + 8)
    return Mp3Statement(int(frames), int(length), int(length) - (size - at))


def holds(stream: BinaryIO, mark: bytes, start: int) -> bool:
    """Whether a file holds some bytes behind a place."""
    stream.seek(start)
    before = b""
    while block := stream.read(1 << 20):
        if mark in before + block:
            return True
        before = block[-len(mark) :]
    return False
