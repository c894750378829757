"""The run folder: claimed by one process, and locked while it trains."""

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import torch

from asr_attn.checkpoint import MODEL_FILE
from asr_attn.config import CONFIG_FILE
from asr_attn.errors import ConfigError
from asr_attn.files import blaming, claim_folder, claim_next_free, remove_scratch
from asr_attn.lm.neural_file import LM_FILE
from asr_attn.shell import setting
from asr_attn.training.checkpoints import BEST_FOLDER, RESUME_FILE
from asr_attn.training.loggers import reach_loggers
from asr_attn.training.processes import note
from asr_attn.training.provenance import ENVIRONMENT_FILE, check_same_data, save_environment
from asr_attn.training.resuming import save_run_settings
from asr_attn.training.trainer import C, is_main_process, quiet_lightning

LOCK_FILE = ".lock"
METRICS_FILE = "metrics.csv"
ATTENTION_FOLDER = "attention"
_WRITTEN = {
    "": (CONFIG_FILE, ENVIRONMENT_FILE, RESUME_FILE, MODEL_FILE, LM_FILE, METRICS_FILE),
    BEST_FOLDER: ("epoch=*.safetensors",),
    ATTENTION_FOLDER: ("*_epoch=*.png",),
}
"""Files that a run writes, by the folder inside its own."""
_LOCKED_BYTE = 1 << 20
"""Past the end of the lock file: Windows lets nobody read what is locked."""
_SHOWN = 3
_held: set[Path] = set()
"""Folders that this process holds: an operating system's lock keeps out other processes only."""


@contextmanager
def own_folder(config: C, renamed: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """The folder of a run, which this process holds while the block runs.

    Further processes of a distributed run use the folder of the main process. Services that get
    figures are reached first.

    Args:
        config: settings of the run.
        renamed: see ``new_run_folder``.

    Yields:
        The folder.

    Raises:
        ConfigError: the folder cannot be had, or a service cannot be reached.
    """
    quiet_lightning()
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    folder = Path(config.run_dir)
    if not is_main_process(config.trainer):
        yield folder
        return
    reach_loggers(config.logger, folder)
    with run_lock(folder) if config.resume else new_run_folder(folder, renamed) as held:
        yield folder if held is None else held


def record_start(
    folder: Path, config: C, manifests: Mapping[str, Path], fingerprints: Mapping[str, str]
) -> None:
    """Write down what a run begins with, or goes on with, when all of it has been checked.

    Args:
        folder: of the run.
        config: settings of the run.
        manifests: files with its data, by the settings that name them.
        fingerprints: see ``provenance.describe_environment``.

    Raises:
        InputError: a run that is resumed has other data than before.
    """
    check_same_data(folder, manifests, fingerprints)
    remove_unfinished(folder)
    save_run_settings(folder, config)
    save_environment(folder, manifests.values(), fingerprints)


@contextmanager
def new_run_folder(folder: Path, renamed: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Claim a folder for a new run, and hold it while the block runs.

    A block that fails before the settings of the run are saved leaves no new folder behind.

    Args:
        folder: a name for which there is nothing yet, or an empty folder.
        renamed: for a name that a clock made: of a name that is taken, the next free one is used
            (NAME-1, NAME-2, ...), and this function is told the folder.

    Yields:
        The folder.

    Raises:
        ConfigError: the folder is taken, or cannot be made.
    """
    parents = [parent for parent in folder.parents if not parent.exists()]
    own: list[Path] = []
    try:
        try:
            if renamed is not None:
                folder = claim_next_free(folder)
                own = [folder]
            elif claim_folder(folder):
                own = [folder]
            else:
                _refuse_taken(folder)
        except OSError as error:
            raise ConfigError(f"run_dir={folder}: cannot be made ({error.strerror})") from error
        with run_lock(folder):
            _refuse_taken(folder)  # a run of a moment ago may be over by now
            if renamed is not None:
                renamed(folder)
            yield folder
    finally:
        if not (folder / CONFIG_FILE).exists():
            for path in (*own, *parents):
                with suppress(OSError):  # something else lies there by now
                    path.rmdir()


def _refuse_taken(folder: Path) -> None:
    """Make sure that a folder holds nothing but what a run leaves that was killed at its start.

    Raises:
        ConfigError: it does.
    """
    if (folder / CONFIG_FILE).exists():
        raise ConfigError(
            f"run_dir={folder}: holds a run already; choose another folder, or go on with that "
            f"run by {setting('resume', folder)}"
        )
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise ConfigError(f"run_dir={folder}: cannot be read ({error.strerror})") from error
    others = [n for n in names if n != LOCK_FILE and not n.startswith(f".{CONFIG_FILE}.")]
    if others:
        more = ", ..." if len(others) > _SHOWN else ""
        raise ConfigError(
            f"run_dir={folder}: this folder is not a run and is not empty (it holds "
            f"{', '.join(others[:_SHOWN])}{more}); name a new or an empty folder"
        )


def remove_unfinished(folder: Path) -> None:
    """Remove files that a run did not come to finish when it was killed."""
    for place, names in _WRITTEN.items():
        for name in names:
            remove_scratch(folder / place, name)


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run folder while the block runs.

    The operating system releases the lock when the process ends, however it ends. It is a lock on
    bytes of a file, which NFS passes on to its server; children do not inherit it.

    Raises:
        ConfigError: another process holds it.
        InputError: the lock file cannot be written.
    """
    path, key = folder / LOCK_FILE, folder.resolve()
    if key in _held:
        raise ConfigError(_in_use(folder, "this process"))
    with blaming(path):
        file = _locked_file(path)
    _held.add(key)
    try:
        yield
    finally:
        _held.discard(key)
        _release(file, path)


def _locked_file(path: Path) -> BinaryIO:
    """The lock file, open and locked.

    Raises:
        ConfigError: another process holds it.
    """
    while True:
        file = path.open("a+b")
        try:
            if not _lock(file):
                file.seek(0)
                owner = file.read(200).decode("utf-8", "replace").strip()
                raise ConfigError(_in_use(path.parent, owner or "another process"))
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                file.flush()
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # its owner has removed it meanwhile: lock the next one


def _in_use(folder: Path, owner: str) -> str:
    return (
        f"{folder}: {owner} trains in this folder; wait until it has ended, or stop it, before "
        "this run is resumed or another one begins there"
    )


def _release(file: BinaryIO, path: Path) -> None:
    if os.name == "nt":  # removes no file that is open
        file.close()
        with suppress(OSError):
            path.unlink()
        return
    with suppress(OSError):  # removed while it is locked, so that nobody locks what is gone
        path.unlink()
    file.close()


def _lock(file: BinaryIO) -> bool:
    """Lock a file; False if another process has done so.

    Where a file system has no locks, a note says so, and the file counts as locked.
    """
    if sys.platform == "win32":
        import msvcrt

        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _LOCKED_BYTE)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        note(
            f"{file.name}: this file system has no locks ({error.strerror}); make sure that no "
            "other process resumes this run at the same time"
        )
    return True
