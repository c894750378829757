"""What the programs that prepare a corpus share: arguments, download, and output in one piece."""

import argparse
import http.client
import io
import os
import re
import secrets
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from asr_attn.errors import InputError

DATA_VARIABLE = "ASR_ATTN_DATA"
# Left by file managers; nobody misses them.
_CLUTTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
# An unfinished folder this old is no other process's work (seconds).
_STALE_AFTER = 3600.0
_TIMEOUT = 30.0


@dataclass(frozen=True)
class Corpus:
    """Where a corpus comes from.

    Attributes:
        name: Name of the folder that holds it, also under $ASR_ATTN_DATA.
        url: The publisher's archive.
        output: Folder that the shipped settings expect its manifests in.
    """

    name: str
    url: str
    output: Path


@contextmanager
def replaced_folder(
    target: Path, owned: re.Pattern[str], is_complete: Callable[[], bool] = lambda: False
) -> Iterator[Path]:
    """Gives an empty folder that takes the target's place when the block ends without an error.

    It lies beside the target, so that relative paths into and out of it hold in both places. A
    target that exists is replaced only if nothing is lost: each file in it must have a name that
    the caller makes itself.

    Args:
        target: The folder to make or replace; folders above it are made.
        owned: Matches, as a whole, the target-relative path (with /) of each file the caller makes.
        is_complete: Asked at the end whether another process has finished the target meanwhile;
            then that one stays.

    Yields:
        The folder to fill.

    Raises:
        InputError: The target is a file, or holds files of another origin.
    """
    target = target.resolve()
    _check_replaceable(target, owned)
    _remove_stale(target)
    token = secrets.token_hex(4)
    scratch = target.with_name(f".{target.name}.{token}.partial")
    aside = target.with_name(f".{target.name}.{token}.old")
    try:
        scratch.mkdir(parents=True)
        yield scratch
        if is_complete():
            return
        if target.exists():
            target.replace(aside)
        try:
            scratch.replace(target)
        except OSError:
            if aside.exists() and not target.exists():
                aside.replace(target)
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def _check_replaceable(target: Path, owned: re.Pattern[str]) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{target} is a file; name a folder to write to.")
    for path in target.rglob("*"):
        name = path.relative_to(target).as_posix()
        is_content = path.is_file() or path.is_symlink()
        if is_content and not owned.fullmatch(name) and path.name not in _CLUTTER:
            raise InputError(
                f"{target} holds {name}, which this program did not write and would lose; "
                "name a new or empty folder."
            )


