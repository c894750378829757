"""Shards in the layout of WebDataset, written: tar files of audio, and the manifest of them."""

import io
import re
import tarfile
import urllib.parse
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from asr_attn.audio.folders import AUDIO_SUFFIXES
from asr_attn.audio.reading import END_TOLERANCE, audio_duration, read_frames
from asr_attn.audio.shards import BLOCK, Member, file_bytes, file_on_disk
from asr_attn.data.corpus import replaced_folder
from asr_attn.data.faults import Faults
from asr_attn.data.json_lines import ENCODER
from asr_attn.data.manifest import Utterance, write_manifest
from asr_attn.data.progress import Bars
from asr_attn.errors import AudioError, InputError, ManifestError
from asr_attn.files import blaming

MANIFEST = "manifest.jsonl"
"""The name of the manifest beside the shards."""

_OWNED = re.compile(r"[0-9]{6,}\.tar|" + re.escape(MANIFEST))
_KNOWN_FILES = 1 << 10
_DIGITS = 6
_FLAC_CODINGS = {
    "PCM_S8": "PCM_S8",
    "PCM_U8": "PCM_S8",
    "PCM_16": "PCM_16",
    "PCM_24": "PCM_24",
    "ULAW": "PCM_16",
    "ALAW": "PCM_16",
}
"""How FLAC keeps the samples of a coding without loss; others have more bits than it can."""
_FLAC_CHANNELS = 8


def write(
    path: Path, utterances: Iterable[Utterance], bars: Bars, megabytes: float = 500.0
) -> None:
    """Writes a folder of shards, 000000.tar and so on, and a manifest of them.

    Each utterance is KEY.flac (or .wav, ...) and KEY.json; the key is its id, with % codes for
    dots, blanks and all else that is no letter, digit, hyphen or underscore. A whole file keeps its
    bytes. A part of one is cut out and coded as FLAC, or as WAV of floating-point numbers where
    FLAC would lose something (MP3, Ogg, and samples of 32 bits). Cut out, it gives the same samples
    at the file's own rate. At another it is moved by less than a sample, to the nearest one of the
    file, and the resampling filter no longer sees the sound on both sides of the cut.

    The folder appears when all is done; what an interrupted run left is removed by a later one. One
    utterance is in memory at a time, and a byte of each.

    Args:
        path: the folder. If it is there, it must hold nothing but shards, which are replaced.
        utterances: gone through three times.
        bars: show how far it is.
        megabytes: size of a shard, at most, but for a single longer utterance.

    Raises:
        ManifestError: audio cannot be read, or the utterances have faults.
        InputError: something cannot be written, or the folder holds other files.
    """
    whole = _whole(path, utterances, bars)
    with (
        replaced_folder(path, _OWNED) as folder,
        _Shards(folder, megabytes * 1e6) as shards,
        bars("writing shards", len(whole)) as bar,
    ):

        def packed(utterance: Utterance, is_whole: int) -> Utterance:
            try:
                suffix, sound = _sound(utterance, bool(is_whole))
            except AudioError as error:
                raise ManifestError(f"{path}: utterance {utterance.id!r}: {error}") from None
            member = shards.add(_key(utterance.id), suffix, sound, _description(utterance))
            bar.advance()
            return replace(utterance, audio=member.path, offset=0.0)

        write_manifest(folder / MANIFEST, map(packed, utterances, whole))


def _whole(path: Path, utterances: Iterable[Utterance], bars: Bars) -> bytearray:
    """For each utterance whether it is all of its file: 1, or 0. All faults are told at once."""
    total = sum(1 for _ in utterances)
    duration = lru_cache(_KNOWN_FILES)(audio_duration)
    real = lru_cache(_KNOWN_FILES)(lambda file: Path(file).resolve())
    faults, whole, target = Faults(path), bytearray(), path.resolve()
    with bars("reading durations", total) as bar:
        for utterance in utterances:
            where = f"utterance {utterance.id!r}"
            if real(file_on_disk(str(utterance.audio))).is_relative_to(target):
                raise InputError(
                    f"{path} holds {utterance.audio}, which would be replaced; name another folder."
                )
            try:
                left = duration(utterance.audio) - utterance.offset - utterance.duration
            except AudioError as error:
                faults.add(where, str(error).rstrip("."))
            else:
                whole.append(not utterance.offset and left <= END_TOLERANCE)
                if left < -END_TOLERANCE:
                    faults.add(where, f"runs {-left:.3f} s past the end of {utterance.audio}")
            bar.advance()
    faults.refuse()
    return whole


