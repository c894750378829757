"""Audio that is a member of a tar file (a shard): named by a path, and found without a search.

`train/000012.tar/1536+40211/a-1.flac` is the member `a-1.flac` of `train/000012.tar`, as if that
were a folder; its 40211 bytes begin at byte 1536. So any list of paths can name members, reading
one is a seek and a read, and nothing is kept between reads: processes need not know of each other,
and memory does not grow with the shards. In a list of a million utterances, each takes 864 bytes
(750 if the audio is in files, whose paths are shorter).

Bytes at a place say nothing of what they are, but the member's header, which comes before them,
does: a shard that was written anew is an error, and never another recording.
"""

import io
import os
import posixpath
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from asr_attn.errors import AudioError

BLOCK = tarfile.BLOCKSIZE
"""Bytes of a header; what follows is filled up to a multiple of it."""

_MEMBER = re.compile(r"(.+?\.tar)[/\\]([0-9]+)\+([0-9]+)[/\\](.+)", re.DOTALL | re.IGNORECASE)
_LONGEST_NAME = 100
"""Bytes of a name that are surely in the header itself."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar file.

    Attributes:
        shard: the tar file.
        start: its first byte there.
        size: bytes.
        name: in the tar file, with /.
    """

    shard: Path
    start: int
    size: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} in {self.shard}"

    @property
    def path(self) -> Path:
        """What `member_of` makes this of."""
        return self.shard / self.inside

    @property
    def inside(self) -> str:
        """The path as seen from the shard, with /."""
        return f"{self.start}+{self.size}/{self.name}"


def member_of(path: str | Path) -> Member | None:
    """The member that a path names; None if it is that of a file."""
    found = _MEMBER.fullmatch(str(path))
    if found is None:
        return None
    shard, start, size, name = found.groups()
    return Member(Path(shard), int(start), int(size), name.replace(os.sep, "/"))


def member_name(name: str) -> str:
    """A name in a tar file as paths have it: without what means nothing, such as `./`."""
    return posixpath.normpath(name).lstrip("/")


def file_on_disk(path: str) -> str:
    """The shard of a member; of any other path itself."""
    member = member_of(path)
    return path if member is None else str(member.shard)


@contextmanager
def open_member(member: Member, ahead: int) -> Iterator[BinaryIO]:
    """Opens a member as if it were a file of its own.

    Args:
        member: to open.
        ahead: bytes to read at a time, at most.

    Raises:
        AudioError: the shard is missing, cut short or another than the path is of, or reading from
            it fails, in the block too.
    """
    try:
        # the header and the first bytes come by one read
        file = member.shard.open("rb", buffering=BLOCK + max(1, min(member.size, ahead)))
    except OSError as error:
        raise AudioError(f"{member} cannot be read: {_why_not_opened(member, error)}.") from None
    with file, _Stretch(file, member) as stretch:
        try:
            _check(file, member)
            yield stretch  # type: ignore[misc]  # raw streams have all that is used of BinaryIO
            failed = stretch.failed
        except (AudioError, OSError) as error:
            failed = error if isinstance(error, OSError) else stretch.failed
            if failed is None:
                raise
        if failed is not None:
            reason = failed.strerror or type(failed).__name__
            raise AudioError(f"{member} cannot be read ({reason}).") from None


def file_bytes(path: Path) -> bytes:
    """All bytes of an audio file or member, as they are.

    Raises:
        AudioError: it cannot be read.
    """
    if (member := member_of(path)) is not None:
        with open_member(member, member.size) as stream:
            return stream.read()
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise AudioError(f"{path} cannot be read ({reason}).") from None


def _why_not_opened(member: Member, error: OSError) -> str:
    if not member.shard.exists():
        return "there is no such shard; check the path"
    return f"the shard cannot be opened ({error.strerror or type(error).__name__})"


def _check(file: BinaryIO, member: Member) -> None:
    """Makes sure that the member is where its path says."""
    if os.fstat(file.fileno()).st_size < member.start + member.size:
        raise AudioError(f"{member} is not all there: the shard is cut short; copy it again.")
    file.seek(max(0, member.start - BLOCK))
    try:
        header = tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "surrogateescape")
        found = header.isreg() and header.size == member.size and _is_called(header, member.name)
    except tarfile.TarError:
        found = False
    if not found:
        raise AudioError(
            f"{member} is not at byte {member.start}: the shard is another than its manifest is "
            "of; make the manifest again, with the shards or by asr-attn data import webdataset."
        )


def _is_called(header: tarfile.TarInfo, name: str) -> bool:
    """Whether a header may be that of a name; long or other names are kept in front of it."""
    plain = name.isascii() and len(name) <= _LONGEST_NAME
    return not plain or member_name(header.name) == name


class _Stretch(io.RawIOBase):
    """The bytes of a member; a seek is made when something is read.

    Attributes:
        failed: why reading failed. Nothing is raised: libsndfile calls this and could not tell.
    """

    def __init__(self, file: BinaryIO, member: Member) -> None:
        self._file, self._start, self._size = file, member.start, member.size
        self._position = 0
        self.failed: OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        wanted = max(0, min(len(buffer), self._size - self._position))
        try:
            self._file.seek(self._start + self._position)
            count: int = self._file.readinto(memoryview(buffer)[:wanted])  # type: ignore[attr-defined]
        except OSError as error:
            self.failed = error
            return 0
        self._position += count
        return count