def _remove_stale(target: Path) -> None:
    """Removes what an earlier run left unfinished when it was killed."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.(partial|old)")
    if not target.parent.is_dir():
        return
    for path in target.parent.iterdir():
        if pattern.fullmatch(path.name) and time.time() - path.stat().st_mtime > _STALE_AFTER:
            shutil.rmtree(path, ignore_errors=True)


def write_wave(path: Path, samples: NDArray[np.int16], sample_rate: int) -> None:
    """Writes samples, shape (samples,), as 16-bit WAV: its bytes depend on the samples alone.

    Raises:
        OSError: The file cannot be written; soundfile would not tell why.
    """
    data = io.BytesIO()
    soundfile.write(data, samples, sample_rate, format="WAV", subtype="PCM_16")
    path.write_bytes(data.getvalue())


def prepare_main(
    corpus: Corpus,
    description: str,
    prepare: Callable[[Path, Path], str],
    arguments: list[str] | None = None,
) -> int:
    """The command line of a `prepare.py`: finds or fetches the corpus and prepares it.

    Args:
        corpus: What to prepare.
        description: The help text, with examples.
        prepare: Called with the corpus's folder and the output folder; returns what to report.
        arguments: The command line, if not sys.argv's.

    Returns:
        The exit code: 0, or 2 after a fault that the user can mend, told in one line on stderr,
        or 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source",
        type=Path,
        help=f"the unpacked corpus; without it, ${DATA_VARIABLE}/{corpus.name} if that exists, "
        f"or else a download from {corpus.url}",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=corpus.output,
        help="folder for the manifests (default: %(default)s, where the settings look for them)",
    )
    parser.add_argument(
        "--download-dir",
        type=Path,
        help="where a downloaded corpus is kept (default: downloads/ beside the output folder)",
    )
    options = parser.parse_args(arguments)
    output: Path = options.output.expanduser()
    downloads: Path = options.download_dir or output.absolute().parent / "downloads"
    try:
        source = find_source(corpus, options.source, downloads.expanduser())
        print(prepare(source, output))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {corpus.name} cannot be prepared: {error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def find_source(corpus: Corpus, given: Path | None, downloads: Path) -> Path:
    """The folder of a corpus: the given one, the one under $ASR_ATTN_DATA, or a downloaded one.

    Raises:
        InputError: The given folder does not exist, or the download fails.
    """
    if given is not None:
        given = given.expanduser()
        if not given.is_dir():
            raise InputError(
                f"{given} is not a folder; give the unpacked corpus, or leave --source out to "
                "download it."
            )
        return given
    shared = os.environ.get(DATA_VARIABLE)
    if shared and (Path(shared).expanduser() / corpus.name).is_dir():
        return Path(shared).expanduser() / corpus.name
    folder = downloads / corpus.name
    if not folder.is_dir():
        fetch(corpus, folder)
    return folder


def fetch(corpus: Corpus, folder: Path) -> None:
    """Downloads a corpus and unpacks it to a folder that appears only when it is complete.

    Raises:
        InputError: No network, or the archive cannot be used.
    """
    # Nothing in an existing folder is ours to replace: it is not fetched again.
    with replaced_folder(folder, owned=re.compile("(?!)")) as scratch:
        archive = scratch / corpus.url.rpartition("/")[2]
        unpacked = scratch / "unpacked"
        _download(corpus.url, archive)
        try:
            if hasattr(tarfile, "data_filter") and not archive.name.endswith(".zip"):
                shutil.unpack_archive(archive, unpacked, filter="data")
            else:
                shutil.unpack_archive(archive, unpacked)
        except (shutil.ReadError, tarfile.TarError, OSError, EOFError, ValueError) as error:
            raise InputError(
                f"The archive from {corpus.url} cannot be unpacked ({error}); try again, or "
                "unpack it by other means and pass it with --source."
            ) from error
        archive.unlink()
        # Archives hold one folder, whose name carries a version.
        inner = [path for path in unpacked.iterdir() if path.is_dir()]
        root = inner[0] if len(inner) == 1 else unpacked
        for path in list(root.iterdir()):
            path.replace(scratch / path.name)
        shutil.rmtree(unpacked)


def _download(url: str, target: Path) -> None:
    try:
        with (
            urllib.request.urlopen(url, timeout=_TIMEOUT) as response,
            target.open("wb") as file,
        ):
            total = int(response.headers.get("Content-Length") or 0)
            done = 0
            while block := response.read(1 << 18):
                done += len(block)
                file.write(block)
                _show(f"{target.name}: {done / 1e6:.1f} MB", done, total)
        if sys.stderr.isatty():
            print(file=sys.stderr)
        if total and done != total:
            raise InputError(
                f"The download of {url} ended after {done} of {total} bytes; try again."
            )
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        TimeoutError,
        ConnectionError,
    ) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"{url} cannot be downloaded ({reason}); without a network, bring the archive by "
            "other means, unpack it and pass its folder with --source."
        ) from error


def _show(text: str, done: int, total: int) -> None:
    """Progress on a terminal; a log file gets none."""
    if sys.stderr.isatty():
        of_total = f" ({100 * done // total} %)" if total else ""
        print(f"\r{text}{of_total}", end="", file=sys.stderr, flush=True)