def _sound(utterance: Utterance, is_whole: bool) -> tuple[str, bytes]:
    """The ending and the bytes of an audio file of the utterance alone."""
    suffix = utterance.audio.suffix.lower()
    if is_whole and suffix in AUDIO_SUFFIXES:
        return suffix, file_bytes(utterance.audio)
    frames, rate, coding = read_frames(utterance.audio, utterance.offset, utterance.duration)
    encoded = io.BytesIO()
    if coding in _FLAC_CODINGS and frames.shape[1] <= _FLAC_CHANNELS:
        # numbers of 32 bits: libsndfile drops the lowest, which are 0, and rounds nothing
        numbers = (frames.astype(np.float64) * 2**31).astype(np.int32)
        soundfile.write(encoded, numbers, rate, format="FLAC", subtype=_FLAC_CODINGS[coding])
        return ".flac", encoded.getvalue()
    soundfile.write(encoded, frames, rate, format="WAV", subtype="FLOAT")
    return ".wav", encoded.getvalue()


def _key(name: str) -> str:
    """A name for the members of an utterance; that of WebDataset's ends at the first dot."""
    return urllib.parse.quote(name, safe="").replace(".", "%2E").replace("~", "%7E")


def _description(utterance: Utterance) -> bytes:
    known = {
        "id": utterance.id,
        "text": utterance.text,
        "duration": utterance.duration,
        "speaker": utterance.speaker,
        "language": utterance.language,
    }
    record = {key: value for key, value in known.items() if value is not None}
    return ENCODER.encode({**record, **utterance.extra}).encode()


class _Shards:
    """Tar files that are begun one after the other; the same samples give the same bytes.

    Args:
        folder: where they are written.
        limit: bytes of each, at most, if it has more than one sample.
    """

    def __init__(self, folder: Path, limit: float) -> None:
        self._folder, self._limit = folder, limit
        self._count = 0
        self._path = folder
        self._stream: BinaryIO | None = None
        self._tar: tarfile.TarFile | None = None

    def __enter__(self) -> "_Shards":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._finish(whole=kind is None)

    def add(self, key: str, suffix: str, sound: bytes, description: bytes) -> Member:
        """Writes a sample, and says where its audio is.

        Raises:
            InputError: it cannot be written.
        """
        needed = sum(BLOCK + _filled(len(data)) for data in (sound, description))
        if self._stream is not None:
            # two blocks are the end, and tarfile fills up the last record
            size = self._stream.tell() + needed + 2 * BLOCK
            if -(-size // tarfile.RECORDSIZE) * tarfile.RECORDSIZE > self._limit:
                self._finish(whole=True)
        if self._stream is None:
            self._begin()
        member = self._write(key + suffix, sound)
        self._write(f"{key}.json", description)
        return member

    def _begin(self) -> None:
        self._path = self._folder / f"{self._count:0{_DIGITS}}.tar"
        self._count += 1
        with blaming(self._path):
            self._stream = self._path.open("wb")
            self._tar = tarfile.TarFile(
                self._path, "w", fileobj=self._stream, format=tarfile.PAX_FORMAT
            )

    def _write(self, name: str, data: bytes) -> Member:
        assert self._stream is not None
        assert self._tar is not None
        header = tarfile.TarInfo(name)
        header.size = len(data)
        with blaming(self._path):
            self._tar.addfile(header, io.BytesIO(data))
        self._tar.members = []  # type: ignore[attr-defined]  # it would keep them all
        start = self._stream.tell() - _filled(len(data))
        return Member(self._path, start, len(data), name)

    def _finish(self, whole: bool) -> None:
        stream, tar = self._stream, self._tar
        self._stream = self._tar = None
        if stream is not None and tar is not None:
            with blaming(self._path), stream:
                if whole:
                    tar.close()


def _filled(size: int) -> int:
    """Bytes that a member of so many takes, without its header."""
    return -(-size // BLOCK) * BLOCK
