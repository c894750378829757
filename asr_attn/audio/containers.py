"""Does an audio file hold all that it promises? libsndfile mostly does not say.

It reads a wav whose data ends early as if the rest had never been, takes the last whole page of a
cut Ogg file for its end, and guesses the length of an MP3 without a length header from the bit
rate of the first frame, which drops most of a file of variable bit rate. The few header fields
that tell are read here.
"""

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

# Some writers count the header among the data; less than this much missing is no fault.
_CHUNK_SLACK = 64
# Programs that write to a pipe cannot know the length: they promise 2 GiB or more.
_UNKNOWN_LENGTH = 0x7FFF_F000
# The two last Ogg pages are in here, whatever their sizes (a page has at most 65307 bytes).
_OGG_TAIL = 4 * 65536
_OGG_LAST_PAGE = 4

# Bit rates in kbit/s of MPEG layer III by the header's index; None: not in the header, or forbidden
_BIT_RATES_MPEG1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_BIT_RATES_MPEG2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


@dataclass(frozen=True)
class OggEnd:
    """What the end of an Ogg file says.

    Attributes:
        complete: whether the last page is whole and marked as the last.
        tail: granules (for Vorbis: frames) of the pages at the end where libsndfile's seeking goes
            wrong.
    """

    complete: bool
    tail: int


def missing_chunk_bytes(stream: BinaryIO) -> int:
    """Returns how many bytes of sound a RIFF, RF64 or AIFF file promises and does not hold."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    magic = stream.read(12)[:4]
    promised = _promised_bytes(stream, big_endian=magic in (b"FORM", b"RIFX"))
    missing = promised - (size - stream.tell())
    return missing if missing > _CHUNK_SLACK else 0


def _promised_bytes(stream: BinaryIO, *, big_endian: bool) -> int:
    """Leaves `stream` at the start of the sound and returns its promised bytes, 0 if unknown."""
    order = ">" if big_endian else "<"
    long_length = 0  # an RF64 file keeps the length in a chunk of its own
    while len(header := stream.read(8)) == 8:
        name, length = struct.unpack(f"{order}4sI", header)
        if name in (b"data", b"SSND"):
            return long_length if length >= _UNKNOWN_LENGTH else int(length)
        start = stream.tell()
        if name == b"ds64" and len(body := stream.read(16)) == 16:
            long_length = struct.unpack("<QQ", body)[1]
        stream.seek(start + length + length % 2)
    return 0


def ogg_end(stream: BinaryIO) -> OggEnd:
    """Reads the last pages of an Ogg file."""
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
        elif end > len(data):
            return OggEnd(False, 0)
        else:
            flags = data[position + 5]
            granule = struct.unpack_from("<q", data, position + 6)[0]
            if granule > granules[-1]:
                granules.append(granule)
        position = data.find(b"OggS", end)
    before = granules[-3] if len(granules) >= 3 else 0
    return OggEnd(bool(flags & _OGG_LAST_PAGE), granules[-1] - before)


def mp3_frames_counted(stream: BinaryIO) -> int | None:
    """Counts the frames (samples per channel) of an MP3 that does not state its length.

    Returns:
        The count, or None where the file states its length or does not begin with a frame.
    """
    stream.seek(0)
    data = stream.read()
    position = 0
    while data[position : position + 3] == b"ID3" and position + 10 <= len(data):
        a, b, c, d = data[position + 6 : position + 10]  # seven bits a byte
        position += 10 + (a << 21 | b << 14 | c << 7 | d)
    length, _ = _mp3_frame(data, position)
    first = data[position : position + length]
    if not length or b"Xing" in first or b"Info" in first:
        return None
    frames = 0
    while length and position + length <= len(data):
        length, samples = _mp3_frame(data, position)
        frames += samples
        position += length
    return frames


def _mp3_frame(data: bytes, position: int) -> tuple[int, int]:
    """Returns the frame's length in bytes and its samples per channel; zeros if none is there."""
    header = data[position : position + 4]
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:  # sync and layer III
        return 0, 0
    version = header[1] >> 3 & 3
    rates, index = _SAMPLE_RATES.get(version), header[2] >> 2 & 3
    if rates is None or index == 3:
        return 0, 0
    rate = rates[index]
    bits = (_BIT_RATES_MPEG1 if version == 3 else _BIT_RATES_MPEG2)[header[2] >> 4]
    if not bits:
        return 0, 0
    samples = 1152 if version == 3 else 576
    return samples // 8 * bits * 1000 // rate + (header[2] >> 1 & 1), samples
