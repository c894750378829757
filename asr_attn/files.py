"""Files: written so that a crash or a full disk never leaves half of one, and found in folders."""

import errno
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asr_attn.errors import InputError

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "the disk quota is used up; free some space and run again",
    errno.EACCES: "permission denied; choose a folder you may write to",
    errno.EPERM: "permission denied; choose a folder you may write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "part of the path is a file, not a folder; choose another folder",
    errno.EEXIST: "part of the path is a file, not a folder; choose another folder",
    errno.EISDIR: "it is a folder; name a file",
}

_ATTEMPTS = 10


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; rename it to ``path`` on success.

    Whatever goes wrong, ``path`` keeps what it held and the temporary file is removed. A link stays
    a link, to a new file. What is no file, such as ``/dev/null`` or a pipe, is written to directly.

    Raises:
        InputError: the file cannot be written; the sentence says why. An OSError in the block that
            names another file is not about this one and is let through.
    """
    with replaced_file(path) as scratch:
        try:
            yield scratch
        except OSError as error:
            names = {str(name) for name in (error.filename, error.filename2) if name is not None}
            if names and names.isdisjoint({str(path), str(scratch)}):
                raise
            raise write_error(path, error) from error


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """As ``atomic_path``, but what fails in the block is left to the caller.

    For blocks that do more than write.

    Raises:
        InputError: the file cannot be made, or not put in its place.
    """
    with blaming(path):
        scratch = _make_scratch(path)
    try:
        yield scratch
        if scratch != path:
            with blaming(path):
                put_in_place(scratch, path.resolve())
    finally:
        if scratch != path:
            scratch.unlink(missing_ok=True)


def claim_folder(folder: Path) -> bool:
    """Make a folder that nobody else has; False if there is one already.

    Raises:
        OSError: it cannot be made.
    """
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except OSError as error:
            if isinstance(error, FileExistsError) and folder.is_dir():
                return False
            # another process, which has no use for it, may just have removed the parent
            if not isinstance(error, FileNotFoundError) or not attempts_left:
                raise
        else:
            break
    return True


def claim_next_free(folder: Path) -> Path:
    """Make a folder that nobody else has: ``folder``, or the first free of ``folder-1``, ...

    Raises:
        OSError: it cannot be made.
    """
    number, name = 0, folder
    while not claim_folder(name):
        number += 1
        name = folder.with_name(f"{folder.name}-{number}")
    return name


def remove_scratch(folder: Path, name: str) -> None:
    """Remove temporary files that a killed process left in a folder.

    Args:
        folder: where they lie; it may not exist.
        name: pattern of the names of the files that were being written.
    """
    for path in folder.glob(f".{name}.*.partial"):
        path.unlink(missing_ok=True)


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Say of every OSError in the block that ``path`` cannot be written.

    Raises:
        InputError: instead of the OSError.
    """
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


@contextmanager
def utf8_name(path: Path) -> Iterator[str]:
    """Name an existing file for a library that takes UTF-8 names alone.

    A name of other bytes, which Linux allows, is replaced by that of an open file descriptor.

    Raises:
        OSError: the file cannot be opened.
    """
    name = str(path)
    if not any("\ud800" <= sign <= "\udfff" for sign in name):
        yield name
        return
    with path.open("rb") as file:
        yield f"/dev/fd/{file.fileno()}"


def write_error(path: Path, error: OSError) -> InputError:
    """The sentence for a file that could not be written."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return InputError(f"{path}: cannot be written: {reason}")


def partial_of(path: Path) -> Path:
    """Where what is done of a file goes that could not be finished: beside it, links followed."""
    path = path.resolve()
    return path.with_name(f"{path.name}.partial")


def _make_scratch(path: Path) -> Path:
    """An empty file beside a file; what is there if that is no file."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not path.is_file():
        return path
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    return Path(name)


def put_in_place(scratch: Path, path: Path) -> None:
    """Make a scratch file the file of a path, in one step and with the usual permissions."""
    with scratch.open("rb+") as file:
        os.fsync(file.fileno())
    scratch.chmod(0o666 & ~_umask())
    scratch.replace(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def files_below(folder: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yield the files in a folder and in all folders below, links followed, in no certain order.

    A folder that is reached in several ways, or by a circle of links, is gone through once, by its
    own name if that is below ``folder``. Links that lead nowhere are among the files; pipes,
    sockets and devices are not.

    Args:
        folder: where to begin.
        on_error: is told of a folder that cannot be looked into, which is then left out.

    Raises:
        OSError: a folder cannot be looked into, and there is no ``on_error``.
    """
    seen: set[tuple[int, int] | str] = set()
    waiting = deque([os.fspath(folder)])  # folders by their own names first, then by links
    while waiting:
        place = waiting.popleft()
        try:
            identity = file_identity(place)
            if identity in seen:
                continue
            seen.add(identity)
            with os.scandir(place) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if on_error is None:
                raise
            on_error(error)
            continue
        for entry in listed:
            if os.path.isdir(entry.path):  # noqa: PTH112 (and no error of a link to itself)
                (waiting.append if entry.is_symlink() else waiting.appendleft)(entry.path)
            elif os.path.isfile(entry.path) or _leads_nowhere(entry):  # noqa: PTH113
                yield Path(entry.path)


def _leads_nowhere(entry: "os.DirEntry[str]") -> bool:
    return entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110


def file_identity(path: str | Path) -> tuple[int, int] | str:
    """What two paths share that lead to one file or folder, however they are spelt.

    Raises:
        OSError: there is nothing at the path.
    """
    found = os.stat(path)  # noqa: PTH116
    # some file systems of networks do not number their files
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)
