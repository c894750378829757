"""Batches from worker processes, in shared memory or, where that is small, through pipes.

PyTorch hands tensors over in shared memory. Where there is little of it, as the 64 MB of a
container, a worker is killed in the middle of writing. Arrays of NumPy are copied through a pipe,
which costs about 10 ms for a batch of 80 seconds and cannot run out.
"""

import errno
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from asr_attn.data.batches import Batch
from asr_attn.errors import ConfigError, InputError

_SHARED_MEMORY = "/dev/shm"
"""Where Linux keeps the semaphores of queues between processes, each on a page of its own."""
ROOM_PER_WORKER = 256 << 20
"""Bytes of shared memory from which on it is used: a worker holds a few batches in it, each of
5 MB for 80 seconds at 16 kHz."""
_PAGE = 4096
SEMAPHORES = 4
"""At most, of each queue between processes; there is one a worker, and a few more."""


def through_pipes(workers: int) -> bool:
    """Whether so many workers have too little shared memory."""
    return workers > 0 and _room() < workers * ROOM_PER_WORKER


class PackedBatch(NamedTuple):
    """A ``Batch`` whose tensors are arrays, as a worker sends it through a pipe."""

    waveforms: NDArray[np.float32]
    lengths: NDArray[np.int64]
    texts: list[str]
    ids: list[str]
    faults: tuple[tuple[str, str], ...]


def packed(item: Any) -> Any:
    """Pack a batch; anything else stays as it is."""
    if not isinstance(item, Batch):
        return item
    return PackedBatch(item.waveforms.numpy(), item.lengths.numpy(), *item[2:])


def unpacked(item: Any) -> Any:
    """The batch that ``packed`` was given; anything else as it is."""
    if not isinstance(item, PackedBatch):
        return item
    return Batch(torch.from_numpy(item.waveforms), torch.from_numpy(item.lengths), *item[2:])


@contextmanager
def workers_explained(workers: int) -> Iterator[None]:
    """Around starting workers.

    Args:
        workers: how many are started.

    Raises:
        ConfigError: the system does not let so many be started.
    """
    if workers and _room() < SEMAPHORES * (workers + 3) * _PAGE:
        raise _cannot_start(workers, f"{_SHARED_MEMORY} is full")
    try:
        yield
    except OSError as error:
        # fork has no memory or too many processes, or semaphores have no room in /dev/shm
        known = (errno.EAGAIN, errno.ENOMEM, errno.ENOSPC, errno.EMFILE, errno.ENOENT, errno.EACCES)
        if not workers or error.errno not in known:
            raise
        raise _cannot_start(workers, os.strerror(error.errno or 0)) from error


def _room() -> float:
    """Bytes that are free where semaphores lie; infinite on systems that have no such folder."""
    try:
        found = os.statvfs(_SHARED_MEMORY)
    except (AttributeError, OSError):
        return math.inf
    return found.f_bavail * found.f_frsize


def _cannot_start(workers: int, reason: str) -> ConfigError:
    return ConfigError(
        f"data.loading.workers={workers}: these processes cannot be started ({reason}); give "
        "fewer, or 0 to read in the training process"
    )


def worker_died(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that a worker came to a sudden end."""
    while error is not None:
        if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def dead_worker(advice: str) -> InputError:
    """The error for a worker that came to a sudden end.

    Args:
        advice: how to go on with the run.
    """
    return InputError(
        "a process that reads audio (data.loading.workers) was killed, as happens when memory runs "
        f"out; {advice} data.loading.workers=0, which reads in the training process, or with fewer"
    )
